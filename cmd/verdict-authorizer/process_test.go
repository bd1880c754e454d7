package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// childVar makes this test binary the function whose handler panics when a test says so: what is shipped has no such thing.
const childVar = "AUTHORIZER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "" {
		code := m.Run()
		if built.path != "" {
			_ = os.RemoveAll(filepath.Dir(built.path))
		}
		os.Exit(code)
	}
	if err := runPanicky(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runPanicky is run with a verdict that panics when it is asked about /orders/panic.
func runPanicky() error {
	vars := variables(os.Environ())
	runtime, err := lambda.New(vars["AWS_LAMBDA_RUNTIME_API"])
	if err != nil {
		return err
	}
	cfg, err := readConfig(vars)
	if err != nil {
		return err
	}
	inner := only(orders())
	p := &asked{answer: func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		if req.GetHttp().GetPath() == "/orders/panic" {
			panic("token " + req.GetToken())
		}
		return inner.Check(ctx, req)
	}}
	return runtime.Serve(context.Background(), newAuthorizer(p, cfg, slog.New(slog.NewJSONHandler(os.Stderr, nil))))
}

// runtimeAPI is the Lambda runtime API: it hands out events one after the other and takes what the function makes of them.
type runtimeAPI struct {
	address string
	events  chan lambdaEvent
	answers chan lambdaAnswer
	polled  chan struct{} // one for each call of next
	initErr chan lambdaAnswer
}

type lambdaEvent struct {
	id       string
	body     []byte
	deadline time.Time
}

type lambdaAnswer struct {
	id, failed, kind string // failed: errorMessage
	body             []byte
}

func startRuntimeAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	api := &runtimeAPI{events: make(chan lambdaEvent), answers: make(chan lambdaAnswer, 1), polled: make(chan struct{}, 4096), initErr: make(chan lambdaAnswer, 1)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, "/2018-06-01/runtime/")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if path == "invocation/next" {
			api.polled <- struct{}{}
			select {
			case e := <-api.events:
				w.Header().Set("Lambda-Runtime-Aws-Request-Id", e.id)
				w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(e.deadline.UnixMilli(), 10))
				w.Header().Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
				_, _ = w.Write(e.body)
			case <-r.Context().Done():
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		a := lambdaAnswer{body: body, kind: r.Header.Get("Lambda-Runtime-Function-Error-Type")}
		if strings.HasSuffix(path, "error") {
			var told struct{ ErrorMessage, ErrorType string }
			_ = json.Unmarshal(body, &told)
			a.body, a.failed = nil, told.ErrorMessage
		}
		w.WriteHeader(http.StatusAccepted)
		if path == "init/error" {
			api.initErr <- a
			return
		}
		a.id = strings.Split(path, "/")[1]
		api.answers <- a
	}))
	t.Cleanup(srv.Close)
	api.address = srv.Listener.Addr().String()
	return api
}

var eventNumber atomic.Int64

// invoke hands out one event and waits for what becomes of it.
func (api *runtimeAPI) invoke(t *testing.T, event []byte) lambdaAnswer {
	t.Helper()
	e := lambdaEvent{id: fmt.Sprintf("id-%d", eventNumber.Add(1)), body: event, deadline: time.Now().Add(5 * time.Second)}
	timeout := time.After(10 * time.Second)
	select {
	case api.events <- e:
	case <-timeout:
		t.Fatal("the function does not ask for an event")
	}
	select {
	case a := <-api.answers:
		if a.id != e.id {
			t.Fatalf("answered %s, asked %s", a.id, e.id)
		}
		return a
	case <-timeout:
		t.Fatal("the function does not answer")
	}
	return lambdaAnswer{}
}

// function is the process of the function.
type function struct {
	api    *runtimeAPI
	cmd    *exec.Cmd
	output *syncBuffer
	ready  time.Duration // from the start to its first call of next
}

// syncBuffer is written by the process and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var built struct {
	once sync.Once
	path string
	err  error
}

// bootstrap builds what is shipped, once, with the flags of deploy/lambda.
func bootstrap(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "authorizer")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "bootstrap")
		out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace", "-ldflags", "-s -w -buildid=", "-o", built.path, ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("go build: %w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// startFunction starts a program as Lambda does; it is ended with the test.
