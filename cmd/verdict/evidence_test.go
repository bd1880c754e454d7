package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// migrated is the URL of an SQLite store with the newest schema.
func migrated(t *testing.T) (url, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "verdict.db")
	var out output
	if code := run(t.Context(), []string{"migrate", "--store", sqlitePrefix + path}, nil, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	return sqlitePrefix + path, path
}

// apply makes p the policy, and waits until it is decided on.
func (v *verdict) apply(t *testing.T, p *verdictv1.Policy) {
	t.Helper()
	applied, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	v.await(t, "policy in use", func() bool {
		state, err := v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
		return err == nil && state.GetRevision() >= applied.GetRevision()
	})
	v.awaitServing(t)
}

// ofHost asks about a public route, which every api of these tests has.
func ofHost(host string) *verdictv1.CheckRequest {
	return &verdictv1.CheckRequest{Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: host, Path: "/healthz"}}}
}

// timed asks at verdict's own door.
func (v *verdict) timed(t *testing.T, ask *verdictv1.CheckRequest) (resp *verdictv1.CheckResponse, took time.Duration) {
	t.Helper()
	began := time.Now()
	resp, err := v.decisions(t).Check(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return resp, time.Since(began)
}

// durable is the example policy and three apis more, whose records are kept in other ways.
func durable(t *testing.T) *verdictv1.Policy {
	t.Helper()
	p := example(t)
	for _, api := range []*verdictv1.Api{
		{Id: "payments", AuditDurability: verdictv1.AuditDurability_AUDIT_DURABILITY_SYNC_DB},
		{Id: "stock", AuditDurability: verdictv1.AuditDurability_AUDIT_DURABILITY_SYNC_DB, OnAuditFailure: verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_COUNT},
		{Id: "notes", AuditDurability: verdictv1.AuditDurability_AUDIT_DURABILITY_SPOOL, OnAuditFailure: verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_COUNT},
	} {
		api.Hosts, api.Audiences = []string{api.GetId() + ".example.com"}, p.GetApis()[0].GetAudiences()
		p.Apis = append(p.Apis, api)
		p.Routes = append(p.Routes, &verdictv1.Route{
			Api: api.GetId(), Id: "health", Methods: []string{"GET"}, Template: "/healthz", Requirement: &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}},
		})
	}
	return p
}

// Each api has its records as it wants them, also while the database is away: one waits for the commit and refuses, one
// goes on and counts, and those that only want the spool do not notice.
func TestDurabilityIsEachApisOwn(t *testing.T) {
	server := pgtest.Start(t)
	url := server.New(t)
	v := startServe(t, url, "--spool", filepath.Join(t.TempDir(), "spool"), "--spool-size=64KiB")
	v.apply(t, durable(t))
	const unavailable = verdictv1.Reason_REASON_AUDIT_UNAVAILABLE

	resp, _ := v.timed(t, ofHost("payments.example.com"))
	if resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || records(t, url)[resp.GetDecisionId()] != 1 {
		t.Fatalf("the answer %v left before its record was committed", resp)
	}

	server.Stop()
	var told ledger
	resp, took := v.timed(t, ofHost("payments.example.com"))
	if resp.GetReason() != unavailable || resp.GetEffect() != verdictv1.Effect_EFFECT_DENY || took > 3*time.Second {
		t.Errorf("sync-db without the database: %v after %s", resp, took)
	}
	envoy, err := v.envoyDoor(t).Check(t.Context(), atHost("payments.example.com", "/healthz"))
	if err != nil || envoy.GetDeniedResponse().GetStatus().GetCode() != 503 || !strings.Contains(envoy.GetDeniedResponse().GetBody(), "AUDIT_UNAVAILABLE") {
		t.Errorf("at the door of Envoy: %v %v", envoy, err)
	}
	resp, took = v.timed(t, ofHost("stock.example.com"))
	if resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || took > 3*time.Second {
		t.Errorf("sync-db that counts: %v after %s", resp, took)
	}
	told.note(resp, nil, took)
	if late, lost := v.metric(t, "verdict_audit_late_total"), v.metric(t, "verdict_audit_lost_total"); late != 3 || lost != 0 {
		t.Errorf("%v late and %v lost, want 3 and 0: what is in the spool is not lost", late, lost)
	}

	// The others go on at once, until the spool is full; then each does as it was told.
	began := time.Now()
	for {
		resp, took = v.timed(t, ofHost("orders.example.com"))
		told.note(resp, nil, took)
		if resp.GetReason() == unavailable {
			break
		}
		if time.Since(began) > startTimeout {
			t.Fatal("64 KiB do not fill")
		}
	}
	for range 20 {
		if resp, _ := v.timed(t, ofHost("notes.example.com")); resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
			t.Fatalf("an api that counts its losses is refused: %v", resp)
		}
	}
	if told.answered() < 50 || told.denied != 1 {
		t.Errorf("%s: want the spool to take some, and then one denial", &told)
	}
	lost := v.metric(t, "verdict_audit_lost_total")
	if lost == 0 {
		t.Error("nothing is counted as lost")
	}

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	v.await(t, "end of the drain", func() bool {
		s, err := v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
		return err == nil && s.GetAuditQueued() == 0
	})
	if resp, _ := v.timed(t, ofHost("payments.example.com")); resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || records(t, url)[resp.GetDecisionId()] != 1 {
		t.Errorf("with the database back: %v", resp)
	}
	told.account(t, url)
	if got := v.metric(t, "verdict_audit_lost_total"); got != lost {
		t.Errorf("%v lost, %v before the database came back", got, lost)
	}
}

