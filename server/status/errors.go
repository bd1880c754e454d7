package status

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// ErrPrecondition marks what is refused because of the state of the policy rather than of the request.
var ErrPrecondition = errors.New("not in this state")

// table is the only place where an error becomes a code. First match wins; no match is Internal with a fixed text:
// causes go to the log, not to the caller.
var table = []struct {
	err    error
	code   codes.Code
	reason string // google.rpc.ErrorInfo.reason, part of the API
	quiet  bool   // the error's own text is not for the caller
}{
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", true},
	{context.Canceled, codes.Canceled, "CANCELED", true},
	{store.ErrReferenced, codes.FailedPrecondition, "STILL_REFERENCED", false},
	{ErrPrecondition, codes.FailedPrecondition, "FAILED_PRECONDITION", false},
	{policy.ErrInvalid, codes.InvalidArgument, "INVALID_REQUEST", false},
	{store.ErrInvalid, codes.InvalidArgument, "INVALID_REQUEST", false},
	{store.ErrNotFound, codes.NotFound, "NOT_FOUND", false},
	{store.ErrExists, codes.AlreadyExists, "ALREADY_EXISTS", false},
	{store.ErrConflict, codes.Aborted, "REVISION_CONFLICT", false},
	{store.ErrSchema, codes.Unavailable, "SCHEMA_MISMATCH", false},
	{store.ErrUnavailable, codes.Unavailable, "STORE_UNAVAILABLE", true},
}

// quietTexts are what callers read instead of a cause.
var quietTexts = map[string]string{
	"DEADLINE_EXCEEDED": "the deadline passed before the call was done; give it more time",
	"CANCELED":          "the caller went away",
	"STORE_UNAVAILABLE": "the store cannot be reached; try again, and see the log of verdict for the cause",
}

const domain = "verdict.v1"

// Violation is one thing wrong with a request.
type Violation struct {
	Field string // path in the request, such as policy.routes[3].template
	Text  string // what is wrong and how to fix it
}

// InvalidError is a request that cannot be taken, with every violation found.
type InvalidError struct{ Violations []Violation }

// Invalid returns an InvalidError of the given violations, at least one.
func Invalid(vs ...Violation) error { return &InvalidError{Violations: vs} }

// Error names every violation on one line.
func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = v.Field + ": " + v.Text
	}
	return strings.Join(parts, "; ")
}

// Unwrap makes an InvalidError a policy.ErrInvalid.
func (e *InvalidError) Unwrap() error { return policy.ErrInvalid }

// FromError is the gRPC status of err: nil for nil, err itself when it is a gRPC status already.
func FromError(err error) error {
	if err == nil {
		return nil
	}
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return fromViolations(invalid.Violations)
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
		return err
	}
	for _, row := range table {
		if !errors.Is(err, row.err) {
			continue
		}
		text := err.Error()
		if row.quiet {
			text = quietTexts[row.reason]
		}
		return withDetails(status.New(row.code, text), &errdetails.ErrorInfo{Reason: row.reason, Domain: domain})
	}
	return withDetails(status.New(codes.Internal, "a fault inside verdict; its log has the cause"),
		&errdetails.ErrorInfo{Reason: "INTERNAL", Domain: domain})
}

func fromViolations(vs []Violation) error {
	bad := &errdetails.BadRequest{}
	for _, v := range vs {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Text})
	}
	text := "the request is not valid"
	if len(vs) > 0 {
		text = vs[0].Field + ": " + vs[0].Text
		if len(vs) > 1 {
			text = fmt.Sprintf("%s (and %d more)", text, len(vs)-1)
		}
	}
	s, err := status.New(codes.InvalidArgument, text).WithDetails(bad, &errdetails.ErrorInfo{Reason: "INVALID_REQUEST", Domain: domain})
	if err != nil { // the details do not marshal: the text alone will do
		return status.Error(codes.InvalidArgument, text)
	}
	return s.Err()
}

func withDetails(s *status.Status, info *errdetails.ErrorInfo) error {
	if full, err := s.WithDetails(info); err == nil {
		return full.Err()
	}
	return s.Err()
}
