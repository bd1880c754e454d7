package entra

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// claimCase is a token that differs from a good one by its claims.
type claimCase struct {
	change func(*world, *Config)
	expect Expect
	edits  []edit
	want   policy.Reason
	check  func(*Token) bool
}

func (tc claimCase) run(t *testing.T) {
	w := warm(t, tc.change)
	if tc.expect.Audiences == nil {
		tc.expect.Audiences = []string{audience}
	}
	tok, r := w.verify(t.Context(), forge(tc.edits...), tc.expect)
	switch {
	case tc.want != policy.ReasonNone:
		refusedFor(t, tok, r, tc.want)
	case !r.OK():
		t.Fatalf("refused for %v (%s)", r.Reason, r.Detail)
	case tc.check != nil && !tc.check(tok):
		t.Fatalf("got %+v", struct{ Token }{*tok})
	}
}

func withV1OfOne(w *world, cfg *Config) {
	withV1(w, cfg)
	w.keys("/common/discovery/keys", published(kidOne, keyOne(), nil))
}

func inferring(_ *world, cfg *Config) { cfg.Providers[0].AllowMissingIDType = true }

// idTokenOf makes the token an ID token.
func idTokenOf(f *forgery) {
	for _, name := range []string{"azp", "azpacr", "scp", "idtyp"} {
		delete(f.claims, name)
	}
	f.claims["nonce"] = "n"
}

// claimsOf is a catalogue number with the tokens that show it.
func claimsOf(name string, cases map[string]claimCase) entry {
	return entry{name: name, run: func(t *testing.T) {
		for _, sentence := range slices.Sorted(maps.Keys(cases)) {
			t.Run(sentence, cases[sentence].run)
		}
	}}
}

