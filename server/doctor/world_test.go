package doctor_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/doctor"
	"github.com/verdict-authz/verdict/server/entra"
)

const (
	tenant    = "11111111-1111-4111-8111-111111111111"
	other     = "99999999-9999-4999-8999-999999999999" // configured nowhere
	second    = "22222222-aaaa-4aaa-8aaa-222222222222"
	audience  = "22222222-2222-4222-8222-222222222222"
	client    = "33333333-3333-4333-8333-333333333333"
	oid       = "bbbbbbbb-0001-4000-8000-000000000001"
	authority = "https://login.microsoftonline.com"
	kid       = "kid-AbCdEf"
	kidSecond = "kid-Second"
	kidV1     = "kid-V1"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// pairs are the key pairs of the test binary: published, and an attacker's.
var pairs = sync.OnceValue(func() (k [2]*rsa.PrivateKey) {
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

func b64(b []byte) string         { return base64.RawURLEncoding.EncodeToString(b) }
func issuerOf(tid string) string  { return authority + "/" + tid + "/v2.0" }
func v1Issuer(tid string) string  { return "https://sts.windows.net/" + tid + "/" }
func mustJSON(v any) string       { b, err := json.Marshal(v); must(err); return string(b) }
func seconds(after int64) int64   { return now.Unix() + after }
func set(name string, v any) edit { return func(f *forgery) { f.claims[name] = v } }
func del(name string) edit        { return func(f *forgery) { delete(f.claims, name) } }
func hdr(name string, v any) edit { return func(f *forgery) { f.header[name] = v } }
func noHdr(name string) edit      { return func(f *forgery) { delete(f.header, name) } }
func raw(text string) edit        { return func(f *forgery) { f.rawClaims = text } }
func rogue(f *forgery)            { f.key = pairs()[1] }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

type object map[string]any

// forgery is a token in the making.
type forgery struct {
	header, claims object
	rawClaims      string // wins over claims
	key            *rsa.PrivateKey
	after          func(token string) string
}

type edit func(*forgery)

// more puts text behind the last claim.
func more(text string) edit {
	return func(f *forgery) { f.rawClaims = strings.TrimSuffix(mustJSON(f.claims), "}") + text + "}" }
}

// then changes the finished token.
func then(change func(string) string) edit { return func(f *forgery) { f.after = change } }

// forge makes a token of a user that is good but for the edits.
func forge(edits ...edit) string {
	f := &forgery{
		header: object{"alg": "RS256", "typ": "JWT", "kid": kid},
		claims: object{
			"iss": issuerOf(tenant), "aud": audience, "tid": tenant, "oid": oid, "azp": client, "azpacr": "1", "ver": "2.0",
			"idtyp": "user", "scp": "orders.read orders.write", "groups": []string{"aaaaaaaa-0001-4000-8000-000000000001"},
			"iat": seconds(-60), "nbf": seconds(-60), "exp": seconds(3600), "uti": "uti-1", "sid": "sid-1", "name": "Alice",
		},
		key: pairs()[0],
	}
	for _, e := range edits {
		e(f)
	}
	if f.rawClaims == "" {
		f.rawClaims = mustJSON(f.claims)
	}
	input := b64([]byte(mustJSON(f.header))) + "." + b64([]byte(f.rawClaims))
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, f.key, crypto.SHA256, sum[:])
	must(err)
	token := input + "." + b64(sig)
	if f.after != nil {
		token = f.after(token)
	}
	return token
}

// app makes the token that of an application.
func app(f *forgery) {
	delete(f.claims, "scp")
	f.claims["idtyp"], f.claims["roles"] = "app", []string{"Orders.Read.All"}
}

// v1 makes the token a v1 one, whose audience is the App ID URI.
func v1(f *forgery) {
	delete(f.claims, "azp")
	f.header["x5t"] = kid
	f.claims["iss"], f.claims["ver"], f.claims["appid"], f.claims["aud"] = v1Issuer(tenant), "1.0", client, "api://"+audience
}

// world is the authority as the network shows it, by path. It is a transport: nothing leaves the process.
type world struct {
	docs   map[string]func() *http.Response
	off    time.Duration // the authority's clock minus ours
	undate bool          // send no Date

	mu   sync.Mutex
	hits []string // every address that was asked for
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.hits = append(w.hits, r.URL.String())
	w.mu.Unlock()
	make, ok := w.docs[r.URL.Path]
	if !ok || r.URL.Host != "login.microsoftonline.com" || r.Header.Get("Authorization") != "" {
		make = status(http.StatusNotFound)
	}
	resp := make()
	if resp == nil {
		return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Hostname())
	}
	if !w.undate {
		resp.Header.Set("Date", now.Add(w.off).Format(http.TimeFormat))
	}
	resp.Request = r
	return resp, nil
}

func status(code int) func() *http.Response {
	return func() *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
	}
}

