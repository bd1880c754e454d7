package entra

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

func TestAnOIDCTokenFillsTheToken(t *testing.T) {
	w := warm(t, generic(nil))
	got := w.mustPass(t, forge(ofGeneric, set("auth_time", 7), set("sid", "s-1")))
	want := Token{
		Principal: policy.Principal{
			Kind: policy.PrincipalUser, TenantID: "other", ObjectID: "u/1 a", ClientID: "app-1",
			Scopes: []string{"orders.read", "orders.write"}, Groups: []string{"Clerks", "a/b"},
		},
		DisplayName: "Alice", TokenID: "j-1", SessionID: "s-1", Provider: "other", GroupsPresent: true,
		IssuedAt: start.Add(-time.Minute), ExpiresAt: start.Add(time.Hour), AuthTime: time.Unix(7, 0).UTC(),
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got %s, want %s", mustJSON(*got), mustJSON(want))
	}
}

func TestOIDC(t *testing.T) {
	mapped := func(m Mapping) func(*world, *Config) { return generic(func(p *Provider) { p.Claims = m }) }
	groups := func(want ...string) func(*Token) bool {
		return func(t *Token) bool { return slices.Equal(t.Principal.Groups, want) && t.GroupsPresent }
	}
	apps := mapped(Mapping{App: "kind=app"})
	for name, tc := range map[string]struct {
		change func(*world, *Config)
		expect Expect
		edits  []edit
		want   policy.Reason
		check  func(*Token) bool
	}{
		"an ES256 token":                         {edits: []edit{es256}},
		"one audience as a text":                 {edits: []edit{set("aud", audience)}},
		"190 aud a list of ours":                 {edits: []edit{set("aud", []string{audience})}},
		"191 aud a list with a number":           {edits: []edit{set("aud", []any{audience, 1})}, want: policy.ClaimsMalformed},
		"192 aud an object":                      {edits: []edit{set("aud", object{})}, want: policy.ClaimsMalformed},
		"193 aud null":                           {edits: []edit{set("aud", nil)}, want: policy.ClaimsMalformed},
		"194 aud an empty list":                  {edits: []edit{set("aud", []string{})}, want: policy.ClaimsMalformed},
		"aud an empty text":                      {edits: []edit{set("aud", "")}, want: policy.ClaimsMalformed},
		"aud missing":                            {edits: []edit{del("aud")}, want: policy.ClaimsMalformed},
		"aud of another api":                     {edits: []edit{set("aud", []string{"another"})}, want: policy.AudienceMismatch},
		"aud twice":                              {edits: []edit{more(`,"aud":"x"`)}, want: policy.DuplicateMember},
		"aud in another case as well":            {edits: []edit{more(`,"AUD":"x"`)}, want: policy.DuplicateMember},
		"a mapped claim in another case as well": {edits: []edit{more(`,"Client_ID":"x"`)}, want: policy.DuplicateMember},
		"another algorithm":                      {edits: []edit{hdr("alg", "PS256")}, want: policy.AlgNotAllowed},
		"an algorithm that is not the provider's": {
			change: generic(func(p *Provider) { p.Algorithms = nil }), edits: []edit{es256}, want: policy.AlgNotAllowed,
		},
		"RS256 said, signed by the EC key":   {edits: []edit{es256, hdr("alg", "RS256")}, want: policy.SignatureInvalid},
		"ES256 said, signed by the RSA key":  {edits: []edit{hdr("alg", "ES256")}, want: policy.SignatureInvalid},
		"a kid of nobody":                    {edits: []edit{hdr("kid", "x")}, want: policy.KeyUnknown},
		"a kid that is none":                 {edits: []edit{hdr("kid", "a b")}, want: policy.HeaderInvalid},
		"typ of RFC 9068":                    {edits: []edit{hdr("typ", "at+JWT")}},
		"typ of RFC 9068 in full":            {edits: []edit{hdr("typ", "application/at+jwt")}},
		"another typ":                        {edits: []edit{hdr("typ", "secevent+jwt")}, want: policy.HeaderInvalid},
		"an x5t that is not the kid":         {edits: []edit{hdr("x5t", "other")}},
		"crit":                               {edits: []edit{hdr("crit", []string{})}, want: policy.CritUnsupported},
		"jku":                                {edits: []edit{hdr("jku", "https://evil.test")}, want: policy.HeaderInvalid},
		"an issuer with a slash more":        {edits: []edit{set("iss", genericIssuer+"/")}, want: policy.IssuerUntrusted},
		"an issuer of nobody with a tid":     {edits: []edit{set("iss", "https://x"), set("tid", tenantT)}, want: policy.TenantNotAllowed},
		"a tid of its own means nothing":     {edits: []edit{set("tid", tenantT)}, check: func(t *Token) bool { return t.Principal.TenantID == "other" }},
		"iss a number":                       {edits: []edit{set("iss", 1)}, want: policy.IssuerUntrusted},
		"exp missing":                        {edits: []edit{del("exp")}, want: policy.ClaimsMalformed},
		"iat missing":                        {edits: []edit{del("iat")}, want: policy.ClaimsMalformed},
		"exp a text":                         {edits: []edit{set("exp", "1999999999")}, want: policy.ClaimsMalformed},
		"exp a fraction":                     {edits: []edit{set("exp", 1999999999.5)}, want: policy.ClaimsMalformed},
		"nbf null":                           {edits: []edit{set("nbf", nil)}, want: policy.ClaimsMalformed},
		"nbf to come":                        {edits: []edit{set("nbf", seconds(61))}, want: policy.TokenNotYetValid},
		"expired":                            {edits: []edit{set("exp", seconds(-60))}, want: policy.TokenExpired},
		"a life of two days":                 {edits: []edit{set("exp", seconds(2*86400))}, want: policy.TokenLifetimeExcessive},
		"an ID token by its nonce":           {edits: []edit{set("nonce", "n")}, want: policy.TokenTypeRefused},
		"an ID token by its at_hash":         {edits: []edit{set("at_hash", "n")}, want: policy.TokenTypeRefused},
		"no client":                          {edits: []edit{del("client_id")}, want: policy.TokenTypeRefused},
		"no client where none is mapped":     {change: mapped(Mapping{Client: None}), edits: []edit{del("client_id")}},
		"client a list":                      {edits: []edit{set("client_id", []string{"x"})}, want: policy.ClaimsMalformed},
		"no subject":                         {edits: []edit{del("sub")}, want: policy.SubjectMissing},
		"a subject that no grant can name":   {edits: []edit{set("sub", "a\u202eb")}, want: policy.ClaimsMalformed},
		"a subject of 201 characters":        {edits: []edit{set("sub", strings.Repeat("s", 201))}, want: policy.ClaimsMalformed},
		"an empty subject":                   {edits: []edit{set("sub", "")}, want: policy.ClaimsMalformed},
		"no scope":                           {edits: []edit{del("scope")}, want: policy.TokenTypeRefused},
		"no scope where none is mapped":      {change: mapped(Mapping{Scopes: None}), edits: []edit{del("scope")}},
		"scopes as a list":                   {edits: []edit{set("scope", []string{"a", "b c"})}, check: func(t *Token) bool { return slices.Equal(t.Principal.Scopes, []string{"a", "b c"}) }},
		"scopes with a number":               {edits: []edit{set("scope", []any{1})}, want: policy.ClaimsMalformed},
		"roles":                              {change: mapped(Mapping{Roles: "https://id.example/roles"}), edits: []edit{set("https://id.example/roles", []string{"A B"})}, check: func(t *Token) bool { return slices.Equal(t.Principal.Roles, []string{"A B"}) }},
		"roles as a text":                    {change: mapped(Mapping{Roles: "roles"}), edits: []edit{set("roles", "A B")}, want: policy.ClaimsMalformed},
		"no groups claim":                    {edits: []edit{del("groups")}, check: func(t *Token) bool { return !t.GroupsPresent && !t.Overage }},
		"an empty groups claim":              {edits: []edit{set("groups", []string{})}, check: groups()},
		"one group as a text":                {edits: []edit{set("groups", "Clerks")}, want: policy.GroupsMalformed},
		"one group as a text, where allowed": {change: mapped(Mapping{GroupsForm: GroupsTextOrList}), edits: []edit{set("groups", "Clerks")}, check: groups("Clerks")},
		"a list, where a text is allowed":    {change: mapped(Mapping{GroupsForm: GroupsTextOrList}), check: groups("Clerks", "a/b")},
		"groups in a text":                   {change: mapped(Mapping{GroupsForm: GroupsJSON}), edits: []edit{set("groups", `["a\u00e9","b"]`)}, check: groups("aé", "b")},
		"no groups in a text":                {change: mapped(Mapping{GroupsForm: GroupsJSON}), edits: []edit{set("groups", `[]`)}, check: groups()},
		"a list where a text is wanted":      {change: mapped(Mapping{GroupsForm: GroupsJSON}), want: policy.GroupsMalformed},
		"a text that is no list":             {change: mapped(Mapping{GroupsForm: GroupsJSON}), edits: []edit{set("groups", `a,b`)}, want: policy.GroupsMalformed},
		"a text that holds null":             {change: mapped(Mapping{GroupsForm: GroupsJSON}), edits: []edit{set("groups", `null`)}, want: policy.GroupsMalformed},
		"a text with null in its list":       {change: mapped(Mapping{GroupsForm: GroupsJSON}), edits: []edit{set("groups", `["a",null]`)}, want: policy.GroupsMalformed},
		"null among groups":                  {edits: []edit{set("groups", []any{"a", nil})}, want: policy.GroupsMalformed},
		"groups of another name":             {change: mapped(Mapping{Groups: "cognito:groups"}), edits: []edit{set("cognito:groups", []string{"x"})}, check: groups("x")},
		"a user where apps are marked":       {change: apps, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalUser }},
		"an app": {change: apps, edits: []edit{set("kind", "app")}, check: func(t *Token) bool {
			return t.Principal.Kind == policy.PrincipalApp && t.Principal.ObjectID == "app-1" && t.Principal.Scopes == nil && t.ClientAuth == "1"
		}},
		"a marker of another type":        {change: apps, edits: []edit{set("kind", []string{"app"})}, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalUser }},
		"what every token needs":          {change: mapped(Mapping{Require: "token_use=access"}), edits: []edit{set("token_use", "access")}},
		"what every token needs, another": {change: mapped(Mapping{Require: "token_use=access"}), edits: []edit{set("token_use", "id")}, want: policy.TokenTypeRefused},
		"what every token needs, missing": {change: mapped(Mapping{Require: "token_use=access"}), want: policy.TokenTypeRefused},
		"what no token may have":          {change: mapped(Mapping{Require: "!test"}), edits: []edit{set("test", true)}, want: policy.TokenTypeRefused},
		"a client not on the list":        {expect: Expect{Clients: []string{"app-2"}}, want: policy.ClientNotAllowed},
		"a client on the list":            {expect: Expect{Clients: []string{"app-2", "app-1"}}},
		"a client that may be public":     {expect: Expect{ConfidentialClient: true}, want: policy.ClientNotAllowed},
		"a client that proved who it is":  {change: mapped(Mapping{Confidential: "proof"}), edits: []edit{set("proof", 1)}, expect: Expect{ConfidentialClient: true}},
		"a bound token":                   {edits: []edit{set("cnf", object{})}, want: policy.BindingRequired},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change == nil {
				tc.change = generic(nil)
			}
			edits := append([]edit{ofGeneric}, tc.edits...)
			claimCase{change: tc.change, expect: tc.expect, edits: edits, want: tc.want, check: tc.check}.run(t)
		})
	}
}

