package entra

import (
	"crypto"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	gojwt "github.com/golang-jwt/jwt/v5"
)

// trust is what a careful user of another library would give it: one issuer with its keys, the audiences, the clock.
type trust struct {
	issuer    string
	keys      map[string]crypto.PublicKey
	audiences []string
	algs      []string
	now       time.Time
	skew      time.Duration
}

// trustsOf has one trust for each document of w.
func trustsOf(w *world, want Expect) []trust {
	var all []trust
	for _, s := range w.registry.Load().sources {
		tr := trust{issuer: s.issuer, keys: map[string]crypto.PublicKey{}, audiences: want.Audiences, now: w.clock(), skew: w.cfg.Skew}
		if s.provider.Kind == OIDC {
			tr.issuer = s.provider.Issuer
		}
		if s.provider.rs256 {
			tr.algs = append(tr.algs, algRS256)
		}
		if s.provider.es256 {
			tr.algs = append(tr.algs, algES256)
		}
		if set := s.current.Load(); set != nil {
			for kid, key := range set.keys {
				tr.keys[kid] = key.public
			}
		}
		all = append(all, tr)
	}
	return all
}

// byGoJose asks go-jose v4.
func byGoJose(token string, tr trust) error {
	algs := make([]jose.SignatureAlgorithm, len(tr.algs))
	for i, a := range tr.algs {
		algs[i] = jose.SignatureAlgorithm(a)
	}
	parsed, err := josejwt.ParseSigned(token, algs)
	if err != nil {
		return err
	}
	key := tr.keys[parsed.Headers[0].KeyID]
	if key == nil {
		return fmt.Errorf("no key %q", parsed.Headers[0].KeyID)
	}
	var claims josejwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return err
	}
	return claims.ValidateWithLeeway(josejwt.Expected{Issuer: tr.issuer, AnyAudience: tr.audiences, Time: tr.now}, tr.skew)
}

// byGoJWT asks golang-jwt v5.
func byGoJWT(token string, tr trust) error {
	parser := gojwt.NewParser(gojwt.WithValidMethods(tr.algs), gojwt.WithIssuer(tr.issuer), gojwt.WithAudience(tr.audiences...),
		gojwt.WithLeeway(tr.skew), gojwt.WithTimeFunc(func() time.Time { return tr.now }), gojwt.WithExpirationRequired(),
		gojwt.WithIssuedAt(), gojwt.WithStrictDecoding())
	_, err := parser.Parse(token, func(t *gojwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key := tr.keys[kid]; key != nil {
			return key, nil
		}
		return nil, fmt.Errorf("no key %q", kid)
	})
	return err
}

// others are the libraries that are asked too.
var others = map[string]func(string, trust) error{"go-jose": byGoJose, "golang-jwt": byGoJWT}

// answer of a library, held against ours.
type difference uint8

const (
	looser   difference = 1 << iota // it takes a token that we refuse
	stricter                        // it refuses a token that we take
)

// TestOtherLibraries asks them about every token of cases 25 to 217. A library that answers otherwise has to be listed
// with the reason, and one that is listed has to answer otherwise still.
func TestOtherLibraries(t *testing.T) {
	asked := map[int]int{}
	found := map[string]map[int]difference{"go-jose": {}, "golang-jwt": {}}
	for n := 25; n <= 217; n++ {
		if n == 27 {
			continue // it measures time, and 26 and 28 show the same
		}
		e := catalogue[n]
		observe = func(w *world, token string, want Expect, r Refusal) {
			asked[n]++
			trusts := trustsOf(w, want)
			for name, library := range others {
				accepted := slices.ContainsFunc(trusts, func(tr trust) bool { return library(token, tr) == nil })
				switch {
				case accepted && !r.OK():
					found[name][n] |= looser
				case !accepted && r.OK():
					found[name][n] |= stricter
				}
			}
		}
		t.Run(fmt.Sprintf("%03d", n), func(t *testing.T) {
			switch {
			case e.run != nil:
				e.run(t)
			case e.token != nil:
				w := warm(t, nil)
				w.at(e.at)
				w.ask(e.token())
			}
		})
		observe = nil
		if asked[n] == 0 {
			t.Errorf("case %d asks nothing", n)
		}
	}
	listed := map[string]map[int]difference{"go-jose": {}, "golang-jwt": {}}
	for _, d := range disagreements {
		for _, library := range d.libraries {
			for _, n := range d.cases {
				listed[library][n] |= d.how
			}
		}
	}
	for name := range others {
		for n := 25; n <= 217; n++ {
			if f, l := found[name][n], listed[name][n]; f != l {
				t.Errorf("%s, case %d (%s): differs by %b, written is %b", name, n, catalogue[n].name, f, l)
			}
		}
	}
}

