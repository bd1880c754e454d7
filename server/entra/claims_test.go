package entra

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// The catalogue's rows on audience, type, actor and groups that this package answers alone; the number leads the name.
func TestAudienceTypeActorAndGroups(t *testing.T) {
	acl := Expect{Audiences: []string{audience}, AllowAppsWithoutRoles: true}
	v1World := func(w *world, cfg *Config) {
		withV1(w, cfg)
		w.keys("/common/discovery/keys", published(kidOne, keyOne(), nil))
	}
	inferring := func(_ *world, cfg *Config) { cfg.Providers[0].AllowMissingIDType = true }
	idTokenOf := func(f *forgery) {
		for _, name := range []string{"azp", "azpacr", "scp", "idtyp"} {
			delete(f.claims, name)
		}
		f.claims["nonce"] = "n"
	}
	for name, tc := range map[string]struct {
		change func(*world, *Config)
		expect Expect
		edits  []edit
		want   policy.Reason
		check  func(*Token) bool
	}{
		"185 audience of another api":             {edits: []edit{set("aud", client)}, want: policy.AudienceMismatch},
		"186 audience of Graph":                   {edits: []edit{set("aud", "https://graph.microsoft.com")}, want: policy.AudienceMismatch},
		"187 App ID URI of ours":                  {edits: []edit{set("aud", "api://"+audience)}, want: policy.AudienceMismatch},
		"188 v1 audience with a slash at the end": {change: v1World, expect: Expect{Audiences: []string{"api://x"}}, edits: []edit{v1, set("aud", "api://x/")}, want: policy.AudienceMismatch},
		"189 audience that differs in case":       {edits: []edit{set("aud", strings.ToUpper(audience))}, want: policy.AudienceMismatch},
		"190 aud a list of ours":                  {edits: []edit{set("aud", []string{audience})}, want: policy.ClaimsMalformed},
		"191 aud a list with a number":            {edits: []edit{set("aud", []any{audience, 1})}, want: policy.ClaimsMalformed},
		"192 aud an object":                       {edits: []edit{set("aud", object{})}, want: policy.ClaimsMalformed},
		"193 aud null":                            {edits: []edit{set("aud", nil)}, want: policy.ClaimsMalformed},
		"194 aud empty":                           {edits: []edit{set("aud", "")}, want: policy.ClaimsMalformed},
		"195 ID token with roles":                 {edits: []edit{idTokenOf}, want: policy.TokenTypeRefused},
		"196 ID token of the v1 endpoint":         {change: v1World, edits: []edit{v1, idTokenOf, del("appid"), del("nonce")}, want: policy.TokenTypeRefused},
		"197 app with neither scp nor roles":      {edits: []edit{app, del("roles")}, want: policy.TokenTypeRefused},
		"198 the same where apps need no role":    {edits: []edit{app, del("roles")}, expect: acl},
		"199 idtyp missing":                       {edits: []edit{del("idtyp")}, want: policy.TokenTypeRefused},
		"200 idtyp device":                        {edits: []edit{set("idtyp", "device")}, want: policy.TokenTypeRefused},
		"201 app with scp /":                      {edits: []edit{app, set("scp", "/")}, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalApp && t.Principal.Scopes == nil }},
		"202 app with a scope":                    {edits: []edit{app, set("scp", "x")}, want: policy.ClaimsMalformed},
		"204 azp and appid differ":                {edits: []edit{set("appid", oid)}, want: policy.ClaimsMalformed},
		"205 azp and appid equal":                 {edits: []edit{set("appid", client)}},
		"206 client not on the list":              {expect: Expect{Audiences: []string{audience}, Clients: []string{oid}}, want: policy.ClientNotAllowed},
		"206 client on the list":                  {expect: Expect{Audiences: []string{audience}, Clients: []string{oid, client}}},
		"208 cnf":                                 {edits: []edit{set("cnf", object{"kid": "x"})}, want: policy.BindingRequired},
		"209 oid missing":                         {edits: []edit{del("oid")}, want: policy.SubjectMissing},
		"211 guest by acct":                       {edits: []edit{set("acct", 1)}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"211 guest by relation":                   {edits: []edit{set("xms_idrel", "7 5")}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"211 guest by home":                       {edits: []edit{set("idp", "live.com"), set("acct", 0)}, check: func(t *Token) bool { return t.Guest == GuestYes }},
		"211 member by acct":                      {edits: []edit{set("acct", 0)}, check: func(t *Token) bool { return t.Guest == GuestNo }},
		"211 acct absent is not a member":         {check: func(t *Token) bool { return t.Guest == GuestUnknown }},
		"212 only U+0020 separates scopes":        {edits: []edit{set("scp", "a  b\tc d\u00a0e")}, check: func(t *Token) bool { return slices.Equal(t.Principal.Scopes, []string{"a", "b\tc", "d\u00a0e"}) }},
		"213 a role is never split":               {edits: []edit{set("roles", []string{"A B"})}, check: func(t *Token) bool { return slices.Equal(t.Principal.Roles, []string{"A B"}) }},
		"218 200 groups": {edits: []edit{set("groups", guids(200))}, check: func(t *Token) bool {
			return slices.Equal(t.Principal.Groups, guids(200)) && t.GroupsPresent && !t.Overage
		}},
		"219 a number among groups":                {edits: []edit{set("groups", []any{oid, 1})}, want: policy.GroupsMalformed},
		"219 an object among groups":               {edits: []edit{set("groups", []any{object{"a": []int{1}}, oid})}, want: policy.GroupsMalformed},
		"219 null among groups":                    {edits: []edit{set("groups", []any{nil})}, want: policy.GroupsMalformed},
		"219 groups null":                          {edits: []edit{set("groups", nil)}, want: policy.GroupsMalformed},
		"220 _claim_names.groups":                  {edits: []edit{set("_claim_names", object{"groups": "src1"}), set("_claim_sources", object{"src1": object{"endpoint": "http://127.0.0.1:1/x"}})}, check: func(t *Token) bool { return t.Overage && !t.GroupsPresent }},
		"221 groups a text":                        {edits: []edit{set("groups", "src1")}, check: func(t *Token) bool { return t.Overage && !t.GroupsPresent }},
		"222 hasgroups":                            {edits: []edit{set("hasgroups", true)}, check: func(t *Token) bool { return t.Overage }},
		"222 hasgroups as text":                    {edits: []edit{set("hasgroups", "true")}, check: func(t *Token) bool { return t.Overage }},
		"222 hasgroups of another type":            {edits: []edit{set("hasgroups", 1)}, want: policy.GroupsMalformed},
		"223 groups beside the marker":             {edits: []edit{set("groups", guids(3)), set("hasgroups", true)}, check: func(t *Token) bool { return t.Overage && t.Principal.Groups == nil }},
		"224 _claim_names of another claim":        {edits: []edit{set("_claim_names", object{"roles": "src1"})}, check: func(t *Token) bool { return !t.Overage }},
		"277 acrs as text is absent":               {edits: []edit{set("acrs", "c1")}, check: func(t *Token) bool { return t.AuthContexts == nil }},
		"no groups claim is not an empty list":     {check: func(t *Token) bool { return !t.GroupsPresent && !t.Overage }},
		"an empty groups claim is present":         {edits: []edit{set("groups", []string{})}, check: func(t *Token) bool { return t.GroupsPresent }},
		"groups are brought to lower case":         {edits: []edit{set("groups", []string{strings.ToUpper(oid), "Name"})}, check: func(t *Token) bool { return slices.Equal(t.Principal.Groups, []string{oid, "Name"}) }},
		"user without scope":                       {edits: []edit{del("scp")}, want: policy.TokenTypeRefused},
		"user with the scope of agents":            {edits: []edit{set("scp", "/")}, want: policy.TokenTypeRefused},
		"user with spaces for a scope":             {edits: []edit{set("scp", "  ")}, want: policy.TokenTypeRefused},
		"scope list instead of text":               {edits: []edit{set("scp", []string{"a"})}, want: policy.ClaimsMalformed},
		"roles as text":                            {edits: []edit{set("roles", "a")}, want: policy.ClaimsMalformed},
		"wids with a number":                       {edits: []edit{set("wids", []int{1})}, want: policy.ClaimsMalformed},
		"replacement character in a role":          {edits: []edit{set("roles", []string{"a\ufffd"})}, want: policy.ClaimsMalformed},
		"oid in upper case":                        {edits: []edit{set("oid", strings.ToUpper(oid))}, want: policy.ClaimsMalformed},
		"azp that is no GUID":                      {edits: []edit{set("azp", "my-client")}, want: policy.ClaimsMalformed},
		"ID token by at_hash":                      {edits: []edit{set("at_hash", "x")}, want: policy.TokenTypeRefused},
		"no idtyp, scopes: a user where inferred":  {change: inferring, edits: []edit{del("idtyp")}, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalUser }},
		"no idtyp, no scopes: app where inferred":  {change: inferring, edits: []edit{app, del("idtyp")}, check: func(t *Token) bool { return t.Principal.Kind == policy.PrincipalApp }},
		"an ID token is no app where inferred":     {change: inferring, edits: []edit{idTokenOf, del("nonce")}, want: policy.TokenTypeRefused},
		"a client that can be challenged":          {edits: []edit{set("xms_cc", []string{"CP1"}), set("acrs", []string{"c1"}), set("auth_time", 5)}, check: func(t *Token) bool { return t.CanChallenge && t.AuthContexts[0] == "c1" && t.AuthTime.Unix() == 5 }},
		"another capability is no challenge":       {edits: []edit{set("xms_cc", []string{"cp2"})}, check: func(t *Token) bool { return !t.CanChallenge && t.AuthTime.IsZero() }},
		"the name is shown first":                  {check: func(t *Token) bool { return t.DisplayName == "Alice" }},
		"then the user name":                       {edits: []edit{set("name", 7)}, check: func(t *Token) bool { return t.DisplayName == "alice@example.com" }},
		"then that of the application":             {edits: []edit{app, del("name"), del("preferred_username"), set("app_displayname", "Job")}, check: func(t *Token) bool { return t.DisplayName == "Job" }},
		"a name with control characters is passed": {edits: []edit{set("name", "A\u001b[31m"), del("preferred_username")}, check: func(t *Token) bool { return t.DisplayName == "" }},
		"a long name is cut between characters":    {edits: []edit{set("name", "x"+strings.Repeat("\u00e9", 200))}, check: func(t *Token) bool { return len(t.DisplayName) == 255 }},
		"claims written with escapes are read":     {edits: []edit{func(f *forgery) { delete(f.claims, "scp"); more(`,"s\u0063p":"orders.\u0072ead"`)(f) }}, check: func(t *Token) bool { return slices.Equal(t.Principal.Scopes, []string{"orders.read"}) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := warm(t, tc.change)
			if tc.expect.Audiences == nil {
				tc.expect = expectA
			}
			tok, r := w.Verify(t.Context(), forge(tc.edits...), tc.expect)
			switch {
			case tc.want != policy.ReasonNone:
				refusedFor(t, tok, r, tc.want)
			case !r.OK():
				t.Fatalf("refused for %v (%s)", r.Reason, r.Detail)
			case tc.check != nil && !tc.check(tok):
				t.Fatalf("got %#v", *tok)
			}
		})
	}
}

