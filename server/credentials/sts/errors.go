package sts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/verdict-authz/verdict/server/credentials"
)

var (
	codeForm      = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]{0,63}$`)
	requestIDForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	// Of "User: arn:… is not authorized to perform: sts:TagSession on resource: arn:…".
	actionForm = regexp.MustCompile(`not authorized to perform: (sts:[A-Za-z]{1,64})\b`)
)

// silent keeps of an error whether AWS refused, with its code, or could not be asked. The rest is of requests and credentials.
func silent(err error) error {
	var answered smithy.APIError
	var network *net.OpError
	var name *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &answered) && !transient(err, answered):
		refused := &credentials.RefusedError{Code: shaped(codeForm, answered.ErrorCode(), "Unknown")}
		if found := actionForm.FindStringSubmatch(answered.ErrorMessage()); found != nil {
			refused.Action = found[1]
		}
		var response interface{ ServiceRequestID() string }
		if errors.As(err, &response) {
			refused.RequestID = shaped(requestIDForm, response.ServiceRequestID(), "")
		}
		return refused
	case answered != nil:
		return fmt.Errorf("%w: %s", credentials.ErrUnavailable, shaped(codeForm, answered.ErrorCode(), "Unknown"))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w in time, or there are no credentials: %w", credentials.ErrUnavailable, context.DeadlineExceeded)
	case errors.As(err, &name):
		return fmt.Errorf("%w: %w", credentials.ErrUnavailable, name)
	case errors.As(err, &network):
		return fmt.Errorf("%w: %w", credentials.ErrUnavailable, network)
	}
	return fmt.Errorf("%w: verdict has no credentials of AWS, or the answer was not understood", credentials.ErrUnavailable)
}

// issuerAway says that AWS could not fetch the keys of who issued the token; AWS counts it among the caller's faults.
const issuerAway = "IDPCommunicationError"

// transient says whether the same question may be answered otherwise a little later.
func transient(err error, answered smithy.APIError) bool {
	if answered.ErrorCode() == issuerAway || answered.ErrorFault() == smithy.FaultServer {
		return true
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[answered.ErrorCode()]; throttled {
		return true
	}
	if _, again := retry.DefaultRetryableErrorCodes[answered.ErrorCode()]; again {
		return true
	}
	var response *smithyhttp.ResponseError
	return errors.As(err, &response) && (response.HTTPStatusCode() >= 500 || response.HTTPStatusCode() == http.StatusTooManyRequests)
}

func shaped(form *regexp.Regexp, text, otherwise string) string {
	if form.MatchString(text) {
		return text
	}
	return otherwise
}
