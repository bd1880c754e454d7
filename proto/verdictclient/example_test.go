package verdictclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/verdict-authz/verdict/proto/verdictclient"
	"github.com/verdict-authz/verdict/proto/verdictclient/stsidentity"
)

// reports is a function behind a function URL. It is made once, at the start: connection and token of STS are kept from event
// to event.
type reports struct {
	verdict *verdictclient.Client
}

func newReports() (*reports, error) {
	role, err := stsidentity.New(stsidentity.Config{Audience: os.Getenv("VERDICT_STS_AUDIENCE")})
	if err != nil {
		return nil, err
	}
	client, err := verdictclient.Dial(verdictclient.Config{
		Target: os.Getenv("VERDICT_TARGET"), CAFile: os.Getenv("VERDICT_CA_FILE"), Credentials: role,
	})
	if err != nil {
		return nil, err
	}
	client.Connect() // goes on beside the rest of the start
	return &reports{verdict: client}, nil
}

// event is what is read of a request, in format 2.0: names of headers are in lower case.
type event struct {
	Headers map[string]string `json:"headers"`
}

type answer struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
}

// handle lets those run a report whom a grant gives reports.run.
func (f *reports) handle(ctx context.Context, e event) (answer, error) {
	scheme, token, _ := strings.Cut(e.Headers["authorization"], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return answer{StatusCode: http.StatusUnauthorized, Headers: map[string]string{"www-authenticate": "Bearer"}}, nil
	}
	caller, err := f.verdict.Authorize(ctx, token, "orders", "reports.run", "")
	var refused *verdictclient.RefusedError
	switch {
	case errors.As(err, &refused): // an answer, with what its bearer may know
		r := refused.Response
		a := answer{StatusCode: int(r.GetHttpStatus()), Body: r.GetDetail() + "; decision " + r.GetDecisionId()}
		if challenges := r.GetWwwAuthenticate(); len(challenges) > 0 {
			a.Headers = map[string]string{"www-authenticate": strings.Join(challenges, ", ")}
		}
		return a, nil
	case err != nil: // nothing was decided, so nobody is let in
		return answer{StatusCode: http.StatusServiceUnavailable}, nil
	}
	return answer{StatusCode: http.StatusOK, Body: "a report for " + caller.Principal.GetObjectId()}, nil
}

// A Lambda function without a gateway, which asks verdict itself and shows who it is by its role.
func Example_function() {
	f, err := newReports()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	start(f.handle) // lambda.Start of github.com/aws/aws-lambda-go
}

func start(func(context.Context, event) (answer, error)) {}