func answer(body string, headers ...string) func() *http.Response {
	return func() *http.Response {
		resp := status(http.StatusOK)()
		resp.Body = io.NopCloser(strings.NewReader(body))
		resp.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			resp.Header.Set(headers[i], headers[i+1])
		}
		return resp
	}
}

// published is a key as Entra publishes it.
func published(id string, members object) object {
	k := pairs()[0]
	o := object{"kty": "RSA", "use": "sig", "kid": id, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	maps.Copy(o, members)
	return o
}

func discovery(tid, version, issuer string) (path string, body string) {
	return "/" + tid + version + "/.well-known/openid-configuration", mustJSON(object{
		"issuer": issuer, "jwks_uri": authority + "/" + tid + "/discovery" + version + "/keys", "cloud_instance_name": "microsoftonline.com",
	})
}

// newWorld publishes tenant and second in both versions.
func newWorld() *world {
	w := &world{docs: map[string]func() *http.Response{}}
	templated := object{"issuer": authority + "/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.com"}
	for tid, id := range map[string]string{tenant: kid, second: kidSecond} {
		path, body := discovery(tid, "/v2.0", issuerOf(tid))
		w.docs[path] = answer(body)
		w.docs["/"+tid+"/discovery/v2.0/keys"] = answer(mustJSON(object{"keys": []object{published(id, templated)}}))
		path, body = discovery(tid, "", v1Issuer(tid))
		w.docs[path] = answer(body)
		w.docs["/"+tid+"/discovery/keys"] = answer(mustJSON(object{"keys": []object{published(kid, nil), published(kidV1, nil)}}))
	}
	return w
}

const (
	discoveryPath = "/" + tenant + "/v2.0/.well-known/openid-configuration"
	keysPath      = "/" + tenant + "/discovery/v2.0/keys"
)

// config is what the tests examine, unless they change it.
func (w *world) config() doctor.Config {
	return doctor.Config{
		Entra: entra.Config{
			Providers: []entra.Provider{{Kind: entra.Entra, Authority: authority, Tenants: []string{tenant}}},
			Transport: w, Now: func() time.Time { return now },
		},
		Audiences: []string{audience},
	}
}

// examine examines a token, or only the authority when there is none.
func examine(t testing.TB, cfg doctor.Config, token ...string) doctor.Report {
	t.Helper()
	d, err := doctor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(token) == 0 {
		return d.Examine(t.Context())
	}
	return d.ExamineToken(t.Context(), token[0])
}

// step is the first of a name that is no better than the others of that name.
func step(t testing.TB, r doctor.Report, name string) doctor.Step {
	t.Helper()
	var found *doctor.Step
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Name == name && (found == nil || s.Status > found.Status) {
			found = s
		}
	}
	if found == nil {
		t.Fatalf("there is no step %s", name)
	}
	return *found
}

// told is the report in both its forms.
func told(t testing.TB, r doctor.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String() + mustJSON(r)
}
