package entra

import (
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

const (
	configT = "/" + tenantT + "/v2.0/.well-known/openid-configuration"
	keysT   = "/" + tenantT + "/discovery/v2.0/keys"
)

func (w *world) hitsOf(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[path]
}

// statusOf is the status of tenant T.
func (w *world) statusOf(t *testing.T) KeyStatus {
	t.Helper()
	for _, s := range w.Status() {
		if s.Tenant == tenantT {
			return s
		}
	}
	t.Fatal("no status")
	return KeyStatus{}
}

func TestABadDocumentNeverReplacesGoodKeys(t *testing.T) {
	many := make([]object, 65)
	for i := range many {
		many[i] = published(fmt.Sprintf("k%d", i), keyOne(), nil)
	}
	outside := httptest.NewServer(answer(mustJSON(object{"keys": []object{published(kidOne, keyRogue(), nil)}})))
	defer outside.Close()
	redirect := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, to, http.StatusFound) }
	}
	discoveryWith := func(members object) func(w *world) http.HandlerFunc {
		return func(w *world) http.HandlerFunc {
			o := object{"issuer": issuerOf(tenantT), "jwks_uri": w.server.URL + keysT}
			for k, v := range members {
				o[k] = v
			}
			return answer(mustJSON(o))
		}
	}
	fixed := func(h http.HandlerFunc) func(*world) http.HandlerFunc {
		return func(*world) http.HandlerFunc { return h }
	}
	keySet := func(keys ...object) func(*world) http.HandlerFunc {
		return fixed(answer(mustJSON(object{"keys": keys})))
	}
	for name, tc := range map[string]struct {
		path    string
		handler func(*world) http.HandlerFunc
		problem string
	}{
		"no keys": {keysT, fixed(answer(`{"keys":[]}`)), "no usable key"},
		"a web page": {keysT, fixed(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = rw.Write([]byte("<html>"))
		}), "web page"},
		"not JSON":                          {keysT, fixed(answer(`{"keys":[`)), "not the JSON"},
		"status 204":                        {keysT, fixed(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) }), "status 204"},
		"status 500":                        {keysT, fixed(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }), "status 500"},
		"status 304 that was not asked":     {configT, fixed(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotModified) }), "status 304"},
		"a body beyond 512 KiB":             {keysT, fixed(answer(`{"keys":[],"x":"` + strings.Repeat("x", 600<<10) + `"}`)), "longer than"},
		"65 keys":                           {keysT, keySet(many...), "more than 64"},
		"one kid twice":                     {keysT, keySet(published(kidOne, keyOne(), nil), published(kidOne, keyTwo(), nil)), "twice"},
		"only unusable keys":                {keysT, keySet(published(kidOne, keyOne(), object{"use": "enc"})), "no usable key"},
		"a redirect to another host":        {keysT, fixed(redirect(outside.URL + "/discovery/v2.0/keys")), "leaves the host"},
		"a redirect to another scheme":      {keysT, func(w *world) http.HandlerFunc { return redirect(strings.Replace(w.server.URL, "http:", "https:", 1)) }, "leaves the host"},
		"a redirect to metadata of a cloud": {keysT, fixed(redirect("http://169.254.169.254/")), "leaves the host"},
		"redirects without end":             {keysT, func(w *world) http.HandlerFunc { return redirect(w.server.URL + keysT) }, "too many redirects"},
		"keys on another host":              {configT, discoveryWith(object{"jwks_uri": outside.URL + "/discovery/v2.0/keys"}), "not pinned"},
		"keys at another path":              {configT, discoveryWith(object{"jwks_uri": "https://login.microsoftonline.com/x"}), "does not have the path"},
		"keys over http on our host":        {configT, discoveryWith(object{"jwks_uri": "http://login.microsoftonline.com/common/discovery/keys"}), "not pinned"},
		"another issuer":                    {configT, discoveryWith(object{"issuer": issuerOf(tenantT2)}), "issuer: discovery names another one"},
		"a template of another issuer":      {configT, discoveryWith(object{"issuer": "https://login.microsoftonline.us/{tenantid}/v2.0"}), "issuer: discovery names another one"},
	} {
		t.Run(name, func(t *testing.T) {
			w := warm(t, nil)
			w.handle(tc.path, tc.handler(w))
			w.at(time.Minute)
			if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), tc.problem) {
				t.Fatalf("Refresh: %v, want %q", err, tc.problem)
			}
			st := w.statusOf(t)
			if !strings.Contains(st.Problem, tc.problem) || st.Keys != 2 || !st.FetchedAt.Equal(start) {
				t.Errorf("status %+v", st)
			}
			w.mustPass(t, good())
			w.mustRefuse(t, forge(by(keyRogue())), policy.SignatureInvalid)
		})
	}
}

