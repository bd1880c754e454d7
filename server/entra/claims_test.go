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

// What the catalogue does not name.
func TestClaims(t *testing.T) {
	for name, tc := range map[string]claimCase{
		"acrs as text is absent":                   {edits: []edit{set("acrs", "c1")}, check: func(t *Token) bool { return t.AuthContexts == nil }},
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
		t.Run(name, tc.run)
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