func guids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%08d-0000-4000-8000-00000000000e", i)
	}
	return all
}

// Claims that name the caller are read from the token and from nowhere else.
func TestVerifyFillsTheToken(t *testing.T) {
	w := warm(t, nil)
	got := w.mustPass(t, forge(set("wids", []string{oid}), set("groups", guids(2)), set("acct", 0)))
	want := Token{
		Principal: policy.Principal{
			Kind: policy.PrincipalUser, TenantID: tenantT, ObjectID: oid, ClientID: client,
			Scopes: []string{"orders.read", "orders.write"}, Roles: []string{"Order.Reader"}, Groups: guids(2), WIDs: []string{oid},
		},
		DisplayName: "Alice", TokenID: "uti-1", SessionID: "sid-1",
		IssuedAt: start.Add(-time.Minute), NotBefore: start.Add(-time.Minute), ExpiresAt: start.Add(time.Hour),
		GroupsPresent: true, ClientAuth: "1", Guest: GuestNo, Provider: "entra login.microsoftonline.com",
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", struct{ Token }{*got}.Principal, want.Principal)
	}
}

// A token that was proven keeps its texts when its scratch serves another one.
func TestTokensShareNoMemory(t *testing.T) {
	w := warm(t, nil)
	first := w.mustPass(t, forge(set("groups", guids(2))))
	want := mustJSON(*first)
	for range 10 {
		w.mustPass(t, forge(set("oid", client), set("name", "Mallory"), set("groups", guids(9)), set("scp", "other")))
	}
	if got := mustJSON(*first); got != want {
		t.Errorf("it changed from %s to %s", want, got)
	}
}

