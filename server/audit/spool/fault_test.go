package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// ledger is the model of I2: what Append acknowledged, what the consumer has, and what was ever offered.
type ledger struct {
	t       testing.TB
	broken  atomic.Bool // a fault was injected
	mu      sync.Mutex
	offered map[string]bool
	acked   map[Seq]string
	strict  map[Seq]string
	stored  map[Seq]string // what the consumer stored and has advanced past, or was about to
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, offered: map[string]bool{}, acked: map[Seq]string{}, strict: map[Seq]string{}, stored: map[Seq]string{}}
}

func (g *ledger) append(l *Log, mode Mode) error {
	text := fmt.Sprintf("record %d of the ledger, %s", len(g.offered), mode)
	g.offered[text] = true
	seq, err := l.Append(context.Background(), []byte(text), mode)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if was, ok := g.acked[seq]; ok {
		g.t.Fatalf("%s acknowledged twice: %q, %q", seq, was, text)
	}
	g.acked[seq] = text
	if mode == ModeStrict {
		g.strict[seq] = text
	}
	return nil
}

// drain reads up to n batches of limit records and stores them before it advances.
func (g *ledger) drain(l *Log, n, limit int) error {
	for range n {
		b, err := l.Next(limit)
		if err != nil {
			return err
		}
		g.store(b.Records)
		for _, gap := range b.Gaps {
			if lost, ok := gap.Records(); ok && lost > 0 {
				g.t.Fatalf("gap without damage: %+v", gap)
			}
		}
		if err := l.Advance(b.Through); err != nil {
			l.Rewind()
			return err
		}
		if len(b.Records) == 0 {
			break
		}
	}
	return nil
}

func (g *ledger) store(rs []Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range rs {
		text := string(r.Data)
		if !g.offered[text] {
			g.t.Fatalf("%s: invented %q", r.Seq, text)
		}
		if was, ok := g.stored[r.Seq]; ok && was != text {
			g.t.Fatalf("%s was %q, is %q", r.Seq, was, text)
		}
		if was, ok := g.acked[r.Seq]; ok && was != text {
			g.t.Fatalf("%s acknowledged as %q, read as %q", r.Seq, was, text)
		}
		g.stored[r.Seq] = text
	}
}

// check opens what a crash left and reads it to the end: in order, each once, and with what was stored before all that
// had to be there.
func (g *ledger) check(fsys *memFS, must map[Seq]string) {
	g.t.Helper()
	l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: fsys})
	if err != nil {
		g.t.Fatalf("reopen: %v", err)
	}
	defer l.Close()
	found := map[Seq]string{}
	var last Seq
	for {
		b, err := l.Next(7)
		if err != nil {
			g.t.Fatalf("read: %v", err)
		}
		for _, r := range b.Records {
			if !last.Less(r.Seq) {
				g.t.Fatalf("%s after %s", r.Seq, last)
			}
			last, found[r.Seq] = r.Seq, string(r.Data)
			if !g.offered[string(r.Data)] {
				g.t.Fatalf("%s: invented %q", r.Seq, r.Data)
			}
		}
		if len(b.Records)+len(b.Gaps) == 0 {
			break
		}
	}
	for seq, text := range must {
		if found[seq] != text && g.stored[seq] != text {
			g.t.Fatalf("%s lost: %q; read %q, stored %q", seq, text, found[seq], g.stored[seq])
		}
	}
}

var smallConfig = Config{SegmentBytes: 700, MaxBytes: 64 << 10, Retry: 20 * time.Millisecond}

// live appends, drains, closes and opens again on m, and goes on after every error.
func (g *ledger) live(m *memFS) {
	cfg := smallConfig
	cfg.FS = m
	for range 2 {
		l, err := Open("spool", slog.New(slog.DiscardHandler), cfg)
		if err != nil {
			if !g.broken.Load() {
				g.t.Fatalf("open: %v", err)
			}
			continue
		}
		for i := range 30 {
			mode := ModeSpool
			if i%3 == 2 {
				mode = ModeStrict
			}
			if err := g.append(l, mode); err != nil && (!g.broken.Load() || !errors.Is(err, ErrFull) && !errors.Is(err, ErrFailed)) {
				g.t.Fatalf("append: %v", err)
			}
			if i%4 == 0 {
				time.Sleep(3 * time.Millisecond)
			}
			if i%10 == 5 {
				if err := g.drain(l, 1, 8); err != nil && !g.broken.Load() {
					g.t.Fatalf("drain: %v", err)
				}
			}
		}
		// I7: when the fault is over, the log works again without a hand.
		time.Sleep(time.Second)
		m.mu.Lock()
		over := m.fault == nil || g.broken.Load() && m.fault(0, "", "") == nil
		m.mu.Unlock()
		if err := g.append(l, ModeStrict); err != nil && (over || !g.broken.Load()) {
			g.t.Fatalf("append after the fault: %v", err)
		}
		if err := l.Close(); err != nil && !g.broken.Load() {
			g.t.Fatalf("close: %v", err)
		}
	}
}

