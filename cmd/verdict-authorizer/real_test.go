package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// realVerdict is the built verdict as a process, with the example policy and its local issuer.
type realVerdict struct {
	decision, admin string // gRPC targets
	issuer          string // base URL
	decisions       verdictv1.DecisionServiceClient
	audits          verdictv1.AuditServiceClient
	cmd             *exec.Cmd
	out             syncBuffer
	ended           chan struct{}
}

const realPatience = 60 * time.Second

var realGreeting = regexp.MustCompile(`Decisions (\S+), administration (\S+), token issuer (\S+), data`)

// startReal builds verdict, starts it on free ports of loopback and waits until it can decide. It ends with the test.
func startReal(t *testing.T) *realVerdict {
	t.Helper()
	program := filepath.Join(t.TempDir(), "verdict")
	if out, err := exec.Command("go", "build", "-o", program, "../verdict").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	v := &realVerdict{ended: make(chan struct{})}
	v.cmd = exec.Command(program, "dev", "--data", t.TempDir(), "--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
		"--http-listen=127.0.0.1:0", "--issuer-listen=127.0.0.1:0", "--decision-ttl=60s")
	v.cmd.Env, v.cmd.Stdout, v.cmd.Stderr = []string{}, &v.out, &v.out
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = v.cmd.Wait()
		close(v.ended)
	}()
	t.Cleanup(func() {
		v.stop(t)
		if t.Failed() {
			t.Logf("verdict said:\n%s", v.out.String())
		}
	})
	v.await(t, "greeting", func() bool { return realGreeting.MatchString(v.out.String()) })
	m := realGreeting.FindStringSubmatch(v.out.String())
	v.decision, v.admin, v.issuer = m[1], m[2], m[3]
	conn := v.dial(t, v.decision)
	v.decisions, v.audits = verdictv1.NewDecisionServiceClient(conn), verdictv1.NewAuditServiceClient(v.dial(t, v.admin))
	health := healthv1.NewHealthClient(conn)
	v.await(t, "SERVING", func() bool {
		resp, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
	return v
}

// stop asks it to end, and ends it when it does not; a second time does nothing.
func (v *realVerdict) stop(t *testing.T) {
	t.Helper()
	_ = v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.ended:
	case <-time.After(realPatience):
		_ = v.cmd.Process.Kill()
		t.Error("verdict does not stop")
	}
}

// await polls until ok, and fails when verdict ends or time is up.
func (v *realVerdict) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(realPatience); !ok(); {
		select {
		case <-v.ended:
			t.Fatalf("verdict ended while the test waited for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("no %s after %s", what, realPatience)
		}
	}
}

