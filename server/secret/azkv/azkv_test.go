package azkv_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/secret/azkv"
)

const (
	tenant   = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	password = "hunter2"
	version  = "0123456789abcdef0123456789abcdef"
	token    = "a-token-for-the-vault"
)

// azure is a server that speaks as Key Vault does, and as Entra where a token is asked for.
type azure struct {
	client *http.Client // reaches it under whatever name

	mu       sync.Mutex
	secrets  map[string]string // by path
	resource string            // that the challenge names
	status   int               // of every answer to an authorized question; 0: as it should be
	refuse   bool              // no tokens
	seen     []string          // host, path and whether a token came
}

func newAzure(t *testing.T) *azure {
	t.Helper()
	a := &azure{
		secrets:  map[string]string{"/secrets/db-password/": password, "/secrets/db-password/" + version: "hunter1"},
		resource: "https://vault.azure.net",
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"*.vault.azure.net", "*.vault.usgovcloudapi.net", "login.test"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(a)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	a.client = &http.Client{Transport: transport}
	return a
}

// set changes the server.
func (a *azure) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *azure) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	problem := func(status int, code string) {
		answer(status, map[string]any{"error": map[string]string{"code": code, "message": "the secret is hunter2"}})
	}
	if r.Host == "login.test" {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token"): // discovery of the endpoints
			base := "https://login.test/" + tenant
			answer(http.StatusOK, map[string]string{
				"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
			})
		case a.refuse:
			answer(http.StatusUnauthorized, map[string]string{
				"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret hunter2 provided.",
			})
		default:
			answer(http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": token})
		}
		return
	}
	authorized := r.Header.Get("Authorization") == "Bearer "+token
	a.seen = append(a.seen, fmt.Sprintf("%s%s %v", r.Host, r.URL.Path, authorized))
	switch {
	case !authorized:
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.test/`+tenant+`", resource="`+a.resource+`"`)
		problem(http.StatusUnauthorized, "Unauthorized")
	case a.status != 0:
		problem(a.status, map[int]string{403: "Forbidden", 429: "Throttled", 503: "ServiceUnavailable"}[a.status])
	case a.secrets[r.URL.Path] == "":
		problem(http.StatusNotFound, "SecretNotFound")
	default:
		id := "https://" + r.Host + r.URL.Path
		if strings.HasSuffix(id, "/") {
			id += strings.Repeat("f", 32)
		}
		answer(http.StatusOK, map[string]any{
			"value": a.secrets[r.URL.Path], "id": id, "attributes": map[string]any{"enabled": true, "created": 1700000000, "updated": 1700000000},
		})
	}
}

// anyone is a credential that gives the token, and remembers for what.
type anyone struct {
	mu    sync.Mutex
	asked []policy.TokenRequestOptions
}

