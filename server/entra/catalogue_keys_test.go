package entra

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

func failing(status int) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) }
}

// keepsOld is a key document that is answered so, and changes nothing of the keys that were there.
func keepsOld(name, problem string, h http.HandlerFunc) entry {
	return entry{name: name, run: func(t *testing.T) { stays(t, problem, func(*world) http.HandlerFunc { return h }) }}
}

func stays(t *testing.T, problem string, handler func(*world) http.HandlerFunc) {
	t.Helper()
	w := warm(t, nil)
	w.handle(keysT, handler(w))
	w.at(time.Minute)
	if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), problem) {
		t.Fatalf("Refresh: %v, want %q", err, problem)
	}
	if st := w.statusOf(t); !strings.Contains(st.Problem, problem) || st.Keys != 2 || !st.FetchedAt.Equal(start) {
		t.Errorf("status %+v", st)
	}
	if st := w.statsOf(t); st.Failures != 1 || st.Refreshes != 1 || st.AgeSeconds != 60 {
		t.Errorf("stats %+v", st)
	}
	w.mustPass(t, good())
	w.mustRefuse(t, forge(by(keyRogue())), policy.SignatureInvalid)
}

// statsOf is what is counted of tenant T.
func (w *world) statsOf(t *testing.T) KeyStats {
	t.Helper()
	for _, s := range w.Stats() {
		if s.Tenant == tenantT {
			return s
		}
	}
	t.Fatal("no stats")
	return KeyStats{}
}

// dropped is a key that is left out although the others of its document serve.
func dropped(t *testing.T, kid string, key object) {
	t.Helper()
	w := warm(t, func(w *world, _ *Config) {
		w.publish("/"+tenantT, issuerOf(tenantT), key, published(kidOne, keyOne(), templated))
	})
	w.mustPass(t, good())
	w.mustRefuse(t, forge(hdr("kid", kid)), policy.KeyUnknown)
}

