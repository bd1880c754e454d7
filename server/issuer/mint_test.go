package issuer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func part(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	return members
}

func headerOf(t *testing.T, token string) map[string]any { t.Helper(); return part(t, token, 0) }
func claimsOf(t *testing.T, token string) map[string]any { t.Helper(); return part(t, token, 1) }

// absent is what a claim is compared with that must not be there.
var absent = struct{}{}

func list(values ...any) []any { return values }

func TestMint(t *testing.T) {
	const otherTenant = "99999999-9999-4999-8999-999999999999"
	i := newIssuer(t, Config{Tenants: []string{DevTenant, otherTenant}})
	age := 10 * time.Minute
	at := func(d time.Duration) any { return float64(noon.Add(d).Unix()) }
	for name, tc := range map[string]struct {
		r    Request
		want map[string]any
	}{
		"a user": {Request{Persona: "alice"}, map[string]any{
			"aud": DevAudience, "iss": DefaultBaseURL + "/" + DevTenant + "/v2.0", "tid": DevTenant, "oid": AliceID, "ver": "2.0",
			"idtyp": "user", "azp": DevClient, "azpacr": "0", "name": "Alice Adams", "preferred_username": "alice@dev.example",
			"scp": DevScope, "groups": list(GroupReaders, GroupWriters), "iat": at(0), "nbf": at(0), "exp": at(time.Hour),
			"roles": absent, "wids": absent, "acrs": absent, "xms_cc": absent, "auth_time": absent, "appid": absent,
			"hasgroups": absent, "_claim_names": absent, "nonce": absent,
		}},
		"a user in no group": {Request{Persona: "mallory"}, map[string]any{"oid": MalloryID, "groups": absent, "hasgroups": absent}},
		"an application": {Request{Persona: "nightly"}, map[string]any{
			"oid": NightlyID, "sub": NightlyID, "idtyp": "app", "azp": NightlyClient, "azpacr": "1", "roles": list(RoleReadAll),
			"scp": absent, "groups": absent, "preferred_username": absent, "name": absent, "sid": absent,
			"app_displayname": "Nightly export",
		}},
		"a user, version 1.0": {Request{Persona: "bob", Version: "1.0"}, map[string]any{
			"ver": "1.0", "iss": DefaultBaseURL + "/" + DevTenant + "/", "appid": DevClient, "appidacr": "0", "upn": "bob@dev.example",
			"azp": absent, "azpacr": absent, "preferred_username": absent, "groups": list(GroupReaders),
		}},
		"an application, version 1.0": {Request{Persona: "nightly", Version: "1.0"}, map[string]any{
			"ver": "1.0", "appid": NightlyClient, "appidacr": "1", "azp": absent,
		}},
		"another tenant": {Request{Persona: "alice", Tenant: otherTenant}, map[string]any{
			"tid": otherTenant, "iss": DefaultBaseURL + "/" + otherTenant + "/v2.0"}},
		"another audience": {Request{Persona: "alice", Audience: "api://x"}, map[string]any{"aud": "api://x"}},
		"other lists": {Request{Persona: "alice", Scopes: []string{"a", "b"}, Roles: []string{"R"}, Groups: []string{"g"}, WIDs: []string{"w"},
			ACRs: []string{"c1"}, Capabilities: []string{"cp1"}}, map[string]any{
			"scp": "a b", "roles": list("R"), "groups": list("g"), "wids": list("w"), "acrs": list("c1"), "xms_cc": list("cp1")}},
		"empty lists": {Request{Persona: "alice", Scopes: []string{}, Groups: []string{}}, map[string]any{"scp": absent, "groups": absent}},
		"overage by claim names": {Request{Persona: "alice", Overage: OverageClaimNames}, map[string]any{
			"groups": absent, "hasgroups": absent, "_claim_names": map[string]any{"groups": "src1"},
			"_claim_sources": map[string]any{"src1": map[string]any{
				"endpoint": "https://graph.windows.net/" + DevTenant + "/users/" + AliceID + "/getMemberObjects"}}}},
		"overage of an application": {Request{Persona: "nightly", Overage: OverageClaimNames}, map[string]any{
			"_claim_sources": map[string]any{"src1": map[string]any{
				"endpoint": "https://graph.windows.net/" + DevTenant + "/servicePrincipals/" + NightlyID + "/getMemberObjects"}}}},
		"overage by a string":  {Request{Persona: "alice", Overage: OverageString}, map[string]any{"groups": "src1", "_claim_names": absent}},
		"overage by hasgroups": {Request{Persona: "alice", Overage: OverageHasGroups}, map[string]any{"groups": absent, "hasgroups": true, "_claim_names": absent}},
		"a short life":         {Request{Persona: "alice", Lifetime: time.Minute}, map[string]any{"exp": at(time.Minute), "iat": at(0)}},
		"expired, nothing else wrong": {Request{Persona: "alice", Lifetime: -time.Minute}, map[string]any{
			"exp": at(-time.Minute), "nbf": at(-61 * time.Minute), "iat": at(-61 * time.Minute)}},
		"an age of the sign-in": {Request{Persona: "alice", AuthAge: &age}, map[string]any{"auth_time": at(-age)}},
		"claims are added, replaced and removed": {Request{Persona: "alice", Claims: map[string]any{"acct": 1, "oid": "x", "ver": nil}},
			map[string]any{"acct": 1.0, "oid": "x", "ver": absent}},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := i.Mint(tc.r)
			if err != nil {
				t.Fatal(err)
			}
			claims := claimsOf(t, token)
			for claim, want := range tc.want {
				got, there := claims[claim]
				if want == absent {
					if there {
						t.Errorf("%s is there: %v", claim, got)
					}
				} else if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v; want %v", claim, got, want)
				}
			}
			header := headerOf(t, token)
			if header["alg"] != "RS256" || header["typ"] != "JWT" || header["kid"] != i.Kids()[0] {
				t.Errorf("header %v", header)
			}
			if v1 := claims["ver"] == "1.0"; (header["x5t"] == header["kid"]) != v1 {
				t.Errorf("x5t %v in version %v", header["x5t"], claims["ver"])
			}
		})
	}
}