var (
	both      = []string{"go-jose", "golang-jwt"}
	goJose    = []string{"go-jose"}
	golangJWT = []string{"golang-jwt"}
)

// disagreements are the answers of other libraries that differ from ours, each with the reason why ours stands.
var disagreements = []struct {
	how       difference
	libraries []string
	cases     []int
	why       string
}{
	{looser, both, []int{26, 28}, "They bound no token. Ours refuses above 32 KiB before it decodes, since decoding is what an attacker would have us pay for."},
	{looser, both, []int{29}, "encoding/json nests to 10 000. No token of an issuer nests beyond a few levels."},
	{looser, goJose, []int{42, 43}, "encoding/base64 skips CR and LF, also when it is strict. One token then has many spellings, and a log, a cache or a replay list knows only one."},
	{looser, both, []int{44}, "The same in the signature, which golang-jwt decodes with encoding/base64 too."},
	{looser, goJose, []int{45}, "It does not ask for strict decoding, so the spare bits of the last character give one token several spellings. golang-jwt does when it is told to, as here."},
	{looser, both, []int{46}, "46 repeats 38 to 45, among them those above."},
	{looser, both, []int{73}, "They do not know x5t. Entra's v1 tokens carry it with the value of kid, so a difference was not made by Entra."},
	{looser, golangJWT, []int{88, 90, 91}, "It ignores crit, although RFC 7515 §4.1.11 has a token refused whose critical extensions are not understood. With b64 it even verifies another text than the one that was meant."},
	{looser, both, []int{89}, "An empty crit is forbidden by RFC 7515 §4.1.11; neither looks."},
	{looser, golangJWT, []int{92}, "It ignores b64, which changes what was signed (RFC 7797)."},
	{looser, both, []int{93, 94, 95}, "They ignore typ. A logout token, a security event and a proof of possession are JWTs of the same issuer too (RFC 8725 §3.11)."},
	{looser, golangJWT, []int{97, 104, 106, 109, 110, 111, 112}, "encoding/json takes the last of two members, other readers the first: what is checked need not be what is used. In 107, 108 and 113 the last value fails its checks, which is luck."},
	{looser, both, []int{99}, "They do not know that Microsoft signs tokens for its own APIs over another nonce than they carry. Here the signature is good; such a token is still none for us."},
	{looser, both, []int{102, 103}, "zip and enc belong to encrypted tokens. In a signed one they are ignored by them and taken as a sign of confusion by us."},
	{looser, both, []int{105}, "Names that differ in case only are two names to them and one to encoding/json and to .NET."},
	{looser, both, []int{114, 115}, "encoding/json puts U+FFFD in place of what is no UTF-8, and go-jose's copy does the same: two different texts become one."},
	{looser, both, []int{116, 124}, "They do not read oid, tid and roles; what is in them is the caller's to check. It is ours here."},
	{looser, both, []int{127, 128, 164, 166}, "They know no tid. The issuer is checked, and the tenant would be read from a claim that nothing holds to it."},
	{looser, goJose, []int{130, 131}, "A token without exp never expires for it. golang-jwt refuses it when told to, as here."},
	{looser, both, []int{139, 142, 143, 153}, "NumericDate may be a fraction, and no life is too long (RFC 7519 §2). Entra sends integers, and signs nothing beyond 28 hours."},
	{looser, goJose, []int{145}, "It counts the instant exp + skew as valid still. RFC 7519 §4.1.4: on or after exp the token must not be accepted."},
	{looser, both, []int{151}, "iat and nbf are optional in RFC 7519. Entra always sends them."},
	{looser, both, []int{170, 171, 172}, "They know neither the issuer nor the cloud of a key. Entra publishes the keys of personal accounts and of other clouds beside its own."},
	{looser, both, []int{176}, "A v2 issuer with a key of the v1 document, and ver that does not fit iss: they know one issuer and its keys, and no versions."},
	{looser, both, []int{178}, "They do not know ver."},
	{looser, both, []int{182}, "They do not know user flows, which share an issuer and not their rules."},
	{looser, both, []int{184}, "Of Microsoft's situations those that turn on tid and on the issuer of the key; see 164 to 172."},
	{looser, both, []int{190}, "RFC 7519 §4.1.3 allows a list for aud, and they take it. Entra sends a text; of other issuers we take lists too."},
	{looser, both, []int{195, 196, 197, 199, 200, 202, 203, 204}, "What kind of token it is follows from claims that only Entra has. They take an ID token for an access token."},
	{looser, both, []int{206, 207, 208, 209, 211}, "Clients, their proof, bound tokens, the object id and guests are rules of the API, not of JWT."},
}