func startFunction(t *testing.T, program string, env ...string) *function {
	t.Helper()
	f := &function{api: startRuntimeAPI(t), output: &syncBuffer{}}
	f.cmd = exec.Command(program)
	f.cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + f.api.address, "AWS_REGION=eu-central-1", "HTTP_PROXY=http://127.0.0.1:9"}, env...)
	f.cmd.Stdout, f.cmd.Stderr = f.output, f.output
	began := time.Now()
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
	})
	select {
	case <-f.api.polled:
		f.ready = time.Since(began)
	case told := <-f.api.initErr:
		f.api.initErr <- told
	case <-time.After(10 * time.Second):
		t.Fatalf("the function does not start: %s", f.output)
	}
	return f
}

// decisionServer is a verdict that is reached over the network.
type decisionServer struct {
	verdictv1.UnimplementedDecisionServiceServer
	checker
}

func (d *decisionServer) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	return d.checker.Check(ctx, req)
}

func serve(t *testing.T, p checker, opts ...grpc.ServerOption) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	verdictv1.RegisterDecisionServiceServer(srv, &decisionServer{checker: p})
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return lis.Addr().String()
}

// middlebox stands between function and verdict, and can forget its flows without telling either.
type middlebox struct {
	address string
	mu      sync.Mutex
	flows   []*atomic.Bool // forgotten
}

func between(t *testing.T, behind string) *middlebox {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middlebox{address: lis.Addr().String()}
	var conns sync.Map
	t.Cleanup(func() {
		_ = lis.Close()
		conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
	})
	go func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", behind)
			if err != nil {
				_ = in.Close()
				continue
			}
			conns.Store(in, nil)
			conns.Store(out, nil)
			gone := new(atomic.Bool)
			m.mu.Lock()
			m.flows = append(m.flows, gone)
			m.mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					buf := make([]byte, 32<<10)
					for {
						n, err := way[0].Read(buf)
						if err != nil {
							return
						}
						if !gone.Load() {
							_, _ = way[1].Write(buf[:n])
						}
					}
				}()
			}
		}
	}()
	return m
}

func (m *middlebox) forget() (flows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, gone := range m.flows {
		gone.Store(true)
	}
	return len(m.flows)
}

func (m *middlebox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.flows)
}

func tokenEvent(path string) []byte {
	g, ask := gateway{shape: "rest_token"}, asking("GET", path)
	return g.event(&ask)
}

func (f *function) allows(t *testing.T, event []byte) (took time.Duration) {
	t.Helper()
	began := time.Now()
	a := f.api.invoke(t, event)
	took = time.Since(began)
	g := gateway{shape: "rest_token"}
	var e struct{ MethodArn string }
	_ = json.Unmarshal(event, &e)
	if got := g.statusOf(a.body, a.failed, e.MethodArn); got != 200 {
		t.Fatalf("the caller gets %d: %s %q\nlog: %s", got, a.body, a.failed, f.output)
	}
	return took
}

func TestColdStartAndWarmReuse(t *testing.T) {
	target := serve(t, only(orders()))
	f := startFunction(t, bootstrap(t), "VERDICT_TARGET="+target, "VERDICT_PLAINTEXT=true")
	info, err := os.Stat(bootstrap(t))
	if err != nil {
		t.Fatal(err)
	}
	first := f.allows(t, tokenEvent("/orders/1"))
	var longest, sum time.Duration
	const times = 50
	for range times {
		took := f.allows(t, tokenEvent("/orders/2"))
		longest, sum = max(longest, took), sum+took
	}
	t.Logf("binary %.1f MB; %s to the first poll; first answer %s, then %s on average, %s at most", float64(info.Size())/1e6, f.ready, first, sum/times, longest)
	// A fast answer to an ordinary refusal, an error, and again an answer: the same process.
	if a := f.api.invoke(t, []byte(`null`)); a.failed != "the event is of no known kind" || a.kind != "BadEvent" {
		t.Errorf("answered %+v", a)
	}
	f.allows(t, tokenEvent("/orders/3"))
	// The log comes through a pipe, and so perhaps after the answer.
	for end := time.Now().Add(5 * time.Second); strings.Count(f.output.String(), "\n") < times+3 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	for _, word := range []string{good, "/orders/1", "Bearer"} {
		if strings.Contains(f.output.String(), word) {
			t.Errorf("the log has %q", word)
		}
	}
	if got := strings.Count(f.output.String(), "\n"); got != times+3 {
		t.Errorf("%d log lines for %d events", got, times+3)
	}
}