func TestTenantsAreToldApart(t *testing.T) {
	w := warm(t, nil)
	for name, tc := range map[string]struct {
		edit edit
		want policy.Reason
	}{
		"an unknown tenant in upper case is unknown": {set("tid", "99999999-CCCC-4CCC-8CCC-999999999999"), policy.TenantNotAllowed},
		"a text of a GUID's length is no tenant":     {set("iss", issuerOf(strings.Repeat("x", 36))), policy.IssuerUntrusted},
		"another tenant is another tenant":           {set("iss", issuerOf(tenantX)), policy.TenantMismatch},
	} {
		t.Run(name, func(t *testing.T) { w.mustRefuse(t, forge(tc.edit), tc.want) })
	}
}

func TestVerifyWithoutAudienceRefuses(t *testing.T) {
	w := warm(t, nil)
	tok, r := w.Verify(t.Context(), good(), Expect{})
	refusedFor(t, tok, r, policy.AudienceMismatch)
}

// The integers of a payload are those that every reader reads alike.
func TestIntegersKeepWithin53Bits(t *testing.T) {
	w := warm(t, nil)
	for text, want := range map[string]policy.Reason{
		"9007199254740992":  policy.TokenLifetimeExcessive,
		"9007199254740993":  policy.ClaimsMalformed,
		"-9007199254740992": policy.TokenExpired,
		"-9007199254740993": policy.ClaimsMalformed,
	} {
		w.mustRefuse(t, forge(set("exp", json.RawMessage(text))), want)
	}
}
