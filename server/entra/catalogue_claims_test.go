package entra

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// twice writes a claim a second time.
func twice(name, value string) func() string { return plain(more(`,"` + name + `":` + value)) }

// number sets a claim to a number as written.
func number(name, text string) func() string { return plain(set(name, json.RawMessage(text))) }

var structureCases = map[int]entry{
	104: {name: "tid twice", token: twice("tid", `"`+tenantT+`"`), want: is(policy.DuplicateMember)},
	105: {name: "tid and TID", token: twice("TID", `"`+tenantT2+`"`), want: is(policy.DuplicateMember)},
	106: {name: "tid and t\\u0069d", token: twice(`t\u0069d`, `"`+tenantT2+`"`), want: is(policy.DuplicateMember)},
	107: {name: "iss twice", token: twice("iss", `"x"`), want: is(policy.DuplicateMember)},
	108: {name: "aud twice", token: twice("aud", `"x"`), want: is(policy.DuplicateMember)},
	109: {name: "oid twice", token: twice("oid", `"x"`), want: is(policy.DuplicateMember)},
	110: {name: "scp twice", token: twice("scp", `"x"`), want: is(policy.DuplicateMember)},
	111: {name: "roles twice", token: twice("roles", `[]`), want: is(policy.DuplicateMember)},
	112: {name: "groups twice", token: plain(more(`,"groups":[],"groups":[]`)), want: is(policy.DuplicateMember)},
	113: {name: "exp twice", token: twice("exp", `1`), want: is(policy.DuplicateMember)},
	114: {name: "invalid UTF-8", token: plain(more(",\"x\":\"\xff\"")), want: is(policy.ClaimsMalformed)},
	115: {name: "lone surrogate", token: plain(more(`,"x":"\ud800"`)), want: is(policy.ClaimsMalformed)},
	116: {name: "U+0000 in oid, tid, role", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(set("oid", oid[:35]+"\x00")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("tid", tenantT[:35]+"\x00")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("roles", []string{"Order.Reader\x00"})), policy.ClaimsMalformed)
	}},
	117: {name: "bytes after the object", token: plain(func(f *forgery) { f.rawClaims = mustJSON(f.claims) + "x" }), want: is(policy.ClaimsMalformed)},
	118: {name: "a second object", token: plain(func(f *forgery) { f.rawClaims = mustJSON(f.claims) + "{}" }), want: is(policy.ClaimsMalformed)},
	119: {name: "byte order mark", token: plain(func(f *forgery) { f.rawClaims = "\ufeff" + mustJSON(f.claims) }), want: is(policy.ClaimsMalformed)},
	120: {name: "payload an array", token: plain(raw(`[]`)), want: is(policy.ClaimsMalformed)},
	121: {name: "payload a string", token: plain(raw(`"x"`)), want: is(policy.ClaimsMalformed)},
	122: {name: "payload null", token: plain(raw(`null`)), want: is(policy.ClaimsMalformed)},
	123: {name: "empty payload", want: is(policy.TokenMalformed), token: func() string {
		h, _, s := parts(good())
		return h + ".." + s
	}},
	124: {name: "Cyrillic letter in oid", token: plain(set("oid", "\u0430"+oid[1:])), want: is(policy.ClaimsMalformed)},
	125: {name: "Cyrillic letter in a role", token: plain(set("roles", []string{"Order.Re\u0430der"})), check: func(t *testing.T, tok *Token) {
		if slices.Contains(tok.Principal.Roles, "Order.Reader") {
			t.Error("the role was taken for another")
		}
	}},
	126: {name: "role in NFD where the rule is NFC", token: plain(set("roles", []string{"Pru\u0308fer"})), check: func(t *testing.T, tok *Token) {
		if slices.Contains(tok.Principal.Roles, "Pr\u00fcfer") || !slices.Contains(tok.Principal.Roles, "Pru\u0308fer") {
			t.Error("the role was normalised")
		}
	}},
	127: {name: "tid in upper case, iss in lower case", token: plain(set("tid", "11111111-AAAA-4AAA-8AAA-111111111111")), want: is(policy.TenantMismatch)},
	128: {name: "tid with braces or without hyphens", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(set("tid", "{"+tenantT+"}")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("tid", "11111111aaaa4aaa8aaa111111111111")), policy.ClaimsMalformed)
	}},
	129: {name: "unknown extra claims", token: plain(set("x", object{"y": []any{1, nil, "z", true, 1.5}}), set("aio", "AX"))},
}

