package spool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestAppendRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newMemFS(), Config{})
		ctx := context.Background()
		for name, tc := range map[string]struct {
			record []byte
			err    error
		}{
			"no bytes":       {nil, ErrTooLarge},
			"too many bytes": {make([]byte, MaxRecord+1), ErrTooLarge},
			"at most":        {make([]byte, MaxRecord), nil},
		} {
			if _, err := l.Append(ctx, tc.record, ModeSpool); !errors.Is(err, tc.err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := l.Append(ended, []byte("x"), ModeSpool); !errors.Is(err, context.Canceled) {
			t.Errorf("ended: %v", err)
		}
		mustClose(t, l)
		if _, err := l.Append(ctx, []byte("x"), ModeSpool); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := l.Next(1); !errors.Is(err, ErrClosed) {
			t.Errorf("next when closed: %v", err)
		}
		if err := l.Advance(Seq{1, 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("advance when closed: %v", err)
		}
		mustClose(t, l)
	})
}

func TestTheLimitRefusesWarnsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newMemFS(), Config{MaxBytes: 64 << 10})
		warned := 0
		var err error
		took := 0
		for err == nil {
			if _, err = l.Append(context.Background(), make([]byte, 1000), ModeSpool); err == nil {
				took++
			}
			if l.Status().Warn && warned == 0 {
				warned = took
			}
		}
		s := l.Status()
		if !errors.Is(err, ErrFull) || s.Bytes > s.MaxBytes || s.Refused != 1 || s.Failing != nil {
			t.Errorf("%v, %+v", err, s)
		}
		if share := float64(warned) / float64(took); share < 0.78 || share > 0.84 {
			t.Errorf("warned after %d of %d", warned, took)
		}
		b := mustNext(t, l, 1<<20)
		if len(b.Records) != took {
			t.Errorf("%d of %d read", len(b.Records), took)
		}
		if err := l.Advance(b.Through); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, "again", ModeStrict)
		if l.Status().Warn {
			t.Error("still warns")
		}
		mustClose(t, l)
	})
}

func TestWhileTheDiskRefusesItIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		mustAppend(t, l, "first", ModeStrict)
		m.fault = func(_ int, op, _ string) error {
			if op == "write" {
				return syscall.EIO
			}
			return nil
		}
		calls := m.calls
		for range 1000 {
			if _, err := l.Append(context.Background(), []byte("x"), ModeSpool); !errors.Is(err, ErrFailed) {
				t.Fatal(err)
			}
		}
		if n := m.calls - calls; n > 10 {
			t.Errorf("%d calls", n)
		}
		for name := range m.names {
			if strings.HasSuffix(name, tmpSuffix) {
				t.Errorf("%s is left over", name)
			}
		}
		m.fault = nil
		time.Sleep(100 * time.Millisecond)
		if got := mustAppend(t, l, "second", ModeSpool); got != (Seq{1, 2}) {
			t.Errorf("refused records took numbers: %s", got)
		}
		if s := l.Status(); s.Refused != 1000 || s.Failing != nil {
			t.Errorf("status %+v", s)
		}
		mustClose(t, l)
	})
}

// Who added records behind a batch whose write fails has numbers that must not be given away: they fail with it.
func TestTheNextBatchFailsWithTheOneBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowFS{memFS: newMemFS()}
		// Each look at the clock takes so long that the next batch could try again at once, and succeed.
		var looks atomic.Int64
		l := open(t, s, Config{Retry: time.Nanosecond, Now: func() time.Time {
			return time.Unix(looks.Add(1), 0)
		}})
		mustAppend(t, l, "first", ModeStrict)
		h := &hold{op: "write", release: make(chan struct{})}
		s.hold.Store(h)
		var wg sync.WaitGroup
		for range 4 { // one makes the write, the others are the next batch
			wg.Go(func() {
				if seq, err := l.Append(context.Background(), []byte("refused"), ModeSpool); !errors.Is(err, ErrFull) {
					t.Errorf("%s, %v", seq, err)
				}
			})
			synctest.Wait()
		}
		s.mu.Lock()
		failed := map[string]bool{}
		s.fault = func(_ int, op, _ string) error {
			if (op == "write" || op == "create") && !failed[op] {
				failed[op] = true
				return syscall.ENOSPC
			}
			return nil
		}
		s.mu.Unlock()
		s.hold.Store(nil)
		close(h.release)
		wg.Wait()
		if got := mustAppend(t, l, "second", ModeStrict); got != (Seq{1, 2}) {
			t.Errorf("goes on at %s", got)
		}
		b := mustNext(t, l, 9)
		if len(b.Records) != 2 || string(b.Records[1].Data) != "second" || len(b.Gaps) != 0 {
			t.Errorf("%+v", b)
		}
		if s := l.Status(); s.Refused != 4 || s.Appended != 2 {
			t.Errorf("status %+v", s)
		}
		mustClose(t, l)
	})
}

// With one segment that never ends, and no room for another, draining has to make room all the same.
func TestAnAbandonedSegmentIsDeletedOnceItIsDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		mustAppend(t, l, "first", ModeSpool)
		m.fault = func(_ int, op, name string) error {
			if op == "write" && strings.Contains(name, segmentSuffix) {
				return syscall.ENOSPC
			}
			return nil
		}
		if _, err := l.Append(context.Background(), []byte("x"), ModeSpool); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if s := l.Status(); s.Synced != 1 || s.Segments != 1 || !s.Warn {
			t.Errorf("status %+v", s)
		}
		if err := l.Advance(mustNext(t, l, 9).Through); err != nil {
			t.Fatal(err)
		}
		if s := l.Status(); s.Segments != 0 || s.Bytes != 0 {
			t.Errorf("status %+v", s)
		}
		m.fault = nil
		time.Sleep(time.Second)
		if got := mustAppend(t, l, "second", ModeSpool); got != (Seq{1, 2}) {
			t.Errorf("goes on at %s", got)
		}
		mustClose(t, l)
	})
}

// Close is the last chance, so it tries at once what would be tried again later.
func TestCloseDoesNotWaitForTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{Retry: time.Hour})
		mustAppend(t, l, "first", ModeStrict)
		fail := func(_ int, op, _ string) error {
			if op == "fsync" {
				return syscall.EIO
			}
			return nil
		}
		m.fault = fail
		mustAppend(t, l, "second", ModeSpool)
		time.Sleep(time.Second)
		if s := l.Status(); s.Failing == nil || s.Synced != 1 || s.Appended != 2 {
			t.Errorf("status %+v", s)
		}
		m.fault = nil
		mustClose(t, l)
		if got, gaps := readAll(t, m.afterCrash(true)); len(got) != 2 || len(gaps) != 0 {
			t.Errorf("%v, gaps %v", got, gaps)
		}

		l = open(t, m, Config{Retry: time.Hour})
		mustAppend(t, l, "third", ModeStrict)
		m.fault = fail
		mustAppend(t, l, "fourth", ModeSpool)
		if err := l.Close(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("closed a spool whose record is not on disk: %v", err)
		}
	})
}
