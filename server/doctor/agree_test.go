package doctor_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/doctor"
	"github.com/verdict-authz/verdict/server/entra"
)

// bad are tokens that a server may refuse: every way that one edit of a good token can go wrong, in the order of the
// checks. Whether it does refuse them is the verifier's to say.
func bad() map[string]string {
	tokens := map[string]string{}
	add := func(name string, edits ...edit) { tokens[name] = forge(edits...) }
	text := func(name string, change func(string) string) { add(name, then(change)) }

	for _, c := range []string{" ", "\n", "\t", "=", "+", "%2E", "\x00", "é", ",", "\""} {
		text("behind it "+c, func(s string) string { return s + c })
		text("before it "+c, func(s string) string { return c + s })
		text("inside it "+c, func(s string) string { return s[:50] + c + s[50:] })
	}
	text("empty", func(string) string { return "" })
	text("a word", func(string) string { return "token" })
	text("a JSON form", func(s string) string {
		p := strings.Split(s, ".")
		return mustJSON(object{"protected": p[0], "payload": p[1], "signature": p[2]})
	})
	text("claims alone", func(s string) string { return strings.Split(s, ".")[1] })
	text("no signature", func(s string) string { return s[:strings.LastIndexByte(s, '.')+1] })
	text("two segments", func(s string) string { return s[:strings.LastIndexByte(s, '.')] })
	text("four segments", func(s string) string { return s + ".AAAA" })
	text("five segments", func(s string) string { return s + ".AAAA.AAAA" })
	text("no claims", func(s string) string { p := strings.Split(s, "."); return p[0] + ".." + p[2] })
	text("cut", func(s string) string { return s[:len(s)-1] })
	text("a bit more", func(s string) string { return s + "A" })
	for i := range 20 {
		text("flipped "+string(rune('a'+i)), func(s string) string {
			b := []byte(s)
			at := (i*len(b))/20 + 3
			if b[at] == 'A' {
				b[at] = 'B'
			} else {
				b[at] = 'A'
			}
			return string(b)
		})
	}
	add("long", set("x", strings.Repeat("x", 40<<10)))

	for _, alg := range []any{"none", "None", "HS256", "RS384", "PS256", "ES256", "rs256", "", 1, nil, []string{"RS256"}} {
		add("alg "+mustJSON(alg), hdr("alg", alg))
	}
	add("no alg", noHdr("alg"))
	add("no kid", noHdr("kid"))
	for _, v := range []any{1, nil, "", "../../etc/passwd", "https://evil.test/k", "' OR 1=1--", strings.Repeat("k", 300), "kid\u202e", strings.ToLower(kid), "KID-ABCDEF"} {
		add("kid "+mustJSON(v), hdr("kid", v))
	}
	for _, member := range []string{"crit", "b64", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip", "nonce", "CRIT", "Kid", "ALG"} {
		add("header "+member, hdr(member, "x"))
	}
	add("x5t of another", hdr("x5t", "x"))
	add("x5t of the same", hdr("x5t", kid))
	for _, typ := range []any{"at+jwt", "pop", "jwt", 1} {
		add("typ "+mustJSON(typ), hdr("typ", typ))
	}
	add("no typ", noHdr("typ"))

	claims := []string{
		"iss", "aud", "tid", "oid", "ver", "azp", "appid", "azpacr", "idtyp", "scp", "uti", "sid", "tfp", "acr", "idp", "xms_idrel", "name",
		"preferred_username", "iat", "nbf", "exp", "auth_time", "acct", "roles", "wids", "acrs", "xms_cc", "groups", "hasgroups",
		"_claim_names", "cnf", "nonce", "at_hash", "c_hash",
	}
	values := []any{nil, true, false, "", " ", "x", "1.0", "2.0", "user", "app", "\u0000", "\u0085", 0, -1, 1.5, 1e300, int64(1) << 53, int64(1)<<53 + 1,
		[]any{}, []any{"x"}, []any{1}, []any{nil}, object{}, object{"groups": 1}, tenant, strings.ToUpper("aaaaaaaa-0000-4000-8000-00000000000a")}
	for _, claim := range claims {
		add("no "+claim, del(claim))
		add("app, no "+claim, app, del(claim))
		add("twice "+claim, more(`,"`+claim+`":1,"`+claim+`":1`))
		add("in upper case "+claim, more(`,"`+strings.ToUpper(claim)+`":1`))
		for _, v := range values {
			add(claim+" "+mustJSON(v), set(claim, v))
			switch claim { // what is read differently of applications and of v1 tokens
			case "iss", "aud", "ver", "azp", "appid", "idtyp", "scp", "roles":
				add("app, "+claim+" "+mustJSON(v), app, set(claim, v))
				add("v1, "+claim+" "+mustJSON(v), v1, set("aud", audience), set(claim, v))
			}
		}
	}
	for name, text := range map[string]string{
		"array": "[]", "text": `"x"`, "null": "null", "nothing": " ", "two objects": "{}{}", "deep": `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}",
		"not UTF-8": "{\"x\":\"\xff\"}", "a surrogate": `{"x":"\ud800"}`, "a byte order mark": "\ufeff{}",
	} {
		add("claims are "+name, raw(text))
	}
	add("not UTF-8 inside", more(",\"x\":\"\xff\""))
	add("a lone surrogate inside", more(`,"x":"\ud800"`))
	add("deep inside", more(`,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)))
	add("twice in an unknown claim", more(`,"x":{"a":1,"a":2}`))

	for _, iss := range []string{
		issuerOf(tenant) + "/", issuerOf(second), issuerOf(other), v1Issuer(tenant), v1Issuer(other), strings.ToUpper(issuerOf(tenant)),
		"https://login.microsoftonline.us/" + tenant + "/v2.0", authority + "/common/v2.0", authority + "/{tenantid}/v2.0",
		"https://login.microsoftonline.com.evil.test/" + tenant + "/v2.0", "https://sts.chinacloudapi.cn/" + tenant + "/", issuerOf(tenant) + "?x",
	} {
		add("iss "+iss, set("iss", iss))
		add("v1, iss "+iss, v1, set("aud", audience), set("iss", iss))
	}
	for _, tid := range []string{other, second, "9188040d-6c67-4c5b-b112-36a304b66dad", "common", "{" + tenant + "}", strings.ToUpper("11111111-aaaa-4111-8111-111111111111")} {
		add("tid "+tid, set("tid", tid))
		add("tid and iss "+tid, set("tid", tid), set("iss", issuerOf(tid)))
		add("all of "+tid, set("tid", tid), set("iss", issuerOf(tid)), hdr("kid", kidSecond))
	}
	for _, aud := range []string{"api://" + audience, "api://" + audience + "/", audience + "/", strings.ToUpper(audience), client, other, "https://graph.microsoft.com", "spn:" + audience} {
		add("aud "+aud, set("aud", aud))
		add("v1, aud "+aud, v1, set("aud", aud))
	}
	for _, s := range []int64{-100000, -3600, -61, -60, -59, -1, 0, 1, 59, 60, 61, 62, 3600, 28 * 3600, 28*3600 + 61, 1 << 40} {
		for _, claim := range []string{"exp", "nbf", "iat"} {
			add(claim+" in "+time.Duration(s*int64(time.Second)).String(), set(claim, seconds(s)))
		}
	}
	add("another key", rogue)
	for _, id := range []string{"kid-New", kidSecond, kidV1} {
		add("key "+id, hdr("kid", id))
		add("v1 key "+id, v1, set("aud", audience), hdr("kid", id), hdr("x5t", id))
	}
	add("a user", set("x", 1))
	add("an application", app)
	add("an application with a scope of /", app, set("scp", "/"))
	add("v1", v1)
	add("v1 with the client id", v1, set("aud", audience))
	add("v1 of v2's version", v1, set("aud", audience), set("ver", "2.0"))
	add("azp and appid equal", set("appid", client))
	add("azp and appid differ", set("appid", other))
	add("groups of numbers", set("groups", []any{1}))
	add("groups of nulls", set("groups", []any{nil}))
	add("groups with a control character", set("groups", []any{"a\u0001"}))
	add("scope of spaces", set("scp", "  "))
	add("scope of /", set("scp", "/"))
	add("scope with a tab", set("scp", "a\tb"))
	return tokens
}

