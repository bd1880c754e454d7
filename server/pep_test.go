package server

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const pepRole = "arn:aws:iam::123456789012:role/orders-authorizer"

// account is an account of AWS, as far as its issuer and tokens go.
type account struct {
	*httptest.Server
	key *rsa.PrivateKey
}

func newSTS(t *testing.T) *account {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	s := &account{key: key}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"keys": []map[string]string{
			{"kty": "RSA", "kid": "k", "alg": "RS256", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())},
		}})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *account) token(t *testing.T, role string) string {
	t.Helper()
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": s.URL, "aud": "verdict", "sub": role, "iat": now, "exp": now + 300})
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// logLines is a log that tests read while it is written.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOnlyKnownEnforcementPointsAskAndRecordsNameThem(t *testing.T) {
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(web.Close)
	users, err := issuer.New(issuer.Config{BaseURL: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	handler = users.Handler()
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	account, logs := newSTS(t), &logLines{}
	srv, err := New(t.Context(), st, Options{
		Decision: Listen{Address: "127.0.0.1:0"}, Admin: Listen{Address: "127.0.0.1:0"}, DecisionTTL: time.Minute,
		Entra: entra.Config{Providers: []entra.Provider{{Kind: entra.Entra, Authority: web.URL, Tenants: []string{issuer.DevTenant}, AllowLoopbackHTTP: true}}},
		PEP:   pep.Config{STS: pep.STS{Issuers: []string{account.URL}, Audience: "verdict", Roles: []string{pepRole}}, Transport: account.Client().Transport},
		Log:   slog.New(slog.NewJSONHandler(logs, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := t.Context(), make(chan struct{})
	go func() {
		defer close(stop)
		if err := srv.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	t.Cleanup(func() { <-stop; st.Close() })
	dial := func(addr string) *grpc.ClientConn {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	admin, decisions := dial(srv.AdminAddr().String()), dial(srv.DecisionAddr().String())
	applied, err := verdictv1.NewPolicyServiceClient(admin).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: &verdictv1.Policy{
		Apis: []*verdictv1.Api{{
			Id: "orders", Audiences: []string{issuer.DevAudience}, Hosts: []string{"orders.example.com"}, Permissions: []*verdictv1.Permission{{Name: "orders.read"}},
			Scopes: []*verdictv1.ScopeRule{{Scope: issuer.DevScope, Permissions: []string{"orders.*"}}},
		}},
		Routes: []*verdictv1.Route{
			{Api: "orders", Id: "read", Methods: []string{"GET"}, Template: "/orders/{id}", Requirement: &verdictv1.Route_AllOf{AllOf: &verdictv1.PermissionList{Permissions: []string{"orders.read"}}}},
			{Api: "orders", Id: "health", Methods: []string{"GET"}, Template: "/healthz", Requirement: &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	as := func(role string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+account.token(t, role))
	}
	user, err := users.Mint(issuer.Request{Persona: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	question := &verdictv1.CheckRequest{
		Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: "orders.example.com", Path: "/orders/1"}},
		Token:    user, MinRevision: applied.GetRevision(), IncludePermittedRoutes: true,
	}
	for name, tc := range map[string]struct {
		ctx  context.Context
		want codes.Code
	}{"nobody": {t.Context(), codes.Unauthenticated}, "a stranger": {as(pepRole + "-2"), codes.PermissionDenied}} {
		if _, err := verdictv1.NewDecisionServiceClient(decisions).Check(tc.ctx, question); status.Code(err) != tc.want {
			t.Errorf("%s asks Check: %v", name, err)
		}
		if _, err := authv3.NewAuthorizationClient(decisions).Check(tc.ctx, &authv3.CheckRequest{}); status.Code(err) != tc.want {
			t.Errorf("%s asks as a proxy does: %v", name, err)
		}
		if _, err := healthv1.NewHealthClient(decisions).Check(tc.ctx, &healthv1.HealthCheckRequest{}); err != nil {
			t.Errorf("%s asks for health: %v", name, err)
		}
	}
	resp, err := verdictv1.NewDecisionServiceClient(decisions).Check(as(pepRole), question)
	if err != nil {
		t.Fatal(err)
	}
	list := resp.GetPermittedRoutes()
	if len(list.GetPermitted()) != 1 || list.GetPermitted()[0].GetId() != "health" || len(list.GetRefused()) != 1 || list.GetRefused()[0].GetId() != "read" ||
		list.GetTtl().AsDuration() != time.Minute {
		t.Errorf("permitted routes %v", list)
	}
	end := time.Now().Add(20 * time.Second)
	for {
		records, err := verdictv1.NewAuditServiceClient(admin).ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if all := records.GetDecisions(); len(all) > 0 {
			if len(all) != 1 || all[0].GetPep() != pepRole || all[0].GetId() != resp.GetDecisionId() {
				t.Errorf("records %v", all)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("no record")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if text := logs.String(); !strings.Contains(text, `"pep":"`+pepRole+`-2"`) || !strings.Contains(text, "--pep-sts-role") || strings.Contains(text, "eyJ") {
		t.Errorf("the log is\n%s", text)
	}
}
