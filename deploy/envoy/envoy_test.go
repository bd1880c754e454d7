package envoy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/deploy/envoy/envoytest"
	"github.com/verdict-authz/verdict/server/request"
)

// seen is what verdict was told of one request.
type seen struct {
	method, host, path, source string
	headers                    map[string][]string // lower-case name
	deadline                   time.Duration
	fault                      request.Fault // what server/request has against it
}

// pdp stands in for verdict: it notes the question and gives the answer of the test.
type pdp struct {
	auth.UnimplementedAuthorizationServer
	asked  chan seen
	answer func(ctx context.Context) (*auth.CheckResponse, error)
}

func (p *pdp) Check(ctx context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	h := r.GetAttributes().GetRequest().GetHttp()
	s := seen{
		method: h.GetMethod(), host: h.GetHost(), path: h.GetPath(),
		source:  r.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(),
		headers: map[string][]string{},
	}
	raw := request.Raw{Method: s.method, Host: s.host, Target: s.path}
	for _, f := range h.GetHeaderMap().GetHeaders() {
		raw.Headers = append(raw.Headers, request.Header{Name: f.GetKey(), Value: string(f.GetRawValue())})
		s.headers[f.GetKey()] = append(s.headers[f.GetKey()], string(f.GetRawValue()))
	}
	if d, ok := ctx.Deadline(); ok {
		s.deadline = time.Until(d)
	}
	s.fault = request.Canonicalise(&raw, new(request.Canonical))
	p.asked <- s
	return p.answer(ctx)
}

// rig is Envoy with a verdict and a backend that note what reaches them.
type rig struct {
	edge    string
	asked   chan seen
	reached chan string // the request target as the backend got it
}

func newRig(t *testing.T, answer func(context.Context) (*auth.CheckResponse, error)) *rig {
	t.Helper()
	r := &rig{asked: make(chan seen, 16), reached: make(chan string, 16)}
	verdict, backend := listen(t), listen(t)
	g := grpc.NewServer()
	auth.RegisterAuthorizationServer(g, &pdp{asked: r.asked, answer: answer})
	go func() { _ = g.Serve(verdict) }() // ends with Stop
	t.Cleanup(g.Stop)
	go r.serveBackend(backend) // ends when the listener is closed

	r.edge = envoytest.Start(t, port(verdict), port(backend)).Addr()
	return r
}

// serveBackend answers 200 to whatever comes. It is not an http.Server, which would refuse some targets by itself.
func (r *rig) serveBackend(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			in := textproto.NewReader(bufio.NewReader(conn))
			line, err := in.ReadLine()
			if err != nil {
				return // Envoy closed a connection that it did not need
			}
			if _, err := in.ReadMIMEHeader(); err != nil {
				line = "GET " + err.Error() + " HTTP/1.1" // shows in the test as what was reached
			}
			r.reached <- strings.Fields(line)[1]
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}()
	}
}

