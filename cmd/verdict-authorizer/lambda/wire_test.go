package lambda_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
)

// deadline is what the API says of an event in these tests.
func deadline(w http.ResponseWriter, id string) {
	w.Header().Set("Lambda-Runtime-Aws-Request-Id", id)
	w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(5*time.Second).UnixMilli(), 10))
}

// runtimeOf is a runtime over an API, which ends with the test.
func runtimeOf(t *testing.T, srv *httptest.Server) *lambda.Runtime {
	t.Helper()
	srv.Start()
	t.Cleanup(srv.Close)
	r, err := lambda.New(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAConnectionThatWasClosedMeanwhileIsMadeAnew(t *testing.T) {
	for name, closes := range map[string]bool{"said beforehand": true, "found out by the next call": false} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			events, told, peers := []string{"1", "2", "3"}, []string{}, map[string]bool{}
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				peers[r.RemoteAddr] = true
				if closes {
					w.Header().Set("Connection", "close")
				}
				switch {
				case r.Method == http.MethodPost:
					body, _ := io.ReadAll(r.Body)
					told = append(told, string(body))
					w.WriteHeader(http.StatusAccepted)
				case len(events) == 0:
					w.WriteHeader(http.StatusInternalServerError)
				default:
					deadline(w, events[0])
					events = events[1:]
				}
			}))
			srv.Config.IdleTimeout = time.Millisecond
			err := runtimeOf(t, srv).Serve(t.Context(), handler(func(_ context.Context, in lambda.Invocation) ([]byte, error) {
				time.Sleep(100 * time.Millisecond) // long enough for the API to hang up
				return []byte("answer to " + in.RequestID), nil
			}))
			if err == nil || !strings.Contains(err.Error(), "status 500") {
				t.Errorf("Serve: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if want := []string{"answer to 1", "answer to 2", "answer to 3"}; !slices.Equal(told, want) {
				t.Errorf("told %q", told)
			}
			if len(peers) < 3 {
				t.Errorf("%d connections: none was closed, so that nothing is shown", len(peers))
			}
		})
	}
}

func TestOneConnectionIsKept(t *testing.T) {
	var mu sync.Mutex
	left, peers := 20, map[string]bool{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		peers[r.RemoteAddr] = true
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		if left--; left < 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		deadline(w, "id")
		_ = http.NewResponseController(w).Flush() // the event comes in chunks, without its length
		_, _ = io.WriteString(w, strings.Repeat("event", 10000))
	}))
	handled := 0
	_ = runtimeOf(t, srv).Serve(t.Context(), handler(func(_ context.Context, in lambda.Invocation) ([]byte, error) {
		if handled++; len(in.Event) != 50000 {
			t.Errorf("an event of %d bytes", len(in.Event))
		}
		return nil, nil
	}))
	mu.Lock()
	defer mu.Unlock()
	if handled != 20 || len(peers) != 1 {
		t.Errorf("%d events over %d connections", handled, len(peers))
	}
}

func TestNothingBecomesALineOfItsOwn(t *testing.T) {
	type request struct{ path, kind, smuggled string }
	got := make(chan request, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			deadline(w, "a b/../c?d")
			return
		}
		got <- request{r.URL.EscapedPath(), r.Header.Get("Lambda-Runtime-Function-Error-Type"), r.Header.Get("Smuggled")}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	if err := runtimeOf(t, srv).Serve(t.Context(), handler(func(context.Context, lambda.Invocation) ([]byte, error) {
		return nil, &lambda.Failure{Type: "Kind\r\nSmuggled: yes", Text: "x"}
	})); err == nil {
		t.Error("no error")
	}
	want := request{path: "/2018-06-01/runtime/invocation/a%20b%2F..%2Fc%3Fd/error", kind: "Kind  Smuggled: yes"}
	if r := <-got; r != want {
		t.Errorf("the API got %+v", r)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked) // a second call would panic: there is none after the end
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := runtimeOf(t, srv)
	go func() { ended <- r.Serve(ctx, handler(nil)) }()
	<-asked
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Serve waits for an event still")
	}
}

func TestAnEventBeyondLambdasLimitEndsTheProcess(t *testing.T) {
	for name, length := range map[string]bool{"of known length": true, "in chunks": false} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				const size = 8 << 20
				deadline(w, "id")
				if length {
					w.Header().Set("Content-Length", strconv.Itoa(size))
				}
				_, _ = w.Write(make([]byte, size))
			}))
			err := runtimeOf(t, srv).Serve(t.Context(), handler(func(context.Context, lambda.Invocation) ([]byte, error) {
				t.Error("handled")
				return nil, nil
			}))
			if err == nil || !strings.Contains(err.Error(), "more than") {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}
