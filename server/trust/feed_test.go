package trust_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/trust"
	"github.com/verdict-authz/verdict/store"
)

var t0 = time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)

// fakeVerifier has the provider "one" with the tenant "a" and the provider "two" with "b", and "okta" that has none.
type fakeVerifier struct {
	mu      sync.Mutex
	tenants map[string][]string
	fetched map[string]time.Time
	denied  []string
	purged  []string
	sets    int    // calls of SetTenants
	taboo   string // a tenant that is not taken
}

func newVerifier() *fakeVerifier {
	return &fakeVerifier{tenants: map[string][]string{"one": {"a"}, "two": {"b"}}, fetched: map[string]time.Time{}}
}

func (v *fakeVerifier) Status() []entra.KeyStatus {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := []entra.KeyStatus{{Provider: "okta", Tenant: "okta", FetchedAt: v.fetched["okta"]}}
	for _, p := range []string{"one", "two"} {
		for _, id := range v.tenants[p] {
			all = append(all, entra.KeyStatus{Provider: p, Tenant: id, FetchedAt: v.fetched[id]}, entra.KeyStatus{Provider: p, Tenant: id, V1: true})
		}
	}
	return all
}

func (v *fakeVerifier) Tenants(p string) ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tenants[p] == nil {
		return nil, errors.New("it has none")
	}
	return slices.Sorted(slices.Values(v.tenants[p])), nil
}

func (v *fakeVerifier) SetTenants(p string, ids []string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sets++
	for other, theirs := range v.tenants {
		for _, id := range ids {
			if id == v.taboo || other != p && slices.Contains(theirs, id) {
				return fmt.Errorf("tenants: %s: not taken", id)
			}
		}
	}
	v.tenants[p] = slices.Clone(ids)
	return nil
}

func (v *fakeVerifier) DeniedKeys() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.denied)
}

func (v *fakeVerifier) DenyKeys(kids []string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, kid := range kids {
		if strings.Contains(kid, "!") {
			return errors.New("not a key id")
		}
	}
	v.denied = slices.Sorted(slices.Values(kids))
	return nil
}

func (v *fakeVerifier) Purge(tenant string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.purged = append(v.purged, tenant)
	return nil
}

// takePurged returns what was purged since the last time.
func (v *fakeVerifier) takePurged() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.purged
	v.purged = nil
	return was
}

func (v *fakeVerifier) all() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return fmt.Sprint(slices.Sorted(slices.Values(v.tenants["one"])), slices.Sorted(slices.Values(v.tenants["two"])), v.denied)
}

// fakeStore is a store.TrustReader.
type fakeStore struct {
	mu      sync.Mutex
	version uint64
	tenants []store.TrustedTenant
	denied  []store.DeniedKey
	purges  []store.KeyPurge
	err     error
	reads   int
	hints   chan struct{}
}

func (s *fakeStore) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	f()
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeStore) TrustVersion(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version, s.err
}

func (s *fakeStore) Tenants(context.Context) ([]store.TrustedTenant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return slices.Clone(s.tenants), s.err
}

func (s *fakeStore) DeniedKeys(context.Context) ([]store.DeniedKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.denied), s.err
}

func (s *fakeStore) Purges(context.Context) ([]store.KeyPurge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.purges), s.err
}

func (s *fakeStore) Notify(context.Context) <-chan struct{} { return s.hints }

