package entra

import (
	"crypto"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

func alg(name string) edit { return hdr("alg", name) }

// junk is a signature that no key made.
func junk(string) []byte { return []byte("junk") }

func hs256(secret []byte) func(string) []byte {
	return func(input string) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(input))
		return m.Sum(nil)
	}
}

func rsaWith(h crypto.Hash, pss bool) func(string) []byte {
	return func(input string) []byte {
		d := h.New()
		d.Write([]byte(input))
		var opts crypto.SignerOpts = h
		if pss {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
		}
		sig, err := keyOne().Sign(rand.Reader, d.Sum(nil), opts)
		if err != nil {
			panic(err)
		}
		return sig
	}
}

// unsigned asks for case 52 to 56: the algorithm none with a junk and with an empty signature.
func unsigned(name string) func(t *testing.T) {
	return func(t *testing.T) {
		w := warm(t, nil)
		token := forge(alg(name), signWith(junk))
		w.mustRefuse(t, token, policy.AlgNotAllowed)
		w.mustRefuse(t, token[:strings.LastIndexByte(token, '.')+1], policy.TokenMalformed)
	}
}

// symmetric is a token signed with a text of our public key as a secret.
func symmetric(secret func() []byte) func() string {
	return func() string { return forge(alg("HS256"), signWith(hs256(secret()))) }
}

func publicDER() []byte {
	der, err := x509.MarshalPKIXPublicKey(keyOne().Public())
	if err != nil {
		panic(err)
	}
	return der
}

// lured asks with a header that names an address, and wants nothing to go there.
func lured(members func(address string) object) func(t *testing.T) {
	return func(t *testing.T) {
		var visits atomic.Int32
		trap := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			visits.Add(1)
			answer(mustJSON(object{"keys": []object{published("rogue", keyRogue(), nil)}}))(rw, nil)
		}))
		defer trap.Close()
		w := warm(t, nil)
		before := w.fetches()
		edits := []edit{by(keyRogue())}
		for name, value := range members(trap.URL) {
			edits = append(edits, hdr(name, value))
		}
		w.mustRefuse(t, forge(edits...), policy.HeaderInvalid)
		if visits.Load() != 0 || w.fetches() != before {
			t.Error("a request went out")
		}
	}
}

