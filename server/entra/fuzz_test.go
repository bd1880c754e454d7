package entra

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzGuard holds the guard to its promise: what it accepts, strict encoding reproduces byte for byte.
func FuzzGuard(f *testing.F) {
	f.Add(good())
	for n := 38; n <= 45; n++ {
		f.Add(spoil(n)())
	}
	for _, seed := range []string{"", ".", "..", "...", "....", "a.b.c", "AA.AA.AA", "AA.AB.AA", "AA==.AA.AA", "{}", "AA.AA.AA\n", "A.A.A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		s := new(scratch)
		seg, r := s.guard(token)
		if !r.OK() {
			if seg.header != nil && seg.payload != nil && r != notStrictBase64 {
				t.Fatal("a refused token was decoded")
			}
			return
		}
		p := strings.Split(token, ".")
		signature, err := base64.RawURLEncoding.DecodeString(p[len(p)-1])
		if err != nil {
			t.Fatal(err)
		}
		if again := b64(seg.header) + "." + b64(seg.payload) + "." + b64(signature); again != token {
			t.Fatalf("%q was accepted, strict encoding gives %q", token, again)
		}
		if len(seg.header) == 0 || len(seg.payload) == 0 || len(signature) == 0 || len(token) > maxToken {
			t.Fatal("an empty or too large part was accepted")
		}
	})
}

// FuzzHeader holds header reading against encoding/json: an accepted header says RS256 and this kid there too, and
// nothing that is refused.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		`{"alg":"RS256","typ":"JWT","kid":"k"}`, `{"alg":"RS256","kid":"k","x5t":"k"}`, `{"alg":"none","kid":"k"}`, `{}`, `[]`, ``, `null`,
		`{"alg":"RS256","alg":"none","kid":"k"}`, `{"\u0061lg":"RS256","kid":"k","crit":[]}`, `{"alg":"RS256","kid":"\u006b"}`,
		`{"ALG":"RS256","kid":"k"}`, `{"alg":"RS256","kid":"k"}{}`, ` {"alg":"RS256","kid":"k"} `, `{"alg":"RS256","kid":"k","x":[[[[]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r reader
		h, ref := r.readHeader(text)
		if !ref.OK() {
			return
		}
		ofEntra, ofOther := h.check().OK(), h.checkOIDC(true, true).OK()
		if !ofEntra && !ofOther {
			return
		}
		var other map[string]any
		if err := json.Unmarshal(text, &other); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		kid := h.kid.text
		if other["kid"] != string(kid) || !isOIDCKeyID(kid) || !utf8.Valid(text) || ofEntra && !isKeyID(kid) {
			t.Fatalf("%q was accepted with kid %q", text, kid)
		}
		if alg := other["alg"]; alg != "RS256" && (ofEntra || alg != "ES256") {
			t.Fatalf("%q was accepted with alg %v", text, alg)
		}
		for _, name := range []string{"crit", "b64", "zip", "enc", "cty", "jku", "x5u", "jwk", "x5c", "nonce"} {
			if _, there := other[name]; there {
				t.Fatalf("%q was accepted", text)
			}
		}
	})
}

// FuzzClaims holds claim reading against encoding/json: accepted claims are the same there, and reading them twice, the
// second time from memory that another token used, gives the same.
func FuzzClaims(f *testing.F) {
	_, payload, _ := parts(forge(set("groups", guids(3)), set("wids", guids(1)), set("_claim_names", object{"groups": "src1"})))
	seed, _ := base64.RawURLEncoding.DecodeString(payload)
	f.Add(seed)
	for _, seed := range []string{
		``, `{}`, `[]`, `null`, `{"tid":"x","TID":"y"}`, `{"exp":1e3}`, `{"exp":-0}`, `{"roles":["a",1]}`, `{"groups":{}}`, `{"hasgroups":"true"}`,
		`{"_claim_names":{"groups":{}}}`, `{"tid":"\u0061\ud83d\ude00"}`, `{"oid":"\ud800"}`, "{\"oid\":\"\xff\"}", `{"a":{"b":[{"c":null}]}}x`,
		`{"acrs":"c1","xms_cc":"cp1"}`, `{"xms_cc":["cp1",["x"]]}`, `{"scp":"a b"}`, `{"iat":9007199254740993}`, `{"groups":["a"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s scratch
		ref := s.json.readClaims(&s.claims, text)
		first := s.claims.print()
		s.claims.clear()
		if again := s.json.readClaims(&s.claims, text); again != ref || s.claims.print() != first {
			t.Fatal("a second reading differs")
		}
		if !ref.OK() {
			return
		}
		var other map[string]json.RawMessage
		if err := json.Unmarshal(text, &other); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		if !utf8.Valid(text) {
			t.Fatalf("%q was accepted", text)
		}
		if !s.claims.fault.OK() {
			return
		}
		c := &s.claims
		for name, got := range map[string][]byte{"iss": c.iss, "aud": c.aud, "oid": c.oid, "ver": c.ver, "scp": c.scp, "uti": c.uti} {
			var want string
			if rawValue, there := other[name]; there && json.Unmarshal(rawValue, &want) != nil || want != string(got) {
				t.Fatalf("%s is %q, want %q", name, got, want)
			}
		}
		var roles []string
		if rawValue, there := other["roles"]; there && json.Unmarshal(rawValue, &roles) != nil || !bytes.Equal(bytes.Join(c.roles, nil), []byte(strings.Join(roles, ""))) {
			t.Fatalf("roles are %q, want %q", c.roles, roles)
		}
		var exp int64
		if rawValue, there := other["exp"]; there && json.Unmarshal(rawValue, &exp) != nil || exp != c.exp {
			t.Fatalf("exp is %d, want %d", c.exp, exp)
		}
	})
}

// print shows claims for comparison.
func (c *claims) print() string {
	return mustJSON([]any{
		c.seen, c.iss, c.aud, c.tid, c.oid, c.scp, c.roles, c.groups, c.wids, c.acrs, c.xms, c.exp, c.iat, c.nbf, c.groupsElsewhere,
		c.groupsBad, c.tidBad, c.fault,
	})
}