func TestKeysAreTakenOneByOne(t *testing.T) {
	half := new(big.Int).Rsh(keyOne().N, 1024)
	small := object{"kty": "RSA", "kid": "small", "n": b64(half.SetBit(half, 0, 1).Bytes()), "e": "AQAB"}
	w := warm(t, func(w *world, _ *Config) {
		w.publish("/"+tenantT, issuerOf(tenantT),
			published("enc", keyOne(), object{"use": "enc"}),
			published("ops", keyOne(), object{"key_ops": []string{"encrypt"}}),
			published("alg", keyOne(), object{"alg": "PS256"}),
			published("e1", keyOne(), object{"e": "AQ"}),
			published("even", keyOne(), object{"e": "AQAC"}),
			published("non", keyOne(), object{"n": ""}),
			published("type", keyOne(), object{"n": 7}),
			published("private", keyOne(), object{"d": "AQAB"}),
			published("roca", keyOne(), object{"n": b64(rocaModulus().Bytes())}),
			published("bad kid/", keyOne(), nil),
			object{"kty": "oct", "kid": "oct", "k": "AAAA"}, object{"kty": "EC", "kid": "ec", "crv": "P-999"},
			object{"kty": "new"}, small,
			published(kidOne, keyOne(), object{"key_ops": []string{"verify"}, "alg": "RS256"}),
		)
	})
	if st := w.statusOf(t); st.Keys != 1 || st.Problem != "" {
		t.Fatalf("status %+v", st)
	}
	w.mustPass(t, good())
	for _, kid := range []string{"enc", "ops", "alg", "e1", "small", "oct", "private", "roca"} {
		w.mustRefuse(t, forge(hdr("kid", kid)), policy.KeyUnknown)
	}
}

func TestROCAIsRecognised(t *testing.T) {
	n := rocaModulus()
	if n.BitLen() != minKeyBits || n.Bit(0) != 1 || !hasROCA(n) {
		t.Error("the modulus of the broken generator passes")
	}
	for _, k := range pairs() {
		if hasROCA(k.N) {
			t.Error("an ordinary modulus is refused")
		}
	}
}

// rocaModulus has the fingerprint of the broken generator: it is a power of 65537 modulo the product of small primes.
func rocaModulus() *big.Int {
	product := big.NewInt(1)
	for _, p := range []int64{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		product.Mul(product, big.NewInt(p))
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123457), product)
	high := new(big.Int).Lsh(big.NewInt(1), 2047)
	high.Sub(high, new(big.Int).Mod(high, product))
	return n.Add(n, high.Add(high, product))
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	for address, ok := range map[string]bool{
		"20.190.160.1:443": true, "[2603:1006:2000::1]:443": true, "10.0.0.1:443": false, "172.16.0.1:443": false,
		"192.168.1.1:443": false, "127.0.0.1:443": false, "[::1]:443": false, "169.254.169.254:80": false, "0.0.0.0:80": false,
		"100.64.0.1:443": false, "[fe80::1%eth0]:443": false, "[fd00::1]:443": false, "[::ffff:10.0.0.1]:443": false,
		"[64:ff9b::a00:1]:443": false, "224.0.0.1:443": false, "255.255.255.255:443": false, "name:443": false,
	} {
		if err := checkAddress(address, false, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	if checkAddress("127.0.0.1:1", true, nil) != nil || checkAddress("[::1]:1", true, nil) != nil {
		t.Error("loopback was allowed and refused")
	}
	if checkAddress("10.0.0.1:1", true, nil) == nil {
		t.Error("loopback was allowed and a private address passed")
	}
	// And the client asks: without the permission the test server cannot be reached.
	w := newWorld(t, nil)
	client := newClient(&provider{}, w.cfg)
	if _, _, err := get(t.Context(), client, document{url: w.server.URL}); err == nil || !strings.Contains(err.Error(), "private address") {
		t.Errorf("get: %v", err)
	}
}
