package entra

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

func plain(edits ...edit) func() string { return func() string { return forge(edits...) } }

// good is one good token for all that spoil it afterwards.
func good() string { return forge() }

// parts are the three segments of a token.
func parts(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

var transportCases = map[int]entry{
	1: {name: "no Authorization", header: func() string { return "" }, want: is(policy.TokenMissing)},
	2: {name: "scheme in lower case", header: func() string { return "bearer " + good() }},
	3: {name: "scheme in upper case", header: func() string { return "BEARER " + good() }},
	4: {name: "two spaces after the scheme", header: func() string { return "Bearer  " + good() }},
	5: {name: "bare token without scheme", header: good, want: is(policy.SchemeUnsupported)},
	6: {
		name: "scheme and token without a space", header: func() string { return "Bearer" + good() },
		want: is(policy.SchemeUnsupported),
	},
	7: {name: "tab as separator", header: func() string { return "Bearer\t" + good() }, want: is(policy.TokenMalformed)},
	8: {
		name: "no-break space as separator", header: func() string { return "Bearer\u00a0" + good() },
		want: is(policy.TokenMalformed),
	},
	9: {
		name:   "two Authorization headers merged, good one first",
		header: func() string { return "Bearer " + good() + "," + "Bearer x" },
		want:   is(policy.HeaderAmbiguous), door: "cmd/verdict: TestTransportThroughTheDoors",
	},
	10: {
		name:   "two Authorization headers merged, good one second",
		header: func() string { return "Bearer x," + "Bearer " + good() },
		want:   is(policy.HeaderAmbiguous), door: "cmd/verdict: TestTransportThroughTheDoors",
	},
	11: {
		name: "two credentials in one value", header: func() string { return "Bearer " + good() + ", Bearer x" },
		want: is(policy.HeaderAmbiguous),
	},
	12: {
		name: "another scheme before ours in one value", header: func() string { return "Basic x, Bearer " + good() },
		want: is(policy.HeaderAmbiguous),
	},
	13: {
		name: "9 to 12 through merged headers and header_map",
		door: "cmd/verdict: TestTransportThroughTheDoors",
	},
	14: {name: "DPoP", header: func() string { return "DPoP " + good() }, want: is(policy.SchemeUnsupported)},
	15: {name: "PoP", header: func() string { return "PoP " + good() }, want: is(policy.SchemeUnsupported)},
	16: {name: "MTLS_POP", header: func() string { return "MTLS_POP " + good() }, want: is(policy.SchemeUnsupported)},
	17: {
		name: "token in header and in access_token query",
		door: "cmd/verdict: TestTransportThroughTheDoors",
	},
	18: {
		name: "token only in query or form", header: func() string { return "" }, want: is(policy.TokenMissing),
		door: "cmd/verdict: TestTransportThroughTheDoors",
	},
	19: {name: "scheme with nothing behind", header: func() string { return "Bearer " }, want: is(policy.TokenMalformed)},
	20: {name: "space around the token", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, " "+good(), policy.TokenMalformed)
		w.mustRefuse(t, good()+" ", policy.TokenMalformed)
	}},
	21: {name: "newline after the token", token: func() string { return good() + "\n" }, want: is(policy.TokenMalformed)},
	22: {name: "NUL byte", token: func() string { return good() + "\x00" }, want: is(policy.TokenMalformed)},
	23: {name: "byte outside ASCII", token: func() string { return "\xe9" + good() }, want: is(policy.TokenMalformed)},
	24: {
		name: "percent-encoded token", want: is(policy.TokenMalformed),
		token: func() string { return strings.ReplaceAll(url.QueryEscape(good()), ".", "%2E") },
	},
}

// sized is a good token of exactly n bytes.
func sized(n int) string {
	for pad := range 3 { // in the header, to reach the lengths that base64 of the payload alone cannot
		fill := (n - len(forge(moreHeader(`,"pad":"`+strings.Repeat("x", pad)+`"`), set("fill", "")))) * 3 / 4
		for ; fill > 0; fill-- {
			token := forge(moreHeader(`,"pad":"`+strings.Repeat("x", pad)+`"`), set("fill", strings.Repeat("f", fill)))
			if len(token) == n {
				return token
			}
			if len(token) < n {
				break
			}
		}
	}
	panic("no token of this size")
}

