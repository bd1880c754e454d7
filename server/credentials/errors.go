package credentials

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnavailable says that STS could not be asked, or answered as one does who should be asked again.
var ErrUnavailable = errors.New("STS does not answer")

// RefusedError is a refusal of STS.
type RefusedError struct {
	Code      string // AWS's, such as AccessDenied
	Action    string // what was not permitted, such as sts:TagSession; "": AWS did not say
	RequestID string // AWS's; "": it gave none
}

// Error names what AWS said in words of a closed form, and nothing of what it was asked.
func (e *RefusedError) Error() string {
	if e.Action != "" {
		return fmt.Sprintf("STS refuses: %s, %s", e.Code, e.Action)
	}
	return "STS refuses: " + e.Code
}

// Why no credentials were made though the decision is allow: google.rpc.ErrorInfo.reason, part of the API.
const (
	reasonNoRole      = "ROLE_UNKNOWN"            // the file has no such alias
	reasonUnfit       = "SESSION_NOT_POSSIBLE"    // something of the caller cannot stand where the file puts it
	reasonRefused     = "STS_REFUSED"             // metadata: code
	reasonPacked      = "PACKED_POLICY_TOO_LARGE" // as STS has it, and a little before
	reasonUnavailable = "STS_UNAVAILABLE"
	reasonLimited     = "RATE_LIMITED"
)

const domain = "verdict.v1"

// failure is why a call that was allowed gave nothing. It is a gRPC status, whose text is for the caller; the cause is for the
// log.
type failure struct {
	code  codes.Code
	why   string
	text  string
	cause error // nil: the text says it all
}

func precondition(why, format string, args ...any) error {
	return &failure{codes.FailedPrecondition, why, fmt.Sprintf(format, args...), nil}
}

// Error is what the log says.
func (f *failure) Error() string {
	if f.cause != nil {
		return f.text + ": " + f.cause.Error()
	}
	return f.text
}

// Unwrap is the cause.
func (f *failure) Unwrap() error { return f.cause }

// GRPCStatus is what the caller reads.
func (f *failure) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: f.why, Domain: domain}
	var refused *RefusedError
	if errors.As(f.cause, &refused) {
		info.Metadata = map[string]string{"code": refused.Code}
	}
	s := status.New(f.code, f.text)
	if full, err := s.WithDetails(info); err == nil {
		return full
	}
	return s
}
