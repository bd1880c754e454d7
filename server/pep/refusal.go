package pep

import (
	"fmt"
	"strconv"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The settings that messages name; cmd/verdict has the flags.
const (
	flagAllow    = "--pep-allow"
	flagIssuer   = "--pep-sts-issuer"
	flagAudience = "--pep-sts-audience"
	flagRole     = "--pep-sts-role"
)

// Why a call was refused: google.rpc.ErrorInfo.reason, part of the API.
const (
	reasonUnidentified = "PEP_UNIDENTIFIED"
	reasonNotAllowed   = "PEP_NOT_ALLOWED"
	reasonUnavailable  = "PEP_KEYS_UNAVAILABLE"
)

// refusal is why a caller may not ask. It is a gRPC status. Its text holds names and settings, never a part of a token.
type refusal struct {
	code codes.Code
	why  string
	text string
}

func unidentified(format string, args ...any) error {
	return &refusal{codes.Unauthenticated, reasonUnidentified, fmt.Sprintf(format, args...)}
}

func notAllowed(format string, args ...any) error {
	return &refusal{codes.PermissionDenied, reasonNotAllowed, fmt.Sprintf(format, args...)}
}

func unavailable(format string, args ...any) error {
	return &refusal{codes.Unavailable, reasonUnavailable, fmt.Sprintf(format, args...)}
}

// Error is what the caller reads.
func (r *refusal) Error() string { return r.text }

// GRPCStatus makes a refusal a gRPC status.
func (r *refusal) GRPCStatus() *status.Status {
	s := status.New(r.code, r.text)
	if full, err := s.WithDetails(&errdetails.ErrorInfo{Reason: r.why, Domain: "verdict.v1"}); err == nil {
		return full
	}
	return s
}

// printable is a name for a message, quoted where that is needed, and cut.
func printable(name string) string {
	const longest = 256
	if name == "" {
		return "no name"
	}
	if len(name) > longest {
		name = name[:longest] + "..."
	}
	if quoted := strconv.QuoteToASCII(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
