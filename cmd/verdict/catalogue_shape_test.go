package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/policy"
)

// forger signs with the key of a dev issuer what that issuer would not.
type forger struct {
	key             *rsa.PrivateKey
	header, payload string // JSON of a good token of alice
}

// newForger reads the key from the data folder of v.
func newForger(t *testing.T, v *verdict, data string) *forger {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "issuer.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("the key file holds no block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the key is a %T", parsed)
	}
	header, payload, _ := segments(v.mint(t, "user", "alice"))
	return &forger{key: key, header: decoded(t, header), payload: decoded(t, payload)}
}

// with is a token whose header and payload have more members, each with a comma before it.
func (f *forger) with(t *testing.T, header, payload string) string {
	t.Helper()
	encode := func(object, more string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(strings.TrimSuffix(object, "}") + more + "}"))
	}
	input := encode(f.header, header) + "." + encode(f.payload, payload)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, f.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// sized is a good token of exactly n bytes. Base64 of the payload alone cannot reach each length, so the header helps.
func (f *forger) sized(t *testing.T, n int) string {
	t.Helper()
	for pad := range 3 {
		header := `,"pad":"` + strings.Repeat("x", pad) + `"`
		fill := (n - len(f.with(t, header, `,"fill":""`))) * 3 / 4
		for more := range 3 {
			if token := f.with(t, header, `,"fill":"`+strings.Repeat("f", fill-1+more)+`"`); len(token) == n {
				return token
			}
		}
	}
	t.Fatalf("no token of %d bytes", n)
	return ""
}

func segments(token string) (header, payload, signature string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

func decoded(t *testing.T, segment string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nextLetter is the letter of base64url after c, whose spare bits differ where c is the last of a 2048-bit signature.
func nextLetter(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// Cases 25 to 45 of the token catalogue once more: the requests around the token have limits of their own, a header
// field holds no line break, and one with a comma is ambiguous before anybody looks into it.
func TestShapesThroughTheDoors(t *testing.T) {
	data := t.TempDir()
	v := startDev(t, "--data", data)
	f, doors := newForger(t, v, data), v.doors(t)
	good, expired := v.mint(t, "user", "alice"), v.mint(t, "user", "alice", "lifetime", "-2h", "audience", "other")
	h, p, s := segments(good)
	eh, ep, es := segments(expired)
	beside := strings.TrimPrefix(f.payload, "{") // the claims of a good token, outside of what is signed
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
	}
	manyGroups, err := json.Marshal(groups)
	if err != nil {
		t.Fatal(err)
	}
	var withoutGroups map[string]any
	if err := json.Unmarshal([]byte(f.payload), &withoutGroups); err != nil {
		t.Fatal(err)
	}
	delete(withoutGroups, "groups")
	bare, err := json.Marshal(withoutGroups)
	if err != nil {
		t.Fatal(err)
	}
	nested := func(n int) string { // the payload itself is one level
		return f.with(t, "", `,"x":`+strings.Repeat("[", n-1)+strings.Repeat("]", n-1))
	}
	in := func(token string, header policy.Reason, field policy.Reason) carried {
		return carried{values: []string{"Bearer " + token}, want: header, token: token, field: field}
	}
	const malformed, ambiguous, broken = policy.TokenMalformed, policy.HeaderAmbiguous, policy.RequestMalformed
	cases := map[string]carried{
		"025 exactly 32 KiB":              bearer(f.sized(t, 32<<10), policy.AllowedByGrant),
		"026 one byte more":               bearer(f.sized(t, 32<<10+1), policy.TokenTooLarge),
		"027 2 MiB, over all headers too": in(good+strings.Repeat("A", 2<<20), broken, policy.TokenTooLarge),
		"028 10 000 groups": in((&forger{key: f.key, header: f.header, payload: string(bare)}).with(t, "", `,"groups":`+string(manyGroups)),
			broken, policy.TokenTooLarge),
		"029 payload nested 32 deep":                      bearer(nested(32), policy.AllowedByGrant),
		"029 payload nested 33 deep":                      bearer(nested(33), policy.ClaimsMalformed),
		"030 two segments":                                bearer(h+"."+p, malformed),
		"031 four segments":                               bearer(good+".AA", malformed),
		"032 five segments":                               bearer(good+"..AA", policy.EncryptedToken),
		"033 flattened JSON of a good token":              in(`{"protected":"`+h+`","payload":"`+p+`","signature":"`+s+`"}`, ambiguous, malformed),
		"034 general JSON with a bad and a good one":      in(`{"payload":"`+p+`","signatures":[{"protected":"`+h+`","signature":"AAAA"},{"protected":"`+h+`","signature":"`+s+`"}]}`, ambiguous, malformed),
		"035 flattened JSON with good claims beside":      in(`{"protected":"`+eh+`","payload":"`+ep+`","signature":"`+es+`",`+beside, ambiguous, malformed),
		"036 general JSON with good claims beside":        in(`{"payload":"`+ep+`","signatures":[{"protected":"`+eh+`","signature":"`+es+`"}],`+beside, ambiguous, malformed),
		"037 raw claims":                                  in(f.payload, ambiguous, malformed),
		"037 raw claims that a header field can hold":     bearer(`{"oid":"`+aliceID+`"}`, malformed),
		"038 padding on the header":                       bearer(h+"=."+p+"."+s, malformed),
		"039 padding on the payload":                      bearer(h+"."+p+"==."+s, malformed),
		"040 padding on the signature":                    bearer(good+"==", malformed),
		"041 standard alphabet":                           bearer(h+"."+p+".+"+s[1:], malformed),
		"042 line break in the header":                    in(h[:4]+"\r"+h[4:]+"."+p+"."+s, broken, malformed),
		"043 line break in the payload":                   in(h+"."+p[:4]+"\n"+p[4:]+"."+s, broken, malformed),
		"044 line break in the signature":                 in(h+"."+p+"."+s[:4]+"\r\n"+s[4:], broken, malformed),
		"045 spare bits in the last character":            bearer(good[:len(good)-1]+nextLetter(good[len(good)-1]), malformed),
		"046 the token that 38 to 45 spoil is still good": bearer(good, policy.AllowedByGrant),
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) { show(t, doors, cases[name]) })
	}
}

