// Package lambda is the loop of a Lambda function over the runtime API: fetch an event, handle it, hand over the answer or the
// error. It is written here rather than taken from aws-lambda-go: four HTTP calls are all there is to it, a panic must not end
// the process (a cold start for the next caller), and nothing else of that module is wanted in a binary that is started often.
package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Invocation is one event.
type Invocation struct {
	RequestID string
	Event     []byte
}

// Handler answers events, one at a time. The context ends when Lambda would end the process. An error becomes a failed
// invocation, and its text goes to the caller and the log.
type Handler interface {
	Handle(ctx context.Context, in Invocation) (answer []byte, err error)
}

// Failure is an error with the name that Lambda shows for it.
type Failure struct {
	Type, Text string
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// Runtime speaks the runtime API.
type Runtime struct{ wire wire }

// base is the path of the version of the API.
const base = "/2018-06-01/runtime/"

// eventLimit is the most that is read of an event; Lambda's own limit is 6 MB.
const eventLimit = 7 << 20

// replyLimit is the most that is read of what the API says to an answer.
const replyLimit = 64 << 10

// New returns the runtime API at an address, as AWS_LAMBDA_RUNTIME_API gives it.
func New(address string) (*Runtime, error) {
	if address == "" {
		return nil, errors.New("lambda: no address of a runtime API; this program is started by AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API")
	}
	return &Runtime{wire: wire{address: address}}, nil
}

// FailInit tells Lambda why the function cannot start.
func (r *Runtime) FailInit(ctx context.Context, f *Failure) error {
	return r.post(ctx, "init/error", f.body(), f.Type)
}

// Serve handles events until ctx ends, which is no error, or the runtime API fails.
func (r *Runtime) Serve(ctx context.Context, h Handler) error {
	defer r.wire.close()
	for {
		err := r.one(ctx, h)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("lambda: %w", err)
		}
	}
}

// one handles the next event.
func (r *Runtime) one(ctx context.Context, h Handler) error {
	in, deadline, err := r.next(ctx)
	if err != nil {
		return fmt.Errorf("next event: %w", err)
	}
	answer, failed := handle(ctx, h, in, deadline)
	path := "invocation/" + url.PathEscape(in.RequestID)
	if failed != nil {
		err = r.post(ctx, path+"/error", failed.body(), failed.Type)
	} else {
		err = r.post(ctx, path+"/response", answer, "")
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		return nil // this answer came too late or was too large; Lambda has told the caller, and there are other events
	}
	return err
}

// handle calls the handler and survives it.
func handle(ctx context.Context, h Handler, in Invocation, deadline time.Time) (answer []byte, failed *Failure) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer func() {
		if recover() != nil { // what it says may hold what a client sent
			answer, failed = nil, &Failure{Type: "Panic", Text: "the function failed"}
		}
	}()
	answer, err := h.Handle(ctx, in)
	if err == nil {
		return answer, nil
	}
	if errors.As(err, &failed) {
		return nil, failed
	}
	return nil, &Failure{Type: "Error", Text: err.Error()}
}

func (r *Runtime) next(ctx context.Context) (in Invocation, deadline time.Time, err error) {
	got, err := r.wire.do(ctx, base+"invocation/next", nil, nil, eventLimit)
	if err != nil {
		return in, deadline, err
	}
	in.Event, in.RequestID = got.body, got.header.Get("Lambda-Runtime-Aws-Request-Id")
	if got.status != http.StatusOK || in.RequestID == "" {
		return in, deadline, fmt.Errorf("status %d, request id %q", got.status, in.RequestID)
	}
	ms, err := strconv.ParseInt(got.header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
	if err != nil {
		return in, deadline, errors.New("no deadline")
	}
	return in, time.UnixMilli(ms), nil
}

// refusedError says that the runtime API did not take an answer.
type refusedError struct{ status int }

// Error implements error.
func (e *refusedError) Error() string { return fmt.Sprintf("status %d", e.status) }

func (r *Runtime) post(ctx context.Context, path string, body []byte, failure string) error {
	header := http.Header{}
	if failure != "" {
		header.Set("Lambda-Runtime-Function-Error-Type", failure)
	}
	if body == nil {
		body = []byte{} // an answer, if an empty one
	}
	got, err := r.wire.do(ctx, base+path, header, body, replyLimit)
	switch {
	case err != nil:
		return err
	case got.status/100 == 2:
		return nil
	case got.status/100 == 4:
		return &refusedError{got.status}
	}
	return fmt.Errorf("status %d", got.status)
}

// body is the failure as the runtime API wants it.
func (f *Failure) body() []byte {
	b, _ := json.Marshal(map[string]string{"errorMessage": f.Text, "errorType": f.Type}) // strings always do
	return b
}
