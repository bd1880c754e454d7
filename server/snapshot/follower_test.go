package snapshot_test

import (
	"bytes"
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

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/store"
)

// fakeStore holds facts whose history is the deltas; what a test does not need panics.
type fakeStore struct {
	store.PolicyReader
	mu     sync.Mutex
	facts  store.Facts
	deltas []store.Delta // one a revision, ascending; what is missing is a gap
	away   error
	hints  chan struct{}
	calls  map[string]int
}

func newFake() *fakeStore {
	return &fakeStore{calls: map[string]int{}, facts: store.Facts{Revision: 1, APIs: []store.API{orders}}}
}

var orders = store.API{ID: "orders", Audiences: []string{"aud"}, Permissions: []store.Permission{{Name: "orders.read"}}}

const tenant = "11111111-1111-4111-8111-111111111111"

func grant(id string) store.Grant {
	return store.Grant{ID: id, API: "orders", Subject: "tenant:" + tenant, Permissions: []string{"orders.read"}, Effect: store.Allow}
}

func (f *fakeStore) called(name string) error {
	f.calls[name]++
	return f.away
}

func (f *fakeStore) Head(context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.facts.Revision, f.called("Head")
}

func (f *fakeStore) Load(context.Context) (store.Facts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	facts := f.facts
	facts.Grants = slices.Clone(facts.Grants)
	return facts, f.called("Load")
}

func (f *fakeStore) ChangesSince(_ context.Context, from uint64) (store.Delta, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("ChangesSince"); err != nil {
		return store.Delta{}, err
	}
	sum := store.Delta{From: from, To: from}
	for _, d := range f.deltas {
		if d.From == sum.To {
			for _, g := range d.Grants {
				sum.Grants = slices.DeleteFunc(sum.Grants, func(o store.Grant) bool { return o.ID == g.ID })
			}
			sum.Grants, sum.To = append(sum.Grants, d.Grants...), d.To
		}
	}
	if sum.To != f.facts.Revision {
		return store.Delta{}, fmt.Errorf("changes since %d: %w", from, store.ErrNotFound)
	}
	return sum, nil
}

func (f *fakeStore) Notify(context.Context) <-chan struct{} { return f.hints }

// commit puts grants as the next revision.
func (f *fakeStore) commit(grants ...store.Grant) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts.Revision++
	f.deltas = append(f.deltas, store.Delta{From: f.facts.Revision - 1, To: f.facts.Revision, Grants: grants})
	f.put(grants...)
	return f.facts.Revision
}

// put writes grants behind the API: no revision is made.
func (f *fakeStore) put(grants ...store.Grant) {
	for _, g := range grants {
		f.facts.Grants = append(slices.DeleteFunc(f.facts.Grants, func(o store.Grant) bool { return o.ID == g.ID }), g)
	}
}

func (f *fakeStore) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeStore) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

func compileCondition(source string) (policy.Condition, error) {
	if source == "panic" {
		panic("tripped")
	}
	return nil, fmt.Errorf("no condition compiles: %q", source)
}

// follow runs a follower over f until the test ends.
func follow(t *testing.T, f *fakeStore, cfg snapshot.Config) (*snapshot.Follower, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	fol, err := snapshot.NewFollower(f, compileCondition, slog.New(slog.NewTextHandler(&buf, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fol.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run ends with %v", err)
		}
	})
	return fol, &buf
}

func wantRevision(t *testing.T, f *snapshot.Follower, want uint64) {
	t.Helper()
	s := f.Current()
	if s == nil {
		t.Fatalf("no snapshot, want revision %d", want)
	}
	if s.Revision() != want {
		t.Errorf("at revision %d, want %d", s.Revision(), want)
	}
}

func TestFollowingByPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fol, _ := follow(t, f, snapshot.Config{})
		if fol.Current() != nil || !fol.Stale(time.Now()) {
			t.Error("there is a policy before the first load")
		}
		synctest.Wait()
		wantRevision(t, fol, 1)
		f.commit(grant("g-1"))
		f.commit(grant("g-2"))
		time.Sleep(1100 * time.Millisecond)
		wantRevision(t, fol, 3)
		if n := fol.Current().Counts().Grants; n != 2 {
			t.Errorf("%d grants", n)
		}
		time.Sleep(time.Minute)
		if loads, deltas := f.count("Load"), f.count("ChangesSince"); loads != 1 || deltas != 1 {
			t.Errorf("%d full loads and %d deltas, want one each", loads, deltas)
		}
		if st := fol.Status(); st.Problem != "" || st.Refused != 0 || time.Since(st.CheckedAt) > 1100*time.Millisecond {
			t.Errorf("status %+v", st)
		}
	})
}

func TestTheEmptyPolicyIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.facts = store.Facts{}
		fol, _ := follow(t, f, snapshot.Config{})
		synctest.Wait()
		wantRevision(t, fol, 0)
		if fol.Stale(time.Now()) {
			t.Error("stale")
		}
	})
}

func TestHintsAndKicksMakeItSooner(t *testing.T) {
	for name, nudge := range map[string]func(*fakeStore, *snapshot.Follower){
		"a hint of the store": func(f *fakeStore, _ *snapshot.Follower) { f.hints <- struct{}{} },
		"a kick":              func(_ *fakeStore, fol *snapshot.Follower) { fol.Kick() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.hints = make(chan struct{}, 1)
				fol, _ := follow(t, f, snapshot.Config{Poll: time.Hour})
				time.Sleep(time.Second)
				f.commit(grant("g-1"))
				nudge(f, fol)
				synctest.Wait()
				wantRevision(t, fol, 2)
			})
		})
	}
}

func TestNudgesAreNoLoadOnTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fol, _ := follow(t, f, snapshot.Config{})
		for range 1000 {
			fol.Kick()
			time.Sleep(time.Millisecond)
		}
		if n := f.count("Head"); n > 110 {
			t.Errorf("%d looks in a second", n)
		}
	})
}

func TestGapsAreLoadedWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		gap  func(*fakeStore)
		want uint64
	}{
		"the history is gone":     {func(f *fakeStore) { f.deltas = nil; f.facts.Revision = 9 }, 9},
		"the store was set back":  {func(f *fakeStore) { f.facts.Revision = 1; f.facts.Grants = nil }, 1},
		"the store starts afresh": {func(f *fakeStore) { f.facts = store.Facts{} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.commit(grant("g-1"))
				fol, _ := follow(t, f, snapshot.Config{})
				synctest.Wait()
				wantRevision(t, fol, 2)
				f.do(func() { tc.gap(f) })
				time.Sleep(2 * time.Second)
				wantRevision(t, fol, tc.want)
				if n := f.count("Load"); n != 2 {
					t.Errorf("%d full loads, want 2", n)
				}
				if got, want := fol.Current().Counts().Grants, len(f.facts.Grants); got != want {
					t.Errorf("%d grants, want %d", got, want)
				}
			})
		})
	}
}

func TestABadRevisionIsRefused(t *testing.T) {
	bad := func(change func(*store.Grant)) store.Grant {
		g := grant("g-bad")
		change(&g)
		return g
	}
	for name, g := range map[string]store.Grant{
		"an unknown permission":           bad(func(g *store.Grant) { g.Permissions = []string{"orders.raed"} }),
		"an unknown effect":               bad(func(g *store.Grant) { g.Effect = "alow" }),
		"a condition that does not parse": bad(func(g *store.Grant) { g.Condition = "(" }),
		"a row the compiler trips over":   bad(func(g *store.Grant) { g.Condition = "panic" }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				fol, logged := follow(t, f, snapshot.Config{})
				synctest.Wait()
				checked := fol.Status().CheckedAt
				f.commit(g)
				time.Sleep(20 * time.Second)
				wantRevision(t, fol, 1) // the last good one stays
				st := fol.Status()
				if st.Refused != 2 || !strings.Contains(st.Problem, "revision 2 is refused, revision 1 stays in use: ") {
					t.Errorf("status %+v", st)
				}
				if st.CheckedAt.Sub(checked) > 2*time.Second {
					t.Errorf("checked at %v although revision 2 is not in use", st.CheckedAt)
				}
				if n := strings.Count(logged.String(), "policy does not follow the store"); n != 1 {
					t.Errorf("logged %d times", n)
				}
				if deltas, loads := f.count("ChangesSince"), f.count("Load"); deltas != 1 || loads != 1 {
					t.Errorf("a refused revision is built again: %d deltas, %d loads", deltas, loads)
				}
				f.commit(grant("g-other"))
				time.Sleep(2 * time.Second)
				wantRevision(t, fol, 1) // still in it
				if st := fol.Status(); st.Refused != 3 {
					t.Errorf("status %+v", st)
				}
				f.commit(grant("g-bad"))
				time.Sleep(2 * time.Second)
				wantRevision(t, fol, 4)
				if st := fol.Status(); st.Refused != 0 || st.Problem != "" {
					t.Errorf("status after the recovery %+v", st)
				}
				if n := fol.Current().Counts().Grants; n != 2 {
					t.Errorf("%d grants", n)
				}
			})
		})
	}
}

func TestARefusedRevisionMendedBehindTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		poisoned := grant("g-1")
		poisoned.Effect = "allow "
		f.commit(poisoned)
		fol, _ := follow(t, f, snapshot.Config{}) // refused from the start: nothing to stay with
		time.Sleep(10 * time.Second)
		if st := fol.Status(); fol.Current() != nil || st.Refused != 2 || f.count("Load") != 1 {
			t.Errorf("status %+v, %d loads", st, f.count("Load"))
		}
		f.do(func() { f.put(grant("g-1")) })
		time.Sleep(30 * time.Second)
		wantRevision(t, fol, 2)
		if st := fol.Status(); st.Refused != 0 || st.Problem != "" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestTheStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fol, logged := follow(t, f, snapshot.Config{MaxAge: 10 * time.Minute})
		synctest.Wait()
		f.do(func() { f.away = store.ErrUnavailable })
		checked := fol.Status().CheckedAt
		time.Sleep(9 * time.Minute)
		wantRevision(t, fol, 1)
		st := fol.Status()
		if !st.CheckedAt.Equal(checked) || !strings.Contains(st.Problem, "does not answer") {
			t.Errorf("status %+v, checked before at %v", st, checked)
		}
		if fol.Stale(time.Now()) {
			t.Error("stale after 9 of 10 minutes")
		}
		time.Sleep(time.Minute + time.Second)
		if !fol.Stale(time.Now()) {
			t.Error("not stale after 10 minutes")
		}
		f.do(func() { f.away = nil })
		f.commit(grant("g-1"))
		time.Sleep(2 * time.Second)
		wantRevision(t, fol, 2)
		if fol.Stale(time.Now()) || fol.Status().Problem != "" {
			t.Errorf("after the recovery: %+v", fol.Status())
		}
		if n := strings.Count(logged.String(), "policy does not follow the store"); n != 1 {
			t.Errorf("an outage is logged %d times", n)
		}
	})
}

type hanging struct{ *fakeStore }

func (h hanging) Head(ctx context.Context) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestAHangingStoreIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fol, err := snapshot.NewFollower(hanging{newFake()}, compileCondition, slog.New(slog.DiscardHandler), snapshot.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		if err := fol.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run ends with %v", err)
		}
		if st := fol.Status(); !strings.Contains(st.Problem, "deadline exceeded") {
			t.Errorf("status %+v", st)
		}
	})
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fol, _ := follow(t, f, snapshot.Config{Poll: time.Hour})
		if err := fol.WaitFor(t.Context(), 1); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := fol.WaitFor(ctx, 2); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "revision 2") {
			t.Errorf("wait for what does not come: %v", err)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := fol.WaitFor(t.Context(), 2); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		f.commit(grant("g-1"))
		fol.Kick()
		wg.Wait()
		wantRevision(t, fol, 2)
	})
}

// Runs in real time: readers see whole revisions while commits go on, for the race detector too.
func TestReadersRaceWithChanges(t *testing.T) {
	f := newFake()
	fol, _ := follow(t, f, snapshot.Config{Poll: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			var last uint64
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := fol.Current()
				if s == nil {
					continue
				}
				if s.Revision() < last || uint64(s.Counts().Grants) != s.Revision()-1 {
					t.Errorf("revision %d after %d with %d grants", s.Revision(), last, s.Counts().Grants)
					return
				}
				last = s.Revision()
				fol.Stale(time.Now())
				fol.Status()
			}
		})
	}
	var newest uint64
	for i := range 100 {
		newest = f.commit(grant(fmt.Sprintf("g-%d", i)))
		fol.Kick()
	}
	if err := fol.WaitFor(ctx, newest); err != nil {
		t.Error(err)
	}
	close(stop)
	readers.Wait()
}

func TestNewFollowerRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, open := range map[string]func() (*snapshot.Follower, error){
		"no store": func() (*snapshot.Follower, error) {
			return snapshot.NewFollower(nil, compileCondition, log, snapshot.Config{})
		},
		"no compiler": func() (*snapshot.Follower, error) {
			return snapshot.NewFollower(newFake(), nil, log, snapshot.Config{})
		},
		"no logger": func() (*snapshot.Follower, error) {
			return snapshot.NewFollower(newFake(), compileCondition, nil, snapshot.Config{})
		},
		"a negative poll": func() (*snapshot.Follower, error) {
			return snapshot.NewFollower(newFake(), compileCondition, log, snapshot.Config{Poll: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(); err == nil {
				t.Error("taken")
			}
		})
	}
}
