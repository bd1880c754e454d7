package execapi

import (
	"errors"
	"strings"
)

// MaxARN is the longest method ARN, in bytes; the gateway itself answers 414 beyond it (API Gateway, quotas).
const MaxARN = 1600

// Routes of an ARN that have no method.
const (
	Connect = "$connect" // of a WebSocket API
	Default = "$default" // of an HTTP API; its default stage has the same name
)

// ErrARN says that a string is not the ARN of a request. It says nothing of the string.
var ErrARN = errors.New("not the ARN of an execute-api request")

// ARN names a request to an API. All but the path is the gateway's; the path is the client's.
type ARN struct {
	Partition, Region, Account, API, Stage string
	Method                                 string // upper case, or Connect or Default
	Path                                   string // begins with a slash; "" of Connect and Default alone
}

// ParseARN takes an ARN apart: arn:PARTITION:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH. The path may hold colons and
// slashes; everything before it is checked letter by letter, since it is copied into policies.
func ParseARN(s string) (ARN, error) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "execute-api" {
		return ARN{}, ErrARN
	}
	rest := strings.SplitN(parts[5], "/", 4)
	if len(rest) < 3 {
		return ARN{}, ErrARN
	}
	a := ARN{Partition: parts[1], Region: parts[3], Account: parts[4], API: rest[0], Stage: rest[1], Method: rest[2]}
	if !made(a.Partition, lower+"-") || !made(a.Region, lower+digits+"-") || !made(a.Account, digits) || !made(a.API, lower+digits) {
		return ARN{}, ErrARN
	}
	if !made(a.Stage, lower+upper+digits+"-_") && a.Stage != Default && a.Stage != "*" {
		return ARN{}, ErrARN
	}
	switch {
	case a.Method == Connect || a.Method == Default:
		if len(rest) == 4 {
			a.Path = "/" + rest[3]
		}
	case !made(a.Method, upper):
		return ARN{}, ErrARN
	case len(rest) == 4:
		a.Path = "/" + rest[3]
	default:
		a.Path = "/"
	}
	return a, nil
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// made says whether s is one or more of letters.
func made(s, letters string) bool {
	return s != "" && strings.TrimLeft(s, letters) == ""
}

// TestInvoke says whether the request comes from the console, which tests authorizers and methods without a stage.
func (a ARN) TestInvoke() bool {
	switch a.Stage {
	case "*", "null", "ESTestInvoke-stage", "test-invoke-stage":
		return true
	}
	return false
}

// Prefix is the ARN up to the stage, with the slash after it: what the patterns of a policy begin with.
func (a ARN) Prefix() string {
	return "arn:" + a.Partition + ":execute-api:" + a.Region + ":" + a.Account + ":" + a.API + "/" + a.Stage + "/"
}

// Request is what of the ARN patterns are compared with, such as GET/orders/1.
func (a ARN) Request() string { return a.Method + a.Path }