func (v *realVerdict) dial(t *testing.T, target string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bearer is the Authorization header with a new token of the local issuer; pairs are the form of /mint.
func (v *realVerdict) bearer(t *testing.T, pairs ...string) string {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	client := http.Client{Timeout: realPatience}
	resp, err := client.Get(v.issuer + "/mint?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("mint: %s %s %v", resp.Status, body, err)
	}
	return "Bearer " + strings.TrimSpace(string(body))
}

// directly asks verdict what the authorizer asks it for a REST API.
func (v *realVerdict) directly(t *testing.T, api string, r *clientRequest) bool {
	t.Helper()
	resp, err := v.decisions.Check(t.Context(), &verdictv1.CheckRequest{
		Api: api, Token: strings.TrimPrefix(r.authorization, "Bearer "),
		Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{
			Method: r.method, Host: "api.example.com", Path: r.path, PathEncoding: verdictv1.PathEncoding_PATH_ENCODING_RAW,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetEffect() == verdictv1.Effect_EFFECT_ALLOW
}

// record waits for the record of a decision: it is written a moment after the answer.
func (v *realVerdict) record(t *testing.T, id string) *verdictv1.DecisionRecord {
	t.Helper()
	var found *verdictv1.DecisionRecord
	v.await(t, "record of decision "+id, func() bool {
		resp, err := v.audits.ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{PageSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range resp.GetDecisions() {
			if d.GetId() == id {
				found = d
			}
		}
		return found != nil
	})
	return found
}

// behind makes a gateway ask a function that runs as a process, and remembers what it was told last.
func (f *function) behind(t *testing.T, g gateway) (gate *gateway, last *lambdaAnswer) {
	t.Helper()
	gate, last = &g, &lambdaAnswer{}
	gate.invoke = func(event []byte) ([]byte, string) {
		*last = f.api.invoke(t, event)
		return last.body, last.failed
	}
	return gate, last
}

// decisionID is that of an answer, or of the log where the gateway is told an error, which has no id. The log comes through a
// pipe, and so perhaps after the answer.
func (v *realVerdict) decisionID(t *testing.T, f *function, a *lambdaAnswer) (id string) {
	t.Helper()
	if a.failed == "" {
		var told struct{ Context map[string]string }
		if err := json.Unmarshal(a.body, &told); err != nil {
			t.Fatal(err)
		}
		return told.Context["verdict_decision_id"]
	}
	v.await(t, "log line of "+a.id, func() bool {
		for line := range strings.Lines(f.output.String()) {
			var logged struct {
				Request  string `json:"request_id"`
				Decision string `json:"decision_id"`
			}
			if json.Unmarshal([]byte(line), &logged) == nil && logged.Request == a.id {
				id = logged.Decision
				return true
			}
		}
		return false
	})
	return id
}

// TestAgainstVerdict asks a real verdict through the built function, as each kind of gateway does, and finds each decision in
// verdict's records. At the end verdict is away.
func TestAgainstVerdict(t *testing.T) {
	v := startReal(t)
	settings := []string{"VERDICT_TARGET=" + v.decision, "VERDICT_PLAINTEXT=true"}
	start := func(t *testing.T, more ...string) *function {
		return startFunction(t, bootstrap(t), slices.Concat(settings, more)...)
	}
	alice, bob, mallory := v.bearer(t, "user", "alice"), v.bearer(t, "user", "bob"), v.bearer(t, "user", "mallory")
	nightly, expired := v.bearer(t, "app", "nightly"), v.bearer(t, "user", "alice", "lifetime", "-1h")

	for name, tc := range map[string]struct {
		shape string
		env   []string
	}{
		"REST, token":                     {shape: "rest_token"},
		"REST, request":                   {shape: "rest_request"},
		"HTTP API, format 1.0":            {shape: "http_1.0"},
		"HTTP API, format 2.0, yes or no": {shape: "http_2.0", env: []string{"VERDICT_ANSWER=simple"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, append(tc.env, "VERDICT_API=orders")...)
			gate, last := f.behind(t, gateway{shape: tc.shape, simple: len(tc.env) > 0})
			unknown := 401 // to a caller whose token is not accepted
			if strings.HasPrefix(tc.shape, "http") {
				unknown = 403
			}
			for _, ask := range []struct {
				who, as, method, path string
				status                int
				reason                verdictv1.Reason
				route                 string
			}{
				{"alice", alice, "GET", "/orders/42", 200, verdictv1.Reason_REASON_ALLOWED_BY_GRANT, "read"},
				{"alice", alice, "PATCH", "/orders/42", 200, verdictv1.Reason_REASON_ALLOWED_BY_GRANT, "change"},
				{"alice", alice, "DELETE", "/orders/42", 403, verdictv1.Reason_REASON_DENIED_BY_GRANT, "delete"},
				{"alice", alice, "GET", "/nowhere", 403, verdictv1.Reason_REASON_ROUTE_UNKNOWN, ""},
				{"bob", bob, "GET", "/orders", 200, verdictv1.Reason_REASON_ALLOWED_BY_GRANT, "list"},
				{"bob", bob, "POST", "/orders", 403, verdictv1.Reason_REASON_NO_GRANT, "create"},
				{"mallory", mallory, "GET", "/orders/42", 403, verdictv1.Reason_REASON_NO_GRANT, "read"},
				{"nightly", nightly, "GET", "/orders/42", 200, verdictv1.Reason_REASON_ALLOWED_BY_GRANT, "read"},
				{"alice, too late,", expired, "GET", "/orders/42", unknown, verdictv1.Reason_REASON_TOKEN_EXPIRED, "read"},
			} {
				asked := fmt.Sprintf("%s %s as %s", ask.method, ask.path, ask.who)
				got := gate.do(&clientRequest{method: ask.method, path: ask.path, authorization: ask.as, sourceIP: "192.0.2.1"})
				if got != ask.status {
					t.Errorf("%s gets %d, want %d: %s %q", asked, got, ask.status, last.body, last.failed)
				}
				effect := verdictv1.Effect_EFFECT_DENY
				if ask.status == 200 {
					effect = verdictv1.Effect_EFFECT_ALLOW
				}
				id := v.decisionID(t, f, last)
				if id == "" {
					t.Errorf("%s: no decision id in %s %q", asked, last.body, last.failed)
					continue
				}
				if r := v.record(t, id); r.GetEffect() != effect || r.GetReason() != ask.reason || r.GetApi() != "orders" || r.GetRoute() != ask.route {
					t.Errorf("%s is recorded as %s, %s, api %q, route %q", asked, r.GetEffect(), r.GetReason(), r.GetApi(), r.GetRoute())
				}
			}
			for _, token := range []string{alice, bob, mallory, nightly, expired} {
				if strings.Contains(f.output.String(), strings.TrimPrefix(token, "Bearer ")) {
					t.Error("a token is in the log")
				}
			}
		})
	}

	t.Run("a REST request that means two things is refused", func(t *testing.T) {
		f := start(t, "VERDICT_API=orders")
		gate, last := f.behind(t, gateway{shape: "rest_request"})
		for name, headers := range map[string]map[string][]string{
			"a method beside the method": {"X-HTTP-Method-Override": {"DELETE"}},
			"a second token":             {"authorization": {bob}},
			"a path beside the path":     {"X-Original-Url": {"/orders/43"}},
		} {
			if got := gate.do(&clientRequest{method: "GET", path: "/orders/42", authorization: alice, headers: headers}); got != 403 {
				t.Errorf("%s: %d: %s %q", name, got, last.body, last.failed)
			}
		}
	})

	t.Run("what is kept of a caller is what verdict answers", func(t *testing.T) {
		v.addShop(t)
		f := start(t, "VERDICT_API=shop", "VERDICT_MODE=grant-set", "VERDICT_CACHE_TTL=60s")
		token := func(r *clientRequest) []string { return []string{r.authorization} }
		for _, shape := range []string{"rest_token", "rest_request"} {
			gate, last := f.behind(t, gateway{shape: shape, keeps: true, identity: token})
			passed, refused := 0, 0
			for _, as := range []string{bob, alice, mallory} {
				for _, path := range []string{
					"/items", "/items/42", "/items/x", "/items/archive", "/items/42/parts", "/items/", "/items//42", "/items/..", "/items/4%2F2",
					"/items/*", "/items/{id}", "/me", "/elsewhere", "/",
				} {
					for _, method := range []string{"GET", "POST", "DELETE"} {
						r := &clientRequest{method: method, path: path, authorization: as}
						status, allowed := gate.do(r), v.directly(t, "shop", r)
						escaped := strings.Contains(path, "%") || strings.ContainsAny(path, "*{")
						switch {
						case status == 200 && !allowed:
							t.Errorf("%s: %s %s passes, and verdict denies it: %s", shape, method, path, last.body)
						case allowed && status != 200 && !escaped:
							t.Errorf("%s: %s %s gets %d, and verdict allows it: %s %q", shape, method, path, status, last.body, last.failed)
						case status == 200:
							passed++
						default:
							refused++
						}
					}
				}
				if id := v.decisionID(t, f, last); v.record(t, id).GetApi() != "shop" {
					t.Errorf("%s: decision %q is of another api", shape, id)
				}
			}
			if gate.invoked != 3 {
				t.Errorf("%s: asked %d times for three callers", shape, gate.invoked)
			}
			if passed < 10 || refused < 10 {
				t.Errorf("%s: %d passed and %d did not, which tells nothing", shape, passed, refused)
			}
		}
	})

	t.Run("verdict is away", func(t *testing.T) {
		exact := start(t, "VERDICT_API=orders")
		kept := start(t, "VERDICT_API=shop", "VERDICT_MODE=grant-set", "VERDICT_CACHE_TTL=60s")
		simple := start(t, "VERDICT_API=orders", "VERDICT_ANSWER=simple")
		one, told := exact.behind(t, gateway{shape: "rest_token"})
		if got := one.do(&clientRequest{method: "GET", path: "/orders/42", authorization: alice}); got != 200 {
			t.Fatalf("before: %d: %s %q", got, told.body, told.failed)
		}
		v.stop(t)
		for f, ask := range map[*function]struct {
			gateway gateway
			path    string
		}{
			exact:  {gateway{shape: "rest_token"}, "/orders/42"},
			kept:   {gateway{shape: "rest_request", keeps: true}, "/items/42"},
			simple: {gateway{shape: "http_2.0", simple: true}, "/orders/42"},
		} {
			gate, last := f.behind(t, ask.gateway)
			for range 2 {
				got := gate.do(&clientRequest{method: "GET", path: ask.path, authorization: alice})
				if got != 500 || last.body != nil || last.kind != "Unreachable" {
					t.Errorf("%s: %d: %s %q %s", ask.gateway.shape, got, last.body, last.failed, last.kind)
				}
			}
			if gate.invoked != 2 || len(gate.kept) > 0 {
				t.Errorf("%s: the gateway keeps the error", ask.gateway.shape)
			}
		}
	})
}

// addShop adds an api whose routes patterns can tell apart: the example's have {id:int}, which none can.
func (v *realVerdict) addShop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realPatience)
	defer cancel()
	policies := verdictv1.NewPolicyServiceClient(v.dial(t, v.admin))
	current, err := policies.ExportPolicy(ctx, &verdictv1.ExportPolicyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	policy := current.GetPolicy()
	orders := slices.IndexFunc(policy.GetApis(), func(a *verdictv1.Api) bool { return a.GetId() == "orders" })
	if orders < 0 {
		t.Fatal("the example policy has no api orders")
	}
	policy.Apis = append(policy.Apis, &verdictv1.Api{
		Id: "shop", DisplayName: "Shop", Audiences: policy.GetApis()[orders].GetAudiences(), Hosts: []string{"shop.example.com"},
		Permissions: []*verdictv1.Permission{{Name: "items.read"}, {Name: "items.write"}, {Name: "items.archive"}},
		Scopes:      []*verdictv1.ScopeRule{{Scope: "Orders.Access", Permissions: []string{"items.*"}}},
	})
	needs := func(id, method, template, permission string) *verdictv1.Route {
		return &verdictv1.Route{
			Api: "shop", Id: id, Methods: []string{method}, Template: template,
			Requirement: &verdictv1.Route_AllOf{AllOf: &verdictv1.PermissionList{Permissions: []string{permission}}},
		}
	}
	policy.Routes = append(policy.Routes,
		needs("list", "GET", "/items", "items.read"), needs("read", "GET", "/items/{id}", "items.read"),
		needs("create", "POST", "/items", "items.write"), needs("delete", "DELETE", "/items/{id}", "items.write"),
		needs("archive", "GET", "/items/archive", "items.archive"),
		&verdictv1.Route{Api: "shop", Id: "me", Methods: []string{"GET"}, Template: "/me", Requirement: &verdictv1.Route_Authenticated{Authenticated: &verdictv1.AuthenticatedRequirement{}}},
	)
	for _, g := range policy.GetGrants() {
		grant := map[string]string{"readers-read": "items.read", "writers-all": "items.write"}[g.GetId()]
		if grant != "" {
			policy.Grants = append(policy.Grants, &verdictv1.Grant{
				Id: "shop-" + g.GetId(), Api: "shop", Subject: g.GetSubject(), Permissions: []string{grant}, Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
			})
		}
	}
	applied, err := policies.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: policy, Note: &verdictv1.ChangeNote{Reason: "a second api"}})
	if err != nil {
		t.Fatal(err)
	}
	v.await(t, "the new revision", func() bool {
		resp, err := v.decisions.Check(ctx, &verdictv1.CheckRequest{
			Api: "shop", MinRevision: applied.GetRevision(), Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Path: "/me"}},
		})
		return err == nil && resp.GetRevision() >= applied.GetRevision()
	})
}