var keyCases = map[int]entry{
	246: {name: "10 000 random kids", run: func(t *testing.T) {
		w := warm(t, nil)
		before, token := w.fetches(), good()
		flood := randomKids(10_000)
		took := make([]time.Duration, 0, len(flood)/10)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range cap(took) {
				began := time.Now()
				if _, r := w.ask(token); !r.OK() {
					t.Error("a good token was refused")
					return
				}
				took = append(took, time.Since(began))
			}
		})
		for _, bad := range flood {
			if _, r := w.ask(bad); r.Reason != policy.KeyUnknown {
				t.Fatalf("refused for %v", r.Reason)
			}
		}
		wg.Wait()
		if n := w.fetches() - before; n != 2 {
			t.Errorf("%d fetches, want one of each document", n)
		}
		if st := w.statsOf(t); st.UnknownKids != 10_000 {
			t.Errorf("stats %+v", st)
		}
		// Nothing that a good token does waits for the flood; the bound leaves room for a busy machine.
		slices.Sort(took)
		if p99 := took[len(took)*99/100]; p99 > 100*time.Millisecond {
			t.Errorf("p99 of good tokens %v", p99)
		}
	}},
	247: {name: "rollover to a new kid", run: func(t *testing.T) {
		w := warm(t, nil)
		w.keys(keysT, published(kidOne, keyOne(), templated), published("K2", keyTwo(), templated))
		before := w.hitsOf(keysT)
		w.mustPass(t, forge(hdr("kid", "K2"), by(keyTwo())))
		w.mustPass(t, good())
		if n := w.hitsOf(keysT) - before; n != 1 {
			t.Errorf("%d refreshes", n)
		}
	}},
	248: {name: "key withdrawn", run: keyWithdrawn},
	249: {name: "500 while warm", run: func(t *testing.T) {
		stays(t, "status 500", func(*world) http.HandlerFunc { return failing(http.StatusInternalServerError) })
	}},
	250: {name: "500 while cold", run: func(t *testing.T) {
		w := newWorld(t, nil)
		w.handle(keysT, failing(http.StatusInternalServerError))
		w.mustRefuse(t, good(), policy.KeysUnavailable)
		if st := w.statsOf(t); st.AgeSeconds != -1 || st.Failures != 1 {
			t.Errorf("stats %+v", st)
		}
	}},
	251: {name: "first fetch fails, then recovers", run: func(t *testing.T) {
		w := newWorld(t, nil)
		next := w.docs[keysT]
		w.handle(keysT, failing(http.StatusInternalServerError))
		w.mustRefuse(t, good(), policy.KeysUnavailable)
		w.handle(keysT, next)
		w.mustPass(t, good())
	}},
	252: {name: "keys hang", run: func(t *testing.T) {
		w := warm(t, func(_ *world, cfg *Config) { cfg.UnknownKeyWait = 20 * time.Millisecond })
		release := make(chan struct{})
		defer close(release)
		w.handle(keysT, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
		w.mustRefuse(t, forge(hdr("kid", "new")), policy.KeyUnknown)
		began := time.Now()
		for range 50 {
			w.mustPass(t, good())
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("50 warm requests took %v", took)
		}
	}},
	253: keepsOld("no keys", "no usable key", answer(`{"keys":[]}`)),
	254: keepsOld("a web page", "web page", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte("<html>"))
	}),
	255: keepsOld("status 204", "status 204", failing(http.StatusNoContent)),
	256: {name: "a key of an unknown kind, on a bad curve, without n", run: func(t *testing.T) {
		dropped(t, "odd", object{"kty": "OKP", "crv": "Ed25519", "kid": "odd", "x": "AA"})
		dropped(t, "odd", object{"kty": "EC", "crv": "P-999", "kid": "odd", "x": "AA", "y": "AA"})
		dropped(t, "odd", object{"kty": "RSA", "kid": "odd", "e": "AQAB"})
		for name, change := range map[string]object{
			"a point beside the curve": {"x": b64(make([]byte, 32))}, "a short coordinate": {"x": "AA"}, "another curve": {"crv": "P-384"},
			"another algorithm": {"alg": "ES384"}, "a private key": {"d": "AQAB"}, "for encryption": {"use": "enc"},
		} {
			t.Run(name, func(t *testing.T) {
				w := warm(t, generic(nil))
				w.keys("/keys", publishedEC(kidEC, keyEC(), change), published(kidOne, keyOne(), nil))
				w.at(time.Minute)
				w.strictNow(t)
				w.mustPass(t, forge(ofGeneric))
				w.mustRefuse(t, forge(ofGeneric, es256), policy.KeyUnknown)
			})
		}
	}},
	257: {name: "oct key and a token keyed with it", run: func(t *testing.T) {
		secret := []byte("0123456789abcdef0123456789abcdef")
		key := object{"kty": "oct", "kid": "oct", "k": b64(secret), "alg": "HS256"}
		dropped(t, "oct", key)
		token := forge(alg("HS256"), hdr("kid", "oct"), signWith(hs256(secret)))
		warm(t, func(w *world, _ *Config) {
			w.publish("/"+tenantT, issuerOf(tenantT), key, published(kidOne, keyOne(), templated))
		}).mustRefuse(t, token, policy.AlgNotAllowed)
	}},
	258: keepsOld("duplicate kid", "twice", func(rw http.ResponseWriter, r *http.Request) {
		answer(mustJSON(object{"keys": []object{published(kidOne, keyOne(), nil), published(kidOne, keyTwo(), nil)}}))(rw, r)
	}),
	259: {name: "RSA of 1024 bits", run: func(t *testing.T) {
		n := keyTwo().Primes[0] // 1024 bits and odd
		dropped(t, "small", object{"kty": "RSA", "kid": "small", "n": b64(n.Bytes()), "e": "AQAB"})
	}},
	260: {name: "e=1, ROCA, for encryption", run: func(t *testing.T) {
		dropped(t, "bad", published("bad", keyTwo(), object{"e": "AQ"}))
		dropped(t, "bad", published("bad", keyTwo(), object{"n": b64(rocaModulus().Bytes())}))
		dropped(t, "bad", published("bad", keyTwo(), object{"use": "enc"}))
		dropped(t, "bad", published("bad", keyTwo(), object{"key_ops": []string{"encrypt"}}))
	}},
	261: {name: "64 MiB or 10 000 keys", run: func(t *testing.T) {
		var sent int
		stays(t, "longer than", func(*world) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				piece := []byte(strings.Repeat(" ", 64<<10))
				for sent = 0; sent < 64<<20 && r.Context().Err() == nil; sent += len(piece) {
					if _, err := rw.Write(piece); err != nil {
						return
					}
				}
			}
		})
		if sent == 64<<20 {
			t.Error("all of it was read")
		}
		keys := make([]object, 10_000)
		for i := range keys {
			keys[i] = object{"kty": "x"}
		}
		body := mustJSON(object{"keys": keys})
		if len(body) > maxBody {
			t.Fatal("the bound of keys is not what is tested")
		}
		stays(t, "more than 64", func(*world) http.HandlerFunc { return answer(body) })
	}},
	262: {name: "redirects that leave", run: func(t *testing.T) {
		other := httptest.NewServer(answer(mustJSON(object{"keys": []object{published(kidOne, keyRogue(), nil)}})))
		defer other.Close()
		for _, to := range []string{"http://login.microsoftonline.com/", other.URL, "http://127.0.0.1:1/", "http://169.254.169.254/latest"} {
			stays(t, "leaves the host", func(*world) http.HandlerFunc {
				return func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, to, http.StatusFound) }
			})
		}
	}},
	263: {name: "discovery of another issuer", run: func(t *testing.T) {
		w := warm(t, nil)
		w.discovery(configT, "https://sts.evil.test/"+tenantT, "/"+tenantT+"/discovery/v2.0/keys")
		err := w.Refresh(t.Context())
		if !isIssuerError(err) || w.statusOf(t).Problem == "" {
			t.Errorf("Refresh: %v; status %+v", err, w.statusOf(t))
		}
		w.mustPass(t, good()) // what was good stays as long as any failure lets it
		w.at(24*time.Hour + time.Second)
		w.mustRefuse(t, forge(set("exp", seconds(28*3600))), policy.KeysUnavailable)
	}},
	264: {name: "cold start offline, kept an hour", run: func(t *testing.T) {
		w := offline(t, time.Hour, nil)
		w.mustPass(t, forge(set("exp", seconds(7200))))
		if st := w.statusOf(t); !st.FetchedAt.Equal(start) || st.Keys != 2 {
			t.Errorf("status %+v", st)
		}
		if st := w.statsOf(t); st.AgeSeconds != 3600 || st.Refreshes != 0 {
			t.Errorf("stats %+v", st)
		}
	}},
	265: {name: "cold start offline, kept 25 hours", run: func(t *testing.T) {
		w := offline(t, 25*time.Hour, nil)
		w.mustRefuse(t, forge(set("iat", seconds(24*3600)), set("exp", seconds(28*3600))), policy.KeysUnavailable)
	}},
	266: {name: "304", run: TestNotModifiedCountsAsFresh},
	267: {name: "clock jumps of an hour", run: func(t *testing.T) {
		w := warm(t, nil)
		for _, jump := range []time.Duration{time.Hour, -time.Hour, 0} {
			w.at(jump)
			w.mustPass(t, forge(set("iat", seconds(-7200)), set("nbf", seconds(-7200)), set("exp", seconds(7200))))
			if st := w.statsOf(t); st.AgeSeconds < 0 || st.AgeSeconds > 3600 {
				t.Errorf("jump %v: %+v", jump, st)
			}
			w.mustRefuse(t, forge(hdr("kid", fmt.Sprintf("k%d", jump)), set("exp", seconds(7200))), policy.KeyUnknown)
			if err := w.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}},
}