var shapeCases = map[int]entry{
	25: {name: "exactly 32 KiB", token: func() string { return sized(32 << 10) }},
	26: {name: "one byte more", token: func() string { return sized(32<<10 + 1) }, want: is(policy.TokenTooLarge)},
	27: {name: "2 MiB, refused before anything is decoded", run: func(t *testing.T) {
		w := warm(t, nil)
		huge := good() + strings.Repeat("A", 2<<20)
		w.mustRefuse(t, huge, policy.TokenTooLarge)
		if n := testing.AllocsPerRun(100, func() { _, _ = w.ask(huge) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
		fastest := time.Hour
		for range 20 {
			began := time.Now()
			_, _ = w.present("Bearer " + huge)
			fastest = min(fastest, time.Since(began))
		}
		if fastest > time.Millisecond {
			t.Errorf("took %v", fastest)
		}
	}},
	28: {name: "10 000 groups", want: is(policy.TokenTooLarge), token: func() string {
		groups := make([]string, 10_000)
		for i := range groups {
			groups[i] = fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		}
		return forge(set("groups", groups))
	}},
	29: {name: "payload nested 33 deep", run: func(t *testing.T) {
		w := warm(t, nil)
		nested := func(n int) string { // the object itself is one level
			return forge(more(`,"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1)))
		}
		w.mustPass(t, nested(32))
		w.mustRefuse(t, nested(33), policy.ClaimsMalformed)
		w.mustRefuse(t, nested(9000), policy.ClaimsMalformed)
	}},
	30: {name: "two segments", want: is(policy.TokenMalformed), token: func() string {
		h, p, _ := parts(good())
		return h + "." + p
	}},
	31: {name: "four segments", token: func() string { return good() + ".AA" }, want: is(policy.TokenMalformed)},
	32: {name: "five segments", token: func() string { return good() + "..AA" }, want: is(policy.EncryptedToken)},
	33: {name: "flattened JSON of a good token", token: func() string { return flattened(good(), "") }, want: is(policy.TokenMalformed)},
	34: {name: "general JSON with a bad and a good signature", want: is(policy.TokenMalformed), token: func() string {
		h, p, s := parts(good())
		return `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"AAAA"},{"protected":"` + h +
			`","signature":"` + s + `"}]}`
	}},
	35: {
		name:  "flattened JSON of a bad token with good claims beside",
		token: func() string { return flattened(foreign(), beside) }, want: is(policy.TokenMalformed),
		door: "cmd/verdict: TestShapesThroughTheDoors",
	},
	36: {
		name: "general JSON of a bad token with good claims beside", want: is(policy.TokenMalformed),
		token: func() string {
			h, p, s := parts(foreign())
			return `{"payload":"` + p + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]` + beside + `}`
		},
		door: "cmd/verdict: TestShapesThroughTheDoors",
	},
	37: {name: "raw claims", want: is(policy.TokenMalformed), token: func() string {
		_, p, _ := parts(good())
		b, _ := base64.RawURLEncoding.DecodeString(p)
		return string(b)
	}},
	38: {name: "padding on the header", token: spoil(38), want: is(policy.TokenMalformed)},
	39: {name: "padding on the payload", token: spoil(39), want: is(policy.TokenMalformed)},
	40: {name: "padding on the signature", token: spoil(40), want: is(policy.TokenMalformed)},
	41: {name: "standard alphabet", token: spoil(41), want: is(policy.TokenMalformed)},
	42: {name: "line break in the header", token: spoil(42), want: is(policy.TokenMalformed)},
	43: {name: "line break in the payload", token: spoil(43), want: is(policy.TokenMalformed)},
	44: {name: "line break in the signature", token: spoil(44), want: is(policy.TokenMalformed)},
	45: {name: "spare bits in the last character", token: spoil(45), want: is(policy.TokenMalformed)},
	46: {name: "38 to 45 after a good use of the same token", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustPass(t, good())
		for n := 38; n <= 45; n++ {
			w.mustRefuse(t, spoil(n)(), policy.TokenMalformed)
		}
	}},
	47: {name: "truncated signature", want: is(policy.SignatureInvalid), token: func() string {
		return resign(func(sig []byte) []byte { return sig[:len(sig)-1] })
	}},
	48: {name: "extra byte in the signature", want: is(policy.SignatureInvalid), token: func() string {
		return resign(func(sig []byte) []byte { return append(sig, 0) })
	}},
	49: {name: "one payload bit flipped", want: is(policy.SignatureInvalid), token: func() string {
		h, p, s := parts(good())
		b, _ := base64.RawURLEncoding.DecodeString(p)
		at := bytes.Index(b, []byte("Alice"))
		b[at] ^= 1
		return h + "." + b64(b) + "." + s
	}},
	50: {name: "empty signature", want: is(policy.TokenMalformed), token: func() string {
		h, p, _ := parts(good())
		return h + "." + p + "."
	}},
	51: {name: "header of another valid token", want: is(policy.SignatureInvalid), token: func() string {
		h, _, _ := parts(forge(noHdr("typ")))
		_, p, s := parts(good())
		return h + "." + p + "." + s
	}},
}

// spoil writes the good token in the way of cases 38 to 45.
func spoil(n int) func() string {
	return func() string {
		h, p, s := parts(good())
		switch n {
		case 38:
			h += "="
		case 39:
			p += "=="
		case 40:
			s += "=="
		case 41:
			if !strings.ContainsAny(s, "-_") { // 342 characters of a signature: one in 10^4 tokens
				s = "+" + s[1:]
			}
			s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
		case 42:
			h = h[:4] + "\r" + h[4:]
		case 43:
			p = p[:4] + "\n" + p[4:]
		case 44:
			s = s[:4] + "\r\n" + s[4:]
		case 45:
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			s = s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1])
		}
		return h + "." + p + "." + s
	}
}

// flattened is the flattened JSON form of a token, with members beside.
func flattened(token, members string) string {
	h, p, s := parts(token)
	return `{"protected":"` + h + `","payload":"` + p + `","signature":"` + s + `"` + members + `}`
}

// beside are good claims outside what is signed.
var beside = fmt.Sprintf(`,"iss":%q,"aud":%q,"exp":%d,"oid":%q`, issuerOf(tenantT), audience, start.Unix()+600, oid)

// foreign is a token that expired and is of another audience, well signed.
func foreign() string { return forge(set("aud", "other"), set("exp", start.Unix()-7200)) }

func resign(change func([]byte) []byte) string {
	return forge(signWith(func(input string) []byte { return change(rs256(keyOne())(input)) }))
}