var headerCases = map[int]entry{
	52: {name: "alg none", run: unsigned("none")},
	53: {name: "alg None", run: unsigned("None")},
	54: {name: "alg nOnE", run: unsigned("nOnE")},
	55: {name: "alg NONE", run: unsigned("NONE")},
	56: {name: "alg empty", run: unsigned("")},
	57: {name: "alg none over a good signature", token: plain(alg("none")), want: is(policy.AlgNotAllowed)},
	58: {name: "no alg over a good signature", token: plain(noHdr("alg")), want: is(policy.AlgNotAllowed)},
	59: {name: "HS256 keyed with our public key as PEM", want: is(policy.AlgNotAllowed), token: symmetric(func() []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER()})
	})},
	60: {name: "HS256 keyed with our public key as DER", want: is(policy.AlgNotAllowed), token: symmetric(publicDER)},
	61: {name: "HS256 keyed with our public key as JWK", want: is(policy.AlgNotAllowed), token: symmetric(func() []byte {
		return []byte(mustJSON(published(kidOne, keyOne(), nil)))
	})},
	62: {name: "HS256 keyed with our modulus", want: is(policy.AlgNotAllowed), token: symmetric(func() []byte {
		return keyOne().N.Bytes()
	})},
	63: {name: "HS256 over a good RS256 signature", token: plain(alg("HS256")), want: is(policy.AlgNotAllowed)},
	64: {
		name: "correct RS384", token: plain(alg("RS384"), signWith(rsaWith(crypto.SHA384, false))),
		want: is(policy.AlgNotAllowed),
	},
	65: {
		name: "correct RS512", token: plain(alg("RS512"), signWith(rsaWith(crypto.SHA512, false))),
		want: is(policy.AlgNotAllowed),
	},
	66: {
		name: "correct PS256", token: plain(alg("PS256"), signWith(rsaWith(crypto.SHA256, true))),
		want: is(policy.AlgNotAllowed),
	},
	67: {name: "alg in lower case", token: plain(alg("rs256")), want: is(policy.AlgNotAllowed)},
	68: {name: "alg as array or number", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(hdr("alg", []string{"RS256"})), policy.HeaderInvalid)
		w.mustRefuse(t, forge(hdr("alg", 256)), policy.HeaderInvalid)
	}},
	69: {
		name: "ES256 with r=s=0", token: plain(alg("ES256"), signWith(func(string) []byte { return make([]byte, 64) })),
		want: is(policy.AlgNotAllowed),
	},
	70: {name: "ES256 with r=s=0 on a generic provider with EC keys", run: func(t *testing.T) {
		w := warm(t, generic(func(p *Provider) { p.Algorithms = []string{algES256} }))
		w.mustPass(t, forge(ofGeneric, es256))
		for name, signature := range map[string][]byte{
			"zeros": make([]byte, 64), "the order of the curve": slices.Concat(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()),
			"no signature to speak of": make([]byte, 1), "twice as long": make([]byte, 128),
		} {
			t.Run(name, func(t *testing.T) {
				w.mustRefuse(t, forge(ofGeneric, es256, signWith(func(string) []byte { return signature })), policy.SignatureInvalid)
			})
		}
		w.mustRefuse(t, forge(ofGeneric, hdr("kid", kidEC)), policy.AlgNotAllowed) // RS256 is not the provider's
	}},
	71: {name: "no kid", token: plain(noHdr("kid")), want: is(policy.KidMissing)},
	72: {name: "no kid but x5t names the key", token: plain(noHdr("kid"), hdr("x5t", kidOne)), want: is(policy.KidMissing)},
	73: {name: "x5t of another key", token: plain(hdr("x5t", kidMSA)), want: is(policy.HeaderInvalid)},
	74: {name: "kid with changed case", token: plain(hdr("kid", strings.ToLower(kidOne))), want: is(policy.KeyUnknown)},
	75: {name: "kid a number", token: plain(hdr("kid", 1)), want: is(policy.HeaderInvalid)},
	76: {name: "kid null", token: plain(hdr("kid", nil)), want: is(policy.HeaderInvalid)},
	77: {name: "kid an array", token: plain(hdr("kid", []string{})), want: is(policy.HeaderInvalid)},
	78: {name: "kid an object", token: plain(hdr("kid", object{})), want: is(policy.HeaderInvalid)},
	79: {name: "kid a path", token: plain(hdr("kid", "../../etc/passwd")), want: is(policy.HeaderInvalid)},
	80: {name: "kid a piece of SQL", token: plain(hdr("kid", "' OR 1=1--")), want: is(policy.HeaderInvalid)},
	81: {name: "kid an address", token: plain(hdr("kid", "https://evil.test/k")), want: is(policy.HeaderInvalid)},
	82: {name: "kid of 10 KB", token: plain(hdr("kid", strings.Repeat("k", 10<<10))), want: is(policy.HeaderInvalid)},
	83: {name: "kid with U+202E", token: plain(hdr("kid", "K1\u202e")), want: is(policy.HeaderInvalid)},
	84: {name: "jku of an attacker", run: lured(func(a string) object { return object{"jku": a, "kid": "rogue"} })},
	85: {name: "x5u of an attacker", run: lured(func(a string) object { return object{"x5u": a} })},
	86: {name: "embedded jwk that verifies", run: lured(func(string) object {
		return object{"jwk": published("rogue", keyRogue(), nil)}
	})},
	87: {name: "self-signed x5c", run: lured(func(string) object { return object{"x5c": []string{"MIIB"}} })},
	88: {name: "crit with an unknown name", token: plain(hdr("crit", []string{"x"})), want: is(policy.CritUnsupported)},
	89: {name: "crit empty", token: plain(hdr("crit", []string{})), want: is(policy.CritUnsupported)},
	90: {name: "crit with exp", token: plain(hdr("crit", []string{"exp"})), want: is(policy.CritUnsupported)},
	91: {
		name: "b64 false with crit", token: plain(hdr("b64", false), hdr("crit", []string{"b64"})),
		want: is(policy.CritUnsupported),
	},
	92: {name: "b64 false without crit", token: plain(hdr("b64", false)), want: is(policy.CritUnsupported)},
	93: {name: "typ at+jwt", token: plain(hdr("typ", "at+jwt")), want: is(policy.HeaderInvalid)},
	94: {name: "typ pop", token: plain(hdr("typ", "pop")), want: is(policy.HeaderInvalid)},
	95: {name: "typ secevent+jwt", token: plain(hdr("typ", "secevent+jwt")), want: is(policy.HeaderInvalid)},
	96: {name: "no typ", token: plain(noHdr("typ"))},
	97: {name: "alg twice", token: plain(moreHeader(`,"alg":"RS256"`)), want: is(policy.DuplicateMember)},
	98: {name: "kid twice", token: plain(moreHeader(`,"kid":"other"`)), want: is(policy.DuplicateMember)},
	99: {name: "nonce in the header", token: plain(hdr("nonce", "n")), want: is(policy.NonceTokenUnverifiable)},
	100: {
		name: "payload a valid JWS, with cty", token: func() string { return forge(hdr("cty", "JWT"), raw(good())) },
		want: is(policy.HeaderInvalid),
	},
	101: {
		name: "payload a valid JWS, without cty", token: func() string { return forge(raw(good())) },
		want: is(policy.ClaimsMalformed),
	},
	102: {name: "zip", token: plain(hdr("zip", "DEF")), want: is(policy.HeaderInvalid)},
	103: {name: "enc", token: plain(hdr("enc", "A256GCM")), want: is(policy.HeaderInvalid)},
}

func TestHeaderBeyondTheCatalogue(t *testing.T) {
	w := warm(t, nil)
	for name, tc := range map[string]struct {
		edit edit
		want policy.Reason
	}{
		"crit in upper case is refused":           {moreHeader(`,"CRIT":["x"]`), policy.HeaderInvalid},
		"a header that is a list is refused":      {func(f *forgery) { f.rawHeader = `[]` }, policy.HeaderInvalid},
		"a header nested five deep is refused":    {moreHeader(`,"x":[[[[1]]]]`), policy.HeaderInvalid},
		"bytes after the header are refused":      {func(f *forgery) { f.rawHeader = mustJSON(f.header) + "x" }, policy.HeaderInvalid},
		"x5t that is not text is refused":         {hdr("x5t", 1), policy.HeaderInvalid},
		"a repeated name deep inside is refused":  {moreHeader(`,"x":{"a":1,"a":2}`), policy.DuplicateMember},
		"typ in lower case is refused":            {hdr("typ", "jwt"), policy.HeaderInvalid},
		"alg written with an escape is no bypass": {moreHeader(`,"\u0061lg":"none"`), policy.DuplicateMember},
	} {
		t.Run(name, func(t *testing.T) { w.mustRefuse(t, forge(tc.edit), tc.want) })
	}
	w.mustPass(t, forge(hdr("x5t", kidOne)))
	w.mustPass(t, forge(hdr("unknown", json.RawMessage(`{"a":[1]}`))))
}
