package pdp_test

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// canary stands in every place of a request and of a token that no record may tell of.
const canary = "CANARY0123456789"

// personal are claims about a person, and one that nobody knows.
func personal(more map[string]any) map[string]any {
	claims := map[string]any{
		"name": canary, "preferred_username": canary + "@example.com", "upn": canary + "@example.com", "email": canary + "@example.com",
		"unique_name": canary, "given_name": canary, "family_name": canary, "ipaddr": canary, "sub_jwk": canary, "x": canary,
	}
	for name, value := range more {
		claims[name] = value
	}
	return claims
}

// strangers is a real verifier of the tokens of a local issuer.
func strangers(t *testing.T) (*issuer.Issuer, *entra.Verifier) {
	t.Helper()
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	local, err := issuer.New(issuer.Config{BaseURL: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	handler = local.Handler()
	v, err := entra.NewVerifier(entra.Config{Providers: []entra.Provider{
		{Kind: entra.Entra, Authority: web.URL, Tenants: []string{issuer.DevTenant}, AllowLoopbackHTTP: true},
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return local, v
}

func TestNoSecretReachesARecord(t *testing.T) {
	local, v := strangers(t)
	mint := func(r issuer.Request) string {
		t.Helper()
		r.Persona, r.Claims = "alice", personal(r.Claims)
		token, err := local.Mint(r)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	f := memberFacts()
	f.APIs[0].Audiences = []string{issuer.DevAudience}
	f.APIs[0].Scopes[0].Scope = issuer.DevScope
	fine := mint(issuer.Request{})
	other := fine[:len(fine)-20-len(canary)] + canary + fine[len(fine)-20:]
	// to asks with a token as Envoy does, everything that belongs to nobody else beside it.
	to := func(line, token string, headers ...string) *pdp.Question {
		return ask(line, append(headers, "authorization: Bearer "+token, "cookie: session="+canary, "x-api-key: "+canary, "referer: https://"+canary+"/")...)
	}
	query := "?code=" + canary + "&state=" + canary
	for name, tc := range map[string]struct {
		ask  *pdp.Question
		list bool
		want policy.Reason
	}{
		"an allow":                                 {ask: to("GET /orders/1"+query, fine), want: policy.AllowedByGrant},
		"a public route":                           {ask: to("GET /healthz"+query, fine), want: policy.AllowedPublic},
		"a deny by a grant":                        {ask: to("DELETE /orders/1"+query, fine), want: policy.DeniedByGrant},
		"no route":                                 {ask: to("GET /nowhere"+query, fine), want: policy.RouteUnknown},
		"a session in the path":                    {ask: to("GET /nowhere;jsessionid="+canary+query, fine), want: policy.RequestMalformed},
		"a malformed path":                         {ask: to("GET //orders/1"+query, fine), want: policy.RequestMalformed},
		"a path with bytes that are not printed":   {ask: to("GET /orders/\x01\xff"+query, fine), want: policy.RequestMalformed},
		"a target with a password":                 {ask: to("GET http://alice:"+canary+"@orders.example.com/x"+query, fine), want: policy.RequestMalformed},
		"two credentials":                          {ask: to("GET /orders/1"+query, fine, "authorization: Bearer "+canary), want: policy.HeaderAmbiguous},
		"a token in the query beside another":      {ask: to("GET /orders/1?access_token="+fine, fine), want: policy.HeaderAmbiguous},
		"a token in the query alone":               {ask: ask("GET /orders/1?access_token=" + fine), want: policy.TokenMissing},
		"a token that is none":                     {ask: to("GET /orders/1"+query, canary), want: policy.TokenMalformed},
		"a password":                               {ask: ask("GET /orders/1", "authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("alice:"+canary))), want: policy.SchemeUnsupported},
		"a signature of another":                   {ask: to("GET /orders/1"+query, other), want: policy.SignatureInvalid},
		"a token that expired":                     {ask: to("GET /orders/1"+query, mint(issuer.Request{Lifetime: -time.Hour})), want: policy.TokenExpired},
		"a token for another":                      {ask: to("GET /orders/1"+query, mint(issuer.Request{Claims: map[string]any{"aud": canary}})), want: policy.AudienceMismatch},
		"a token of a stranger":                    {ask: to("GET /orders/1"+query, mint(issuer.Request{Claims: map[string]any{"iss": "https://" + canary + "/"}})), want: policy.IssuerUntrusted},
		"a token whose groups are elsewhere":       {ask: to("GET /orders/1"+query, mint(issuer.Request{Overage: issuer.OverageClaimNames})), want: policy.GroupsUnresolved},
		"a permission question":                    {ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: fine}, want: policy.AllowedByGrant},
		"a permission question without a token":    {ask: &pdp.Question{API: "orders", Permission: "orders.read"}, want: policy.TokenMissing},
		"a permission question with a bad token":   {ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: other}, want: policy.SignatureInvalid},
		"a list of permissions":                    {ask: &pdp.Question{API: "orders", Token: fine}, list: true, want: policy.AllowedAuthenticated},
		"a list of permissions with a bad token":   {ask: &pdp.Question{API: "orders", Token: other}, list: true, want: policy.SignatureInvalid},
		"a question that also asks for all routes": {ask: with(to("GET /orders/1"+query, fine), func(q *pdp.Question) { q.Permitted = true }), want: policy.AllowedByGrant},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			p, err := pdp.New(&source{snap: compileFacts(t, f)}, v, &revocations{}, r, slog.New(slog.DiscardHandler), pdp.Config{})
			if err != nil {
				t.Fatal(err)
			}
			var a pdp.Answer
			if tc.list {
				_, _, a = p.Permissions(t.Context(), tc.ask)
			} else {
				a = p.Decide(t.Context(), tc.ask)
			}
			if a.Reason != tc.want || len(r.kept) != 1 {
				t.Fatalf("%s (%s), want %s; %d records", a.Reason, a.Detail, tc.want, len(r.kept))
			}
			tellsNone(t, r.kept[0], append(pieces(fine), canary, "Alice", base64.StdEncoding.EncodeToString([]byte("alice:"))))
		})
	}
}

// pieces are parts of a token that tell it.
func pieces(token string) []string {
	payload := strings.Split(token, ".")[1]
	return []string{payload[:24], payload[len(payload)-24:], token[len(token)-40 : len(token)-16]}
}

// tellsNone goes through every text of a record.
func tellsNone(t *testing.T, d store.Decision, secrets []string) {
	t.Helper()
	texts := 0
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		switch v.Kind() { //nolint:exhaustive // nothing else holds text
		case reflect.String:
			texts++
			for _, secret := range secrets {
				if strings.Contains(strings.ToLower(v.String()), strings.ToLower(secret)) {
					t.Errorf("%q is in %s: %q", secret, name, v.String())
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(name, v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(v.Type().Field(i).Name, v.Field(i))
				}
			}
		}
	}
	walk("", reflect.ValueOf(d))
	if texts < 20 {
		t.Errorf("only %d texts were looked at", texts)
	}
}
