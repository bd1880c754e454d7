package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

var syncDB = policy.Keeping{Durability: policy.DurabilitySyncDB}

// places start a recorder of each kind.
var places = map[string]func(*testing.T, store.DecisionAppender, audit.Config) *audit.Recorder{
	"with a spool": func(t *testing.T, to store.DecisionAppender, cfg audit.Config) *audit.Recorder {
		r, _ := spooled(t, to, t.TempDir(), spool.Config{}, cfg)
		return r
	},
	"in memory": func(t *testing.T, to store.DecisionAppender, cfg audit.Config) *audit.Recorder {
		r, _ := start(t, to, cfg)
		return r
	},
}

// inEach runs the test in a bubble of its own for each kind of recorder.
func inEach(t *testing.T, test func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder)) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, func(to store.DecisionAppender, cfg audit.Config) *audit.Recorder { return place(t, to, cfg) })
			})
		})
	}
}

// slow is f, which takes a while for each write.
func slow(f *fakeStore, d time.Duration) store.DecisionAppender {
	return appender(func(ctx context.Context, ds []store.Decision) error {
		time.Sleep(d)
		return f.AppendDecisions(ctx, ds)
	})
}

func TestSyncDBAnswersWithTheCommit(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(slow(f, 5*time.Millisecond), audit.Config{Wait: time.Minute})
		for i, id := range numbered(20) {
			began := time.Now()
			if err := r.Record(store.Decision{ID: id}, syncDB); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 5*time.Millisecond {
				t.Errorf("%s waited %s", id, took)
			}
			if got := f.ids(); len(got) != i+1 || got[i] != id {
				t.Fatalf("answered with %v in the store", got)
			}
		}
		closed(t, r)
		wantStats(t, r, 0, 20, 0)
	})
}

func TestWhoWaitsForTheStoreEndsTheWaitOfOthers(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(f, audit.Config{Wait: time.Minute})
		record(t, r, "others")
		synctest.Wait() // the writer has seen it
		began := time.Now()
		if err := r.Record(store.Decision{ID: "a"}, syncDB); err != nil || time.Since(began) > 0 {
			t.Errorf("record: %v, after %s", err, time.Since(began))
		}
		if got := f.ids(); !slices.Equal(got, []string{"others", "a"}) {
			t.Errorf("written %v", got)
		}
		closed(t, r)
	})
}

func TestWhoWaitsForTheStoreSharesItsWrites(t *testing.T) {
	const callers, each = 64, 20
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(slow(f, 5*time.Millisecond), audit.Config{})
		began := time.Now()
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for i := range each {
					if err := r.Record(store.Decision{ID: fmt.Sprintf("%d-%d", c, i)}, syncDB); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		t.Logf("%d records of %d callers in %d writes of 5 ms, %s", callers*each, callers, f.calls, took)
		// As a rule one write for all callers; two where they fall apart into two groups.
		if f.calls > 2*each+2 || took > 15*time.Millisecond*each {
			t.Errorf("%d writes in %s", f.calls, took)
		}
		closed(t, r)
		wantStats(t, r, 0, callers*each, 0)
	})
}

func TestAStoreThatIsAwayIsNotWaitedForLongerThanPatience(t *testing.T) {
	for name, tc := range map[string]struct {
		want policy.OnAuditFailure
		err  error
	}{
		"and the decision is denied": {policy.OnAuditFailureDeny, audit.ErrFailed},
		"and the decision stands":    {policy.OnAuditFailureCount, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
				f := &fakeStore{fail: unavailable}
				r := begin(f, audit.Config{})
				began := time.Now()
				err := r.Record(store.Decision{ID: "a"}, policy.Keeping{Durability: policy.DurabilitySyncDB, OnFailure: tc.want})
				if !errors.Is(err, tc.err) {
					t.Errorf("record: %v", err)
				}
				if took := time.Since(began); took < time.Second || took > 2*time.Second {
					t.Errorf("waited %s", took)
				}
				refused := uint64(0)
				if tc.err != nil {
					refused = 1
				}
				if s := r.Stats(); s.Queued != 1 || s.Lost != 0 || s.Late != 1 || s.Refused != refused || s.LastRefusal == "" {
					t.Errorf("stats %+v", s)
				}
				time.Sleep(time.Minute) // the pause between tries has become long
				f.set(nil)
				time.Sleep(100 * time.Millisecond)
				began = time.Now()
				if err := r.Record(store.Decision{ID: "b"}, syncDB); err != nil {
					t.Errorf("after the outage: %v", err)
				}
				if took := time.Since(began); took > time.Second/2+200*time.Millisecond {
					t.Errorf("after the outage waited %s", took)
				}
				if got := f.ids(); !slices.Equal(got, []string{"a", "b"}) {
					t.Errorf("written %v", got)
				}
				closed(t, r)
				wantStats(t, r, 0, 2, 0)
			})
		})
	}
}

