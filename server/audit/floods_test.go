package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// malformed is a decision that costs nothing to cause.
func malformed() store.Decision {
	return store.Decision{
		ID: uuid.Must(uuid.NewV7()).String(), At: time.Now().UTC(), Reason: int16(policy.RequestMalformed), API: "orders", Door: "extauthz",
		PEP: "edge", Method: "GET", Host: "orders.example", Revision: 7, RawPath: "/%2e%2e", RequestID: "r-1",
	}
}

func send(t *testing.T, r *audit.Recorder, n int, change func(*store.Decision)) {
	t.Helper()
	for range n {
		d := malformed()
		if change != nil {
			change(&d)
		}
		if err := r.Record(d, policy.Keeping{}); err != nil {
			t.Error(err)
		}
	}
}

// sums are the records in the store, how many of them stand for a flood, and for how many decisions all stand.
func (f *fakeStore) sums() (records, floods int, decisions uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.kept {
		decisions += 1 + d.Repeats
		if d.Detail == "flood: counted" {
			floods++
		}
	}
	return len(f.kept), floods, decisions
}

func wantSums(t *testing.T, f *fakeStore, records, floods int, decisions uint64) {
	t.Helper()
	if r, n, d := f.sums(); r != records || n != floods || d != decisions {
		t.Errorf("%d records, %d of them of floods, for %d decisions; want %d, %d, %d", r, n, d, records, floods, decisions)
	}
}

func TestAFloodIsCountedAboveTheLimit(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(f, audit.Config{})
		send(t, r, 100, nil)
		time.Sleep(10 * time.Millisecond)
		first := time.Now().UTC()
		send(t, r, 400, nil)
		time.Sleep(2 * time.Second)
		wantSums(t, f, 101, 1, 500)
		got := f.kept[100]
		id, err := uuid.Parse(got.ID)
		if err != nil || id.Version() != 7 {
			t.Errorf("id %q", got.ID)
		}
		if len(got.Leaf) != store.LeafSize {
			t.Errorf("leaf %x", got.Leaf)
		}
		want := store.Decision{
			ID: got.ID, At: first, Reason: int16(policy.RequestMalformed), Detail: "flood: counted", Revision: 7, API: "orders", Door: "extauthz",
			PEP: "edge", Method: "GET", Host: "orders.example", Repeats: 399, Leaf: got.Leaf, Instance: got.Instance, Epoch: got.Epoch, Seq: got.Seq,
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("kept  %+v\nwant %+v", got, want)
		}
		send(t, r, 150, nil) // of another second
		send(t, r, 60, func(d *store.Decision) { d.Detail = "path: bad escape" })
		time.Sleep(2 * time.Second)
		wantSums(t, f, 202, 2, 710)
		if s := r.Stats(); s.Aggregated != 400+110 || s.Written != 202 || s.Lost+s.Refused != 0 {
			t.Errorf("stats %+v", s)
		}
		closed(t, r)
		wantSums(t, f, 202, 2, 710)
	})
}

func TestOnlyWhatCostsNothingIsCounted(t *testing.T) {
	reason := func(r policy.Reason) func(*store.Decision) {
		return func(d *store.Decision) { d.Reason = int16(r) }
	}
	for name, tc := range map[string]struct {
		change  func(*store.Decision)
		counted bool
	}{
		"no token":                         {reason(policy.TokenMissing), true},
		"a token that is none":             {reason(policy.TokenMalformed), true},
		"a token that nobody signed":       {reason(policy.SignatureInvalid), true},
		"a path without a route":           {reason(policy.RouteUnknown), true},
		"a caller in a hurry":              {reason(policy.DeadlineTooShort), true},
		"a token that expired":             {reason(policy.TokenExpired), false},
		"a caller without a grant":         {reason(policy.NoGrant), false},
		"an allow":                         {func(d *store.Decision) { d.Reason, d.Allowed = int16(policy.AllowedPublic), true }, false},
		"an allow, whatever its reason":    {func(d *store.Decision) { d.Allowed = true }, false},
		"a proven user, whatever reason":   {func(d *store.Decision) { d.PrincipalID = "u-1" }, false},
		"a proven app, whatever reason":    {func(d *store.Decision) { d.ClientID = "a-1" }, false},
		"a proven kind, whatever reason":   {func(d *store.Decision) { d.PrincipalKind = 1 }, false},
		"verdict's own trouble":            {reason(policy.Internal), false},
		"a reason that is not on the list": {reason(250), false},
		"a reason below the list":          {func(d *store.Decision) { d.Reason = -1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{}
				r, _ := start(t, f, audit.Config{FloodLimit: 2})
				send(t, r, 10, tc.change)
				closed(t, r)
				if tc.counted {
					wantSums(t, f, 3, 1, 10)
				} else {
					wantSums(t, f, 10, 0, 10)
				}
			})
		})
	}
}

