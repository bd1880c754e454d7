package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// fakeStore keeps what it is given unless fail says otherwise.
type fakeStore struct {
	mu    sync.Mutex
	kept  []store.Decision
	calls int
	fail  func(ds []store.Decision) error
}

func (f *fakeStore) AppendDecisions(_ context.Context, ds []store.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.fail != nil {
		if err := f.fail(ds); err != nil {
			return err
		}
	}
	for _, d := range ds {
		if !slices.ContainsFunc(f.kept, func(k store.Decision) bool { return k.ID == d.ID }) {
			f.kept = append(f.kept, d)
		}
	}
	return nil
}

func (f *fakeStore) set(fail func(ds []store.Decision) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *fakeStore) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, d := range f.kept {
		ids = append(ids, d.ID)
	}
	return ids
}

var errBadRow = errors.New("value not representable")

// poison refuses batches that hold one of the ids.
func poison(ids ...string) func([]store.Decision) error {
	return func(ds []store.Decision) error {
		for _, d := range ds {
			if slices.Contains(ids, d.ID) {
				return errBadRow
			}
		}
		return nil
	}
}

func unavailable([]store.Decision) error { return fmt.Errorf("append: %w", store.ErrUnavailable) }

func start(t *testing.T, to store.DecisionAppender, cfg audit.Config) (*audit.Recorder, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	r, err := audit.NewRecorder(to, slog.New(slog.NewTextHandler(&buf, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, &buf
}

func record(t *testing.T, r *audit.Recorder, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := r.Record(store.Decision{ID: id}, policy.Keeping{}); err != nil {
			t.Fatalf("record %s: %v", id, err)
		}
	}
}

func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("d-%04d", i)
	}
	return ids
}

func wantStats(t *testing.T, r *audit.Recorder, queued, written, lost uint64) {
	t.Helper()
	if s := r.Stats(); s.Queued != queued || s.Written != written || s.Lost != lost {
		t.Errorf("queued %d, written %d, lost %d; want %d, %d, %d", s.Queued, s.Written, s.Lost, queued, written, lost)
	}
}

func TestRecordsAreWrittenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		r, _ := start(t, f, audit.Config{Batch: 8})
		want := numbered(50)
		record(t, r, want...)
		synctest.Wait()
		wantStats(t, r, 2, 48, 0) // six full batches leave at once
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		wantStats(t, r, 0, 50, 0) // the rest after Wait
		if got := f.ids(); !slices.Equal(got, want) {
			t.Errorf("written %v", got)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestARecordWaitsAtMostWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		r, _ := start(t, f, audit.Config{Wait: time.Second})
		record(t, r, "a")
		time.Sleep(999 * time.Millisecond)
		record(t, r, "b") // does not begin the wait anew
		synctest.Wait()
		wantStats(t, r, 2, 0, 0)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantStats(t, r, 0, 2, 0)
		if f.calls != 1 {
			t.Errorf("%d writes, want one", f.calls)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: unavailable}
		r, logged := start(t, f, audit.Config{Queue: 10, Batch: 4})
		since := time.Now().UTC()
		record(t, r, numbered(10)...) // as long as there is room, decisions go on
		synctest.Wait()
		if err := r.Record(store.Decision{ID: "over"}, policy.Keeping{}); !errors.Is(err, audit.ErrFull) {
			t.Errorf("record over the limit: %v", err)
		}
		time.Sleep(time.Minute)
		s := r.Stats()
		if !s.FailingSince.Equal(since) || !strings.Contains(s.LastError, "unavailable") || s.Refused != 1 {
			t.Errorf("stats %+v", s)
		}
		wantStats(t, r, 10, 0, 0)
		if f.calls < 12 || f.calls > 24 { // 50ms doubling to 5s: 7 tries in 6.35 s, then one each 5 s
			t.Errorf("%d tries in a minute", f.calls)
		}
		f.set(nil)
		time.Sleep(6 * time.Second)
		wantStats(t, r, 0, 10, 0)
		if got := f.ids(); !slices.Equal(got, numbered(10)) {
			t.Errorf("order after the outage: %v", got)
		}
		if s := r.Stats(); !s.FailingSince.IsZero() || s.LastError == "" {
			t.Errorf("stats after the outage %+v", s)
		}
		record(t, r, "after")
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(logged.String(), "audit writes fail"); n != 1 {
			t.Errorf("an outage is logged %d times", n)
		}
	})
}

func TestCountLosesExactlyWhatHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: unavailable}
		r, logged := start(t, f, audit.Config{Queue: 10, OnFailure: audit.Count})
		record(t, r, numbered(17)...)
		wantStats(t, r, 10, 0, 7)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		record(t, r, "x", "y")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		f.set(nil)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wantStats(t, r, 0, 10, 9)
		if n := strings.Count(logged.String(), "audit records lost"); n != 2 {
			t.Errorf("losses of two intervals are logged %d times:\n%s", n, logged)
		}
		for _, want := range []string{"records=7 lost_total=7", "records=2 lost_total=9"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, logged)
			}
		}
	})
}

func TestBadRecordsAreIsolated(t *testing.T) {
	for name, tc := range map[string]struct {
		bad     []string
		written uint64
	}{
		"one in the middle":     {bad: []string{"d-0021"}, written: 63},
		"the first":             {bad: []string{"d-0000"}, written: 63},
		"the last":              {bad: []string{"d-0063"}, written: 63},
		"two side by side":      {bad: []string{"d-0031", "d-0032"}, written: 62},
		"a whole batch of them": {bad: numbered(32)[16:], written: 48},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{fail: poison(tc.bad...)}
				r, logged := start(t, f, audit.Config{Batch: 16})
				record(t, r, numbered(64)...)
				if err := r.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantStats(t, r, 0, tc.written, 64-tc.written)
				want := slices.DeleteFunc(numbered(64), func(id string) bool { return slices.Contains(tc.bad, id) })
				if got := f.ids(); !slices.Equal(got, want) {
					t.Errorf("written %v", got)
				}
				for _, id := range tc.bad {
					if !strings.Contains(logged.String(), "decision_id="+id) {
						t.Errorf("%s is not named in the log", id)
					}
				}
			})
		})
	}
}

func TestAStoreThatRefusesEverythingLosesNothing(t *testing.T) {
	for name, before := range map[string]int{"from the start": 0, "after it worked": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{}
				r, _ := start(t, f, audit.Config{Batch: 8})
				record(t, r, numbered(before)...)
				time.Sleep(time.Second)
				f.set(func([]store.Decision) error { return errors.New("permission denied for table decisions") })
				record(t, r, numbered(40)[before:]...)
				time.Sleep(time.Minute)
				wantStats(t, r, uint64(40-before), uint64(before), 0)
				f.set(nil)
				if err := r.Close(t.Context()); err != nil {
					t.Error(err)
				}
				wantStats(t, r, 0, 40, 0)
				if got := f.ids(); !slices.Equal(got, numbered(40)) {
					t.Errorf("written %v", got)
				}
			})
		})
	}
}

func TestALoneBadRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: poison("bad", "worse")}
		r, _ := start(t, f, audit.Config{})
		record(t, r, "bad")
		time.Sleep(time.Minute)
		wantStats(t, r, 1, 0, 0) // nothing was ever written: the fault may be the store's
		record(t, r, "good")     // joins it, and is taken
		time.Sleep(10 * time.Second)
		wantStats(t, r, 0, 1, 1)
		f.set(func([]store.Decision) error { return fmt.Errorf("no uuid: %w", store.ErrInvalid) })
		record(t, r, "hopeless")
		time.Sleep(time.Second)
		wantStats(t, r, 0, 1, 2) // by the store's own word
		f.set(poison("worse"))
		record(t, r, "worse")
		time.Sleep(time.Second)
		wantStats(t, r, 0, 1, 3) // the store takes what it has: the fault is the record's
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAnUnknownOutcomeIsWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		lostAnswer := true
		r, _ := start(t, appender(func(ctx context.Context, ds []store.Decision) error {
			err := f.AppendDecisions(ctx, ds)
			if lostAnswer {
				lostAnswer = false
				return fmt.Errorf("append: %w", context.DeadlineExceeded)
			}
			return err
		}), audit.Config{})
		record(t, r, "a", "b")
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wantStats(t, r, 0, 2, 0)
		if got := f.ids(); !slices.Equal(got, []string{"a", "b"}) || f.calls != 2 {
			t.Errorf("%d writes, kept %v", f.calls, got)
		}
	})
}