// strictApis are apis of the tests beside the example's, by what they ask of a token.
const strictApis = `
apis:
  - {id: partners, audiences: [%[1]s], hosts: [partners.example.com], allowed_clients: [%[2]s]}
  - {id: members, audiences: [%[1]s], hosts: [members.example.com], deny_guests: true}
routes:
  - {api: partners, id: me, methods: [GET], template: /me, authenticated: {}}
  - {api: members, id: me, methods: [GET], template: /me, authenticated: {}}
  - {api: orders, id: secret, methods: [GET], template: /secret, authenticated: {}, confidential_client: true}
`

// applyStrictApis adds them and waits until they are decided on.
func applyStrictApis(t *testing.T, v *verdict) {
	t.Helper()
	document, err := yaml.YAMLToJSONStrict(fmt.Appendf(nil, strictApis, issuer.DevAudience, issuer.NightlyClient))
	if err != nil {
		t.Fatal(err)
	}
	more, all := &verdictv1.Policy{}, example(t)
	if err := protojson.Unmarshal(document, more); err != nil {
		t.Fatal(err)
	}
	all.Apis, all.Routes = append(all.Apis, more.GetApis()...), append(all.Routes, more.GetRoutes()...)
	made, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: all})
	if err != nil {
		t.Fatal(err)
	}
	ask := get("", "orders.example.com", "/healthz")
	ask.MinRevision = made.GetRevision()
	if got := v.check(t, ask); got.GetHttpStatus() != 200 {
		t.Fatalf("after the change: %v", got)
	}
}

// Cases of times, types and clients, where an issuer mints the token and an api or route says what it asks for.
func TestClaimsThroughTheDoors(t *testing.T) {
	v := startDev(t)
	applyStrictApis(t, v)
	doors := v.doors(t)
	for name, tc := range map[string]struct {
		host, target string
		mint         []string
		want         policy.Reason
	}{
		"128 tid in braces":                      {mint: []string{"user", "alice", "claims", `{"tid":"{` + issuer.DevTenant + `}"}`}, want: policy.ClaimsMalformed},
		"128 tid without hyphens":                {mint: []string{"user", "alice", "claims", `{"tid":"` + strings.ReplaceAll(issuer.DevTenant, "-", "") + `"}`}, want: policy.ClaimsMalformed},
		"144 expired, within the leeway":         {mint: []string{"user", "alice", "lifetime", "-20s"}, want: policy.AllowedByGrant},
		"145 expired 60 s ago":                   {mint: []string{"user", "alice", "lifetime", "-60s"}, want: policy.TokenExpired},
		"146 expired 61 s ago":                   {mint: []string{"user", "alice", "lifetime", "-61s"}, want: policy.TokenExpired},
		"147 valid in a moment":                  {mint: []string{"user", "alice", "claims", fmt.Sprintf(`{"nbf":%d}`, time.Now().Unix()+30)}, want: policy.AllowedByGrant},
		"148 valid in two minutes":               {mint: []string{"user", "alice", "claims", fmt.Sprintf(`{"nbf":%d}`, time.Now().Unix()+120)}, want: policy.TokenNotYetValid},
		"206 a client that is not listed":        {host: "partners.example.com", target: "/me", mint: []string{"user", "alice"}, want: policy.ClientNotAllowed},
		"206 a client that is listed":            {host: "partners.example.com", target: "/me", mint: []string{"app", "nightly"}, want: policy.AllowedAuthenticated},
		"206 an api that lists no client":        {target: "/me", mint: []string{"user", "alice"}, want: policy.AllowedAuthenticated},
		"207 a public client where none may":     {target: "/secret", mint: []string{"user", "alice", "claims", `{"azpacr":"0"}`}, want: policy.ClientNotAllowed},
		"207 a client that proves nothing there": {target: "/secret", mint: []string{"user", "alice", "claims", `{"azpacr":null}`}, want: policy.ClientNotAllowed},
		"207 a client with a certificate":        {target: "/secret", mint: []string{"user", "alice", "claims", `{"azpacr":"2"}`}, want: policy.AllowedAuthenticated},
		"208 a token bound to a key":             {mint: []string{"user", "alice", "claims", `{"cnf":{"x5t#S256":"AAAA"}}`}, want: policy.BindingRequired},
		"209 a token without oid":                {mint: []string{"user", "alice", "claims", `{"oid":null}`}, want: policy.SubjectMissing},
		"211 a guest where none may":             {host: "members.example.com", target: "/me", mint: []string{"user", "alice", "claims", `{"acct":1}`}, want: policy.GuestRefused},
		"211 a member":                           {host: "members.example.com", target: "/me", mint: []string{"user", "alice", "claims", `{"acct":0}`}, want: policy.AllowedAuthenticated},
		"211 a guest where they may":             {target: "/me", mint: []string{"user", "alice", "claims", `{"acct":1}`}, want: policy.AllowedAuthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			c := bearer(v.mint(t, tc.mint...), tc.want)
			c.host, c.target = tc.host, tc.target
			show(t, doors, c)
		})
	}
}
