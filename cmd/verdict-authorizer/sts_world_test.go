package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const (
	functionRole = "arn:aws:iam::" + accountID + ":role/orders-authorizer"
	audience     = "https://verdict.example.com"
)

// awsAccount is an account of AWS: the STS that signs for the role of whoever asks, and the issuer that publishes its keys.
type awsAccount struct {
	sts, issuer *httptest.Server
	key         *rsa.PrivateKey
	role        atomic.Value // string; "": STS refuses
	signed      atomic.Int64
}

func newAccount(t *testing.T) *awsAccount {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &awsAccount{key: key}
	a.role.Store(functionRole)
	b64 := base64.RawURLEncoding.EncodeToString
	a.issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{
			{"kty": "RSA", "kid": "k", "alg": "RS256", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())},
		}})
	}))
	t.Cleanup(a.issuer.Close)
	a.sts = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		role, _ := a.role.Load().(string)
		if role == "" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDFUNCTION/") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>`))
			return
		}
		token, expiry := a.token(t, role, r.PostFormValue("Audience.member.1"))
		a.signed.Add(1)
		_, _ = fmt.Fprintf(w, `<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration>
</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`, token, expiry.UTC().Format(time.RFC3339))
	}))
	t.Cleanup(a.sts.Close)
	return a
}

func (a *awsAccount) token(t *testing.T, role, audience string) (token string, expiry time.Time) {
	now := time.Now()
	expiry = now.Add(5 * time.Minute)
	claims, err := json.Marshal(map[string]any{"iss": a.issuer.URL, "aud": audience, "sub": role, "iat": now.Unix(), "exp": expiry.Unix()})
	if err != nil {
		t.Error(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Error(err)
	}
	return input + "." + b64(signature), expiry
}

// certificate writes a certificate for loopback that signs itself, and its key.
func certificate(t *testing.T) (cert, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "verdict"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, private = filepath.Join(dir, "verdict.pem"), filepath.Join(dir, "verdict.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, private: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, private
}

// guardedVerdict is a verdict in this process, with TLS, that only the role of the function may ask.
type guardedVerdict struct {
	target, caFile string
	policies       verdictv1.PolicyServiceClient
	audits         verdictv1.AuditServiceClient
	system         verdictv1.SystemServiceClient
	users          *issuer.Issuer
	log            *syncBuffer
}

// startGuarded runs the server as `verdict serve --pep-sts-…` does, but for one thing: keys of enforcement points are fetched
// from loopback, which serve refuses.
func startGuarded(t *testing.T, account *awsAccount) *guardedVerdict {
	t.Helper()
	v := &guardedVerdict{log: &syncBuffer{}}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { v.users.Handler().ServeHTTP(w, r) }))
	base := "http://" + web.Listener.Addr().String()
	var err error
	if v.users, err = issuer.New(issuer.Config{BaseURL: base}); err != nil {
		t.Fatal(err)
	}
	web.Start()
	t.Cleanup(web.Close)
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	v.caFile = cert
	srv, err := server.New(t.Context(), st, server.Options{
		Decision: server.Listen{Address: "127.0.0.1:0", CertFile: cert, KeyFile: key}, Admin: server.Listen{Address: "127.0.0.1:0"},
		Entra: entra.Config{Providers: []entra.Provider{{Kind: entra.Entra, Authority: base, Tenants: []string{issuer.DevTenant}, AllowLoopbackHTTP: true}}},
		PEP: pep.Config{
			STS:       pep.STS{Issuers: []string{account.issuer.URL}, Audience: audience, Roles: []string{functionRole}},
			Transport: account.issuer.Client().Transport,
		},
		Log: slog.New(slog.NewJSONHandler(v.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		if err := srv.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		st.Close()
	})
	v.target = srv.DecisionAddr().String()
	admin := dialled(t, srv.AdminAddr().String(), insecure.NewCredentials())
	v.policies, v.audits, v.system = verdictv1.NewPolicyServiceClient(admin), verdictv1.NewAuditServiceClient(admin), verdictv1.NewSystemServiceClient(admin)
	secure, err := credentials.NewClientTLSFromFile(cert, "")
	if err != nil {
		t.Fatal(err)
	}
	v.addOrders(t)
	health := healthv1.NewHealthClient(dialled(t, v.target, secure))
	eventually(t, "verdict serves", func() bool {
		resp, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
	return v
}

func dialled(t *testing.T, target string, secure credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(secure), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// addOrders makes a policy in which alice may read orders.
func (v *guardedVerdict) addOrders(t *testing.T) {
	t.Helper()
	applied, err := v.policies.ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: &verdictv1.Policy{
		Apis: []*verdictv1.Api{{
			Id: "orders", Audiences: []string{issuer.DevAudience}, Permissions: []*verdictv1.Permission{{Name: "orders.read"}},
			Scopes: []*verdictv1.ScopeRule{{Scope: issuer.DevScope, Permissions: []string{"orders.*"}}},
		}},
		Routes: []*verdictv1.Route{{
			Api: "orders", Id: "read", Methods: []string{"GET"}, Template: "/orders/{id}",
			Requirement: &verdictv1.Route_AllOf{AllOf: &verdictv1.PermissionList{Permissions: []string{"orders.read"}}},
		}},
		Grants: []*verdictv1.Grant{{
			Id: "alice-reads", Api: "orders", Subject: "user:" + issuer.DevTenant + "/" + issuer.AliceID, Permissions: []string{"orders.read"},
			Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy is in use", func() bool {
		state, err := v.system.Status(t.Context(), &verdictv1.StatusRequest{})
		return err == nil && state.GetRevision() >= applied.GetRevision()
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(realPatience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in %s it did not come that %s", realPatience, what)
		}
	}
}

// records are all of verdict's, once there are n.
func (v *guardedVerdict) records(t *testing.T, n int) []*verdictv1.DecisionRecord {
	t.Helper()
	var found []*verdictv1.DecisionRecord
	eventually(t, fmt.Sprintf("there are %d records", n), func() bool {
		resp, err := v.audits.ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{PageSize: 100})
		if err != nil {
			t.Fatal(err)
		}
		found = resp.GetDecisions()
		return len(found) >= n
	})
	return found
}