func newFeed(t *testing.T, s store.TrustReader, v trust.Verifier) *trust.Feed {
	t.Helper()
	f, err := trust.NewFeed(s, v, slog.New(slog.DiscardHandler), trust.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func sync1(t *testing.T, f *trust.Feed) {
	t.Helper()
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func tenants(pairs ...string) (l []store.TrustedTenant) {
	for i := 0; i < len(pairs); i += 2 {
		l = append(l, store.TrustedTenant{Provider: pairs[i], ID: pairs[i+1]})
	}
	return l
}

func keys(kids ...string) (l []store.DeniedKey) {
	for _, kid := range kids {
		l = append(l, store.DeniedKey{Kid: kid})
	}
	return l
}

func TestTheVerifierIsToldWhatTheStoreSays(t *testing.T) {
	for name, tc := range map[string]struct {
		was, tenants []store.TrustedTenant // before and now
		denied       []store.DeniedKey
		taboo        string
		want         string
		refused      string // provider and tenant; empty: none
	}{
		"nothing":                               {want: "[a] [b] []"},
		"tenants are added to their providers":  {tenants: tenants("one", "c", "two", "d", "two", "e"), want: "[a c] [b d e] []"},
		"one that is gone is removed":           {was: tenants("one", "c", "one", "d"), tenants: tenants("one", "d"), want: "[a d] [b] []"},
		"all that are gone are removed":         {was: tenants("one", "c"), want: "[a] [b] []"},
		"one of the configuration stays itself": {tenants: tenants("one", "a"), want: "[a] [b] []"},
		"one may move to a provider before":     {was: tenants("two", "c"), tenants: tenants("one", "c"), want: "[a c] [b] []"},
		"one may move to a provider behind":     {was: tenants("one", "c"), tenants: tenants("two", "c"), want: "[a] [b c] []"},
		"an unknown provider does not matter to others": {
			tenants: tenants("gone", "c", "one", "d"), want: "[a d] [b] []", refused: "gone c"},
		"a provider without tenants gets none": {tenants: tenants("okta", "c", "one", "d"), want: "[a d] [b] []", refused: "okta c"},
		"one that is not taken does not keep others out": {
			was: tenants("one", "c"), tenants: tenants("one", "c", "one", "x", "one", "d"), taboo: "x", want: "[a c d] [b] []", refused: "one x"},
		"keys are denied": {denied: keys("k1", "k2"), want: "[a] [b] [k1 k2]"},
		"an id that no key can have does not keep the others from being denied": {
			denied: keys("k1", "no!", "k2"), want: "[a] [b] [k1 k2]"},
	} {
		t.Run(name, func(t *testing.T) {
			s, v := &fakeStore{tenants: tc.was}, newVerifier()
			v.taboo = tc.taboo
			f := newFeed(t, s, v)
			sync1(t, f)
			s.change(func() { s.tenants, s.denied = tc.tenants, tc.denied })
			sync1(t, f)
			if got := v.all(); got != tc.want {
				t.Errorf("the verifier has %s, want %s", got, tc.want)
			}
			provider, tenant, _ := strings.Cut(tc.refused, " ")
			if st := f.Status(); (st.Problem == "") != (tc.refused == "") || !strings.Contains(st.Problem, tenant) || st.Version != 1 {
				t.Errorf("status %+v", st)
			}
			if tc.refused != "" && f.Refused(provider, tenant) == "" {
				t.Error("nobody is told why it was refused")
			}
			if got := f.Status(); got.DeniedKeys != len(tc.denied) {
				t.Errorf("status %+v", got)
			}
		})
	}
}

func TestStatusCountsWhatIsInForce(t *testing.T) {
	s, v := &fakeStore{version: 4, tenants: tenants("one", "c", "one", "x", "two", "d", "two", "b"), denied: keys("k")}, newVerifier()
	v.taboo = "x"
	f := newFeed(t, s, v)
	sync1(t, f)
	if st := f.Status(); st.Tenants != 2 || st.DeniedKeys != 1 || st.Version != 4 || st.CheckedAt.IsZero() {
		t.Errorf("status %+v", st)
	}
}

func TestConfiguredKnowsTheTenantsFromBefore(t *testing.T) {
	s, v := &fakeStore{tenants: tenants("one", "c")}, newVerifier()
	f := newFeed(t, s, v)
	sync1(t, f)
	want := []trust.Provider{{Name: "one", Tenants: []string{"a"}}, {Name: "two", Tenants: []string{"b"}}}
	if got := f.Configured(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("configured %v, want %v", got, want)
	}
}

func TestWithoutAChangeNothingIsReadOrTold(t *testing.T) {
	s, v := &fakeStore{tenants: tenants("one", "c")}, newVerifier()
	f := newFeed(t, s, v)
	for range 5 {
		sync1(t, f)
	}
	if s.reads != 1 || v.sets != 1 {
		t.Errorf("read %d times, told %d times", s.reads, v.sets)
	}
}

func TestWhileTheStoreIsAwayWhatWasStays(t *testing.T) {
	s, v := &fakeStore{tenants: tenants("one", "c"), denied: keys("k")}, newVerifier()
	f := newFeed(t, s, v)
	sync1(t, f)
	checked := f.Status().CheckedAt
	s.change(func() { s.tenants, s.denied = nil, nil })
	s.fail(store.ErrUnavailable)
	if err := f.Sync(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("sync: %v", err)
	}
	if got := v.all(); got != "[a c] [b] [k]" {
		t.Errorf("the verifier has %s", got)
	}
	if st := f.Status(); st.Problem == "" || st.CheckedAt != checked {
		t.Errorf("status %+v", st)
	}
	s.fail(nil)
	sync1(t, f)
	if got := v.all(); got != "[a] [b] []" {
		t.Errorf("when it is back the verifier has %s", got)
	}
	if st := f.Status(); st.Problem != "" {
		t.Errorf("status %+v", st)
	}
}

func TestAnOrderToPurgeIsCarriedOutOnce(t *testing.T) {
	s, v := &fakeStore{}, newVerifier()
	f := newFeed(t, s, v)
	sync1(t, f)
	order := func(seq uint64, tenant string) {
		s.change(func() {
			s.purges = slices.DeleteFunc(s.purges, func(p store.KeyPurge) bool { return p.Tenant == tenant })
			s.purges = append(s.purges, store.KeyPurge{Seq: seq, Tenant: tenant, At: t0})
		})
	}
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() { order(1, "b") }, []string{"b"}},
		{func() { s.change(func() {}) }, nil},
		{func() { order(3, "b") }, []string{"b"}},
		{func() { order(4, "OKTA") }, []string{"okta"}},
		{func() { order(5, "elsewhere") }, nil},
		{func() { order(6, "") }, []string{"a", "b", "okta"}},
		{func() { s.change(func() {}) }, nil},
	} {
		step.do()
		sync1(t, f)
		got := v.takePurged()
		slices.Sort(got)
		if !slices.Equal(got, step.want) {
			t.Fatalf("purged %q, want %q", got, step.want)
		}
	}
}

func TestKeysOfAnEarlierProcessGoWhenAnOrderIsYounger(t *testing.T) {
	for name, tc := range map[string]struct {
		tenant  string
		fetched time.Duration // after the order
		want    []string
	}{
		"older than the order":                    {"a", -time.Hour, []string{"a"}},
		"older than an order for all":             {"", -time.Hour, []string{"a"}},
		"younger than the order":                  {"a", time.Hour, nil},
		"about as old, by clocks that may differ": {"a", 10 * time.Second, []string{"a"}},
		"of another tenant":                       {"b", -time.Hour, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, v := &fakeStore{version: 9, purges: []store.KeyPurge{{Seq: 9, Tenant: tc.tenant, At: t0}}}, newVerifier()
			v.fetched["a"] = t0.Add(tc.fetched)
			f := newFeed(t, s, v)
			sync1(t, f)
			if got := v.takePurged(); !slices.Equal(got, tc.want) {
				t.Errorf("at the start: purged %q, want %q", got, tc.want)
			}

			s, v = &fakeStore{version: 9, purges: s.purges}, newVerifier()
			v.fetched["c"] = t0.Add(tc.fetched)
			s.purges[0].Tenant = strings.ReplaceAll(tc.tenant, "a", "c")
			f = newFeed(t, s, v)
			sync1(t, f)
			s.change(func() { s.tenants = tenants("one", "c") })
			sync1(t, f)
			if got := v.takePurged(); (len(got) > 0) != (len(tc.want) > 0) || len(got) > 0 && got[0] != "c" {
				t.Errorf("when it is trusted: purged %q", got)
			}
		})
	}
}

