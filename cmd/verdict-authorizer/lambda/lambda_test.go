package lambda_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
)

type handler func(ctx context.Context, in lambda.Invocation) ([]byte, error)

func (h handler) Handle(ctx context.Context, in lambda.Invocation) ([]byte, error) { return h(ctx, in) }

// api is a runtime API with a list of events; after the last it hangs up.
type api struct {
	mu     sync.Mutex
	events []string
	status int // of posts; 0: 202
	told   []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/")
	if path != "invocation/next" {
		body, _ := io.ReadAll(r.Body)
		a.told = append(a.told, strings.TrimSpace(fmt.Sprintf("%s %s %s", path, r.Header.Get("Lambda-Runtime-Function-Error-Type"), body)))
		w.WriteHeader(max(a.status, 202))
		return
	}
	if len(a.events) == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if id := a.events[0]; id != "" {
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", id)
	}
	w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(3*time.Second).UnixMilli()))
	_, _ = io.WriteString(w, `"`+a.events[0]+`"`)
	a.events = a.events[1:]
}

func serve(t *testing.T, a *api, h handler) error {
	t.Helper()
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	r, err := lambda.New(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return r.Serve(ctx, h)
}

func TestServe(t *testing.T) {
	a := &api{events: []string{"1", "2", "3", "4", "5"}}
	err := serve(t, a, func(ctx context.Context, in lambda.Invocation) ([]byte, error) {
		if left, ok := ctx.Deadline(); !ok || time.Until(left) > 3*time.Second || time.Until(left) < time.Second {
			t.Errorf("deadline in %s", time.Until(left))
		}
		switch in.RequestID {
		case "2":
			return []byte("lost"), &lambda.Failure{Type: "Unauthorized", Text: "Unauthorized"}
		case "3":
			panic("secret")
		case "4":
			return nil, errors.New("plain")
		}
		return []byte("answer to " + string(in.Event)), nil
	})
	if err == nil || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("Serve: %v", err)
	}
	want := []string{
		`invocation/1/response  answer to "1"`,
		`invocation/2/error Unauthorized {"errorMessage":"Unauthorized","errorType":"Unauthorized"}`,
		`invocation/3/error Panic {"errorMessage":"the function failed","errorType":"Panic"}`,
		`invocation/4/error Error {"errorMessage":"plain","errorType":"Error"}`,
		`invocation/5/response  answer to "5"`,
	}
	if !slices.Equal(a.told, want) {
		t.Errorf("told %q", a.told)
	}
}

func TestAnAnswerThatIsNotTakenDoesNotEndTheProcess(t *testing.T) {
	a := &api{events: []string{"1", "2"}, status: http.StatusRequestEntityTooLarge}
	if err := serve(t, a, func(context.Context, lambda.Invocation) ([]byte, error) { return []byte("x"), nil }); err == nil || len(a.told) != 2 {
		t.Errorf("Serve: %v after %q", err, a.told)
	}
}

func TestARuntimeThatFailsDoes(t *testing.T) {
	a := &api{events: []string{"1", "2"}, status: http.StatusInternalServerError}
	if err := serve(t, a, func(context.Context, lambda.Invocation) ([]byte, error) { return []byte("x"), nil }); err == nil || len(a.told) != 1 {
		t.Errorf("Serve: %v after %q", err, a.told)
	}
}

func TestAnEventWithoutAnIDDoes(t *testing.T) {
	a := &api{events: []string{""}}
	err := serve(t, a, func(context.Context, lambda.Invocation) ([]byte, error) { t.Error("handled"); return nil, nil })
	if err == nil {
		t.Error("no error")
	}
}

func TestNewWantsAnAddress(t *testing.T) {
	if _, err := lambda.New(""); err == nil {
		t.Error("no error")
	}
}