// Every call of the file system fails once, in every way, and the same with ten failures in a row, and with a disk that
// never works again. Whatever happened, all that was acknowledged is read after a crash of the process, and after a loss
// of power all that was acknowledged in ModeStrict.
func TestNothingAcknowledgedIsLostWhateverCallFails(t *testing.T) {
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		g := newLedger(t)
		g.live(m)
		calls = m.calls
		g.check(m.afterCrash(false), g.acked)
		g.check(m.afterCrash(true), g.acked)
	})
	if calls < 100 {
		t.Fatalf("the life of the spool makes only %d calls", calls)
	}
	for name, err := range map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "a short write": errShort} {
		for _, row := range []int{1, 10, 1 << 30} {
			t.Run(fmt.Sprintf("%s, %d in a row", name, row), func(t *testing.T) {
				// What follows a fault makes other calls than the life without it: go on until no fault was reached.
				for n := 1; n < 4*calls; n++ {
					reached := false
					synctest.Test(t, func(t *testing.T) {
						m := newMemFS()
						g := newLedger(t)
						last := 0
						m.fault = func(call int, op, _ string) error {
							last = max(last, call)
							if call == 0 {
								call = last // live asks whether the fault is over
							}
							if call < n || call >= n+row {
								return nil
							}
							reached = true
							g.broken.Store(true)
							if errors.Is(err, errShort) && op != "write" && op != "" {
								return nil
							}
							return err
						}
						g.live(m)
						if t.Failed() {
							return
						}
						g.check(m.afterCrash(false), g.acked)
						g.check(m.afterCrash(true), g.strict)
					})
					if t.Failed() {
						t.Fatalf("at call %d", n)
					}
					if !reached {
						return
					}
				}
				t.Fatalf("no end after %d calls", 4*calls)
			})
		}
	}
}

// Crashes at every call, without any error before.
func TestNothingAcknowledgedIsLostWhereverTheProcessDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		g := newLedger(t)
		// The fault function runs within every call, with the file system locked: take the pictures there, check later.
		type picture struct {
			crash, power  *memFS
			acked, strict map[Seq]string
			stored        map[Seq]string
		}
		var album []picture // guarded by m.mu
		m.fault = func(call int, _, _ string) error {
			if call == 0 {
				return nil
			}
			// The ledger before the picture: what is acknowledged meanwhile may be in it, what was before has to be. What
			// was stored after it: that is deleted once it is stored.
			g.mu.Lock()
			p := picture{acked: maps.Clone(g.acked), strict: maps.Clone(g.strict)}
			g.mu.Unlock()
			m.mu.Unlock()
			p.crash, p.power = m.afterCrash(false), m.afterCrash(true)
			m.mu.Lock()
			g.mu.Lock()
			p.stored = maps.Clone(g.stored)
			g.mu.Unlock()
			album = append(album, p)
			return nil
		}
		g.live(m)
		for i, p := range album {
			h := newLedger(t)
			h.offered, h.stored = g.offered, p.stored
			h.check(p.crash, p.acked)
			h.check(p.power, p.strict)
			if t.Failed() {
				t.Fatalf("picture %d of %d", i, len(album))
			}
		}
	})
}

func TestAFileIsNeverFsyncedAfterItsFsyncFailed(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(cause.Error(), func(t *testing.T) { neverFsyncedAgain(t, cause) })
	}
}

func neverFsyncedAgain(t *testing.T, cause error) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		failed := map[string]bool{}
		n := 0
		m.fault = func(_ int, op, name string) error {
			if op != "fsync" || name == checkpointName+tmpSuffix || name == reserveName {
				return nil
			}
			if failed[name] {
				t.Errorf("%s fsynced again", name)
			}
			if n++; n%3 == 0 {
				failed[name] = true
				return cause
			}
			return nil
		}
		g := newLedger(t)
		g.broken.Store(true)
		cfg := smallConfig
		cfg.FS = m
		l, err := Open("spool", slog.New(slog.DiscardHandler), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			_ = g.append(l, ModeStrict)
			_ = g.append(l, ModeSpool)
			time.Sleep(5 * time.Millisecond)
		}
		s := l.Status()
		if s.FsyncFailures == 0 || len(failed) == 0 {
			t.Fatal("no fsync failed")
		}
		_ = l.Close()
		g.check(m.afterCrash(false), g.acked)
		g.check(m.afterCrash(true), g.strict)
	})
}

// A power loss after a failed fsync that was followed by a good one on a new file must not cost what was in between.
func TestSpoolRecordsAreWrittenAgainAfterAFailedFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		g := newLedger(t)
		l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.append(l, ModeStrict); err != nil {
			t.Fatal(err)
		}
		once := true
		m.fault = func(_ int, op, _ string) error {
			if op == "fsync" && once {
				once = false
				return syscall.EIO
			}
			return nil
		}
		for range 5 {
			if err := g.append(l, ModeSpool); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Millisecond)
		if s := l.Status(); s.FsyncFailures != 1 || s.Synced != 6 || s.Segments != 2 {
			t.Errorf("status %+v", s)
		}
		g.check(m.afterCrash(true), g.acked)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