func TestAnOutageShorterThanPatienceIsNotNoticed(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{fail: unavailable}
		r := begin(f, audit.Config{})
		time.AfterFunc(300*time.Millisecond, func() { f.set(nil) })
		var all sync.WaitGroup
		for _, id := range numbered(16) {
			all.Go(func() {
				if err := r.Record(store.Decision{ID: id}, syncDB); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := f.ids(); len(got) != 16 {
			t.Errorf("written %v", got)
		}
		closed(t, r)
	})
}

func TestARecordThatTheStoreRefusesIsDeniedAtOnce(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(f, audit.Config{})
		if err := r.Record(store.Decision{ID: "good"}, syncDB); err != nil {
			t.Fatal(err)
		}
		f.set(poison("bad", "worse"))
		began := time.Now()
		if err := r.Record(store.Decision{ID: "bad"}, syncDB); !errors.Is(err, audit.ErrFailed) || !errors.Is(err, errBadRow) {
			t.Errorf("record: %v", err)
		}
		counted := policy.Keeping{Durability: policy.DurabilitySyncDB, OnFailure: policy.OnAuditFailureCount}
		if err := r.Record(store.Decision{ID: "worse"}, counted); err != nil {
			t.Errorf("record with count: %v", err)
		}
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("waited %s", took)
		}
		if s := r.Stats(); s.Written != 1 || s.Lost != 2 || s.Refused != 1 || s.Late != 0 {
			t.Errorf("stats %+v", s)
		}
		closed(t, r)
	})
}

// Two answers that wait for the same record, and one that no longer does.
func TestARecordMayBeWaitedForTwice(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{fail: unavailable}
		r := begin(f, audit.Config{})
		if err := r.Record(store.Decision{ID: "a"}, syncDB); !errors.Is(err, audit.ErrFailed) {
			t.Errorf("record: %v", err)
		}
		f.set(nil)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := r.Record(store.Decision{ID: "a"}, syncDB); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		closed(t, r)
		if got := f.ids(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("written %v", got)
		}
	})
}

func TestCloseWhileSomebodyWaitsForTheStore(t *testing.T) {
	const callers = 8
	for name, tc := range map[string]struct {
		write time.Duration // of the store; 0: it is away
		ok    bool
	}{
		"writes for them":                       {write: 200 * time.Millisecond, ok: true},
		"denies what the store is too late for": {},
	} {
		t.Run(name, func(t *testing.T) {
			inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
				f := &fakeStore{}
				if !tc.ok {
					f.fail = unavailable
				}
				r := begin(slow(f, tc.write), audit.Config{Patience: 10 * time.Second})
				var all sync.WaitGroup
				var refused atomic.Int64
				for _, id := range numbered(callers) {
					all.Go(func() {
						switch err := r.Record(store.Decision{ID: id}, syncDB); {
						case err != nil && !errors.Is(err, audit.ErrFailed):
							t.Error(err)
						case err != nil:
							refused.Add(1)
						case !slices.Contains(f.ids(), id):
							t.Errorf("%s is answered and not in the store", id)
						}
					})
				}
				time.Sleep(50 * time.Millisecond)
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := r.Close(ctx)
				all.Wait() // at once: nothing can come any more
				if took := time.Since(began); took > time.Second {
					t.Errorf("they waited %s", took)
				}
				if tc.ok != (refused.Load() == 0) || !tc.ok && refused.Load() != callers {
					t.Errorf("%d refused", refused.Load())
				}
				s := r.Stats()
				if tc.ok && (err != nil || s.Written != callers) || s.Written+s.Queued+s.Lost != callers {
					t.Errorf("close: %v, %+v", err, s)
				}
			})
		})
	}
}

// What was refused for want of a commit is in the spool, and the next process writes it.
func TestARestartWritesWhatNobodyWaitedForAnyLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeStore{fail: unavailable}
		r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{Durability: policy.DurabilitySyncDB})
		if err := r.Record(store.Decision{ID: "a"}, policy.Keeping{}); !errors.Is(err, audit.ErrFailed) {
			t.Errorf("record: %v", err)
		}
		stop(t, r)
		f.set(nil)
		r, _ = spooled(t, f, dir, spool.Config{}, audit.Config{Durability: policy.DurabilitySyncDB})
		if err := r.Record(store.Decision{ID: "b"}, policy.Keeping{}); err != nil {
			t.Error(err)
		}
		if got := f.ids(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("written %v", got)
		}
		closed(t, r)
	})
}
