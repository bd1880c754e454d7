package azure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory/graph"
)

const (
	tenantA = "aaaaaaaa-0000-0000-0000-000000000001"
	tenantB = "bbbbbbbb-0000-0000-0000-000000000002"
	client  = "cccccccc-0000-0000-0000-000000000003"
	canary  = "canary-secret-1"
)

// authority is an Entra that gives tokens to who knows the secret or signs an assertion.
type authority struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	asked  []string // tenant, scope and what was proven with
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{secret: canary}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	w.Header().Set("Content-Type", "application/json")
	if rest == "v2.0/.well-known/openid-configuration" {
		fmt.Fprintf(w, `{"issuer":"%[1]s/%[2]s/v2.0","authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token"}`, a.URL, tenant)
		return
	}
	if err := r.ParseForm(); err != nil || rest != "oauth2/v2.0/token" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	proof := r.Form.Get("client_secret")
	if proof == "" && r.Form.Get("client_assertion") != "" {
		proof = "assertion"
	}
	a.asked = append(a.asked, tenant+" "+r.Form.Get("scope")+" "+proof)
	if proof != a.secret && proof != "assertion" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret %s"}`, proof)
		return
	}
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"token of %s"}`, tenant)
}

func (a *authority) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.asked...)
}

// use completes cfg to ask a.
func (a *authority) use(cfg Config) Config {
	cfg.TenantID, cfg.ClientID, cfg.Authority, cfg.Client = tenantA, client, a.URL, a.Client()
	return cfg
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// certificate is a certificate with its key, PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "verdict"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func token(t *testing.T, c *Credential, tenant string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := c.Token(ctx, tenant)
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("a secret shows: %v", err)
	}
	return string(got), err
}

func TestTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg   func(t *testing.T) Config
		scope string
		proof string
	}{
		"by a secret": {
			cfg:   func(t *testing.T) Config { return Config{Kind: Secret, SecretFile: file(t, canary+"\n")} },
			scope: "https://graph.microsoft.com/.default", proof: canary,
		},
		"by a stored secret": {
			cfg:   func(*testing.T) Config { return Config{Kind: Secret, Stored: stored(canary)} },
			scope: "https://graph.microsoft.com/.default", proof: canary,
		},
		"by a stored certificate": {
			cfg:   func(t *testing.T) Config { return Config{Kind: Certificate, Stored: stored(certificate(t))} },
			scope: "https://graph.microsoft.com/.default", proof: "assertion",
		},
		"by a secret, for another cloud": {
			cfg:   func(t *testing.T) Config { return Config{Kind: Secret, Cloud: "usgov", SecretFile: file(t, canary)} },
			scope: "https://graph.microsoft.us/.default", proof: canary,
		},
		"by a certificate": {
			cfg:   func(t *testing.T) Config { return Config{Kind: Certificate, CertificateFile: file(t, certificate(t))} },
			scope: "https://graph.microsoft.com/.default", proof: "assertion",
		},
		"by a workload identity": {
			cfg: func(t *testing.T) Config {
				return Config{Kind: WorkloadIdentity, TokenFile: file(t, "service account token")}
			},
			scope: "https://graph.microsoft.com/.default", proof: "assertion",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			cfg := a.use(tc.cfg(t))
			cfg.AlsoTenants = []string{tenantB}
			c, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, tenant := range []string{tenantA, tenantB, tenantA} {
				if got, err := token(t, c, tenant); got != "token of "+tenant || err != nil {
					t.Errorf("%s, %v", got, err)
				}
			}
			if _, err := token(t, c, client); err == nil {
				t.Error("a tenant that is not configured has a token")
			}
			asked := a.requests()
			if len(asked) != 2 {
				t.Fatalf("asked %d times: tokens are not kept: %q", len(asked), asked)
			}
			if !strings.HasPrefix(asked[0], tenantA+" "+tc.scope) || !strings.HasSuffix(asked[0], " "+tc.proof) {
				t.Errorf("asked %q", asked[0])
			}
		})
	}
}

// stored is a secret that is kept elsewhere.
func stored(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

func TestAStoredSecretIsFollowed(t *testing.T) {
	a := newAuthority(t)
	var now atomic.Pointer[string]
	put := func(text string) { now.Store(&text) }
	put("canary-wrong")
	c, err := New(a.use(Config{Kind: Secret, Stored: func(context.Context) ([]byte, error) { return []byte(*now.Load()), nil }}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token(t, c, tenantA); err == nil {
		t.Error("the wrong one is taken")
	}
	put(canary)
	if got, err := token(t, c, tenantA); err != nil || got != "token of "+tenantA {
		t.Errorf("with the new secret: %s, %v", got, err)
	}
	broken := errors.New("the vault is away")
	_, err = New(a.use(Config{Kind: Secret, Stored: func(context.Context) ([]byte, error) { return nil, broken }}))
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestASecretThatIsRefusedIsNotTriedAgainUntilItChanges(t *testing.T) {
	a := newAuthority(t)
	name := file(t, "canary-wrong")
	now := time.Now()
	cfg := a.use(Config{Kind: Secret, SecretFile: name})
	cfg.Now = func() time.Time { return now }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := token(t, c, tenantA); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
			t.Errorf("%v", err)
		}
	}
	if n := len(a.requests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	now = now.Add(pause)
	if _, err := token(t, c, tenantA); err == nil || len(a.requests()) != 2 {
		t.Errorf("after the pause: %v, asked %d times", err, len(a.requests()))
	}
	if err := os.WriteFile(name, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := token(t, c, tenantA); err != nil || got != "token of "+tenantA {
		t.Errorf("with the new secret: %s, %v", got, err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Kind: Secret, TenantID: tenantA, ClientID: client, SecretFile: file(t, canary)}
	if _, err := New(good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyOnly := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	for name, tc := range map[string]struct {
		spoil func(*Config)
		want  string
	}{
		"no kind":                          {func(c *Config) { c.Kind = "" }, "unknown kind"},
		"an unknown cloud":                 {func(c *Config) { c.Cloud = "mars" }, "unknown cloud"},
		"a tenant by name":                 {func(c *Config) { c.TenantID = "contoso.com" }, "not a GUID"},
		"every tenant":                     {func(c *Config) { c.AlsoTenants = []string{"*"} }, "not a GUID"},
		"no client":                        {func(c *Config) { c.ClientID = "" }, "needs a client id"},
		"no secret file":                   {func(c *Config) { c.SecretFile = "" }, "needs a secret file"},
		"a file and a stored secret":       {func(c *Config) { c.Stored = stored(canary) }, "give one of them"},
		"a stored secret of a workload":    {func(c *Config) { c.Kind, c.SecretFile, c.Stored = WorkloadIdentity, "", stored(canary) }, "not for a workload-identity"},
		"a secret file that is not there":  {func(c *Config) { c.SecretFile = "missing" }, "missing"},
		"an empty secret file":             {func(c *Config) { c.SecretFile = file(t, "\n") }, "empty"},
		"a certificate for a secret":       {func(c *Config) { c.CertificateFile = keyOnly }, "not for a secret"},
		"a certificate that is none":       {func(c *Config) { c.Kind, c.SecretFile, c.CertificateFile = Certificate, "", keyOnly }, "no certificate"},
		"a managed identity for more":      {func(c *Config) { c.Kind, c.SecretFile, c.AlsoTenants = ManagedIdentity, "", []string{tenantB} }, "one tenant"},
		"a managed identity with a secret": {func(c *Config) { c.Kind = ManagedIdentity }, "not for a managed-identity"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tc.spoil(&c)
			if _, err := New(c); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
}

var _ graph.TokenSource = (*Credential)(nil)
