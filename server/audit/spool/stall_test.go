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

func TestSpoolRecordsAreFsyncedWithinTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, newMemFS(), Config{})
		mustAppend(t, l, "first", ModeStrict)
		mustAppend(t, l, "second", ModeSpool)
		if s := l.Status(); s.Appended != 2 || s.Synced != 1 {
			t.Errorf("at once %+v", s)
		}
		time.Sleep(10*time.Millisecond - 1)
		synctest.Wait()
		if s := l.Status(); s.Synced != 1 {
			t.Errorf("early %+v", s)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if s := l.Status(); s.Synced != 2 || s.LastFsync.IsZero() {
			t.Errorf("late %+v", s)
		}
		mustClose(t, l)
	})
}

func TestStrictAppendersShareAnFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			appenders int
			most      time.Duration
		}{
			"a few wait for others":     {10, time.Millisecond},
			"a full group does not":     {256, 0},
			"one alone waits in vain":   {1, time.Millisecond},
			"what is over a group, too": {300, 2 * time.Millisecond},
		} {
			m := newMemFS()
			l := open(t, m, Config{})
			mustAppend(t, l, "the first makes the segment", ModeStrict)
			var fsyncs atomic.Int64
			m.fault = func(_ int, op, _ string) error {
				if op == "fsync" {
					fsyncs.Add(1)
				}
				return nil
			}
			begin := time.Now()
			var wg sync.WaitGroup
			for range tc.appenders {
				wg.Go(func() {
					if _, err := l.Append(context.Background(), []byte("x"), ModeStrict); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(begin); took > tc.most || fsyncs.Load() > 2 {
				t.Errorf("%s: %d fsyncs, took %s", name, fsyncs.Load(), took)
			}
			mustClose(t, l)
		}
	})
}

// slowFS holds up writes or fsyncs of segments while a test wants it.
type slowFS struct {
	*memFS
	hold atomic.Pointer[hold]
}

type hold struct {
	op      string
	release chan struct{}
}

type slowFile struct {
	File
	s *slowFS
}

func (s *slowFS) Create(name string) (File, error) {
	f, err := s.memFS.Create(name)
	return slowFile{f, s}, err
}

func (f slowFile) wait(op string) {
	if h := f.s.hold.Load(); h != nil && h.op == op {
		<-h.release
	}
}

func (f slowFile) Write(b []byte) (int, error) { f.wait("write"); return f.File.Write(b) }
func (f slowFile) Sync() error                 { f.wait("fsync"); return f.File.Sync() }

func TestWhoeverWaitsForAStalledDiskMayGiveUp(t *testing.T) {
	for name, tc := range map[string]struct {
		op   string
		mode Mode
	}{
		"a stalled write": {"write", ModeSpool},
		"a stalled fsync": {"fsync", ModeStrict},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowFS{memFS: newMemFS()}
				l := open(t, s, Config{})
				mustAppend(t, l, "first", ModeStrict)
				h := &hold{op: tc.op, release: make(chan struct{})}
				s.hold.Store(h)
				var wg sync.WaitGroup
				wg.Go(func() { // who makes the call waits for it
					if _, err := l.Append(context.Background(), []byte("caller"), tc.mode); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				time.Sleep(20 * time.Millisecond)
				var gaveUp atomic.Int64
				for range 5 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
						defer cancel()
						if _, err := l.Append(ctx, []byte("impatient"), tc.mode); errors.Is(err, context.DeadlineExceeded) {
							gaveUp.Add(1)
						}
					})
				}
				time.Sleep(100 * time.Millisecond)
				if gaveUp.Load() != 5 {
					t.Errorf("%d gave up", gaveUp.Load())
				}
				s.hold.Store(nil)
				close(h.release)
				wg.Wait()
				mustAppend(t, l, "last", ModeStrict)
				// Nobody was told, but the numbers have no gaps: what was given up on is there.
				if b := mustNext(t, l, 100); len(b.Records) != 8 || len(b.Gaps) != 0 {
					t.Errorf("%d records, gaps %v", len(b.Records), b.Gaps)
				}
				mustClose(t, l)
			})
		})
	}
}

func TestAStalledFsyncHoldsUpAppendersBeforeMemoryRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowFS{memFS: newMemFS()}
		l := open(t, s, Config{})
		mustAppend(t, l, "first", ModeStrict)
		h := &hold{op: "fsync", release: make(chan struct{})}
		s.hold.Store(h)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		big := make([]byte, MaxRecord)
		took := 0
		for range 100 {
			if _, err := l.Append(ctx, big, ModeSpool); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				break
			}
			took++
		}
		if took < pendingBytes>>20 || took > pendingBytes>>20+1 {
			t.Errorf("%d MiB in memory", took)
		}
		s.hold.Store(nil)
		close(h.release)
		mustAppend(t, l, "last", ModeStrict)
		mustClose(t, l)
	})
}

// The kernel reports an error of a file once: when a write finds the disk full while an fsync goes on, a second fsync
// would be told that all is well.
func TestAFullDiskDuringAFailingFsyncIsNotBelieved(t *testing.T) {
	s := &slowFS{memFS: newMemFS()}
	l := open(t, s, Config{})
	mustAppend(t, l, "first", ModeStrict)
	h := &hold{op: "fsync", release: make(chan struct{})}
	s.hold.Store(h)
	mustAppend(t, l, "second", ModeSpool)
	time.Sleep(50 * time.Millisecond) // the flusher is in its fsync
	var fsyncs, writes int
	s.mu.Lock()
	s.fault = func(_ int, op, name string) error {
		switch {
		case op == "fsync":
			if fsyncs++; fsyncs == 1 {
				return syscall.EIO
			}
		case op == "write" && strings.HasSuffix(name, segmentSuffix+tmpSuffix):
			if writes++; writes == 1 {
				return syscall.ENOSPC
			}
		}
		return nil
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = l.Append(context.Background(), []byte("third"), ModeSpool)
	}()
	time.Sleep(50 * time.Millisecond) // the writer has failed
	s.hold.Store(nil)
	close(h.release)
	<-done
	if l.Status().Synced >= 2 {
		got, gaps := readAll(t, s.afterCrash(true))
		if len(got) < 2 || string(got[1].Data) != "second" || len(gaps) > 0 {
			t.Errorf("synced, but %q, gaps %v", got, gaps)
		}
	}
	mustClose(t, l)
}
