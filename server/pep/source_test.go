package pep_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/pep"
)

func TestTokensWithUnknownKeysCostOneFetchInFiveMinutes(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	flood := func() {
		t.Helper()
		for i := range 50 {
			if _, err := w.admit(t, w.mint(t, object{"kid": fmt.Sprintf("x%d", i)}, nil)); status.Code(err) != codes.Unauthenticated {
				t.Fatal(err)
			}
		}
	}
	flood()
	w.pass(299 * time.Second)
	flood()
	if n := w.fetches(); n != 2 {
		t.Errorf("%d fetches; want the first one and one for all unknown keys", n)
	}
	w.pass(time.Second)
	flood()
	if n := w.fetches(); n != 3 {
		t.Errorf("%d fetches after five minutes", n)
	}
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Errorf("the flood cost those who are known: %v", err)
	}
}

func TestANewKeyIsFoundAndAWithdrawnOneEndsItsTokens(t *testing.T) {
	w := newWorld(t, nil)
	long := object{"exp": w.clock.Load() + 3600}
	old := w.mint(t, nil, long)
	if _, err := w.admit(t, old); err != nil {
		t.Fatal(err)
	}
	w.publish(ecJWK("e2", ecKey()))
	payload := string(must(json.Marshal(object{"iss": w.server.URL, "aud": audience, "sub": role, "iat": w.clock.Load(), "exp": w.clock.Load() + 300})))
	if got, err := w.admit(t, sign(`{"alg":"ES384","kid":"e2"}`, payload, ecKey())); err != nil || got != role {
		t.Errorf("a new key: %q, %v", got, err)
	}
	if got, err := w.admit(t, old); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a token that was proven once outlives its key: %q, %v", got, err)
	}
	// Another key under the id of the old one is another key.
	w.pass(5 * time.Minute)
	w.publish(rsaJWK("r1", strayK()))
	if _, err := w.admit(t, old); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "signature") {
		t.Errorf("%v", err)
	}
}

func TestKeysServeADayAfterTheyWereFetched(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Fatal(err)
	}
	w.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	w.pass(24 * time.Hour)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Errorf("after a day: %v", err)
	}
	w.pass(time.Second)
	eventually(t, func() error { // the fetch beside the last call may still be under way
		if _, err := w.admit(t, w.mint(t, nil, nil)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), w.server.URL) {
			return fmt.Errorf("after more than a day: %w", err)
		}
		return nil
	})
	if s := w.Stats(); s.Unavailable == 0 {
		t.Errorf("counted %+v", s)
	}
	if st := w.Issuers(); len(st) != 1 || st[0].Keys != 0 || !strings.Contains(st[0].Problem, "502") || !st[0].FetchedAt.Equal(now) {
		t.Errorf("status %+v", st)
	}
	w.answers(nil)
	w.pass(10 * time.Second)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Errorf("when the keys are back: %v", err)
	}
	if n := strings.Count(w.logs.text(), "could not be fetched"); n != 1 {
		t.Errorf("one problem is told %d times:\n%s", n, w.logs.text())
	}
}

// eventually gives what happens beside the test ten seconds to happen.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for range 1000 {
		if err = check(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(err)
}

func TestOldKeysAreFetchedAgainBesideTheCall(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil || w.fetches() != 1 {
		t.Errorf("after an hour: %v, %d fetches", err, w.fetches())
	}
	release := make(chan struct{})
	w.answers(func(rw http.ResponseWriter, _ *http.Request) {
		<-release
		send(rw, object{"keys": []object{rsaJWK("r1", rsaKey())}})
	})
	w.pass(time.Second)
	if _, err := w.admit(t, w.mint(t, nil, nil)); err != nil {
		t.Errorf("after more than an hour: %v", err)
	}
	close(release)
	eventually(t, func() error {
		if st := w.Issuers()[0]; !st.FetchedAt.Equal(now.Add(time.Hour + time.Second)) {
			return fmt.Errorf("not fetched anew: %+v", st)
		}
		return nil
	})
}

