package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// aged are records of one instance, from then on one each step.
func aged(from time.Time, step time.Duration, n int) []store.Decision {
	all := make([]store.Decision, n)
	for i := range all {
		at := from.Add(time.Duration(i) * step).UTC()
		all[i] = store.Decision{
			ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, i), At: at,
			PrincipalID: "p", Instance: "verdict-0", Epoch: 1, Seq: uint64(i) + 1,
		}
	}
	return all
}

// appendAll appends records to a store.
func appendAll(t *testing.T, url string, all []store.Decision) {
	t.Helper()
	st, err := openStore(t.Context(), url, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.AppendDecisions(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

// ran runs verdict and returns what it says.
func ran(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr output
	code = run(t.Context(), args, nil, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// What a running verdict has sealed is proven by a command that has nothing but the store, the copies and the public key, and
// that names what somebody with the rights of the database's owner did to it.
func TestWhatAServerSealedIsProven(t *testing.T) {
	url, path := migrated(t)
	private, copies := keygen(t), filepath.Join(t.TempDir(), "digests")
	all := aged(time.Now().Add(-8*time.Minute), 2*time.Second, 120) // windows are sealed two minutes after their end
	appendAll(t, url, all)
	v := startServe(t, url, "--audit-seal-key", "file://"+private, "--audit-seal-every=1m", "--audit-digests", copies)
	verify := func(more ...string) (int, string, string) {
		t.Helper()
		return ran(t, append([]string{"audit", "verify", "--all", "--store", url, "--key", private + publicEnding}, more...)...)
	}
	v.await(t, "seal on all records", func() bool {
		_, out, _ := verify()
		return strings.Contains(out, "verified: 120 records")
	})
	if age := v.metric(t, "verdict_audit_digest_age_seconds"); age < 0 || age > 600 {
		t.Errorf("the newest digest is %v s old", age)
	}
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	code, out, errs := verify("--digests", copies)
	if code != exitOK || !strings.Contains(out, ", 0 findings\n") || !strings.Contains(out, "digests are as their copies\n") {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}

	tamper(t, path, "DELETE FROM decisions WHERE id = '"+all[7].ID+"'", "UPDATE decisions SET principal_id = 'q' WHERE id = '"+all[70].ID+"'",
		"UPDATE digests SET signature = zeroblob(64) WHERE number = 1")
	code, out, errs = verify("--digests", copies)
	if code != exitFailed || strings.Count(out, "record_") != 2 {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	for _, want := range []string{
		"record_missing  " + all[7].ID + " (verdict-0, start 1, number 8)", "record_edited   " + all[70].ID, "digest_edited   digest 1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	code, out, errs = verify("--digests", copies, "--json")
	var result resultJSON
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exitFailed || result.OK || result.Found != 3 || result.Records != 118 {
		t.Errorf("%d %v\n%s%s", code, err, out, errs)
	}
}

// A day goes only with its archive, a dry run changes nothing, and a second run finds nothing to do.
func TestRetentionArchivesAndDrops(t *testing.T) {
	url, dir := pgtest.New(t), t.TempDir()
	old := aged(store.Day(time.Now()).AddDate(0, 0, -40).Add(time.Hour), time.Minute, 30)
	appendAll(t, url, append(old, aged(time.Now().Add(-time.Hour), time.Second, 5)...))
	retain := func(more ...string) string {
		t.Helper()
		code, out, errs := ran(t, append([]string{"audit", "retain", "--store", url, "--keep-days", "30"}, more...)...)
		if code != exitOK {
			t.Fatalf("%v: %d %s%s", more, code, out, errs)
		}
		return out
	}
	day := old[0].At.Format("20060102")
	if out := retain("--dry-run"); !strings.Contains(out, "decisions_"+day) || !strings.Contains(out, "would drop: 1 of 1 partitions older than 30 days") {
		t.Errorf("the plan:\n%s", out)
	}
	if n := len(records(t, url)); n != 35 {
		t.Fatalf("a dry run left %d of 35 records", n)
	}
	if code, out, errs := ran(t, "audit", "retain", "--store", url, "--keep-days", "30"); code != exitUsage || !strings.Contains(errs, "--archive, --no-archive") {
		t.Errorf("without an archive: %d %s%s", code, out, errs)
	}
	var line retained
	if err := json.Unmarshal([]byte(retain("--archive", dir, "--json")), &line); err != nil || line.Action != "dropped" || line.Archived != 30 || len(line.SHA256) != 64 {
		t.Errorf("%+v %v", line, err)
	}
	if n := len(records(t, url)); n != 5 {
		t.Errorf("%d records are left, want the 5 of today", n)
	}
	for _, ending := range []string{".jsonl.zst", ".json"} {
		if info, err := os.Stat(filepath.Join(dir, "decisions_"+day+ending)); err != nil || info.Size() == 0 {
			t.Errorf("the archive: %v", err)
		}
	}
	if out := retain("--archive", dir); !strings.Contains(out, "dropped: 0 of 0") {
		t.Errorf("again:\n%s", out)
	}
}

// The password of the database changes under a verdict that serves: no call fails, and nothing that it writes holds either.
func TestANewPasswordIsTakenUpWhileServing(t *testing.T) {
	const before, after = "canary-password-one", "canary-password-two"
	server := pgtest.Start(t)
	trusted := server.New(t)
	owner, err := pgx.Connect(t.Context(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.Background()) })
	exec := func(statement string) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE ROLE verdict_serve LOGIN PASSWORD '" + before + "'")
	exec("GRANT verdict_pdp, verdict_admin TO verdict_serve") // and nothing more: what docs/store.md gives to who serves
	var hba string
	if err := owner.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, []byte("local all verdict trust\nlocal all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec("SELECT pg_reload_conf()")
	u, err := neturl.Parse(trusted)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", "verdict_serve")
	u.RawQuery = q.Encode()
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(before)

	v := startServe(t, u.String(), "--store-password", "file://"+file, "--spool", filepath.Join(t.TempDir(), "spool"), "--log-level=debug")
	v.apply(t, example(t))
	asks, calls := v.audits(t), 0
	call := func() {
		t.Helper()
		if _, err := asks.ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{}); err != nil {
			t.Fatalf("call %d: %v", calls, err)
		}
		calls++
	}
	call()
	write(after)
	exec("ALTER ROLE verdict_serve PASSWORD '" + after + "'")
	v.await(t, "new password in use", func() bool {
		call()
		return strings.Contains(v.errs.String(), `"database password changed"`)
	})
	// Only who has the new one can still come in.
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'verdict_serve'")
	v.askOrders(t, "alice", "GET", "/orders/42")
	v.await(t, "a record over new connections", func() bool { // the pool finds dead ones one by one
		resp, err := asks.ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{Api: "orders"})
		return err == nil && len(resp.GetDecisions()) == 1
	})
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	for _, password := range []string{before, after} {
		if strings.Contains(v.errs.String()+v.out.String(), password) {
			t.Errorf("%s was printed", password)
		}
	}
}

// Of those who have a certificate of the right authority only those on the list may ask, at both doors; anybody may ask for health.
func TestOnlyListedEnforcementPointsMayAsk(t *testing.T) {
	authority := newCA(t)
	authority.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	url, _ := migrated(t)
	socket := filepath.Join(t.TempDir(), "admin.sock")
	v := startServe(t, url, "--decision-tls-cert", authority.file("server.pem"), "--decision-tls-key", authority.file("server.key"),
		"--decision-tls-client-ca", authority.file("ca.pem"), "--pep-allow", "spiffe://corp/ns/*/sa/envoy,lambda.example.com", "--admin-listen", "unix:"+socket)
	v.admin = "unix:" + socket
	if _, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		certificate x509.Certificate
		pep         string // as records name it; empty: it may not ask
	}{
		"an id that the pattern matches":   {x509.Certificate{URIs: []*neturl.URL{{Scheme: "spiffe", Host: "corp", Path: "/ns/shop/sa/envoy"}}}, "spiffe://corp/ns/shop/sa/envoy"},
		"a name on the list":               {x509.Certificate{DNSNames: []string{"lambda.example.com"}}, "lambda.example.com"},
		"an id of another service account": {x509.Certificate{URIs: []*neturl.URL{{Scheme: "spiffe", Host: "corp", Path: "/ns/shop/sa/stranger"}}}, ""},
		"an id with a segment more":        {x509.Certificate{URIs: []*neturl.URL{{Scheme: "spiffe", Host: "corp", Path: "/ns/a/b/sa/envoy"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.certificate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			conn := authority.client(t, v.decision, &tc.certificate)
			ask := ofHost("orders.example.com")
			ask.MinRevision = 1
			resp, err := verdictv1.NewDecisionServiceClient(conn).Check(t.Context(), ask)
			envoy, envoyErr := authv3.NewAuthorizationClient(conn).Check(t.Context(), atHost("orders.example.com", "/healthz"))
			v.await(t, "SERVING, which anybody may ask for", func() bool {
				health, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
				return err == nil && health.GetStatus() == healthv1.HealthCheckResponse_SERVING
			})
			if tc.pep == "" {
				for _, err := range []error{err, envoyErr} {
					if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "--pep-allow") {
						t.Errorf("want a refusal that tells what to change: %v", err)
					}
				}
				return
			}
			if err != nil || envoyErr != nil || resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || envoy.GetOkResponse() == nil {
				t.Fatalf("%v %v, %v %v", resp, err, envoy, envoyErr)
			}
			v.await(t, "record of the answer", func() bool {
				got, err := v.audits(t).GetDecision(t.Context(), &verdictv1.GetDecisionRequest{Id: resp.GetDecisionId()})
				if err == nil && got.GetDecision().GetPep() != tc.pep {
					t.Fatalf("the record names %q as the one who asked", got.GetDecision().GetPep())
				}
				return err == nil
			})
		})
	}
	if refused := v.metric(t, `verdict_pep_calls_total{outcome="not_allowed"}`); refused != 4 {
		t.Errorf("%v calls refused, want 4", refused)
	}
}

// client is a connection to target that shows a certificate of the authority.
func (c *ca) client(t *testing.T, target string, template *x509.Certificate) *grpc.ClientConn {
	t.Helper()
	c.issue(t, "client", template)
	pair, err := tls.LoadX509KeyPair(c.file("client.pem"), c.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.cert)
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12,
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