func TestMintRefuses(t *testing.T) {
	i := newIssuer(t, Config{})
	for name, r := range map[string]Request{
		"nobody":                  {},
		"somebody unknown":        {Persona: "eve"},
		"a tenant unknown":        {Persona: "alice", Tenant: "99999999-9999-4999-8999-999999999999"},
		"a version unknown":       {Persona: "alice", Version: "3.0"},
		"an overage unknown":      {Persona: "alice", Overage: "some"},
		"an app with a scope":     {Persona: "nightly", Scopes: []string{"a"}},
		"claims that no JSON has": {Persona: "alice", Claims: map[string]any{"x": func() {}}},
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := i.Mint(r); !errors.Is(err, ErrRequest) || token != "" {
				t.Errorf("token %q, error %v", token, err)
			}
		})
	}
}

func TestTokensOfTheSameRequestDiffer(t *testing.T) {
	i := newIssuer(t, Config{})
	seen := make(map[string]bool)
	for range 20 {
		token, err := i.Mint(Request{Persona: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		claims := claimsOf(t, token)
		for _, name := range []string{"uti", "sid", "aio", "rh"} {
			value, _ := claims[name].(string)
			if len(value) < 22 || seen[value] {
				t.Fatalf("%s %q is short or was there before", name, value)
			}
			seen[value] = true
		}
		if !guidText.MatchString(claims["sid"].(string)) {
			t.Fatalf("sid %v", claims["sid"])
		}
	}
}

func TestSubjectIsPairwise(t *testing.T) {
	i := newIssuer(t, Config{})
	sub := func(r Request) any {
		token, err := i.Mint(r)
		if err != nil {
			t.Fatal(err)
		}
		return claimsOf(t, token)["sub"]
	}
	alice := sub(Request{Persona: "alice"})
	if alice != sub(Request{Persona: "alice"}) {
		t.Error("another one each time")
	}
	if alice == sub(Request{Persona: "alice", Audience: "other"}) || alice == sub(Request{Persona: "bob"}) || alice == AliceID {
		t.Error("the same one in another application, of another user, or the object id")
	}
}

func decode(t *testing.T, text string) string {
	t.Helper()
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}
