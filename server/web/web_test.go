package web_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/web"
)

// newHandler is a handler whose obstacles are those given.
func newHandler(t testing.TB, obstacles ...string) http.Handler {
	t.Helper()
	h, err := web.NewHandler(func() []string { return obstacles }, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "metrics\n")
	}))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPaths(t *testing.T) {
	for name, tc := range map[string]struct {
		obstacles []string
		method    string
		path      string
		accept    string
		code      int
		body      string
	}{
		"the process lives":                  {path: "/healthz", code: 200, body: "ok\n"},
		"it lives when it is not ready":      {obstacles: []string{"no policy"}, path: "/healthz", code: 200, body: "ok\n"},
		"ready":                              {path: "/readyz", code: 200, body: "ready\n"},
		"not ready, with reasons":            {obstacles: []string{"no policy", "no keys"}, path: "/readyz", code: 503, body: "not ready: no policy\nnot ready: no keys\n"},
		"ready as JSON":                      {path: "/readyz", accept: "application/json", code: 200, body: `{"ready":true,"obstacles":[]}` + "\n"},
		"not ready as JSON":                  {obstacles: []string{"no policy"}, path: "/readyz", accept: "application/json", code: 503, body: `{"ready":false,"obstacles":["no policy"]}` + "\n"},
		"metrics":                            {path: "/metrics", code: 200, body: "metrics\n"},
		"a query changes nothing":            {path: "/metrics?x=y", code: 200, body: "metrics\n"},
		"another path":                       {path: "/", code: 404, body: "there are /healthz, /readyz and /metrics\n"},
		"a slash more":                       {path: "/metrics/", code: 404, body: "there are /healthz, /readyz and /metrics\n"},
		"two slashes":                        {path: "http://host//metrics", code: 404, body: "there are /healthz, /readyz and /metrics\n"},
		"no profile and no debug variables":  {path: "/debug/pprof/", code: 404, body: "there are /healthz, /readyz and /metrics\n"},
		"POST is refused":                    {method: "POST", path: "/metrics", code: 405, body: "GET and HEAD only\n"},
		"OPTIONS is refused":                 {method: "OPTIONS", path: "/readyz", code: 405, body: "GET and HEAD only\n"},
		"methods are refused on other paths": {method: "DELETE", path: "/x", code: 405, body: "GET and HEAD only\n"},
	} {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			req := httptest.NewRequest(method, tc.path, nil)
			req.Header.Set("Accept", tc.accept)
			w := httptest.NewRecorder()
			newHandler(t, tc.obstacles...).ServeHTTP(w, req)
			if w.Code != tc.code || w.Body.String() != tc.body {
				t.Errorf("%d %q", w.Code, w.Body.String())
			}
			if w.Code == 405 && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

// start serves a handler on a free port of loopback.
func start(t *testing.T, h http.Handler, log *slog.Logger) (addr string, s *web.Server, done <-chan error) {
	t.Helper()
	s, err := web.NewServer(h, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	t.Cleanup(func() { s.Stop(context.Background()) })
	return lis.Addr().String(), s, ended
}

// raw sends text and reads until the server closes.
func raw(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // a connection that the server cut ends in an error
	return string(answer)
}

func TestLimitsOfTheListener(t *testing.T) {
	var logs bytes.Buffer
	addr, _, _ := start(t, newHandler(t), slog.New(slog.NewTextHandler(&logs, nil)))
	for name, tc := range map[string]struct{ send, want string }{
		"HEAD has no body":             {"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
		"a header too large":           {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		"OPTIONS * is refused":         {"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"},
		"no host is no request":        {"GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
		"CONNECT is refused":           {"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"},
		"a credential changes nothing": {"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer CANARY\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			got := raw(t, addr, tc.send)
			if !strings.HasPrefix(got, tc.want) || strings.Contains(got, "CANARY") {
				t.Errorf("answered %q", got)
			}
			if strings.HasPrefix(tc.send, "HEAD") && !strings.HasSuffix(got, "\r\n\r\n") {
				t.Errorf("HEAD has a body: %q", got)
			}
		})
	}
	if strings.Contains(logs.String(), "CANARY") {
		t.Errorf("logged %s", logs.String())
	}
}

// A request under way is finished by Stop, one that hangs is cut off when its time is up, and Serve then returns nil.
func TestStopIsOrderlyAndBounded(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	addr, s, done := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "finished")
	}), slog.New(slog.DiscardHandler))
	answer := make(chan string, 1)
	go func() { answer <- raw(t, addr, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.Stop(t.Context()) }()
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	<-stopped
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := <-answer; !strings.HasSuffix(got, "finished") {
		t.Errorf("the request under way got %q", got)
	}

	hang := make(chan struct{})
	defer close(hang)
	entered = make(chan struct{})
	addr, s, done = start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-hang }), slog.New(slog.DiscardHandler))
	go func() { answer <- raw(t, addr, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n") }()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.Stop(ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-answer
}

func TestWhatIsMissingIsRefused(t *testing.T) {
	if _, err := web.NewHandler(nil, nil); err == nil {
		t.Error("a handler without readiness and metrics was made")
	}
	if _, err := web.NewServer(nil, nil, nil); err == nil {
		t.Error("a server without a handler was made")
	}
}
