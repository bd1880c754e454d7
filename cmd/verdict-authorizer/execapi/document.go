package execapi

import "errors"

// MaxResource is the longest Resource of a policy, in characters (API Gateway, quotas).
const MaxResource = 512

// ErrResourceTooLong says that a pattern with its ARN is longer than the gateway takes.
var ErrResourceTooLong = errors.New("a resource of the policy would be longer than 512 characters")

// Document is an IAM policy.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement allows or denies resources.
type Statement struct {
	Action   string
	Effect   string
	Resource []string
}

const (
	version = "2012-10-17"
	action  = "execute-api:Invoke"
)

// DenyAll is the policy that lets nothing of the ARN's stage pass.
func DenyAll(a ARN) Document {
	stage := a.Prefix()
	if a.Stage == "*" { // of the console; the policy names a stage that there is not
		stage = ARN{Partition: a.Partition, Region: a.Region, Account: a.Account, API: a.API, Stage: "null"}.Prefix()
	}
	return Document{Version: version, Statement: []Statement{{Action: action, Effect: "Deny", Resource: []string{stage + "*"}}}}
}

// Document is the policy of a set for the API and stage of a. A set that allows nothing becomes DenyAll.
func (s *Set) Document(a ARN) (Document, error) {
	if len(s.Allow) == 0 {
		return DenyAll(a), nil
	}
	d, prefix := Document{Version: version}, a.Prefix()
	for _, part := range []struct {
		effect   string
		patterns []string
	}{{"Allow", s.Allow}, {"Deny", s.Deny}} {
		if len(part.patterns) == 0 {
			continue
		}
		st := Statement{Action: action, Effect: part.effect, Resource: make([]string, 0, len(part.patterns))}
		for _, p := range part.patterns {
			r := prefix + p
			if len(r) > MaxResource {
				return Document{}, ErrResourceTooLong
			}
			st.Resource = append(st.Resource, r)
		}
		d.Statement = append(d.Statement, st)
	}
	return d, nil
}
