package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain says of the error of a call what to do about it.
func (f *remoteFlags) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	text := plain(s.Message())
	switch s.Code() {
	case codes.Canceled:
		return context.Canceled
	case codes.Unavailable:
		if len(s.Details()) > 0 { // verdict itself says so
			return fmt.Errorf("%s cannot answer now: %s", f.Admin, text)
		}
		if strings.Contains(text, "authentication handshake") || strings.Contains(text, "tls:") || strings.Contains(text, "x509:") {
			return fmt.Errorf("%s does not agree on TLS: %s; see --admin-ca, --admin-cert and --admin-key", f.Admin, text)
		}
		return fmt.Errorf("no answer from %s: is verdict running there, and is that its --admin-listen? (%s)", f.Admin, text)
	case codes.DeadlineExceeded:
		return fmt.Errorf("no answer from %s within %s; ask for less, or give a longer --timeout", f.Admin, f.Timeout)
	case codes.Unauthenticated:
		return fmt.Errorf("%s does not know who asks: %s; show a client certificate with --admin-cert and --admin-key", f.Admin, text)
	case codes.PermissionDenied:
		return fmt.Errorf("%s refuses this to the caller: %s; ask an administrator for a grant", f.Admin, text)
	case codes.Unimplemented:
		return fmt.Errorf("%s does not know this call; is it the admin listener (as a rule port 7301), and is that verdict at least as new as this one?", f.Admin)
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange:
		return errors.New(text)
	case codes.ResourceExhausted:
		return fmt.Errorf("%s gives no more of this: %s", f.Admin, text)
	default:
		return fmt.Errorf("%s: %s: %s", f.Admin, s.Code(), text)
	}
}

// isCode says whether err is a status of one of the codes.
func isCode(err error, any ...codes.Code) bool {
	s, ok := status.FromError(err)
	for _, c := range any {
		if ok && s.Code() == c {
			return true
		}
	}
	return false
}