// Beside an OIDC provider, Entra's tokens keep their rules.
func TestEntraKeepsItsRulesBesideOIDC(t *testing.T) {
	w := warm(t, func(w *world, cfg *Config) {
		before := cfg.Providers
		generic(nil)(w, cfg)
		cfg.Providers = append(before, cfg.Providers...)
	})
	w.mustPass(t, good())
	w.mustPass(t, forge(ofGeneric))
	w.mustPass(t, forge(ofGeneric, es256))
	for name, tc := range map[string]struct {
		token string
		want  policy.Reason
	}{
		"typ of RFC 9068":        {forge(hdr("typ", "at+jwt")), policy.HeaderInvalid},
		"ES256":                  {forge(alg("ES256")), policy.AlgNotAllowed},
		"x5t":                    {forge(hdr("x5t", "x")), policy.HeaderInvalid},
		"a kid with a slash":     {forge(hdr("kid", "a/b")), policy.HeaderInvalid},
		"aud a list":             {forge(set("aud", []string{audience})), policy.ClaimsMalformed},
		"no tid":                 {forge(del("tid")), policy.IssuerUntrusted},
		"alg none":               {forge(ofGeneric, alg("none")), policy.AlgNotAllowed},
		"the key of the other":   {forge(ofGeneric, hdr("kid", kidMSA), by(keyMSA())), policy.KeyUnknown},
		"a token of Entra as if": {forge(set("iss", genericIssuer), hdr("kid", kidMSA), by(keyMSA())), policy.KeyUnknown},
	} {
		t.Run(name, func(t *testing.T) { w.mustRefuse(t, tc.token, tc.want) })
	}
}

