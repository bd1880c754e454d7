package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
)

// output collects what a running verdict prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// verdict is a running process, by way of the same run that main calls.
type verdict struct {
	decision, admin string // gRPC targets
	http            string // host:port of health and metrics
	issuer          string // base URL
	out, errs       output

	cancel  context.CancelFunc
	process *os.Process // of a verdict that is one of its own; nil: it runs in this one
	done    chan struct{}
	code    int
}

const startTimeout = 30 * time.Second

// launch runs verdict in the background; it is stopped with the test.
func launch(t *testing.T, args ...string) *verdict {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	v := &verdict{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		v.code = run(ctx, args, nil, &v.out, &v.errs)
	}()
	t.Cleanup(func() {
		v.stop(t)
		if t.Failed() {
			t.Logf("verdict said:\n%s%s", v.out.String(), v.errs.String())
		}
	})
	return v
}

// stop stops it in order and returns its exit code.
func (v *verdict) stop(t *testing.T) int {
	t.Helper()
	v.cancel()
	select {
	case <-v.done:
	case <-time.After(startTimeout):
		t.Fatal("does not stop")
	}
	return v.code
}

// await polls until ok, and fails when verdict ends or time is up.
func (v *verdict) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(startTimeout)
	for !ok() {
		select {
		case <-v.done:
			t.Fatalf("ended with %d while waiting for %s", v.code, what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("no %s after %s", what, startTimeout)
		}
	}
}

var greetingLine = regexp.MustCompile(`Decisions (\S+), administration (\S+), token issuer (\S+), data`)

// startDev runs verdict dev on free ports and waits for its greeting.
func startDev(t *testing.T, args ...string) *verdict {
	t.Helper()
	v := launch(t, append([]string{"dev", "--data", t.TempDir(), "--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--issuer-listen=127.0.0.1:0"}, args...)...)
	v.await(t, "greeting", func() bool { return greetingLine.MatchString(v.out.String()) })
	m := greetingLine.FindStringSubmatch(v.out.String())
	v.issuer = m[3]
	v.await(t, "listening line", func() bool { return v.addresses() })
	v.decision, v.admin = m[1], m[2]
	v.awaitServing(t)
	return v
}

// startServe runs verdict serve on free ports against a store and a local issuer.
func startServe(t *testing.T, store string, args ...string) *verdict {
	t.Helper()
	base := startIssuer(t)
	v := launch(t, append([]string{"serve", "--store", store, "--authority", base, "--tenant", issuer.DevTenant,
		"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, args...)...)
	v.issuer = base
	v.await(t, "listening line", func() bool { return v.addresses() })
	return v
}

// addresses reads where it listens from its log.
func (v *verdict) addresses() bool {
	for line := range strings.Lines(v.errs.String()) {
		var said struct{ Msg, Decision, Admin, HTTP string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
			v.decision, v.admin, v.http = said.Decision, said.Admin, said.HTTP
			return true
		}
	}
	return false
}

// startIssuer serves a local issuer whose base is its own address.
func startIssuer(t *testing.T) string {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	t.Cleanup(web.Close)
	base := "http://" + web.Listener.Addr().String()
	local, err := issuer.New(issuer.Config{BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = local.Handler()
	web.Start()
	return base
}

// dial connects to one of its listeners.
func (v *verdict) dial(t *testing.T, target string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (v *verdict) decisions(t *testing.T) verdictv1.DecisionServiceClient {
	return verdictv1.NewDecisionServiceClient(v.dial(t, v.decision))
}

func (v *verdict) envoyDoor(t *testing.T) authv3.AuthorizationClient {
	return authv3.NewAuthorizationClient(v.dial(t, v.decision))
}

func (v *verdict) policies(t *testing.T) verdictv1.PolicyServiceClient {
	return verdictv1.NewPolicyServiceClient(v.dial(t, v.admin))
}

func (v *verdict) audits(t *testing.T) verdictv1.AuditServiceClient {
	return verdictv1.NewAuditServiceClient(v.dial(t, v.admin))
}

func (v *verdict) system(t *testing.T) verdictv1.SystemServiceClient {
	return verdictv1.NewSystemServiceClient(v.dial(t, v.admin))
}

// awaitServing waits for the health service of the decision listener.
func (v *verdict) awaitServing(t *testing.T) {
	t.Helper()
	client := healthv1.NewHealthClient(v.dial(t, v.decision))
	v.await(t, "SERVING", func() bool {
		resp, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
}

// mint asks the issuer for a token; pairs are the form.
func (v *verdict) mint(t *testing.T, pairs ...string) string {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	resp, err := http.Get(v.issuer + "/mint?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("mint: %s %s %v", resp.Status, body, err)
	}
	return strings.TrimSpace(string(body))
}

// records waits until all n decision records match the filter, and returns them.
func (v *verdict) records(t *testing.T, filter *verdictv1.ListDecisionsRequest, n int) []*verdictv1.DecisionRecord {
	t.Helper()
	var got []*verdictv1.DecisionRecord
	v.await(t, "decision records", func() bool {
		resp, err := v.audits(t).ListDecisions(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		got = resp.GetDecisions()
		return len(got) >= n
	})
	if len(got) != n {
		t.Fatalf("%d records, want %d: %v", len(got), n, got)
	}
	return got
}

// contextWithTimeout bounds calls that wait on purpose.
func contextWithTimeout(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), time.Second)
}

// violations are the fields of a BadRequest.
func violations(err error) []string {
	var fields []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}
