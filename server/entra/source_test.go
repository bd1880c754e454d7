package entra

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

func TestRolloverCostsOneRefresh(t *testing.T) {
	w := warm(t, func(_ *world, cfg *Config) { cfg.StrictRemoval = true })
	w.keys(keysT, published(kidOne, keyOne(), templated), published("K2", keyTwo(), templated))
	before := w.hitsOf(keysT)
	w.mustPass(t, forge(hdr("kid", "K2"), by(keyTwo())))
	w.mustPass(t, good())
	if n := w.hitsOf(keysT) - before; n != 1 {
		t.Errorf("%d refreshes", n)
	}
	w.keys(keysT, published("K2", keyTwo(), templated))
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustRefuse(t, good(), policy.KeyUnknown) // with strict removal, a key that was withdrawn is gone with the next refresh
}

// Everyone who waits for a new key shares one refresh, and all of them pass.
func TestWaitersShareOneRefresh(t *testing.T) {
	w := warm(t, nil)
	w.keys(keysT, published("K2", keyTwo(), templated))
	next := w.docs[configT]
	w.handle(configT, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		next(rw, r)
	})
	before := w.hitsOf(configT)
	token := forge(hdr("kid", "K2"), by(keyTwo()))
	var wg sync.WaitGroup
	var refused atomic.Int32
	for range 8 {
		wg.Go(func() {
			if _, r := w.ask(token); !r.OK() {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if n := w.hitsOf(configT) - before; n != 1 || refused.Load() != 0 {
		t.Errorf("%d refreshes, %d refused", n, refused.Load())
	}
}

// A key id that a fresh document did not have spends no emergency when a later refresh fails.
func TestAKnownUnknownKeyCostsNothing(t *testing.T) {
	w := warm(t, nil)
	token := forge(hdr("kid", "nowhere"))
	w.mustRefuse(t, token, policy.KeyUnknown)
	w.handle(configT, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	if err := w.Refresh(t.Context()); err == nil {
		t.Fatal("no error")
	}
	before := w.hitsOf(configT)
	w.mustRefuse(t, token, policy.KeyUnknown)
	if n := w.hitsOf(configT) - before; n != 0 {
		t.Errorf("%d fetches", n)
	}
	w.mustRefuse(t, forge(hdr("kid", "new")), policy.KeyUnknown)
	if n := w.hitsOf(configT) - before; n != 1 {
		t.Errorf("%d fetches for another key, want an emergency", n)
	}
}

func TestUnknownKeysCostOneFetchInFiveMinutes(t *testing.T) {
	w := warm(t, nil)
	before := w.hitsOf(keysT)
	var wg sync.WaitGroup
	var wrong atomic.Int32
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = forge(hdr("kid", fmt.Sprintf("random-%d", i)))
	}
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < 2000; i += 8 {
				if _, r := w.ask(tokens[i%len(tokens)]); r.Reason != policy.KeyUnknown {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := w.hitsOf(keysT) - before; n != 1 || wrong.Load() != 0 {
		t.Errorf("%d fetches, %d other answers", n, wrong.Load())
	}
	w.at(4*time.Minute + 59*time.Second)
	w.mustRefuse(t, tokens[0], policy.KeyUnknown)
	if n := w.hitsOf(keysT) - before; n != 1 {
		t.Errorf("%d fetches before five minutes", n)
	}
	w.at(5 * time.Minute)
	w.mustRefuse(t, tokens[0], policy.KeyUnknown)
	if n := w.hitsOf(keysT) - before; n != 2 {
		t.Errorf("%d fetches after five minutes", n)
	}
}

func TestNobodyWaitsForASlowDocument(t *testing.T) {
	release := make(chan struct{})
	w := warm(t, func(_ *world, cfg *Config) { cfg.UnknownKeyWait = 50 * time.Millisecond })
	defer close(release)
	w.handle(configT, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	began := time.Now()
	w.mustRefuse(t, forge(hdr("kid", "unseen")), policy.KeyUnknown)
	if took := time.Since(began); took < 40*time.Millisecond || took > 3*time.Second {
		t.Errorf("an unknown key waited %v", took)
	}
	for range 20 { // the refresh still hangs
		w.mustPass(t, good())
	}
	w.unknown.mu.Lock()
	defer w.unknown.mu.Unlock()
	if len(w.unknown.till) != 0 {
		t.Error("a key was called unknown although no fresh document said so")
	}
}

func TestAHangingServerEndsWithTheTimeout(t *testing.T) {
	w := newWorld(t, func(_ *world, cfg *Config) { cfg.HTTPTimeout = 50 * time.Millisecond })
	w.handle(configT, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := w.Refresh(t.Context()); err == nil {
		t.Fatal("no error")
	}
	w.mustRefuse(t, good(), policy.KeysUnavailable)
}

func TestColdStartRecoversOnTheNextTry(t *testing.T) {
	w := newWorld(t, nil)
	good := good()
	next := w.docs[keysT]
	w.handle(keysT, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	w.mustRefuse(t, good, policy.KeysUnavailable) // the regular refresh
	w.mustRefuse(t, good, policy.KeysUnavailable) // the first emergency
	w.handle(keysT, next)
	w.mustPass(t, good)
}

func TestEmergenciesAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.handle(configT, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	token := good()
	for range 50 {
		w.mustRefuse(t, token, policy.KeysUnavailable)
	}
	if n := w.hitsOf(configT); n != 1+emergencies {
		t.Errorf("%d fetches", n)
	}
}

func TestKeysServeADayAndNoLonger(t *testing.T) {
	w := warm(t, nil)
	fail := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }
	w.handle(configT, fail)
	forDay := forge(set("iat", seconds(0)), set("exp", seconds(28*3600)))
	w.at(24 * time.Hour)
	w.mustPass(t, forDay)
	w.at(24*time.Hour + time.Second)
	w.mustRefuse(t, forDay, policy.KeysUnavailable)
	if st := w.statusOf(t); st.Keys != 0 || !st.FetchedAt.Equal(start) {
		t.Errorf("status %+v", st)
	}
	w.at(-time.Hour) // a clock that goes back makes nothing worse
	w.mustPass(t, forge(set("iat", seconds(-7200)), set("nbf", seconds(-7200))))
}

func TestNotModifiedCountsAsFresh(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{configT, keysT} {
		next := w.docs[path]
		w.handle(path, func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == `"v1"` {
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			rw.Header().Set("ETag", `"v1"`)
			next(rw, r)
		})
	}
	for i := range 2 {
		w.at(time.Duration(i) * time.Hour)
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st := w.statusOf(t); st.Keys != 2 || !st.FetchedAt.Equal(start.Add(time.Hour)) {
		t.Errorf("status %+v", st)
	}
	w.mustPass(t, forge(set("exp", seconds(7200))))
}

func TestUnknownKeysAreBounded(t *testing.T) {
	u := newUnknownKeys(100, time.Minute)
	s := new(source)
	for i := range 1000 {
		u.add(s, fmt.Appendf(nil, "k%d", i), start)
	}
	if len(u.till) != 100 || !u.has(s, []byte("k999"), start) || u.has(s, []byte("k999"), start.Add(time.Minute)) {
		t.Errorf("%d entries", len(u.till))
	}
	if u.has(new(source), []byte("k999"), start) {
		t.Error("a key id unknown to one tenant is unknown to another")
	}
}

func TestBudgetGrowsBack(t *testing.T) {
	var b budget
	b.full(5 * time.Minute)
	now := start
	take := func(want string) {
		t.Helper()
		got := ""
		for range 6 {
			if b.take(now, true) {
				got += "y"
			} else {
				got += "n"
			}
		}
		if got != want {
			t.Errorf("at %v: %s, want %s", now.Sub(start), got, want)
		}
	}
	take("yyyynn")
	now = now.Add(time.Minute)
	take("nnnnnn")
	now = now.Add(4 * time.Minute)
	take("yynnnn") // the regular one and one that grew back
	now = now.Add(-time.Hour)
	take("ynnnnn") // a clock that goes back starts anew
	now = now.Add(24 * time.Hour)
	take("yyyynn")
}

// roundTrip is a transport of a function, for time that synctest holds.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRunRefreshesHourlyAndRetriesSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		began := time.Now()
		w := newWorld(t, func(w *world, cfg *Config) {
			cfg.Providers[0].Tenants = []string{tenantT}
			cfg.Now = time.Now
			cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == configT {
					asked = append(asked, time.Since(began))
				}
				rec := httptest.NewRecorder()
				if len(asked) <= 3 {
					rec.WriteHeader(http.StatusInternalServerError)
				} else {
					w.docs[r.URL.Path](rec, r)
				}
				return rec.Result(), nil
			})
		})
		w.server.Close() // nothing may leave the bubble
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- w.Run(ctx) }()
		time.Sleep(3 * time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// At once, then after about 10, 20 and 40 s, then about hourly.
		want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second, time.Hour, 2 * time.Hour}
		if len(asked) < len(want) || len(asked) > len(want)+1 {
			t.Fatalf("asked at %v", asked)
		}
		for i, at := range want {
			if off := asked[i] - at; off < -at/10-time.Minute*2 || off > at/10+time.Minute*2 {
				t.Errorf("refresh %d at %v, want about %v", i, asked[i], at)
			}
		}
	})
}

// A refresh that was under way when a key was published has not seen it, and says nothing of it: the token waits for the
// next one, and passes.
func TestARefreshUnderWaySaysNothingOfANewerKey(t *testing.T) {
	w := warm(t, nil)
	arrived, release := make(chan struct{}), make(chan struct{})
	old := w.docs[keysT]
	w.handle(keysT, func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		old(rw, r)
	})
	done := make(chan error)
	go func() { done <- w.Refresh(context.Background()) }()
	<-arrived
	w.keys(keysT, published(kidOne, keyOne(), templated), published("K2", keyTwo(), templated))
	passed := make(chan Refusal)
	go func() {
		_, r := w.ask(forge(hdr("kid", "K2"), by(keyTwo())))
		passed <- r
	}()
	time.Sleep(20 * time.Millisecond) // so that it has joined; if it comes later, it passes all the same
	close(release)
	if r := <-passed; !r.OK() {
		t.Errorf("refused: %v (%s)", r.Reason, r.Detail)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
