package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/proto/verdictclient"
	"github.com/verdict-authz/verdict/proto/verdictclient/stsidentity"
)

// asker is a client as a checker.
type asker struct {
	*verdictclient.Client
	identity *identity // nil: none is shown
}

// answerLimit is the most that is read of an answer: that of an api of 10,000 routes, listed, is a tenth of it.
const answerLimit = 16 << 20

// Check implements checker. Its error is a gRPC status, or a *unidentifiedError.
func (a asker) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	if a.identity != nil {
		a.identity.note(nil) // a question that gets no connection does not come to show it
	}
	resp, err := a.Client.Check(ctx, req, grpc.MaxCallRecvMsgSize(answerLimit))
	if err != nil && a.identity != nil {
		if cause := a.identity.problem(); cause != nil {
			return nil, &unidentifiedError{cause}
		}
	}
	return resp, err
}

// identity is the token of AWS STS that shows verdict who asks, and why there was none the last time: gRPC makes of that the
// same code as of verdict's refusal.
type identity struct {
	*stsidentity.Source
	mu     sync.Mutex
	failed error
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (i *identity) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	shown, err := i.Source.GetRequestMetadata(ctx, uri...)
	i.note(err)
	return shown, err
}

func (i *identity) note(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failed = err
}

func (i *identity) problem() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}

// unidentifiedError says that verdict was not asked, since there is no token to ask with.
type unidentifiedError struct{ cause error }

// Error implements error. The cause names AWS's code or the address of STS, and nothing secret.
func (e *unidentifiedError) Error() string { return e.cause.Error() }

// unreachable is the error for a question that got no answer. What verdict or gRPC say of it can name addresses and goes nowhere,
// but for the word that verdict has for a call that it refused.
func unreachable(err error, l *line) error {
	var unidentified *unidentifiedError
	if errors.As(err, &unidentified) {
		l.note = unidentified.Error()
		return failure("Unreachable", "there is no token of AWS STS to ask verdict with; the note in the function's log says why")
	}
	code, reason := status.Code(err), callReason(err)
	l.code, l.reason, l.note = code.String(), reason, advice(err, reason)
	if code == codes.PermissionDenied || code == codes.Unauthenticated {
		return failure("Unreachable", "verdict does not let this function ask: "+code.String()+" "+reason)
	}
	return failure("Unreachable", "verdict gave no answer: "+code.String())
}

// obstacles are what stands between function and verdict as a rule, by words in which gRPC and the network tell of it. Nothing
// but the note depends on those words.
var obstacles = []struct{ says, note string }{
	{"certificate required", "verdict asks for a client certificate; give VERDICT_CERT_FILE and VERDICT_KEY_FILE"},
	{"remote error: tls", "verdict ended the TLS handshake; its --decision-tls-client-ca must have signed the certificate of VERDICT_CERT_FILE"},
	{"handshake failed", "the TLS handshake with verdict fails; VERDICT_CA_FILE must hold what signs its certificate, VERDICT_SERVER_NAME or the target must be a name in it, and the listener must have TLS"},
	{"name resolver error", "the name in VERDICT_TARGET is not found"},
	{"connection refused", "nothing listens at VERDICT_TARGET"},
	{"i/o timeout", "VERDICT_TARGET is not reached in time; look at subnets, routes and security groups"},
	{"while waiting for", "VERDICT_TARGET is not reached in time; look at subnets, routes and security groups"},
}

// ended is the note where a connection is made and ends. A listener that misses a certificate says so, and may have hung up before
// that is read.
const ended = "the connection ends before verdict answers: it may want a client certificate (VERDICT_CERT_FILE), have TLS where VERDICT_PLAINTEXT says that it has none, or be restarting"

// advice is what to look at when a question got no answer; "": nothing in particular. It repeats nothing of err.
func advice(err error, reason string) string {
	text := err.Error()
	for _, o := range obstacles {
		if strings.Contains(text, o.says) {
			return o.note
		}
	}
	if status.Code(err) == codes.Unavailable && reason == "" {
		return ended
	}
	return ""
}

// callReason is why verdict refused a call itself, a word of its contract such as PEP_NOT_ALLOWED; "": it did not say.
func callReason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