// configurations are those that serve can have from its flags.
func configurations(w *world) map[string]doctor.Config {
	all := map[string]doctor.Config{"as is": w.config()}
	change := func(name string, f func(*doctor.Config)) {
		c := w.config()
		f(&c)
		all[name] = c
	}
	change("v1 tokens", func(c *doctor.Config) { c.Entra.Providers[0].AcceptV1 = true })
	change("idtyp may be missing", func(c *doctor.Config) { c.Entra.Providers[0].AllowMissingIDType = true })
	change("applications without roles", func(c *doctor.Config) { c.AllowAppsWithoutRoles = true })
	change("two tenants and an App ID URI", func(c *doctor.Config) {
		c.Entra.Providers[0].Tenants = []string{tenant, second}
		c.Audiences = []string{audience, "api://" + audience}
		c.Entra.Skew = 300 * time.Second
	})
	return all
}

// The doctor never calls a token good that a server refuses, nor bad that it accepts; and when it is bad, a step before
// the server's own words says where.
func TestDoctorAgreesWithTheVerifier(t *testing.T) {
	tokens := bad()
	for name, cfg := range configurations(newWorld()) {
		t.Run(name, func(t *testing.T) {
			// A verifier of its own: what it remembers of unknown keys is not the doctor's.
			v, err := entra.NewVerifier(cfg.Entra, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			d, err := doctor.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			want := entra.Expect{Audiences: cfg.Audiences, AllowAppsWithoutRoles: cfg.AllowAppsWithoutRoles}
			refused := 0
			for what, token := range tokens {
				_, r := v.Verify(t.Context(), token, want)
				report := d.ExamineToken(t.Context(), token)
				if r.OK() {
					if report.Result == doctor.Fail || report.Reason != "" {
						t.Errorf("%s: accepted, and the doctor says\n%s", what, told(t, report))
					}
					continue
				}
				refused++
				if report.Result != doctor.Fail || report.Reason != r.Reason.String() {
					t.Errorf("%s: refused with %s, and the doctor says %s %q", what, r.Reason, report.Result, report.Reason)
				}
				named := 0
				for _, s := range report.Steps[:len(report.Steps)-1] {
					if s.Status == doctor.Fail {
						named++
					}
				}
				if named == 0 {
					t.Errorf("%s: refused with %s (%s), and no step says where", what, r.Reason, r.Detail)
				}
			}
			if refused < 1000 || refused == len(tokens) {
				t.Errorf("%d of %d tokens were refused", refused, len(tokens))
			}
		})
	}
}