// seconds are after start.
func seconds(n int64) int64 { return start.Unix() + n }

var timeCases = map[int]entry{
	130: {name: "exp missing", token: plain(del("exp")), want: is(policy.ClaimsMalformed)},
	131: {name: "exp null", token: number("exp", "null"), want: is(policy.ClaimsMalformed)},
	132: {name: "exp true", token: number("exp", "true"), want: is(policy.ClaimsMalformed)},
	133: {name: "exp an array", token: number("exp", "[]"), want: is(policy.ClaimsMalformed)},
	134: {name: "exp an object", token: number("exp", "{}"), want: is(policy.ClaimsMalformed)},
	135: {name: "exp 0", token: number("exp", "0"), want: is(policy.TokenExpired)},
	136: {name: "exp -1", token: number("exp", "-1"), want: is(policy.TokenExpired)},
	137: {name: "exp a text", token: number("exp", `"1999999999"`), want: is(policy.ClaimsMalformed)},
	138: {name: "exp an RFC 3339 text", token: number("exp", `"2030-01-01T00:00:00Z"`), want: is(policy.ClaimsMalformed)},
	139: {name: "exp a fraction", token: number("exp", "1999999999.5"), want: is(policy.ClaimsMalformed)},
	140: {name: "exp 1e400", token: number("exp", "1e400"), want: is(policy.ClaimsMalformed)},
	141: {name: "exp beyond int64", token: number("exp", "9223372036854775808"), want: is(policy.ClaimsMalformed)},
	142: {name: "exp 1e18", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, number("exp", "1e18")(), policy.ClaimsMalformed)
		w.mustRefuse(t, number("exp", "1000000000000000000")(), policy.ClaimsMalformed)
	}},
	143: {name: "exp in milliseconds", token: number("exp", "1000000000000"), want: is(policy.TokenLifetimeExcessive)},
	144: {name: "59 s after exp", token: good, at: 3659 * time.Second},
	145: {name: "60 s after exp", token: good, at: 3660 * time.Second, want: is(policy.TokenExpired)},
	146: {name: "61 s after exp", token: good, at: 3661 * time.Second, want: is(policy.TokenExpired)},
	147: {name: "nbf in 60 s", token: plain(set("nbf", seconds(60)))},
	148: {name: "nbf in 61 s", token: plain(set("nbf", seconds(61))), want: is(policy.TokenNotYetValid)},
	149: {name: "nbf after exp", token: plain(set("nbf", seconds(3601))), want: is(policy.ClaimsMalformed)},
	150: {name: "iat in 61 s", token: plain(set("iat", seconds(61))), want: is(policy.TokenNotYetValid)},
	151: {name: "iat or nbf missing", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(del("iat")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(del("nbf")), policy.ClaimsMalformed)
	}},
	152: {name: "lifetime of 28 h", token: plain(set("iat", seconds(0)), set("exp", seconds(28*3600)))},
	153: {
		name: "lifetime of 28 h and 61 s", token: plain(set("iat", seconds(0)), set("exp", seconds(28*3600+61))),
		want: is(policy.TokenLifetimeExcessive),
	},
	154: {name: "a good token asked again after exp", run: func(t *testing.T) {
		w := warm(t, nil)
		token := good()
		w.mustPass(t, token)
		w.at(3661 * time.Second)
		w.mustRefuse(t, token, policy.TokenExpired)
	}},
}
