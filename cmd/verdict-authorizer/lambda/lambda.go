// Package lambda is the loop of a Lambda function over the runtime API: fetch an event, handle it, hand over the answer or the
// error. It is written here rather than taken from aws-lambda-go: four HTTP calls are all there is to it, a panic must not end
// the process (a cold start for the next caller), and nothing else of that module is wanted in a binary that is started often.
package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
type Runtime struct {
	base   string
	client *http.Client
}

// eventLimit is the most that is read of an event; Lambda's own limit is 6 MB.
const eventLimit = 7 << 20

// New returns the runtime API at an address, as AWS_LAMBDA_RUNTIME_API gives it.
func New(address string) (*Runtime, error) {
	if address == "" {
		return nil, errors.New("lambda: no address of a runtime API; this program is started by AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API")
	}
	return &Runtime{
		base: "http://" + address + "/2018-06-01/runtime/",
		// No timeout: the next event may be hours away, and the process frozen meanwhile. No proxy: the address is this machine's.
		client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}},
	}, nil
}

// FailInit tells Lambda why the function cannot start.
func (r *Runtime) FailInit(ctx context.Context, f *Failure) error {
	return r.post(ctx, "init/error", f.body(), f.Type)
}

// Serve handles events until ctx ends, which is no error, or the runtime API fails.
func (r *Runtime) Serve(ctx context.Context, h Handler) error {
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
	if failed != nil {
		err = r.post(ctx, "invocation/"+in.RequestID+"/error", failed.body(), failed.Type)
	} else {
		err = r.post(ctx, "invocation/"+in.RequestID+"/response", answer, "")
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"invocation/next", nil)
	if err != nil {
		return in, deadline, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return in, deadline, err
	}
	defer resp.Body.Close()
	if in.Event, err = io.ReadAll(io.LimitReader(resp.Body, eventLimit)); err != nil {
		return in, deadline, err
	}
	in.RequestID = resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
	if resp.StatusCode != http.StatusOK || in.RequestID == "" {
		return in, deadline, fmt.Errorf("status %d, request id %q", resp.StatusCode, in.RequestID)
	}
	ms, err := strconv.ParseInt(resp.Header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if failure != "" {
		req.Header.Set("Lambda-Runtime-Function-Error-Type", failure)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode < 500:
		return &refusedError{resp.StatusCode}
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

// body is the failure as the runtime API wants it.
func (f *Failure) body() []byte {
	b, _ := json.Marshal(map[string]string{"errorMessage": f.Text, "errorType": f.Type}) // strings always do
	return b
}
