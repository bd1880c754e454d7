package doctor_test

import (
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/doctor"
)

// What people get wrong is named by the step that it belongs to, with a cause and a place to mend it.
func TestWhatIsWrongIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		edits  []edit
		change func(*doctor.Config)
		step   string
		status doctor.Status
		reason string
		says   []string
	}{
		"a v1 token for a v2 api": {
			edits: []edit{v1}, step: "version", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"a v1 token for a v2 api", "requestedAccessTokenVersion 2", "--accept-v1-tokens"},
		},
		"the App ID URI of a v1 token instead of the client id": {
			edits: []edit{v1}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{`aud "api://` + audience + `", the App ID URI of the api instead of its client id`, "v1 tokens carry the App ID URI", "aud is then the client id"},
		},
		"an App ID URI that is not made of the client id": {
			edits: []edit{set("aud", "api://orders.example.com")}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"an App ID URI", "or it is the URI of another api"},
		},
		"the App ID URI is configured": {
			change: func(c *doctor.Config) { c.Audiences = []string{"api://" + audience} }, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"the client id of the api, while its App ID URI is configured"},
		},
		"a token for Graph": {
			edits: []edit{set("aud", "00000003-0000-0000-c000-000000000000")}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"which is Microsoft Graph", "not User.Read"},
		},
		"a token for Graph by its address": {
			edits: []edit{set("aud", "https://graph.microsoft.com/")}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"which is Microsoft Graph"},
		},
		"a Graph token has a nonce": {
			edits: []edit{hdr("nonce", "n")}, step: "header", status: doctor.Fail, reason: "NONCE_TOKEN_UNVERIFIABLE",
			says: []string{"issued for Microsoft Graph or another Microsoft api"},
		},
		"a token for another api": {
			edits: []edit{set("aud", "44444444-4444-4444-8444-444444444444")}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH",
			says: []string{"the client id of another api"},
		},
		"a token for the client": {
			edits: []edit{set("aud", client)}, step: "audience", status: doctor.Fail, reason: "AUDIENCE_MISMATCH", says: []string{"the client itself"},
		},
		"an audience in another case": {
			edits:  []edit{set("aud", strings.ToUpper(audience[:8])+audience[8:]), set("aud", "API://x")},
			change: func(c *doctor.Config) { c.Audiences = []string{"api://X"} }, step: "audience", status: doctor.Fail,
			reason: "AUDIENCE_MISMATCH", says: []string{"in case or a final slash only"},
		},
		"a stale key": {
			edits: []edit{hdr("kid", "kid-New")}, step: "key", status: doctor.Fail, reason: "KEY_UNKNOWN", says: []string{"none of 1 key", "claims mapping"},
		},
		"the key of another tenant": {
			edits: []edit{hdr("kid", kidSecond)}, change: func(c *doctor.Config) { c.Entra.Providers[0].Tenants = []string{tenant, second} },
			step: "key", status: doctor.Fail, reason: "KEY_UNKNOWN", says: []string{"it is published for " + second + " only"},
		},
		"the wrong tenant": {
			edits: []edit{set("tid", other), set("iss", issuerOf(other))}, step: "tenant", status: doctor.Fail, reason: "TENANT_NOT_ALLOWED",
			says: []string{`tid "` + other + `" instead of ` + tenant, "/common"},
		},
		"a personal account": {
			edits: []edit{set("tid", "9188040d-6c67-4c5b-b112-36a304b66dad")}, step: "tenant", status: doctor.Fail, reason: "TENANT_NOT_ALLOWED",
			says: []string{"personal Microsoft accounts"},
		},
		"another cloud": {
			edits: []edit{set("iss", "https://login.microsoftonline.us/"+tenant+"/v2.0")}, step: "token-issuer", status: doctor.Fail, reason: "ISSUER_UNTRUSTED",
			says: []string{"the issuer is that of the US Government cloud"},
		},
		"a slash too many": {
			edits: []edit{set("iss", issuerOf(tenant)+"/")}, step: "token-issuer", status: doctor.Fail, reason: "ISSUER_UNTRUSTED", says: []string{"a final slash"},
		},
		"B2C": {
			edits: []edit{set("iss", "https://contoso.b2clogin.com/"+tenant+"/v2.0/")}, step: "token-issuer", status: doctor.Fail, reason: "ISSUER_UNTRUSTED", says: []string{"B2C"},
		},
		"iss of another tenant": {
			edits: []edit{set("iss", issuerOf(second))}, step: "token-issuer", status: doctor.Fail, reason: "TENANT_MISMATCH", says: []string{"another tenant than tid"},
		},
		"idtyp is missing": {
			edits: []edit{del("idtyp")}, step: "type", status: doctor.Fail, reason: "TOKEN_TYPE_REFUSED", says: []string{`{"name": "idtyp", "additionalProperties": ["include_user_token"]}`},
		},
		"an ID token": {
			edits: []edit{set("nonce", "n")}, step: "type", status: doctor.Fail, reason: "TOKEN_TYPE_REFUSED", says: []string{"this is an ID token", "access_token"},
		},
		"an application without roles": {
			edits: []edit{app, del("roles")}, step: "permissions", status: doctor.Fail, reason: "TOKEN_TYPE_REFUSED", says: []string{"0 scopes, 0 roles", "App roles", "Grant admin consent"},
		},
		"a user without a scope": {
			edits: []edit{del("scp")}, step: "permissions", status: doctor.Fail, reason: "TOKEN_TYPE_REFUSED", says: []string{"Expose an API"},
		},
		"no groups claim": {
			edits: []edit{del("groups")}, step: "groups", status: doctor.Warn, says: []string{"no claim groups", "Add groups claim"},
		},
		"too many groups, by _claim_names": {
			edits: []edit{del("groups"), set("_claim_names", object{"groups": "src1"})}, step: "groups", status: doctor.Warn,
			says: []string{"overage", "GroupMember.Read.All", "Groups assigned to the application", "GROUPS_UNRESOLVED"},
		},
		"too many groups, by hasgroups": {
			edits: []edit{del("groups"), set("hasgroups", true)}, step: "groups", status: doctor.Warn, says: []string{"overage"},
		},
		"too many groups, by a text": {
			edits: []edit{set("groups", "src1")}, step: "groups", status: doctor.Warn, says: []string{"overage"},
		},
		"groups as names": {
			edits: []edit{set("groups", []string{"Contoso\\Sales"})}, step: "groups", status: doctor.Warn, says: []string{"sent as names"},
		},
		"an expired token": {
			edits: []edit{set("exp", seconds(-600)), set("iat", seconds(-4200)), set("nbf", seconds(-4200))}, step: "times", status: doctor.Fail, reason: "TOKEN_EXPIRED",
			says: []string{"expires 2026-11-21T11:50:00Z, 10m0s ago"},
		},
		"a token of the future": {
			edits: []edit{set("iat", seconds(120)), set("nbf", seconds(120))}, step: "times", status: doctor.Fail, reason: "TOKEN_NOT_YET_VALID",
			says: []string{"valid in 2m0s", "clock"},
		},
		"milliseconds": {
			edits: []edit{set("exp", seconds(3600)*1000)}, step: "times", status: doctor.Fail, reason: "TOKEN_LIFETIME_EXCESSIVE", says: []string{"milliseconds"},
		},
		"a life of two days": {
			edits: []edit{set("exp", seconds(48*3600))}, step: "times", status: doctor.Fail, reason: "TOKEN_LIFETIME_EXCESSIVE", says: []string{"a life of 48h1m0s"},
		},
		"a token just over": {
			edits: []edit{set("exp", seconds(-10))}, step: "times", status: doctor.Warn, says: []string{"the clock skew still allows"},
		},
		"an altered token": {
			edits: []edit{then(func(s string) string {
				h, rest, _ := strings.Cut(s, ".")
				_, sig, _ := strings.Cut(rest, ".")
				_, foreign, _ := strings.Cut(forge(set("name", "Mallory")), ".")
				claims, _, _ := strings.Cut(foreign, ".")
				return h + "." + claims + "." + sig
			})}, step: "signature", status: doctor.Fail, reason: "SIGNATURE_INVALID", says: []string{"does not verify"},
		},
		"another environment's key of the same id": {edits: []edit{rogue}, step: "signature", status: doctor.Fail, reason: "SIGNATURE_INVALID"},
		"Bearer before the token": {
			edits: []edit{then(func(s string) string { return "Bearer " + s })}, step: "shape", status: doctor.Fail, reason: "TOKEN_MALFORMED", says: []string{"begins with Bearer"},
		},
		"quotes around the token": {
			edits: []edit{then(func(s string) string { return `"` + s + `"` })}, step: "shape", status: doctor.Fail, reason: "TOKEN_MALFORMED", says: []string{"quotes"},
		},
		"a line break": {
			edits: []edit{then(func(s string) string { return s[:40] + "\n" + s[40:] })}, step: "shape", status: doctor.Fail, reason: "TOKEN_MALFORMED", says: []string{"line break"},
		},
		"an encrypted token": {
			edits: []edit{then(func(s string) string { return s + ".AAAA.AAAA" })}, step: "shape", status: doctor.Fail, reason: "ENCRYPTED_TOKEN", says: []string{"Token encryption"},
		},
		"nothing": {edits: []edit{then(func(string) string { return "" })}, step: "shape", status: doctor.Fail, reason: "TOKEN_MALFORMED"},
		"a proof-of-possession token": {
			edits: []edit{set("cnf", object{"kid": "x"})}, step: "caller", status: doctor.Fail, reason: "BINDING_REQUIRED", says: []string{"bound to a key"},
		},
		"no oid":            {edits: []edit{del("oid")}, step: "caller", status: doctor.Fail, reason: "SUBJECT_MISSING"},
		"a claim twice":     {edits: []edit{more(`,"tid":"x"`)}, step: "claims", status: doctor.Fail, reason: "DUPLICATE_MEMBER", says: []string{"twice"}},
		"exp as a text":     {edits: []edit{set("exp", "1999999999")}, step: "claims", status: doctor.Fail, reason: "CLAIMS_MALFORMED", says: []string{"exp is not a whole number"}},
		"signed with HS256": {edits: []edit{hdr("alg", "HS256")}, step: "header", status: doctor.Fail, reason: "ALG_NOT_ALLOWED", says: []string{"the algorithm is HS256"}},
		"a huge token": {
			edits: []edit{set("x", strings.Repeat("x", 40<<10))}, step: "size", status: doctor.Fail, reason: "TOKEN_TOO_LARGE", says: []string{"Groups assigned to the application"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newWorld().config()
			if tc.change != nil {
				tc.change(&cfg)
			}
			r := examine(t, cfg, forge(tc.edits...))
			s := step(t, r, tc.step)
			if s.Status != tc.status || r.Reason != tc.reason {
				t.Fatalf("%+v, reason %q", s, r.Reason)
			}
			if s.Cause == "" || s.Fix == "" {
				t.Errorf("no cause or no fix: %+v", s)
			}
			for _, want := range tc.says {
				if !strings.Contains(s.Found+"\n"+s.Cause+"\n"+s.Fix, want) {
					t.Errorf("does not say %q: %+v", want, s)
				}
			}
			if (r.Result == doctor.Fail) != (tc.reason != "") {
				t.Errorf("the result is %s", r.Result)
			}
		})
	}
}

// Later steps are looked at even when the first one fails.
func TestEveryStepIsLookedAt(t *testing.T) {
	r := examine(t, newWorld().config(), forge(hdr("alg", "PS256"), set("aud", "api://x"), del("idtyp"), set("exp", seconds(-600)), then(func(s string) string { return " " + s })))
	for _, name := range []string{"shape", "header", "audience", "times", "type", "verdict"} {
		if s := step(t, r, name); s.Status != doctor.Fail {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for _, name := range []string{"tenant", "token-issuer", "key", "caller", "claims", "version"} {
		if s := step(t, r, name); s.Status != doctor.OK {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