// atHost is a question of Envoy without a token.
func atHost(host, path string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "192.0.2.77"}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: host, Path: path,
		}},
	}}
}

// A flood of malformed requests is a few records, which stand for every one of them, a stop in the middle included.
func TestAFloodIsCountedToTheLast(t *testing.T) {
	dir := t.TempDir()
	v := startDev(t, "--data", dir, "--audit-flood-limit=10")
	door, own := v.envoyDoor(t), v.decisions(t)
	flood := func(n int) {
		t.Helper()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for range n {
					if _, err := door.Check(t.Context(), atHost("orders.example.com", "/a/../b")); err != nil {
						t.Error(err)
					}
					ask := ofHost("orders.example.com")
					ask.GetHttp().Path = "/%zz"
					if _, err := own.Check(t.Context(), ask); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
	}
	flood(100)
	v.await(t, "800 in the counts", func() bool {
		code, sum, errs := askAuditAt(t, v.admin, "summary", "--by", "reason", "--since", "1h")
		if code != exitOK {
			t.Fatal(errs)
		}
		return strings.Contains(sum, "REQUEST_MALFORMED        0     800")
	})
	flood(25)
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}

	st, err := openStore(t.Context(), sqlitePrefix+filepath.Join(dir, "verdict.db"), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	kept, err := st.ListDecisions(t.Context(), store.DecisionFilter{}, store.DecisionCursor{}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	stands := uint64(0)
	for i := range kept {
		stands += 1 + kept[i].Repeats
	}
	if stands != 1000 || len(kept) > 500 {
		t.Errorf("%d records stand for %d of 1000 requests", len(kept), stands)
	}
}

// With pseudonyms nothing that verdict writes down names a user, and an auditor who may ask finds all that the user did.
func TestPseudonymsStandForUsersEverywhere(t *testing.T) {
	key := filepath.Join(t.TempDir(), "pseudonyms.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, path := migrated(t)
	dir := filepath.Join(t.TempDir(), "spool")
	v := startServe(t, url, "--spool", dir, "--audit-pseudonym-key", "file://"+key, "--log-level=debug")
	v.apply(t, example(t))
	token := v.mint(t, "user", "alice")
	for _, order := range []string{"/orders/1", "/orders/2"} {
		ask := atHost("orders.example.com", order)
		ask.Attributes.Request.Http.Headers = map[string]string{"authorization": "Bearer " + token}
		if resp, err := v.envoyDoor(t).Check(t.Context(), ask); err != nil || resp.GetOkResponse() == nil {
			t.Fatalf("%v %v", resp, err)
		}
	}
	denied := v.askOrders(t, "alice", "DELETE", "/orders/42")
	v.askOrders(t, "bob", "GET", "/orders/42")
	all := v.records(t, &verdictv1.ListDecisionsRequest{}, 4)

	v.auditedByPseudonym(t, denied)
	for _, d := range all {
		if !strings.HasPrefix(d.GetPrincipalId(), "p.") || d.GetTokenId() != "" {
			t.Errorf("%v", d)
		}
		if ip := d.GetSourceIp(); d.GetDoor() == "ext_authz" && ip != "192.0.2.0/24" {
			t.Errorf("source %q, want its network alone", ip)
		}
	}
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	written := map[string]string{"log": v.errs.String(), "output": v.out.String()}
	for _, pattern := range []string{path + "*", filepath.Join(dir, "*")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			content, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			written[filepath.Base(f)] = string(content)
		}
	}
	if !strings.Contains(written["verdict.db"]+written["verdict.db-wal"], all[0].GetPrincipalId()) {
		t.Fatalf("looked at %d files, and the store does not hold what it should", len(written))
	}
	for name, text := range written {
		for _, secret := range []string{aliceID, strings.ReplaceAll(aliceID, "-", ""), "bbbbbbbb-0002", "192.0.2.77"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s names %s", name, secret)
			}
		}
	}
}

// auditedByPseudonym finds what alice did the way an auditor does.
func (v *verdict) auditedByPseudonym(t *testing.T, denied string) {
	t.Helper()
	const tenant = "11111111-1111-4111-8111-111111111111"
	code, out, errs := askAuditAt(t, v.admin, "pseudonyms", "--tenant", tenant, "--principal", aliceID, "--from", time.Now().UTC().Format("2006-01"))
	lines := strings.Fields(out)
	if code != exitOK || len(lines) != 4 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	_, list, errs := askAuditAt(t, v.admin, "list", "--principal", lines[3], "--since", "1h")
	if strings.Count(list, "\n") != 4 || !strings.Contains(list, denied) {
		t.Errorf("want the three of alice:\n%s%s", list, errs)
	}
	_, why, errs := askAuditAt(t, v.admin, "explain", denied)
	if want := fmt.Sprintf("user %s/%s asked: DELETE orders/delete", tenant, lines[3]); !strings.Contains(why, want) {
		t.Errorf("no %q in\n%s%s", want, why, errs)
	}
}