func TestProfiles(t *testing.T) {
	times := object{"iat": start.Unix() - 60, "exp": start.Unix() + 3600}
	token := func(o object) edit {
		return func(f *forgery) {
			f.claims = object{}
			for _, part := range []object{times, o} {
				for k, v := range part {
					f.claims[k] = v
				}
			}
			delete(f.header, "typ")
		}
	}
	const (
		adfs    = "https://fs.corp.example/adfs"
		okta    = "https://example.okta.com/oauth2/default"
		cognito = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"
		aws     = "https://identitycenter.amazonaws.com/ssoins-1234567890abcdef"
	)
	ofADFS := object{
		"iss": "http://fs.corp.example/adfs/services/trust", "aud": audience, "apptype": "Confidential", "appid": "5f5a5b0c-1111-4222-8333-444455556666",
		"authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "auth_time": "2026-06-01T11:58:00.123Z", "ver": "1.0",
		"scp": "openid", "upn": "alice@corp.example", "unique_name": `CORP\alice`, "primarysid": "S-1-5-21-1-2-3-1104",
		"group": []string{"Domain Users", "Sales/EMEA"}, "nbf": start.Unix() - 60,
	}
	ofOkta := object{
		"ver": 1, "jti": "AT.x", "iss": okta, "aud": audience, "cid": "0oa1", "uid": "00u1", "scp": []string{"openid", "orders.read"},
		"auth_time": start.Unix() - 90, "sub": "alice@example.com", "groups": []string{"Everyone", "Clerks"},
	}
	ofCognito := object{
		"sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "iss": cognito, "client_id": audience, "token_use": "access", "scope": "openid orders/read",
		"auth_time": start.Unix() - 90, "jti": "j", "origin_jti": "o", "event_id": "e", "username": "alice", "version": 2, "cognito:groups": []string{"clerks"},
	}
	ofAWS := object{
		"iss": aws, "sub": "84e8b4a8-1041-70aa-bbbb-000000000001", "aud": audience, "nonce": "n", "act": object{"sub": "x"}, "groups": `["Sales Team","IT"]`,
	}
	with := func(o object, name string, v any) object {
		c := object{}
		for k, old := range o {
			c[k] = old
		}
		if c[name] = v; v == nil {
			delete(c, name)
		}
		return c
	}
	for name, tc := range map[string]struct {
		profile   Profile
		authority string
		token     object
		want      policy.Principal
		refused   policy.Reason
		check     func(*Token) bool
	}{
		"AD FS": {profile: ADFS, authority: adfs, token: ofADFS, want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "S-1-5-21-1-2-3-1104", ClientID: "5f5a5b0c-1111-4222-8333-444455556666", Scopes: []string{"openid"},
			Groups: []string{"Domain Users", "Sales/EMEA"},
		}, check: func(t *Token) bool {
			return t.Username == "alice@corp.example" && t.DisplayName == `CORP\alice` && t.ClientAuth == "1" && t.AuthTime.Equal(start.Add(-2*time.Minute+123*time.Millisecond))
		}},
		"AD FS, one group": {profile: ADFS, authority: adfs, token: with(ofADFS, "group", "Domain Users"), want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "S-1-5-21-1-2-3-1104", ClientID: "5f5a5b0c-1111-4222-8333-444455556666", Scopes: []string{"openid"},
			Groups: []string{"Domain Users"},
		}},
		"AD FS without the rule for the subject": {profile: ADFS, authority: adfs, token: with(ofADFS, "primarysid", nil), refused: policy.SubjectMissing},
		"AD FS, the issuer of its ID tokens":     {profile: ADFS, authority: adfs, token: with(ofADFS, "iss", adfs), refused: policy.IssuerUntrusted},
		"Okta": {profile: Okta, authority: okta, token: ofOkta, want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "00u1", ClientID: "0oa1", Scopes: []string{"openid", "orders.read"}, Groups: []string{"Everyone", "Clerks"},
		}},
		"Okta, an application": {profile: Okta, authority: okta, token: with(with(with(ofOkta, "uid", nil), "sub", "0oa1"), "groups", nil), want: policy.Principal{
			Kind: policy.PrincipalApp, ObjectID: "0oa1", ClientID: "0oa1",
		}},
		"Okta, an ID token": {profile: Okta, authority: okta, token: with(with(ofOkta, "cid", nil), "scp", nil), refused: policy.TokenTypeRefused},
		"Cognito": {profile: Cognito, authority: cognito, token: ofCognito, want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", ClientID: audience, Scopes: []string{"openid", "orders/read"}, Groups: []string{"clerks"},
		}},
		"Cognito, bound to a resource": {profile: Cognito, authority: cognito, token: with(with(ofCognito, "client_id", "c1"), "aud", audience), want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", ClientID: "c1", Scopes: []string{"openid", "orders/read"}, Groups: []string{"clerks"},
		}},
		"Cognito, bound to another resource": {profile: Cognito, authority: cognito, token: with(ofCognito, "aud", "https://x"), refused: policy.AudienceMismatch},
		"Cognito, another client":            {profile: Cognito, authority: cognito, token: with(ofCognito, "client_id", "c1"), refused: policy.AudienceMismatch},
		"Cognito, an application": {profile: Cognito, authority: cognito, token: with(with(ofCognito, "username", nil), "cognito:groups", nil), want: policy.Principal{
			Kind: policy.PrincipalApp, ObjectID: audience, ClientID: audience,
		}},
		"Cognito, an ID token": {profile: Cognito, authority: cognito, token: with(with(ofCognito, "token_use", "id"), "aud", audience), refused: policy.TokenTypeRefused},
		"Identity Center": {profile: IAMIdentityCenter, authority: aws, token: ofAWS, want: policy.Principal{
			Kind: policy.PrincipalUser, ObjectID: "84e8b4a8-1041-70aa-bbbb-000000000001", Groups: []string{"Sales Team", "IT"},
		}},
		"Identity Center, groups that are a list": {profile: IAMIdentityCenter, authority: aws, token: with(ofAWS, "groups", []string{"IT"}), refused: policy.GroupsMalformed},
		"Identity Center, another application":    {profile: IAMIdentityCenter, authority: aws, token: with(ofAWS, "aud", "x"), refused: policy.AudienceMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := warm(t, generic(func(p *Provider) {
				p.Name, p.Profile, p.Authority, p.Algorithms = "idp", tc.profile, tc.authority, nil
			}))
			tok, r := w.ask(forge(token(tc.token)))
			if tc.refused != policy.ReasonNone {
				refusedFor(t, tok, r, tc.refused)
				return
			}
			if !r.OK() {
				t.Fatalf("refused for %v (%s)", r.Reason, r.Detail)
			}
			tc.want.TenantID = "idp"
			if !reflect.DeepEqual(tok.Principal, tc.want) {
				t.Errorf("got %s, want %s", mustJSON(tok.Principal), mustJSON(tc.want))
			}
			if tc.check != nil && !tc.check(tok) {
				t.Errorf("got %s", mustJSON(*tok))
			}
		})
	}
}

func TestOIDCProvidersThatCannotWorkAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Provider)
		want   string
	}{
		"no name":                       {func(p *Provider) { p.Name = "" }, "name: "},
		"a name that is a GUID":         {func(p *Provider) { p.Name = audience }, "name: "},
		"a name with a slash":           {func(p *Provider) { p.Name = "a/b" }, "name: "},
		"no authority":                  {func(p *Provider) { p.Authority = "" }, "authority: "},
		"an authority over http":        {func(p *Provider) { p.Authority = "http://id.example" }, "authority: "},
		"an authority with a query":     {func(p *Provider) { p.Authority += "?x=1" }, "authority: "},
		"an authority with dots":        {func(p *Provider) { p.Authority = "https://id.example/a/../b" }, "authority: "},
		"an authority with escapes":     {func(p *Provider) { p.Authority = "https://id.example/%61" }, "authority: "},
		"an authority in upper case":    {func(p *Provider) { p.Authority = "https://ID.example" }, "authority: "},
		"an issuer with a placeholder":  {func(p *Provider) { p.Issuer = "https://id.example/{tenantid}" }, "issuer: "},
		"an issuer that is no address":  {func(p *Provider) { p.Issuer = "id" }, "issuer: "},
		"Entra as OIDC":                 {func(p *Provider) { p.Authority = issuerOf(tenantT) }, "issuer: Microsoft"},
		"Entra's issuer as OIDC":        {func(p *Provider) { p.Issuer = issuerOf(tenantT) }, "issuer: Microsoft"},
		"External ID as OIDC":           {func(p *Provider) { p.Authority = ciam }, "issuer: Microsoft"},
		"tenants":                       {func(p *Provider) { p.Tenants = []string{tenantT} }, "tenants"},
		"v1":                            {func(p *Provider) { p.AcceptV1 = true }, "accept v1"},
		"an unknown profile":            {func(p *Provider) { p.Profile = 99 }, "profile: "},
		"an unknown algorithm":          {func(p *Provider) { p.Algorithms = []string{"HS256"} }, "algorithms: "},
		"an algorithm twice":            {func(p *Provider) { p.Algorithms = []string{algES256, algES256} }, "algorithms: "},
		"no subject":                    {func(p *Provider) { p.Claims.Subject = None }, "claims: subject"},
		"apps without a client":         {func(p *Provider) { p.Claims.Client, p.Claims.App = None, "x" }, "claims: client"},
		"a claim name with a space":     {func(p *Provider) { p.Claims.Groups = "a b" }, "claims: groups"},
		"a condition on nothing":        {func(p *Provider) { p.Claims.Require = "=access" }, "claims: require"},
		"an unknown groups form":        {func(p *Provider) { p.Claims.GroupsForm = 9 }, "groups form"},
		"a key host with a path":        {func(p *Provider) { p.KeyHosts = []string{"x/y"} }, "key hosts: "},
		"a public network":              {func(p *Provider) { p.PrivateNetworks = []netip.Prefix{netip.MustParsePrefix("8.8.8.0/24")} }, "private networks: "},
		"a network beyond private":      {func(p *Provider) { p.PrivateNetworks = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/15")} }, "private networks: "},
		"the network of cloud metadata": {func(p *Provider) { p.PrivateNetworks = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16")} }, "private networks: "},
	} {
		t.Run(name, func(t *testing.T) {
			p := Provider{Kind: OIDC, Name: "idp", Authority: genericIssuer}
			tc.change(&p)
			_, err := NewVerifier(Config{Providers: []Provider{p}}, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "provider ") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	for name, p := range map[string]Provider{
		"a mapping outside OIDC": {Kind: Entra, Authority: global, Tenants: []string{tenantT}, Claims: Mapping{Groups: "g"}},
		"a profile outside OIDC": {Kind: Entra, Authority: global, Tenants: []string{tenantT}, Profile: Okta},
	} {
		if _, err := NewVerifier(Config{Providers: []Provider{p}}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "only OIDC") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrivateAddressesCanBeOpened(t *testing.T) {
	open := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	for address, ok := range map[string]bool{
		"10.20.3.4:443": true, "10.21.0.1:443": false, "[fd12::1]:443": true, "[fd00:ec2::254]:80": false, "169.254.169.254:80": false,
		"127.0.0.1:80": false, "[::ffff:10.20.0.1]:443": true, "192.168.0.1:443": false,
	} {
		if err := checkAddress(address, false, open); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// The key document of an OIDC provider may lie anywhere on hosts that are pinned, and nowhere else.
func TestKeysOfOIDCComeFromPinnedHosts(t *testing.T) {
	p, err := newProvider(Provider{Kind: OIDC, Name: "idp", Authority: "https://accounts.example", KeyHosts: []string{"keys.example"}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(p, p.Name, "", false, nil, &Config{}, nil)
	if s.metadata != "https://accounts.example/.well-known/openid-configuration" {
		t.Errorf("metadata at %s", s.metadata)
	}
	for address, ok := range map[string]bool{
		"https://accounts.example/jwks": true, "https://keys.example/v3/certs": true, "http://accounts.example/jwks": false,
		"https://evil.test/jwks": false, "https://keys.example.evil.test/": false, "https://user@keys.example/": false,
	} {
		if err := s.checkJWKSURI(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestDiscoveryOfADFSHasToNameTheIssuerOfAccessTokens(t *testing.T) {
	p, err := newProvider(Provider{Kind: OIDC, Name: "idp", Authority: "https://fs.example/adfs", Profile: ADFS})
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(p, p.Name, "", false, nil, &Config{}, nil)
	for issuer, ok := range map[string]bool{"": true, "http://fs.example/adfs/services/trust": true, "http://other.example/adfs/services/trust": false} {
		doc := object{"issuer": "https://fs.example/adfs", "jwks_uri": "https://fs.example/adfs/discovery/keys"}
		if issuer != "" {
			doc["access_token_issuer"] = issuer
		}
		if _, err := parseDiscovery([]byte(mustJSON(doc)), s); (err == nil) != ok {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}

// FuzzOIDCClaims holds the mapped claims against encoding/json.
func FuzzOIDCClaims(f *testing.F) {
	p := profiles[Cognito].claims
	m, err := newMapping(Mapping{}, p)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		`{}`, `[]`, `{"sub":"a","client_id":"c","aud":["x"],"scope":"a b","exp":1,"iat":0,"cognito:groups":["g"],"token_use":"access"}`,
		`{"sub":"a","SUB":"b"}`, `{"aud":["a",1]}`, `{"exp":1e3}`, `{"sub":"\u0000"}`, `{"username":{"a":[]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r reader
		v, ref := r.readMapped(m, text)
		if !ref.OK() {
			return
		}
		var other map[string]json.RawMessage
		if err := json.Unmarshal(text, &other); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		for i, name := range m.names {
			rawValue, there := other[name]
			if is := v.all[i]; (is.kind != 0) != there || is.kind == '"' && mustJSON(string(is.text)) != mustJSON(textOf(rawValue)) {
				t.Fatalf("%q: %s is %q", text, name, is.text)
			}
		}
		if id, ref := v.id(roleSubject); ref.OK() && !policy.IsForeignID(id) {
			t.Fatalf("subject %q", id)
		}
	})
}

func textOf(rawValue json.RawMessage) (s string) {
	_ = json.Unmarshal(rawValue, &s)
	return s
}