func TestADocumentThatIsNotOneOfKeysIsRefused(t *testing.T) {
	text := func(body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, body) }
	}
	keys := func(keys ...object) http.HandlerFunc { return text(string(must(json.Marshal(object{"keys": keys})))) }
	change := func(k object, with object) object {
		for name, v := range with {
			k[name] = v
		}
		return k
	}
	small := b64(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 1024), big.NewInt(1)).Bytes())
	many := make([]object, 65)
	for i := range many {
		many[i] = rsaJWK(fmt.Sprintf("r%d", i), rsaKey())
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string // of the problem
	}{
		"an error":             {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }, "status 500"},
		"a web page":           {text("<html>"), "JSON"},
		"more than a mebibyte": {text(`{"keys":[]}` + strings.Repeat(" ", 1<<20)), "longer"},
		"a redirect to another host": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://other.example/keys", http.StatusFound)
		}, "redirect"},
		"a redirect to plaintext": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://"+r.Host+"/keys", http.StatusFound)
		}, "redirect"},
		"redirects without end":      {func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) }, "redirect"},
		"no keys":                    {keys(), "no usable key"},
		"too many keys":              {keys(many...), "more than 64"},
		"one id twice":               {keys(rsaJWK("r1", rsaKey()), rsaJWK("r1", strayK())), "twice"},
		"a member twice":             {text(`{"keys":[],"keys":[]}`), "JSON"},
		"a key without an id":        {keys(change(rsaJWK("", rsaKey()), nil)), "no usable key"},
		"a key that is for secrecy":  {keys(change(rsaJWK("r1", rsaKey()), object{"use": "enc"})), "no usable key"},
		"a key that only signs":      {keys(change(rsaJWK("r1", rsaKey()), object{"key_ops": []string{"sign"}})), "no usable key"},
		"a private key":              {keys(change(rsaJWK("r1", rsaKey()), object{"d": "AQAB"})), "no usable key"},
		"a key for PS256":            {keys(change(rsaJWK("r1", rsaKey()), object{"alg": "PS256"})), "no usable key"},
		"an EC key said to be RSA's": {keys(change(ecJWK("e1", ecKey()), object{"alg": "RS256"})), "no usable key"},
		"a short RSA key":            {keys(change(rsaJWK("r1", rsaKey()), object{"n": small})), "no usable key"},
		"an exponent of 3":           {keys(change(rsaJWK("r1", rsaKey()), object{"e": "Aw"})), "no usable key"},
		"an even modulus":            {keys(change(rsaJWK("r1", rsaKey()), object{"n": b64(append(rsaKey().N.Bytes(), 0))})), "no usable key"},
		"a secret":                   {keys(object{"kty": "oct", "kid": "o1", "k": "c2VjcmV0"}), "no usable key"},
		"a key on P-256":             {keys(change(ecJWK("e1", p256K()), object{"alg": nil})), "no usable key"},
		"P-256 said to be P-384":     {keys(change(ecJWK("e1", p256K()), object{"crv": "P-384"})), "no usable key"},
		"a point beside the curve":   {keys(change(ecJWK("e1", ecKey()), object{"y": b64(make([]byte, 48))})), "no usable key"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.answers(tc.answer)
			if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), w.server.URL) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if _, err := w.admit(t, w.mint(t, nil, nil)); status.Code(err) != codes.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAKeyThatIsNotUnderstoodDoesNotCostTheOthers(t *testing.T) {
	w := newWorld(t, nil)
	w.publish(object{"kty": "OKP", "kid": "o1", "crv": "Ed25519"}, object{"kty": 7, "kid": "n"}, object{"kid": 7}, rsaJWK("r1", rsaKey()))
	if got, err := w.admit(t, w.mint(t, nil, nil)); err != nil || got != role {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnIssuerThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, nil)
	release := make(chan struct{})
	w.answers(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(sending(t, "Bearer "+w.mint(t, nil, nil)), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := w.Admit(ctx, decide); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the caller waited %s beyond its deadline", took)
	}
	if err := w.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAnIssuerInsideTheNetworkIsNotAsked(t *testing.T) {
	w := newWorld(t, func(cfg *pep.Config) { cfg.Transport = nil })
	if err := w.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "private address") || w.fetches() != 0 {
		t.Errorf("%v, %d fetches", err, w.fetches())
	}
}

func TestATokenThatWasProvenIsProvenAgainOnlyWhenItMust(t *testing.T) {
	w := newWorld(t, nil)
	token := w.mint(t, nil, nil)
	for range 3 {
		if got, err := w.admit(t, token); err != nil || got != role {
			t.Fatalf("%q, %v", got, err)
		}
	}
	w.publish(rsaJWK("r1", strayK())) // nobody looks: the keys are not fetched, and the proof stands
	if got, err := w.admit(t, token); err != nil || got != role || w.fetches() != 1 {
		t.Errorf("%q, %v, %d fetches", got, err, w.fetches())
	}
	w.pass(6 * time.Minute)
	if _, err := w.admit(t, token); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Errorf("after its end: %v", err)
	}
}

func TestManyAskAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	tokens := make([]string, 8)
	for i := range tokens {
		tokens[i] = w.mint(t, nil, object{"jti": i})
	}
	bad := w.mint(t, object{"kid": "x"}, nil)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 50 {
				if got, err := w.admit(t, tokens[(i+j)%len(tokens)]); err != nil || got != role {
					t.Errorf("%q, %v", got, err)
				}
				if _, err := w.admit(t, bad); status.Code(err) != codes.Unauthenticated {
					t.Errorf("%v", err)
				}
				w.Stats()
				w.Issuers()
			}
		})
	}
	wg.Wait()
	if n := w.fetches(); n > 2 {
		t.Errorf("%d fetches", n)
	}
	if s := w.Stats(); s.Admitted != 16*50 || s.Unidentified != 16*50 {
		t.Errorf("counted %+v", s)
	}
}

func BenchmarkAdmit(b *testing.B) {
	w := newWorld(b, nil)
	ctx := sending(b, "Bearer "+w.mint(b, nil, nil))
	b.Run("a token that is known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.Admit(ctx, decide); err != nil {
				b.Fatal(err)
			}
		}
	})
	open, anyone := newGate(b, pep.Config{}), holding(b, named(b, "dns:a.example.com"))
	b.Run("nothing is set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := open.Admit(anyone, decide); err != nil {
				b.Fatal(err)
			}
		}
	})
}