// send writes one raw request line with headers, so that no client library tidies them up, and returns the status.
func (r *rig) send(t *testing.T, target string, headers ...string) int {
	t.Helper()
	conn, err := net.Dial("tcp", r.edge)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines := append([]string{"GET " + target + " HTTP/1.1", "Host: orders.example", "Connection: close"}, headers...)
	if _, err := fmt.Fprintf(conn, "%s\r\n\r\n", strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// question takes what verdict was asked last, if it was.
func (r *rig) question() (seen, bool) {
	select {
	case s := <-r.asked:
		return s, true
	default:
		return seen{}, false
	}
}

func (r *rig) backendPath() string {
	select {
	case p := <-r.reached:
		return p
	default:
		return ""
	}
}

func allow(context.Context) (*auth.CheckResponse, error) {
	return &auth.CheckResponse{Status: status.New(codes.OK, "").Proto()}, nil
}

func TestVerdictAndBackendSeeTheSamePath(t *testing.T) {
	r := newRig(t, allow)
	for name, tc := range map[string]struct {
		target  string
		path    string // as verdict and the backend would see it; "": Envoy refuses with 400, verdict is not asked
		refused bool   // server/request refuses it, so that verdict answers 400
	}{
		"a plain path is handed on":                  {target: "/orders/1", path: "/orders/1"},
		"the query is handed on":                     {target: "/orders/1?x=/public/&y", path: "/orders/1?x=/public/&y"},
		"dots are resolved":                          {target: "/public/../admin/1", path: "/admin/1"},
		"escaped dots are resolved":                  {target: "/public/%2e%2E/admin/1", path: "/admin/1"},
		"dots above the root stay at the root":       {target: "/../admin/1", path: "/admin/1"},
		"dots with a servlet parameter are resolved": {target: "/public/..;/admin/1", path: "/admin/1"},
		"repeated slashes are merged":                {target: "//admin//1", path: "/admin/1"},
		"a backslash reads as a slash":               {target: `/public\..\admin\1`, path: "/admin/1"},
		"an escaped letter reads as the letter":      {target: "/%61dmin/1", path: "/admin/1"},
		"upper case stays upper case":                {target: "/ADMIN/1", path: "/ADMIN/1"},
		"a trailing slash is left to the routes":     {target: "/admin/1/", path: "/admin/1/"},
		"verdict refuses a servlet parameter":        {target: "/admin;x=y/1", path: "/admin;x=y/1", refused: true},
		"verdict refuses a double escape":            {target: "/public/%252e%252e/admin/1", path: "/public/%252e%252e/admin/1", refused: true},
		"verdict refuses an escaped semicolon":       {target: "/admin%3b/1", path: "/admin%3b/1", refused: true},
		"verdict refuses a broken escape":            {target: "/admin/1%zz", path: "/admin/1%zz", refused: true},
		"verdict refuses an escaped line break":      {target: "/admin/1%0d%0aX:y", path: "/admin/1%0d%0aX:y", refused: true},
		"verdict refuses an overlong escape":         {target: "/admin/%c0%ae", path: "/admin/%c0%ae", refused: true},
		"Envoy refuses an escaped slash":             {target: "/admin%2f1"},
		"Envoy refuses an escaped slash after dots":  {target: "/public/..%2Fadmin/1"},
		"Envoy refuses an escaped backslash":         {target: "/public/..%5cadmin/1"},
		"Envoy refuses a fragment":                   {target: "/admin/1#x"},
		"Envoy refuses an escaped NUL":               {target: "/admin/1%00"},
		"Envoy refuses a raw byte outside of ASCII":  {target: "/admin/\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			code := r.send(t, tc.target)
			s, asked := r.question()
			got := r.backendPath()
			if tc.path == "" {
				if code != http.StatusBadRequest || asked || got != "" {
					t.Errorf("status %d, verdict asked %q, backend got %q; want 400 and nobody asked", code, s.path, got)
				}
				return
			}
			if code != http.StatusOK || s.path != tc.path || got != tc.path {
				t.Errorf("status %d, verdict asked %q, backend got %q; want 200 and both %q", code, s.path, got, tc.path)
			}
			if (s.fault != request.Fault(0)) != tc.refused {
				t.Errorf("server/request says %q, want a refusal: %v", s.fault, tc.refused)
			}
		})
	}
}

func TestWhatVerdictIsTold(t *testing.T) {
	r := newRig(t, allow)
	code := r.send(t, "/orders/1", "Authorization: Bearer a", "Authorization: Bearer b", "X-Raw: \xff", "X-Verdict-Principal: admin")
	s, _ := r.question()
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	if s.method != "GET" || s.host != "orders.example" || s.source != "127.0.0.1" {
		t.Errorf("method %q, host %q, source %q", s.method, s.host, s.source)
	}
	if s.deadline <= 0 || s.deadline > 200*time.Millisecond {
		t.Errorf("deadline in %v, want the 200ms of the configuration", s.deadline)
	}
	for name, want := range map[string][]string{
		"authorization":       {"Bearer a,Bearer b"}, // merged by Envoy; no token holds a comma, so verdict still sees two
		"x-raw":               {"\xff"},
		"x-verdict-principal": {"admin"},
	} {
		if got := s.headers[name]; !slices.Equal(got, want) {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
}

func TestNobodyIsInternalByAddress(t *testing.T) {
	r := newRig(t, allow)
	for name, headers := range map[string][]string{
		"a client on loopback":                       nil,
		"a client that claims a private address":     {"X-Forwarded-For: 10.0.0.1"},
		"a client that claims to be internal itself": {"X-Envoy-Internal: true"},
	} {
		t.Run(name, func(t *testing.T) {
			code := r.send(t, "/orders/1", append(headers, "X-Envoy-Retry-On: 5xx", "X-Envoy-Original-Path: /public")...)
			s, asked := r.question()
			if code != http.StatusOK || !asked || s.source != "127.0.0.1" {
				t.Fatalf("status %d, asked: %v, source %q", code, asked, s.source)
			}
			for _, name := range []string{"x-envoy-internal", "x-envoy-retry-on", "x-envoy-original-path"} {
				if got := s.headers[name]; got != nil {
					t.Errorf("header %s = %q, want it dropped", name, got)
				}
			}
		})
	}
}

func TestEnvoyRefusesBeforeItAsks(t *testing.T) {
	r := newRig(t, allow)
	for name, tc := range map[string]struct {
		header string
		want   int
	}{
		"a header name with an underscore": {"X_Forwarded_User: admin", http.StatusBadRequest},
		"more headers than 60 KiB":         {"X-Long: " + strings.Repeat("a", 61<<10), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			code := r.send(t, "/orders/1", tc.header)
			if _, asked := r.question(); asked || code != tc.want || r.backendPath() != "" {
				t.Errorf("status %d, verdict asked: %v; want %d and not asked", code, asked, tc.want)
			}
		})
	}
}

func TestNoAnswerIsNo(t *testing.T) {
	for name, answer := range map[string]func(context.Context) (*auth.CheckResponse, error){
		"an error":          func(context.Context) (*auth.CheckResponse, error) { return nil, status.Error(codes.Internal, "broken") },
		"no answer in time": func(ctx context.Context) (*auth.CheckResponse, error) { <-ctx.Done(); return nil, ctx.Err() },
		"an answer that it cannot be reached": func(context.Context) (*auth.CheckResponse, error) {
			return nil, status.Error(codes.Unavailable, "going away")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, answer)
			code := r.send(t, "/orders/1")
			if got := r.backendPath(); got != "" || code != http.StatusServiceUnavailable {
				t.Errorf("status %d, backend got %q; want 503 and nothing", code, got)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		nobody, backend := listen(t), listen(t)
		_ = nobody.Close() // its port stays unused
		r := &rig{edge: envoytest.Start(t, port(nobody), port(backend)).Addr()}
		if code := r.send(t, "/orders/1"); code != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", code)
		}
	})
}

// The zero CheckResponse lets a request through: whoever answers Envoy must never send one by mistake.
func TestAnEmptyAnswerIsAYes(t *testing.T) {
	r := newRig(t, func(context.Context) (*auth.CheckResponse, error) { return &auth.CheckResponse{}, nil })
	if code := r.send(t, "/orders/1"); code != http.StatusOK {
		t.Errorf("status %d, want 200", code)
	}
}