func TestAStoreThatWasSetBackIsFollowed(t *testing.T) {
	s, v := &fakeStore{version: 9, tenants: tenants("one", "c"), denied: keys("k")}, newVerifier()
	f := newFeed(t, s, v)
	sync1(t, f)
	s.mu.Lock()
	s.version, s.tenants, s.denied = 2, nil, nil
	s.mu.Unlock()
	sync1(t, f)
	if got := v.all(); got != "[a] [b] []" {
		t.Errorf("the verifier has %s", got)
	}
	s.change(func() { s.purges = []store.KeyPurge{{Seq: 3, Tenant: "a", At: t0}} })
	sync1(t, f)
	if got := v.takePurged(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("purged %q", got)
	}
}

func TestRunFollowsByPollHintAndKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := &fakeStore{hints: make(chan struct{}, 1)}, newVerifier()
		f := newFeed(t, s, v)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		synctest.Wait()
		for i, step := range []struct {
			poke   func()
			within time.Duration
		}{
			{func() {}, 500 * time.Millisecond},
			{func() { s.hints <- struct{}{} }, 20 * time.Millisecond},
			{f.Kick, 20 * time.Millisecond},
		} {
			time.Sleep(15 * time.Millisecond)
			id := fmt.Sprint("t", i)
			s.change(func() { s.tenants = tenants("one", id) })
			step.poke()
			time.Sleep(step.within)
			synctest.Wait()
			if got := v.all(); got != "[a "+id+"] [b] []" {
				t.Errorf("step %d: after %s the verifier has %s", i, step.within, got)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestNewFeedRefusesWhatItCannotWorkWith(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, open := range map[string]func() (*trust.Feed, error){
		"no store":    func() (*trust.Feed, error) { return trust.NewFeed(nil, newVerifier(), log, trust.Config{}) },
		"no verifier": func() (*trust.Feed, error) { return trust.NewFeed(&fakeStore{}, nil, log, trust.Config{}) },
		"no logger":   func() (*trust.Feed, error) { return trust.NewFeed(&fakeStore{}, newVerifier(), nil, trust.Config{}) },
		"negative poll": func() (*trust.Feed, error) {
			return trust.NewFeed(&fakeStore{}, newVerifier(), log, trust.Config{Poll: -1})
		},
		"a negative timeout": func() (*trust.Feed, error) {
			return trust.NewFeed(&fakeStore{}, newVerifier(), log, trust.Config{Timeout: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(); err == nil {
				t.Error("accepted")
			}
		})
	}
}
