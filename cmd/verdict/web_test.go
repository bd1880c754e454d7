package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// get fetches a path of the HTTP listener.
func (v *verdict) get(t *testing.T, path string, headers ...string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.http+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// metric is the value of a series.
func (v *verdict) metric(t *testing.T, series string) float64 {
	t.Helper()
	_, text := v.get(t, "/metrics")
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no series %s in\n%s", series, text)
	return 0
}

func TestHealthAndMetricsOfDev(t *testing.T) {
	v := startDev(t)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if code, body := v.get(t, path); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if !strings.Contains(v.out.String(), "curl -s http://"+v.http+"/metrics") {
		t.Error("the greeting does not name the metrics")
	}
	allow, deny := `verdict_decisions_total{door="check",effect="allow",reason="ALLOWED_BY_GRANT"}`, `verdict_decisions_total{door="ext_authz",effect="deny",reason="TOKEN_MISSING"}`
	if v.metric(t, allow) != 0 || v.metric(t, deny) != 0 {
		t.Error("counted before it was decided")
	}
	for range 3 {
		if _, err := v.decisions(t).Check(t.Context(), aliceReads(t, v)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.envoyDoor(t).Check(t.Context(), envoyRequest(nil)); err != nil {
		t.Fatal(err)
	}
	v.records(t, &verdictv1.ListDecisionsRequest{}, 4)
	for series, want := range map[string]float64{
		allow: 3, deny: 1, "verdict_decision_seconds_count": 4, "verdict_policy_revision": 1, "verdict_policy_refused_revision": 0,
		"verdict_audit_lost_total": 0, `verdict_keys{tenant="11111111-1111-4111-8111-111111111111"}`: 1,
		`verdict_key_refresh_failures_total{tenant="11111111-1111-4111-8111-111111111111"}`: 0,
	} {
		if got := v.metric(t, series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	v.await(t, "written records", func() bool {
		return v.metric(t, "verdict_audit_written_total") == 4 && v.metric(t, "verdict_audit_queued") == 0
	})
	if age := v.metric(t, "verdict_policy_age_seconds"); age > 30 {
		t.Errorf("the policy is %v s old", age)
	}
	if age := v.metric(t, `verdict_keys_age_seconds{tenant="11111111-1111-4111-8111-111111111111"}`); age > 60 {
		t.Errorf("the keys are %v s old", age)
	}
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	if resp, err := http.Get("http://" + v.http + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("health is still served")
	}
}

// A server without keys lives and is not ready, and says why.
func TestNotReadySaysWhy(t *testing.T) {
	v := launch(t, "serve", "--store", newSQLite(t), "--authority", "http://127.0.0.1:1", "--tenant", "11111111-1111-4111-8111-111111111111",
		"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	v.await(t, "listening line", func() bool { return v.addresses() })
	v.await(t, "policy and revocations", func() bool {
		_, body := v.get(t, "/readyz")
		return !strings.Contains(body, "no policy") && !strings.Contains(body, "no revocations")
	})
	if code, _ := v.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	code, body := v.get(t, "/readyz", "Accept", "application/json")
	var said struct {
		Ready     bool
		Obstacles []string
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || said.Ready || len(said.Obstacles) != 1 || said.Obstacles[0] != "no signing keys of any tenant are loaded yet" {
		t.Errorf("%d %s", code, body)
	}
	v.await(t, "a failed refresh", func() bool {
		return v.metric(t, `verdict_key_refresh_failures_total{tenant="11111111-1111-4111-8111-111111111111"}`) > 0
	})
	if text := v.metric(t, `verdict_keys{tenant="11111111-1111-4111-8111-111111111111"}`); text != 0 {
		t.Errorf("%v keys", text)
	}
}

// Without an address nothing is served.
func TestHealthAndMetricsCanBeOff(t *testing.T) {
	v := startDev(t, "--http-listen=")
	if v.http != "" || strings.Contains(v.out.String(), "/metrics") {
		t.Errorf("served at %q:\n%s", v.http, v.out.String())
	}
	if resp, err := v.decisions(t).Check(t.Context(), aliceReads(t, v)); err != nil || resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Errorf("%v %v", resp, err)
	}
}

// Pieces of tokens, key ids, names and secrets, whatever is done with them, are in no log, metric, error, answer or record.
func TestSecretsAreNowhere(t *testing.T) {
	const canary = "CANARY0123456789"
	v := startDev(t, "--log-level=debug")
	ctx := t.Context()
	claims := `{"name":"` + canary + `","preferred_username":"` + canary + `@example.com","email":"` + canary + `","family_name":"` + canary + `"}`
	good := v.mint(t, "user", "alice", "claims", claims)
	parts := strings.Split(good, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	var named struct{ Kid string }
	if err := json.Unmarshal(header, &named); err != nil || named.Kid == "" {
		t.Fatalf("%s %v", header, err)
	}
	otherKid := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(header), named.Kid, canary, 1))) + "." + parts[1] + "." + parts[2]
	tokens := []string{
		good, good[:len(good)-8] + "AAAAAAAA", otherKid, canary, canary + "." + canary + "." + canary,
		v.mint(t, "user", "alice", "claims", claims, "audience", "44444444-4444-4444-8444-444444444444"),
		v.mint(t, "user", "alice", "claims", claims, "lifetime", "-1h"), good + canary,
	}
	var said []string
	for _, token := range tokens {
		resp, err := v.decisions(t).Check(ctx, &verdictv1.CheckRequest{Token: token, Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{
			Method: "GET", Host: "orders.example.com", Path: "/orders/42?code=" + canary,
			Headers: []*verdictv1.Header{{Name: "cookie", Value: []byte("session=" + canary)}, {Name: "x-api-key", Value: []byte(canary)}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetPrincipal() != nil { // people's names are for the answer to a caller who was proven, and for nothing else
			resp.Principal.DisplayName = ""
		}
		said = append(said, protojson.Format(resp))
		denied, err := v.envoyDoor(t).Check(ctx, envoyRequest(map[string]string{"authorization": "Bearer " + token, "cookie": canary}))
		if err != nil {
			t.Fatal(err)
		}
		if denied.GetDeniedResponse() != nil {
			said = append(said, protojson.Format(denied))
		}
		_, _ = v.get(t, "/"+canary, "Authorization", "Bearer "+token, "Cookie", canary)
	}
	for _, d := range v.records(t, &verdictv1.ListDecisionsRequest{PageSize: 1000}, 2*len(tokens)) {
		said = append(said, protojson.Format(d))
	}
	_, metrics := v.get(t, "/metrics")
	_, ready := v.get(t, "/readyz")
	said = append(said, metrics, ready)
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	said = append(said, v.errs.String())

	secrets := []string{canary, named.Kid, good, parts[1][:24], parts[2], parts[2][:24]}
	for _, text := range said {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in\n%s", secret, text)
			}
		}
	}
}

// With TLS files the listener speaks HTTPS, and asks for a certificate when told to.
func TestHealthAndMetricsOverTLS(t *testing.T) {
	authority := newCA(t)
	authority.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	authority.issue(t, "scraper", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	v := startServe(t, newSQLite(t), "--http-tls-cert", authority.file("server.pem"), "--http-tls-key", authority.file("server.key"),
		"--http-tls-client-ca", authority.file("ca.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	ask := func(certs ...tls.Certificate) (int, error) {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}, DisableKeepAlives: true,
		}}
		resp, err := client.Get("https://" + v.http + "/healthz")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	if _, err := ask(); err == nil {
		t.Error("answered without a client certificate")
	}
	scraper, err := tls.LoadX509KeyPair(authority.file("scraper.pem"), authority.file("scraper.key"))
	if err != nil {
		t.Fatal(err)
	}
	if code, err := ask(scraper); code != http.StatusOK || err != nil {
		t.Errorf("%d %v", code, err)
	}
}

// newSQLite is the URL of an embedded store with its schema.
func newSQLite(t *testing.T) string {
	t.Helper()
	store := "sqlite:" + filepath.Join(t.TempDir(), "verdict.db")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"migrate", "--store", store}, nil, &out, &out); code != exitOK {
		t.Fatalf("migrate: %s", out.String())
	}
	return store
}