// randomKids are tokens that each name another key.
func randomKids(n int) []string {
	_, payload, signature := parts(good())
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = b64([]byte(mustJSON(object{"alg": "RS256", "kid": fmt.Sprintf("random-%d", i)}))) + "." + payload + "." + signature
	}
	return tokens
}

// keyWithdrawn: the key goes 24 hours after it was last published, at once with StrictRemoval, and at once with Purge.
func keyWithdrawn(t *testing.T) {
	token := forge(set("iat", seconds(-60)), set("exp", seconds(28*3600-60)))
	withdraw := func(t *testing.T, strict bool) *world {
		t.Helper()
		w := warm(t, func(_ *world, cfg *Config) { cfg.StrictRemoval = strict })
		w.keys(keysT, published("K2", keyTwo(), templated))
		w.at(time.Hour)
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w
	}
	t.Run("refused after 24 hours", func(t *testing.T) {
		w := withdraw(t, false)
		for hour := 1; hour <= 24; hour++ {
			w.at(time.Duration(hour) * time.Hour)
			w.mustPass(t, token)
			if err := w.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.at(24*time.Hour + time.Second)
		w.mustRefuse(t, token, policy.KeyUnknown)
		if st := w.statusOf(t); st.Keys != 1 {
			t.Errorf("status %+v", st)
		}
	})
	t.Run("refused at once with strict removal", func(t *testing.T) {
		withdraw(t, true).mustRefuse(t, token, policy.KeyUnknown)
	})
	t.Run("refused at once with a purge", func(t *testing.T) {
		w := withdraw(t, false)
		w.mustPass(t, token)
		if err := w.Purge(tenantT); err != nil {
			t.Fatal(err)
		}
		w.mustRefuse(t, token, policy.KeyUnknown)
		w.mustPass(t, forge(hdr("kid", "K2"), by(keyTwo()), set("exp", seconds(7200))))
	})
	t.Run("replaced at once by a key of the same id", func(t *testing.T) {
		w := warm(t, nil)
		w.keys(keysT, published(kidOne, keyTwo(), templated))
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustRefuse(t, token, policy.SignatureInvalid)
	})
	t.Run("refused at once by the deny-list", func(t *testing.T) {
		w := warm(t, nil)
		if err := w.DenyKeys([]string{kidOne}); err != nil {
			t.Fatal(err)
		}
		before := w.fetches()
		w.mustRefuse(t, token, policy.KeyUnknown)
		if w.fetches() != before {
			t.Error("it cost a fetch")
		}
		if err := w.DenyKeys(nil); err != nil {
			t.Fatal(err)
		}
		w.mustPass(t, token)
	})
}
