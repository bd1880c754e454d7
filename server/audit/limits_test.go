package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

func TestAFullSpool(t *testing.T) {
	const limit = 64 << 10
	t.Run("denies, and recovers by itself", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeStore{fail: unavailable}
			r, logged := spooled(t, f, t.TempDir(), spool.Config{MaxBytes: limit}, audit.Config{})
			taken, refused := fill(t, r)
			s := r.Stats()
			if s.Queued != taken || s.Refused != refused || s.Lost != 0 || !s.Warn || !strings.Contains(s.LastRefusal, "limit of 65536 bytes") {
				t.Errorf("%d taken, %d refused: %+v", taken, refused, s)
			}
			time.Sleep(25 * time.Second)
			if n := strings.Count(logged.String(), "audit records refused, decisions denied"); n != 1 {
				t.Errorf("refusals of one interval are logged %d times:\n%s", n, logged)
			}
			f.set(nil)
			time.Sleep(10 * time.Second)
			wantStats(t, r, 0, taken, 0)
			again, _ := fill(t, r)
			if again < 100 || r.Stats().Warn && again == 0 {
				t.Errorf("after the outage %d records are taken", again)
			}
			closed(t, r)
			wantStats(t, r, 0, taken+again, 0)
			if got := uint64(len(f.ids())); got != taken+again {
				t.Errorf("%d written", got)
			}
		})
	})
	t.Run("counts exactly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeStore{fail: unavailable}
			r, logged := spooled(t, f, t.TempDir(), spool.Config{MaxBytes: limit}, audit.Config{OnFailure: audit.Count})
			record(t, r, many...)
			time.Sleep(25 * time.Second)
			s := r.Stats()
			if s.Queued+s.Lost != uint64(len(many)) || s.Lost == 0 || s.Queued == 0 || s.Refused != 0 {
				t.Errorf("%+v does not add up to %d", s, len(many))
			}
			if !strings.Contains(logged.String(), fmt.Sprintf("records=%d lost_total=%[1]d", s.Lost)) ||
				strings.Count(logged.String(), "audit records lost") != 1 {
				t.Errorf("the log does not say how many, once:\n%s", logged)
			}
			f.set(nil)
			closed(t, r)
			wantStats(t, r, 0, s.Queued, s.Lost)
			if got := uint64(len(f.ids())); got != s.Queued {
				t.Errorf("%d written, %d expected", got, s.Queued)
			}
		})
	})
}

var many = numbered(2000) // more than fit into 64 KiB

// fill records until there is no more room.
func fill(t *testing.T, r *audit.Recorder) (taken, refused uint64) {
	t.Helper()
	for _, id := range many {
		switch err := r.Record(store.Decision{ID: fmt.Sprintf("%s-%d", id, r.Stats().Written)}, policy.Keeping{}); {
		case err == nil:
			taken++
		case errors.Is(err, audit.ErrFull):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if taken == 0 || refused == 0 {
		t.Fatalf("%d taken, %d refused; the test shows nothing", taken, refused)
	}
	return taken, refused
}

func TestADiskThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, disk := &fakeStore{}, &faultyFS{}
		r, _ := spooled(t, f, t.TempDir(), spool.Config{FS: disk}, audit.Config{})
		disk.create.Store(true)
		if err := r.Record(store.Decision{ID: "a"}, policy.Keeping{}); !errors.Is(err, audit.ErrFailed) {
			t.Errorf("record: %v", err)
		}
		if s := r.Stats(); s.SpoolError == "" || !s.Warn || s.Refused != 1 {
			t.Errorf("stats %+v", s)
		}
		disk.create.Store(false)
		time.Sleep(time.Second)
		record(t, r, "b")
		closed(t, r)
		if got := f.ids(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("written %v", got)
		}
	})
}

func TestAHangingDiskIsNotWaitedForLongerThanPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, disk := &fakeStore{}, &faultyFS{hang: make(chan struct{})}
		r, _ := spooled(t, f, t.TempDir(), spool.Config{FS: disk}, audit.Config{Durability: policy.DurabilityStrict, Patience: time.Second})
		record(t, r, "first") // whoever makes a segment waits for the kernel
		time.Sleep(1500 * time.Millisecond)
		disk.sync.Store(true)
		began := time.Now()
		if err := r.Record(store.Decision{ID: "a"}, policy.Keeping{}); !errors.Is(err, audit.ErrFailed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("record: %v", err)
		}
		if took := time.Since(began); took < time.Second || took > 2*time.Second {
			t.Errorf("waited %s", took)
		}
		disk.sync.Store(false)
		close(disk.hang)
		record(t, r, "b")
		closed(t, r)
		if !slices.Contains(f.ids(), "b") {
			t.Errorf("written %v", f.ids())
		}
	})
}
