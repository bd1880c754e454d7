package entra

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"
)

const (
	tenantT  = "11111111-aaaa-4aaa-8aaa-111111111111"
	tenantT2 = "22222222-bbbb-4bbb-8bbb-222222222222"
	tenantX  = "99999999-cccc-4ccc-8ccc-999999999999" // configured nowhere
	msa      = "9188040d-6c67-4c5b-b112-36a304b66dad"
	audience = "aaaaaaaa-0000-4000-8000-00000000000a"
	client   = "cccccccc-0000-4000-8000-00000000000c"
	oid      = "dddddddd-0000-4000-8000-00000000000d"
	global   = "https://login.microsoftonline.com"
	kidOne   = "K1-AbCdEf"
	kidMSA   = "KM-AbCdEf"
	kidV1    = "V1-AbCdEf"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// The key pairs of the whole test binary: one, another, that of MSA, and an attacker's.
var pairs = sync.OnceValue(func() (k [4]*rsa.PrivateKey) {
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

func keyOne() *rsa.PrivateKey    { return pairs()[0] }
func keyTwo() *rsa.PrivateKey    { return pairs()[1] }
func keyMSA() *rsa.PrivateKey    { return pairs()[2] }
func keyRogue() *rsa.PrivateKey  { return pairs()[3] }
func b64(b []byte) string        { return base64.RawURLEncoding.EncodeToString(b) }
func issuerOf(tid string) string { return global + "/" + tid + "/v2.0" }

type object map[string]any

// forgery is a token in the making. Its raw texts win over the maps.
type forgery struct {
	header, claims object
	rawHeader      string
	rawClaims      string
	sign           func(input string) []byte
}

// edit changes a forgery.
type edit func(*forgery)

func set(name string, value any) edit { return func(f *forgery) { f.claims[name] = value } }
func del(name string) edit            { return func(f *forgery) { delete(f.claims, name) } }
func hdr(name string, value any) edit { return func(f *forgery) { f.header[name] = value } }
func noHdr(name string) edit          { return func(f *forgery) { delete(f.header, name) } }
func by(k *rsa.PrivateKey) edit       { return func(f *forgery) { f.sign = rs256(k) } }
func raw(text string) edit            { return func(f *forgery) { f.rawClaims = text } }

// more puts text, such as `,"tid":1`, behind the last claim.
func more(text string) edit {
	return func(f *forgery) { f.rawClaims = strings.TrimSuffix(mustJSON(f.claims), "}") + text + "}" }
}

func moreHeader(text string) edit {
	return func(f *forgery) { f.rawHeader = strings.TrimSuffix(mustJSON(f.header), "}") + text + "}" }
}

func signWith(s func(string) []byte) edit { return func(f *forgery) { f.sign = s } }

// forge makes a token of a user that is good but for the edits.
func forge(edits ...edit) string {
	now := start.Unix()
	f := &forgery{
		header: object{"alg": "RS256", "typ": "JWT", "kid": kidOne},
		claims: object{
			"iss": issuerOf(tenantT), "aud": audience, "tid": tenantT, "oid": oid, "azp": client, "azpacr": "1",
			"ver": "2.0", "idtyp": "user", "scp": "orders.read orders.write", "roles": []string{"Order.Reader"},
			"iat": now - 60, "nbf": now - 60, "exp": now + 3600, "uti": "uti-1", "sid": "sid-1", "sub": "pairwise",
			"name": "Alice", "preferred_username": "alice@example.com",
		},
		sign: rs256(keyOne()),
	}
	for _, e := range edits {
		e(f)
	}
	if f.rawHeader == "" {
		f.rawHeader = mustJSON(f.header)
	}
	if f.rawClaims == "" {
		f.rawClaims = mustJSON(f.claims)
	}
	input := b64([]byte(f.rawHeader)) + "." + b64([]byte(f.rawClaims))
	return input + "." + b64(f.sign(input))
}

// app makes the token that of an application.
func app(f *forgery) {
	delete(f.claims, "scp")
	f.claims["idtyp"], f.claims["roles"] = "app", []string{"Order.Admin"}
}

// v1 makes the token a v1 one.
func v1(f *forgery) {
	delete(f.claims, "azp")
	f.claims["iss"], f.claims["ver"], f.claims["appid"] = "https://sts.windows.net/"+tenantT+"/", "1.0", client
}

func rs256(k *rsa.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