// Nothing of the account is lost on the way: across seconds, kinds and Close, with a store that comes and goes.
func TestFloodsAddUp(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			const writers, each = 8, 4000
			f := &fakeStore{fail: func([]store.Decision) error {
				if rand.IntN(3) == 0 {
					return store.ErrUnavailable
				}
				return nil
			}}
			r := place(t, f, audit.Config{FloodLimit: 3, Wait: time.Millisecond, Backoff: time.Millisecond})
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := range each {
						send(t, r, 1, func(d *store.Decision) { d.API = fmt.Sprint(i % 5) })
						if i%1000 == w*100 {
							time.Sleep(300 * time.Millisecond) // so that it takes seconds
						}
					}
				})
			}
			all.Wait()
			closed(t, r)
			records, floods, decisions := f.sums()
			s := r.Stats()
			if decisions != writers*each || s.Lost+s.Refused != 0 || uint64(records-floods)+s.Aggregated != decisions || floods < 5 {
				t.Errorf("%d records, %d of floods, for %d decisions: %+v", records, floods, decisions, s)
			}
		})
	}
}

func TestAThousandKindsAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		r, _ := start(t, f, audit.Config{FloodLimit: 1})
		const kinds = 1100
		for i := range kinds {
			send(t, r, 3, func(d *store.Decision) { d.PEP = fmt.Sprint(i) })
		}
		send(t, r, 2, func(d *store.Decision) { d.PEP, d.Reason = "else", int16(policy.TokenMissing) })
		time.Sleep(1500 * time.Millisecond)
		// 1000 kinds with one record and one count, the rest of each reason together likewise
		wantSums(t, f, 2*1000+2+2, 1000+2, 3*kinds+2)
		shared := 0
		for _, d := range f.kept {
			if d.Repeats > 1 {
				shared++
				if d.PEP != "" || d.API != "" || d.Door != "" || d.Repeats+1 != 100*3-1 {
					t.Errorf("what is shared says %+v", d)
				}
			}
		}
		if shared != 1 {
			t.Errorf("%d shared counts", shared)
		}
		time.Sleep(2 * time.Second) // quiet: kinds are forgotten, and others have room
		before := len(f.ids())
		send(t, r, 2, func(d *store.Decision) { d.PEP = "new" })
		closed(t, r)
		if got := f.kept[before+1]; got.PEP != "new" {
			t.Errorf("after a pause the kind is not counted by itself: %+v", got)
		}
	})
}