// audienceCases are audience, type and actor.
var audienceCases = map[int]entry{
	185: claimsOf("audience of another api", map[string]claimCase{
		"audience of another api": {edits: []edit{set("aud", client)}, want: policy.AudienceMismatch},
	}),
	186: claimsOf("audience of Graph", map[string]claimCase{
		"audience of Graph": {edits: []edit{set("aud", "https://graph.microsoft.com")}, want: policy.AudienceMismatch},
	}),
	187: claimsOf("App ID URI of ours on v2", map[string]claimCase{
		"App ID URI of ours": {edits: []edit{set("aud", "api://"+audience)}, want: policy.AudienceMismatch},
	}),
	188: claimsOf("v1 audience with a slash at the end", map[string]claimCase{
		"v1 audience with a slash at the end": {change: withV1OfOne, expect: Expect{Audiences: []string{"api://x"}}, edits: []edit{v1, set("aud", "api://x/")}, want: policy.AudienceMismatch},
	}),
	189: claimsOf("audience that differs in case", map[string]claimCase{
		"audience that differs in case": {edits: []edit{set("aud", strings.ToUpper(audience))}, want: policy.AudienceMismatch},
	}),
	190: claimsOf("aud a list", map[string]claimCase{
		"aud a list of ours":             {edits: []edit{set("aud", []string{audience})}, want: policy.ClaimsMalformed},
		"aud a list of ours and another": {edits: []edit{set("aud", []string{audience, "x"})}, want: policy.ClaimsMalformed},
	}),
	191: claimsOf("aud a list with a number", map[string]claimCase{
		"aud a list with a number": {edits: []edit{set("aud", []any{audience, 1})}, want: policy.ClaimsMalformed},
	}),
	192: claimsOf("aud an object", map[string]claimCase{
		"aud an object": {edits: []edit{set("aud", object{})}, want: policy.ClaimsMalformed},
	}),
	193: claimsOf("aud null", map[string]claimCase{
		"aud null": {edits: []edit{set("aud", nil)}, want: policy.ClaimsMalformed},
	}),
	194: claimsOf("aud empty", map[string]claimCase{
		"aud empty":         {edits: []edit{set("aud", "")}, want: policy.ClaimsMalformed},
		"aud an empty list": {edits: []edit{set("aud", []string{})}, want: policy.ClaimsMalformed},
	}),
	195: claimsOf("ID token with roles", map[string]claimCase{
		"ID token with roles": {edits: []edit{idTokenOf}, want: policy.TokenTypeRefused},
	}),
	196: claimsOf("ID token of the v1 endpoint", map[string]claimCase{
		"ID token of the v1 endpoint": {change: withV1OfOne, edits: []edit{v1, idTokenOf, del("appid"), del("nonce")}, want: policy.TokenTypeRefused},
	}),
	197: claimsOf("neither scp nor roles", map[string]claimCase{
		"app with neither scp nor roles": {edits: []edit{app, del("roles")}, want: policy.TokenTypeRefused},
	}),
	198: claimsOf("the same where apps need no role", map[string]claimCase{
		"the same where apps need no role": {edits: []edit{app, del("roles")}, expect: Expect{AllowAppsWithoutRoles: true}},
	}),
	199: claimsOf("idtyp missing", map[string]claimCase{
		"idtyp missing": {edits: []edit{del("idtyp")}, want: policy.TokenTypeRefused},
	}),
	200: claimsOf("idtyp device", map[string]claimCase{
		"idtyp device": {edits: []edit{set("idtyp", "device")}, want: policy.TokenTypeRefused},
	}),
	201: claimsOf("app with scp /", map[string]claimCase{
		"app with scp /": {edits: []edit{app, set("scp", "/")}, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalApp && t.Principal.Scopes == nil }},
	}),
	202: claimsOf("app with a scope", map[string]claimCase{
		"app with a scope": {edits: []edit{app, set("scp", "x")}, want: policy.ClaimsMalformed},
	}),
	203: claimsOf("user whose role is named as an application permission", map[string]claimCase{
		"the role makes a user no application": {edits: []edit{set("roles", []string{"Order.Admin"})}, check: func(t *Token) bool {
			return t.Principal.Kind == policy.PrincipalUser && t.Principal.Roles[0] == "Order.Admin"
		}},
		"nor does idtyp of another case": {edits: []edit{app, set("idtyp", "App")}, want: policy.TokenTypeRefused},
	}),
	204: claimsOf("azp and appid differ", map[string]claimCase{
		"azp and appid differ": {edits: []edit{set("appid", oid)}, want: policy.ClaimsMalformed},
	}),
	205: claimsOf("azp and appid equal", map[string]claimCase{
		"azp and appid equal": {edits: []edit{set("appid", client)}},
	}),
	206: claimsOf("client not allowed", map[string]claimCase{
		"client not on the list": {expect: Expect{Clients: []string{oid}}, want: policy.ClientNotAllowed},
		"client on the list":     {expect: Expect{Clients: []string{oid, client}}},
	}),
	207: claimsOf("public client where a confidential one is asked for", map[string]claimCase{
		"a public client":               {expect: Expect{ConfidentialClient: true}, edits: []edit{set("azpacr", "0")}, want: policy.ClientNotAllowed},
		"a client that says nothing":    {expect: Expect{ConfidentialClient: true}, edits: []edit{del("azpacr")}, want: policy.ClientNotAllowed},
		"a client of a kind to come":    {expect: Expect{ConfidentialClient: true}, edits: []edit{set("azpacr", "3")}, want: policy.ClientNotAllowed},
		"a number in place of the text": {expect: Expect{ConfidentialClient: true}, edits: []edit{set("azpacr", 1)}, want: policy.ClaimsMalformed},
		"a client with a secret":        {expect: Expect{ConfidentialClient: true}},
		"a client with a certificate":   {expect: Expect{ConfidentialClient: true}, edits: []edit{set("azpacr", "2")}},
		"a v1 client with a secret":     {change: withV1OfOne, expect: Expect{ConfidentialClient: true}, edits: []edit{v1, del("azpacr"), set("appidacr", "1")}},
		"a public client elsewhere":     {edits: []edit{set("azpacr", "0")}, check: func(t *Token) bool { return t.ClientAuth == "0" }},
	}),
	208: claimsOf("cnf with Bearer", map[string]claimCase{
		"cnf": {edits: []edit{set("cnf", object{"kid": "x"})}, want: policy.BindingRequired},
	}),
	209: claimsOf("oid missing", map[string]claimCase{
		"oid missing": {edits: []edit{del("oid")}, want: policy.SubjectMissing},
	}),
	210: claimsOf("same oid in two tenants", map[string]claimCase{
		"the first tenant":  {check: func(t *Token) bool { return t.Principal.TenantID == tenantT && t.Principal.ObjectID == oid }},
		"the second tenant": {edits: []edit{set("tid", tenantT2), set("iss", issuerOf(tenantT2))}, check: func(t *Token) bool { return t.Principal.TenantID == tenantT2 && t.Principal.ObjectID == oid }},
	}),
	211: claimsOf("guest", map[string]claimCase{
		"guest by acct":                      {edits: []edit{set("acct", 1)}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"guest by relation":                  {edits: []edit{set("xms_idrel", "7 5")}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"guest by home":                      {edits: []edit{set("idp", "live.com"), set("acct", 0)}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"member by acct":                     {edits: []edit{set("acct", 0)}, check: func(t *Token) bool { return t.Guest == GuestNo }},
		"acct absent is not a member":        {check: func(t *Token) bool { return t.Guest == GuestUnknown }},
		"a guest by acct, refused":           {expect: Expect{DenyGuests: true}, edits: []edit{set("acct", 1)}, want: policy.GuestRefused},
		"a guest by relation, refused":       {expect: Expect{DenyGuests: true}, edits: []edit{set("xms_idrel", "7 5")}, want: policy.GuestRefused},
		"a guest by home, refused":           {expect: Expect{DenyGuests: true}, edits: []edit{set("idp", "https://sts.windows.net/"+tenantT2+"/")}, want: policy.GuestRefused},
		"a member":                           {expect: Expect{DenyGuests: true}, edits: []edit{set("acct", 0)}},
		"a member whose home is this tenant": {expect: Expect{DenyGuests: true}, edits: []edit{set("idp", "https://sts.windows.net/"+tenantT+"/")}},
		"an application":                     {expect: Expect{DenyGuests: true}, edits: []edit{app}},
	}),
}