// lists are the lists of d.
func lists(d *store.Decision) []*[]string {
	return []*[]string{&d.Permissions, &d.Grants, &d.Subjects, &d.Scopes, &d.Missing, &d.GrantSubjects}
}

type appender func(context.Context, []store.Decision) error

func (a appender) AppendDecisions(ctx context.Context, ds []store.Decision) error { return a(ctx, ds) }

func TestAHangingStoreIsGivenUpAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, appender(func(ctx context.Context, _ []store.Decision) error {
			<-ctx.Done()
			return ctx.Err()
		}), audit.Config{Timeout: time.Second})
		record(t, r, "a")
		time.Sleep(2 * time.Second)
		if s := r.Stats(); s.FailingSince.IsZero() || s.Queued != 1 {
			t.Errorf("stats %+v", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		err := r.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 records not written") {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("close took %v", took)
		}
		wantStats(t, r, 0, 0, 1)
		if again := r.Close(t.Context()); !errors.Is(again, err) {
			t.Errorf("close again: %v", again)
		}
	})
}

func TestRecordAfterClose(t *testing.T) {
	for name, tc := range map[string]struct {
		on   audit.OnFailure
		want error
		lost uint64
	}{
		"is refused with deny":           {audit.Deny, audit.ErrClosed, 0},
		"is lost and counted with count": {audit.Count, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := start(t, &fakeStore{}, audit.Config{OnFailure: tc.on})
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.Record(store.Decision{ID: "late"}, policy.Keeping{}); !errors.Is(err, tc.want) {
				t.Errorf("record: %v", err)
			}
			wantStats(t, r, 0, 0, tc.lost)
		})
	}
}

func TestRecordCopiesWhatTheCallerMayUseAgain(t *testing.T) {
	f := &fakeStore{}
	r, _ := start(t, f, audit.Config{})
	d := store.Decision{ID: "a", Permissions: []string{"orders.read"}, Grants: []string{"g-1", "g-2"}, Subjects: []string{"s"},
		Scopes: []string{"sc"}, Missing: []string{"m-1", "m-2"}, GrantSubjects: []string{"gs"}, Host: "orders.example", Method: "GET",
		RawPath: "/x", Resource: "42", RequestID: "r-1", SourceIP: "192.0.2.0/24", API: "orders", AgentParent: "a-1", AgentFacets: "actor 11"}
	want, buffers := d, []byte(d.SourceIP)
	d.SourceIP = unsafe.String(&buffers[0], len(buffers)) // a cut of what the caller reads the next request into
	for _, list := range lists(&want) {
		*list = slices.Clone(*list)
	}
	if err := r.Record(d, policy.Keeping{}); err != nil {
		t.Fatal(err)
	}
	clear(buffers)
	for _, list := range lists(&d) {
		(*list)[0] = "overwritten"
	}
	if err := r.Record(store.Decision{ID: "b", Grants: []string{}}, policy.Keeping{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.kept[0]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept  %+v\nwant %+v", got, want)
	}
	if f.kept[1].Grants != nil {
		t.Errorf("no grants are kept as %#v", f.kept[1].Grants)
	}
}

func TestTheAccountAddsUp(t *testing.T) {
	const writers, each = 16, 2000
	var kept atomic.Uint64
	r, _ := start(t, appender(func(_ context.Context, ds []store.Decision) error {
		if rand.IntN(3) == 0 {
			return store.ErrUnavailable
		}
		if slices.ContainsFunc(ds, func(d store.Decision) bool { return strings.HasSuffix(d.ID, "-777") }) {
			return errBadRow
		}
		kept.Add(uint64(len(ds)))
		return nil
	}), audit.Config{Queue: 3000, Batch: 64, Wait: time.Millisecond, Backoff: time.Millisecond})
	var taken, refused atomic.Uint64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := r.Record(store.Decision{ID: fmt.Sprintf("%d-%d", w, i), Grants: []string{"g-1"}}, policy.Keeping{})
				switch {
				case err == nil:
					taken.Add(1)
				case errors.Is(err, audit.ErrFull):
					refused.Add(1)
				default:
					t.Error(err)
				}
				if s := r.Stats(); s.Queued > 3000 {
					t.Errorf("%d queued", s.Queued)
				}
			}
		})
	}
	wg.Wait()
	if s := r.Stats(); s.Queued+s.Written+s.Lost != taken.Load() {
		t.Errorf("%+v does not add up to %d taken", s, taken.Load())
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := r.Stats()
	if s.Queued != 0 || s.Written+s.Lost != taken.Load() || s.Refused != refused.Load() || taken.Load()+refused.Load() != writers*each {
		t.Errorf("%+v after %d taken, %d refused", s, taken.Load(), refused.Load())
	}
	if kept.Load() < s.Written || s.Lost > writers { // probes are written twice
		t.Errorf("store kept %d, account %+v", kept.Load(), s)
	}
}

func TestNewRecorderRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, tc := range map[string]struct {
		to  store.DecisionAppender
		log *slog.Logger
		cfg audit.Config
	}{
		"no store":               {nil, log, audit.Config{}},
		"no logger":              {&fakeStore{}, nil, audit.Config{}},
		"a negative queue":       {&fakeStore{}, log, audit.Config{Queue: -1}},
		"a negative batch":       {&fakeStore{}, log, audit.Config{Batch: -1}},
		"a negative wait":        {&fakeStore{}, log, audit.Config{Wait: -1}},
		"an unknown OnFailure":   {&fakeStore{}, log, audit.Config{OnFailure: 2}},
		"a negative flood limit": {&fakeStore{}, log, audit.Config{FloodLimit: -1}},
		"an unknown durability":  {&fakeStore{}, log, audit.Config{Durability: 4}},
		"spool without a spool":  {&fakeStore{}, log, audit.Config{Durability: policy.DurabilitySpool}},
		"strict without a spool": {&fakeStore{}, log, audit.Config{Durability: policy.DurabilityStrict}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := audit.NewRecorder(tc.to, tc.log, tc.cfg); err == nil {
				t.Error("taken")
			}
		})
	}
}

func TestOnFailureWords(t *testing.T) {
	for _, o := range []audit.OnFailure{audit.Deny, audit.Count} {
		if got, err := audit.ParseOnFailure(o.String()); err != nil || got != o {
			t.Errorf("%v: %v, %v", o, got, err)
		}
	}
	if _, err := audit.ParseOnFailure("allow"); err == nil {
		t.Error(`"allow" is taken`)
	}
}

func TestDurabilityWords(t *testing.T) {
	for word, want := range durabilities {
		if got, err := audit.ParseDurability(word); err != nil || got != want {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "memory", "sync"} {
		if got, err := audit.ParseDurability(word); err == nil {
			t.Errorf("%q is taken for %v", word, got)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	r, err := audit.NewRecorder(appender(func(context.Context, []store.Decision) error { return nil }),
		slog.New(slog.DiscardHandler), audit.Config{OnFailure: audit.Count})
	if err != nil {
		b.Fatal(err)
	}
	d := store.Decision{ID: "0190b2c4-0000-7000-8000-000000000000", Host: "orders.example", Method: "GET",
		RequestID: "0190b2c4-1111-7000-8000-000000000000", Permissions: []string{"orders.read"}, Grants: []string{"g-1"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Record(d, policy.Keeping{})
	}
	if err := r.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}
