package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/policy"
)

// Cases of tenants, by an issuer that signs for three with the same keys, of which verdict accepts two.
func TestTenantsThroughTheDoors(t *testing.T) {
	const second, stranger = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "99999999-9999-4999-8999-999999999999"
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	local, err := issuer.New(issuer.Config{BaseURL: web.URL, Tenants: []string{issuer.DevTenant, second, stranger}})
	if err != nil {
		t.Fatal(err)
	}
	handler = local.Handler()
	v := launch(t, "serve", "--store", newSQLite(t), "--authority", web.URL, "--tenant", issuer.DevTenant, "--tenant", second,
		"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--verbose-errors")
	v.issuer = web.URL
	v.await(t, "listening line", func() bool { return v.addresses() })
	made, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)})
	if err != nil {
		t.Fatal(err)
	}
	ask := get("", "orders.example.com", "/healthz")
	ask.MinRevision = made.GetRevision()
	v.check(t, ask)
	doors := v.doors(t)
	for name, tc := range map[string]struct {
		target string
		mint   []string
		want   policy.Reason
	}{
		"127 tid in upper case":                 {mint: []string{"tenant", second, "claims", `{"tid":"` + strings.ToUpper(second) + `"}`}, want: policy.TenantMismatch},
		"164 tid of another tenant than iss":    {mint: []string{"tenant", second, "claims", `{"tid":"` + issuer.DevTenant + `"}`}, want: policy.TenantMismatch},
		"167 tid that nobody configured":        {mint: []string{"tenant", stranger}, want: policy.TenantNotAllowed},
		"210 the object that grants name":       {want: policy.AllowedByGrant},
		"210 the same object of another tenant": {mint: []string{"tenant", second}, want: policy.NoGrant},
		"210 a route that asks for no grant":    {target: "/me", mint: []string{"tenant", second}, want: policy.AllowedAuthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			c := bearer(v.mint(t, append([]string{"user", "alice"}, tc.mint...)...), tc.want)
			c.target = tc.target
			show(t, doors, c)
		})
	}
	t.Run("210 two principals", func(t *testing.T) {
		for _, tenant := range []string{issuer.DevTenant, second} {
			got := v.check(t, get(v.mint(t, "user", "alice", "tenant", tenant), "orders.example.com", "/me")).GetPrincipal()
			if got.GetObjectId() != aliceID || got.GetTenantId() != tenant {
				t.Errorf("in %s: %v", tenant, got)
			}
		}
	})
}