func TestACountThatCannotBeKept(t *testing.T) {
	begin := func(t *testing.T) (*audit.Recorder, *fakeStore, *faultyFS, *logged) {
		f, disk := &fakeStore{}, &faultyFS{}
		r, logged := spooled(t, f, t.TempDir(), spool.Config{FS: disk}, audit.Config{FloodLimit: 1, OnFailure: audit.Count})
		disk.create.Store(true) // no segment can be made
		return r, f, disk, logged
	}
	t.Run("is tried again until it can", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, f, disk, _ := begin(t)
			send(t, r, 10, nil) // the first is lost as any other
			time.Sleep(1500 * time.Millisecond)
			send(t, r, 10, nil) // so is the first of this second
			time.Sleep(time.Minute)
			if s := r.Stats(); s.Lost != 2 || s.Aggregated != 18 || s.Refused != 0 {
				t.Errorf("stats %+v", s)
			}
			disk.create.Store(false)
			time.Sleep(3 * time.Second)
			wantSums(t, f, 2, 2, 18)
			closed(t, r)
			if s := r.Stats(); s.Lost != 2 || s.Written != 2 {
				t.Errorf("stats %+v", s)
			}
		})
	})
	t.Run("is lost at Close, exactly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, f, _, logged := begin(t)
			send(t, r, 10, nil)
			time.Sleep(1500 * time.Millisecond)
			send(t, r, 10, nil)
			began := time.Now()
			err := r.Close(t.Context())
			if err == nil || !strings.Contains(err.Error(), "18 decisions of floods") {
				t.Errorf("close: %v", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("close took %s", took)
			}
			if s := r.Stats(); s.Lost != 20 || s.Written != 0 || s.Aggregated != 18 {
				t.Errorf("stats %+v", s)
			}
			wantSums(t, f, 0, 0, 0)
			if !strings.Contains(logged.String(), "lost_total=20") {
				t.Errorf("the log does not say how many:\n%s", logged)
			}
		})
	})
	t.Run("waits at Close for the room that the store makes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeStore{}
			r, _ := start(t, slow(f, 200*time.Millisecond), audit.Config{FloodLimit: 1, Queue: 1})
			send(t, r, 10, nil)
			closed(t, r)
			wantSums(t, f, 2, 1, 10)
		})
	})
}

// A count that was put again when the disk was slow had two numbers in the spool and one record in the store: a gap.
func TestACountIsNotKeptTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, disk := &fakeStore{}, &faultyFS{hang: make(chan struct{})}
		r, _ := spooled(t, f, t.TempDir(), spool.Config{FS: disk}, audit.Config{FloodLimit: 1})
		disk.sync.Store(true)
		for range 10 {
			go send(t, r, 1, nil) // one makes the first segment and waits for the kernel, the others are counted
		}
		time.Sleep(20 * time.Second)
		disk.sync.Store(false)
		close(disk.hang)
		time.Sleep(20 * time.Second)
		closed(t, r)
		wantSums(t, f, 2, 1, 10)
		if s := r.Stats(); s.Written != 2 || s.Aggregated != 9 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestNothingIsCountedAfterClose(t *testing.T) {
	inEach(t, func(t *testing.T, begin func(store.DecisionAppender, audit.Config) *audit.Recorder) {
		f := &fakeStore{}
		r := begin(f, audit.Config{FloodLimit: 1})
		send(t, r, 3, nil)
		closed(t, r)
		for range 3 {
			if err := r.Record(malformed(), policy.Keeping{}); !errors.Is(err, audit.ErrClosed) {
				t.Errorf("record: %v", err)
			}
		}
		wantSums(t, f, 2, 1, 3)
		if s := r.Stats(); s.Aggregated != 2 || s.Refused != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The spool must not pay for the floods: what is written there costs no allocation.
func TestRecordsInASpoolCostNoAllocation(t *testing.T) {
	away := appender(func(ctx context.Context, _ []store.Decision) error { <-ctx.Done(); return ctx.Err() })
	r, err := audit.NewSpooled(away, openSpool(t, t.TempDir(), spool.Config{}), slog.New(slog.DiscardHandler), audit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, r)
	d := store.Decision{ID: "0190b2c4-0000-7000-8000-000000000000", Host: "orders.example", Permissions: []string{"orders.read"},
		Subjects: []string{"group:t/g"}, GrantSubjects: []string{"group:t/g"}, SourceIP: "192.0.2.0/24"}
	for range 100 {
		record(t, r, "makes segment, buffers and batches")
	}
	time.Sleep(200 * time.Millisecond) // the writer holds a batch and waits for the store
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Record(d, policy.Keeping{}); err != nil {
			t.Error(err)
		}
	}); n > raceAllocs {
		t.Errorf("%v allocations", n)
	}
}
