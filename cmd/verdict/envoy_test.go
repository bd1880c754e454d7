package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/deploy/envoy/envoytest"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// behindEnvoy is verdict dev, a real Envoy with the shipped configuration, and a backend that tells what reached it.
type behindEnvoy struct {
	*verdict
	edge string
}

func startBehindEnvoy(t *testing.T) *behindEnvoy {
	t.Helper()
	envoytest.Binary(t) // skip or fail before anything is started
	v := startDev(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"path": r.RequestURI, "headers": r.Header})
	}))
	t.Cleanup(backend.Close)
	edge := envoytest.Start(t, portOf(t, v.decision), portOf(t, strings.TrimPrefix(backend.URL, "http://")))
	return &behindEnvoy{verdict: v, edge: edge.Addr()}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// reply is what came back through Envoy.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// code is the code of a problem body.
func (r reply) code() string {
	var p struct {
		Code string `json:"code"`
	}
	if r.header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return p.Code
}

// send writes a request as it is, since clients tidy what these tests are about. Each header is a whole line.
func (b *behindEnvoy) send(t *testing.T, line string, headers ...string) reply {
	t.Helper()
	conn, err := net.DialTimeout("tcp", b.edge, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	host := "Host: orders.example.com\r\n"
	for _, h := range headers {
		if strings.HasPrefix(strings.ToLower(h), "host:") {
			host = ""
		}
	}
	request := line + " HTTP/1.1\r\n" + host + "Content-Length: 0\r\nConnection: close\r\n"
	for _, h := range headers {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, body}
}

func TestThroughEnvoy(t *testing.T) {
	b := startBehindEnvoy(t)
	alice, bob := b.mint(t, "user", "alice"), b.mint(t, "user", "bob")
	bearer := func(token string) string { return "Authorization: Bearer " + token }
	flattened := func(token string) string { // RFC 7515 JSON serialization with claims of its own beside the signed ones
		part := strings.Split(token, ".")
		return fmt.Sprintf(`{"payload":"%s","protected":"%s","signature":"%s","iss":"x","aud":"22222222-2222-4222-8222-222222222222","exp":9999999999}`, part[1], part[0], part[2])
	}
	for name, tc := range map[string]struct {
		line    string
		headers []string
		status  int
		code    string // "" when it passes or Envoy itself refuses
	}{
		"a good token":                   {"GET /orders/42", []string{bearer(alice)}, 200, ""},
		"a public route":                 {"GET /healthz", nil, 200, ""},
		"no token":                       {"GET /orders/42", nil, 401, "TOKEN_MISSING"},
		"no grant":                       {"POST /orders", []string{bearer(bob)}, 403, "NO_GRANT"},
		"a deny":                         {"DELETE /orders/42", []string{bearer(alice)}, 403, "DENIED_BY_GRANT"},
		"an expired token":               {"GET /orders/42", []string{bearer(b.mint(t, "user", "alice", "lifetime", "-10m"))}, 401, "TOKEN_EXPIRED"},
		"groups beyond the token":        {"GET /orders/42", []string{bearer(b.mint(t, "user", "alice", "overage", "hasgroups"))}, 503, "GROUPS_UNRESOLVED"},
		"an unknown host":                {"GET /orders/42", []string{bearer(alice), "Host: other.example.com"}, 403, "API_UNKNOWN"},
		"a path parameter":               {"GET /orders;v=1/42", []string{bearer(alice)}, 400, "REQUEST_MALFORMED"},
		"a double escape":                {"GET /orders/%2541", []string{bearer(alice)}, 400, "REQUEST_MALFORMED"},
		"an escaped slash":               {"GET /orders%2f42", []string{bearer(alice)}, 400, ""},
		"a forged verdict header":        {"GET /orders/42", []string{bearer(alice), "X-Verdict-Principal: user:evil"}, 400, "REQUEST_MALFORMED"},
		"a rewritten url":                {"GET /healthz", []string{"X-Original-URL: /orders/42"}, 400, "REQUEST_MALFORMED"},
		"an overriding method":           {"GET /orders/42", []string{bearer(alice), "X-HTTP-Method-Override: DELETE"}, 403, "DENIED_BY_GRANT"},
		"an underscore alias":            {"GET /healthz", []string{"X_Forwarded_User: admin"}, 400, ""},
		"013 two headers":                {"GET /orders/42", []string{bearer(alice), bearer("x")}, 400, "HEADER_AMBIGUOUS"},
		"013 two headers, other way":     {"GET /orders/42", []string{bearer("x"), bearer(alice)}, 400, "HEADER_AMBIGUOUS"},
		"013 a list in one header":       {"GET /orders/42", []string{bearer(alice) + ", Bearer x"}, 400, "HEADER_AMBIGUOUS"},
		"013 another scheme first":       {"GET /orders/42", []string{"Authorization: Basic x, Bearer " + alice}, 400, "HEADER_AMBIGUOUS"},
		"017 a token in the query too":   {"GET /orders/42?access_token=" + alice, []string{bearer(alice)}, 400, "HEADER_AMBIGUOUS"},
		"018 a token in the query alone": {"GET /orders/42?access_token=" + alice, nil, 401, "TOKEN_MISSING"},
		"035 a flattened JWS":            {"GET /orders/42", []string{bearer(strings.ReplaceAll(flattened(alice), ",", " "))}, 401, "TOKEN_MALFORMED"},
		"036 a general JWS":              {"GET /orders/42", []string{bearer(`{"signatures":[{}]}`)}, 401, "TOKEN_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.send(t, tc.line, tc.headers...)
			if r.status != tc.status || r.code() != tc.code {
				t.Fatalf("%d %s, want %d %s: %s", r.status, r.code(), tc.status, tc.code, r.body)
			}
			if tc.code != "" && (r.header.Get("X-Verdict-Decision-Id") == "" || r.header.Get("Cache-Control") != "no-store") {
				t.Errorf("headers %v", r.header)
			}
			if (tc.status == 401) != (r.header.Get("Www-Authenticate") != "") && tc.code != "HEADER_AMBIGUOUS" {
				t.Errorf("challenge %q", r.header.Get("Www-Authenticate"))
			}
		})
	}
}

func TestWhatReachesTheBackend(t *testing.T) {
	b := startBehindEnvoy(t)
	r := b.send(t, "GET /orders/42?q=1", "Authorization: Bearer "+b.mint(t, "user", "alice"))
	var got struct {
		Path    string
		Headers http.Header
	}
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	id := r.header.Get("X-Verdict-Decision-Id")
	for name, want := range map[string]string{
		"X-Verdict-Principal":   "user:11111111-1111-4111-8111-111111111111/bbbbbbbb-0001-4000-8000-000000000001",
		"X-Verdict-Actor":       "33333333-3333-4333-8333-333333333333",
		"X-Verdict-Revision":    "1",
		"X-Verdict-Decision-Id": id,
	} {
		if v := got.Headers.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s: %v, want %s", name, v, want)
		}
	}
	if got.Path != "/orders/42?q=1" || id == "" {
		t.Errorf("path %s, decision %q", got.Path, id)
	}
	record := b.records(t, &verdictv1.ListDecisionsRequest{}, 1)[0]
	if record.GetId() != id || record.GetDoor() != "ext_authz" || record.GetMethod() != "GET" || record.GetRoute() != "read" {
		t.Errorf("record %v", record)
	}
}

func TestEnvoyWithoutVerdictAnswers503(t *testing.T) {
	b := startBehindEnvoy(t)
	if code := b.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	if r := b.send(t, "GET /healthz"); r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
}