func TestWrongSettingsAreToldAtOnce(t *testing.T) {
	f := startFunction(t, bootstrap(t), "VERDICT_CERT_FILE=x.pem", "VERDICT_MODE=both", "VERDICT_CACHE_TLL=60s")
	told := <-f.api.initErr
	for _, name := range []string{"VERDICT_TARGET", "VERDICT_CERT_FILE, VERDICT_KEY_FILE", "VERDICT_MODE", "VERDICT_CACHE_TLL"} {
		if !strings.Contains(told.failed, name+": ") {
			t.Errorf("%s is not in %q", name, told.failed)
		}
	}
	var exit *exec.ExitError
	if err := f.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with %v", err)
	}
}

// 37
func TestPanicLeavesTheProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := startFunction(t, self, childVar+"=1", "VERDICT_TARGET=127.0.0.1:9", "VERDICT_PLAINTEXT=true")
	f.allows(t, tokenEvent("/orders/1"))
	pid := f.cmd.Process.Pid
	if a := f.api.invoke(t, tokenEvent("/orders/panic")); a.kind != "Panic" || a.failed != errPanic.Text {
		t.Errorf("answered %+v", a)
	}
	f.allows(t, tokenEvent("/orders/2"))
	if f.cmd.Process.Pid != pid || f.cmd.ProcessState != nil {
		t.Error("the process ended")
	}
	if strings.Contains(f.output.String(), good) {
		t.Error("the token is in the log")
	}
}

// 7 and 8, with the process and the network.
func TestVerdictIsAway(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	late := serve(t, &asked{answer: func(ctx context.Context, _ *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err() // an answer here would race with the deadline of who asks
		case <-time.After(3 * time.Second):
		}
		return &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW}, nil
	}})
	for name, target := range map[string]string{"nobody listens": nobody, "verdict answers after three seconds": late} {
		t.Run(name, func(t *testing.T) {
			f := startFunction(t, bootstrap(t), "VERDICT_TARGET="+target, "VERDICT_PLAINTEXT=true")
			began := time.Now()
			a := f.api.invoke(t, tokenEvent("/orders/1"))
			if took := time.Since(began); took > 2300*time.Millisecond {
				t.Errorf("took %s", took)
			}
			if a.kind != "Unreachable" || a.failed == "Unauthorized" || a.body != nil {
				t.Errorf("answered %+v", a)
			}
		})
	}
}

// 38: a freeze longer than the idle limit, during which what stands between forgets the connection.
func TestFreezeAndForgottenConnection(t *testing.T) {
	m := between(t, serve(t, only(orders())))
	f := startFunction(t, bootstrap(t), "VERDICT_TARGET="+m.address, "VERDICT_PLAINTEXT=true", "VERDICT_IDLE_LIMIT=1s")
	f.allows(t, tokenEvent("/orders/1"))
	flows := m.count()
	for round := range 3 {
		if err := f.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		m.forget()
		time.Sleep(1200 * time.Millisecond)
		if err := f.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		took := f.allows(t, tokenEvent("/orders/2"))
		t.Logf("round %d: %s", round, took)
		if took > 250*time.Millisecond { // 50 ms on a machine that has nothing else to do; a lost connection costs a second
			t.Errorf("took %s after the freeze", took)
		}
		if now := m.count(); now <= flows {
			t.Errorf("%d connections, still", now)
		} else {
			flows = now
		}
	}
}

// 39: verdict ends connections after a while, as it does to spread its callers.
func TestGoawayIsNotNoticed(t *testing.T) {
	target := serve(t, only(orders()), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 60 * time.Millisecond, MaxConnectionAgeGrace: time.Second}))
	f := startFunction(t, bootstrap(t), "VERDICT_TARGET="+target, "VERDICT_PLAINTEXT=true")
	for range 100 {
		f.allows(t, tokenEvent("/orders/1"))
		time.Sleep(20 * time.Millisecond)
	}
}