func (c *anyone) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, o)
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func newFetcher(t *testing.T, cfg azkv.Config) *azkv.Fetcher {
	t.Helper()
	f, err := azkv.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parse(t *testing.T, text string) secret.Ref {
	t.Helper()
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestASecretIsReadAfterTheChallenge(t *testing.T) {
	a, credential := newAzure(t), &anyone{}
	f := newFetcher(t, azkv.Config{Credential: credential, Client: a.client})
	got, err := f.Fetch(t.Context(), parse(t, "azkv://my-vault/db-password"))
	if err != nil || got.Value.Reveal() != password || got.Version != strings.Repeat("f", 32) || got.Since.Unix() != 1700000000 {
		t.Fatalf("%q %+v, %v", got.Value.Reveal(), got, err)
	}
	got, err = f.Fetch(t.Context(), parse(t, "azkv://my-vault/db-password/"+version))
	if err != nil || got.Value.Reveal() != "hunter1" || got.Version != version {
		t.Fatalf("%q %+v, %v", got.Value.Reveal(), got, err)
	}
	want := []string{ // one challenge for the vault
		"my-vault.vault.azure.net/secrets/db-password/ false", "my-vault.vault.azure.net/secrets/db-password/ true",
		"my-vault.vault.azure.net/secrets/db-password/" + version + " true",
	}
	if seen := a.requests(); !slices.Equal(seen, want) {
		t.Errorf("requests %q, want %q", seen, want)
	}
	for _, o := range credential.asked {
		if o.TenantID != tenant || !slices.Equal(o.Scopes, []string{"https://vault.azure.net/.default"}) {
			t.Errorf("token for %+v", o)
		}
	}
}

func TestAChallengeForAnotherServiceGetsNoToken(t *testing.T) {
	a, credential := newAzure(t), &anyone{}
	a.set(func() { a.resource = "https://graph.microsoft.com" })
	f := newFetcher(t, azkv.Config{Credential: credential, Client: a.client})
	if _, err := f.Fetch(t.Context(), parse(t, "azkv://my-vault/db-password")); err == nil || len(credential.asked) > 0 {
		t.Errorf("%v; tokens for %+v", err, credential.asked)
	}
}

func TestACloudHasItsOwnVaults(t *testing.T) {
	a := newAzure(t)
	a.set(func() { a.resource = "https://vault.usgovcloudapi.net" })
	f := newFetcher(t, azkv.Config{Credential: &anyone{}, Client: a.client, Cloud: "usgov"})
	if _, err := f.Fetch(t.Context(), parse(t, "azkv://my-vault/db-password")); err != nil {
		t.Fatal(err)
	}
	if seen := a.requests(); !strings.HasPrefix(seen[0], "my-vault.vault.usgovcloudapi.net/") {
		t.Errorf("requests %q", seen)
	}
	if _, err := azkv.New(azkv.Config{Cloud: "mars"}); err == nil || !strings.Contains(err.Error(), "global, usgov and china") {
		t.Errorf("error %v", err)
	}
}

func TestErrorsNameTheSecretAndTheCodeAndNothingElse(t *testing.T) {
	for name, tc := range map[string]struct {
		ref    string
		status int
		want   string
	}{
		"there is none":    {ref: "azkv://my-vault/other", want: "azkv://my-vault/other: Key Vault says SecretNotFound, status 404"},
		"it is forbidden":  {ref: "azkv://my-vault/db-password", status: 403, want: "azkv://my-vault/db-password: Key Vault says Forbidden, status 403"},
		"it is throttled":  {ref: "azkv://my-vault/db-password", status: 429, want: "azkv://my-vault/db-password: Key Vault does not answer, or there is no token: context deadline exceeded"},
		"it does not work": {ref: "azkv://my-vault/db-password", status: 503, want: "azkv://my-vault/db-password: Key Vault does not answer, or there is no token: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAzure(t)
			a.set(func() { a.status = tc.status })
			f := newFetcher(t, azkv.Config{Credential: &anyone{}, Client: a.client})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // the library tries such again
			defer cancel()
			_, err := f.Fetch(ctx, parse(t, tc.ref))
			if err == nil || err.Error() != tc.want {
				t.Errorf("error\n%v\nwant\n%s", err, tc.want)
			}
		})
	}
}

func TestAzuresOwnCredential(t *testing.T) {
	a := newAzure(t)
	credential, err := azidentity.NewClientSecretCredential(tenant, "8f1d2c3b-0000-4000-8000-000000000001", password, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: "https://login.test/"}, Transport: a.client,
		},
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ref := parse(t, "azkv://my-vault/db-password")
	a.set(func() { a.refuse = true })
	_, err = newFetcher(t, azkv.Config{Credential: credential, Client: a.client}).Fetch(t.Context(), ref)
	if err == nil || err.Error() != "azkv://my-vault/db-password: Entra gives no token: AADSTS7000215, status 401" {
		t.Errorf("refused: %v", err)
	}
	a.set(func() { a.refuse = false })
	got, err := newFetcher(t, azkv.Config{Credential: credential, Client: a.client}).Fetch(t.Context(), ref)
	if err != nil || got.Value.Reveal() != password {
		t.Errorf("%q, %v", got.Value.Reveal(), err)
	}
}

func TestASourceFollowsAVaultAndKeepsTheLastGoodValue(t *testing.T) {
	a := newAzure(t)
	f := newFetcher(t, azkv.Config{Credential: &anyone{}, Client: a.client})
	s, err := secret.NewSource(parse(t, "azkv://my-vault/db-password"), secret.Fetchers{secret.AzureKeyVault: f},
		slog.New(slog.DiscardHandler), secret.Config{Timeout: 300 * time.Millisecond, Pause: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	wants := func(want string) {
		t.Helper()
		if got, err := s.Get(t.Context()); err != nil || got.Reveal() != want {
			t.Fatalf("%q, %v; want %q", got.Reveal(), err, want)
		}
	}
	wants(password)
	a.set(func() { a.status = 503 })
	if err := s.Refresh(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("away: %v", err)
	}
	wants(password)
	a.set(func() { a.status = 0; a.secrets["/secrets/db-password/"] = "hunter3" })
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants("hunter3")
	if previous, ok := s.Previous(t.Context()); !ok || previous.Reveal() != password {
		t.Errorf("previous %q, %v", previous.Reveal(), ok)
	}
}
