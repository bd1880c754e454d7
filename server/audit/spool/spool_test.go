package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func open(t *testing.T, fsys FS, cfg Config) *Log {
	t.Helper()
	cfg.FS = fsys
	l, err := Open("spool", slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustAppend(t *testing.T, l *Log, text string, mode Mode) Seq {
	t.Helper()
	seq, err := l.Append(context.Background(), []byte(text), mode)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func mustNext(t *testing.T, l *Log, limit int) Batch {
	t.Helper()
	b, err := l.Next(limit)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustClose(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg Config
		ok  bool
	}{
		"the zero value is usable":            {ok: true},
		"a size is not negative":              {cfg: Config{SegmentBytes: -1}},
		"a limit has room for some segments":  {cfg: Config{MaxBytes: 100}},
		"a share is at most one":              {cfg: Config{WarnAt: 1.5}},
		"a group is not negative":             {cfg: Config{GroupMax: -1}},
		"durations are not negative":          {cfg: Config{Retry: -1}},
		"a segment is a quarter of the limit": {cfg: Config{SegmentBytes: 1 << 40, MaxBytes: 1 << 20}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := tc.cfg.withDefaults()
			if (err == nil) != tc.ok {
				t.Fatalf("error %v", err)
			}
			if tc.ok && cfg.SegmentBytes > cfg.MaxBytes/4 {
				t.Errorf("segments of %d in %d", cfg.SegmentBytes, cfg.MaxBytes)
			}
		})
	}
}

func TestModesHaveTheWordsOfTheConfiguration(t *testing.T) {
	for _, m := range []Mode{ModeSpool, ModeStrict} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("sync-db"); err == nil {
		t.Error("sync-db is the store's, not the spool's")
	}
}

func TestRecordsComeBackInOrderFromTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		for i := range 5 {
			if got, want := mustAppend(t, l, fmt.Sprint("r", i+1), ModeSpool), (Seq{1, uint64(i + 1)}); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		b := mustNext(t, l, 3)
		if len(b.Records) != 3 || string(b.Records[2].Data) != "r3" || b.Through != (Seq{1, 3}) {
			t.Fatalf("%+v", b)
		}
		if err := l.Advance(Seq{1, 4}); err == nil {
			t.Error("advanced past what was read")
		}
		if err := l.Advance(Seq{1, 2}); err != nil {
			t.Fatal(err)
		}
		if b := mustNext(t, l, 9); len(b.Records) != 2 || string(b.Records[0].Data) != "r4" {
			t.Errorf("goes on with %+v", b)
		}
		l.Rewind()
		if b := mustNext(t, l, 9); len(b.Records) != 3 || string(b.Records[0].Data) != "r3" {
			t.Errorf("rewound to %+v", b)
		}
		if b := mustNext(t, l, 9); len(b.Records) != 0 || b.Through != (Seq{1, 5}) {
			t.Errorf("at the end %+v", b)
		}
		mustClose(t, l)

		l = open(t, m, Config{})
		if got := mustAppend(t, l, "s1", ModeStrict); got != (Seq{2, 1}) {
			t.Errorf("the next epoch begins at %s", got)
		}
		b = mustNext(t, l, 9)
		if len(b.Records) != 4 || string(b.Records[0].Data) != "r3" || string(b.Records[3].Data) != "s1" || b.Through != (Seq{2, 1}) {
			t.Errorf("after a restart %+v", b)
		}
		if err := l.Advance(b.Through); err != nil {
			t.Fatal(err)
		}
		if s := l.Status(); s.Segments != 1 || s.Checkpoint != b.Through {
			t.Errorf("status %+v", s)
		}
		mustClose(t, l)
	})
}

func TestOneProcessHasTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "verdict", "spool")
	log := slog.New(slog.DiscardHandler)
	l, err := Open(dir, log, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, log, Config{}); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := l.Append(context.Background(), []byte("x"), ModeStrict); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 { // lock, checkpoint, reserve, segment
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s %v, %v", e.Name(), info.Mode(), err)
		}
	}
	mustClose(t, l)
	if l, err = Open(dir, log, Config{}); err != nil {
		t.Fatalf("after close: %v", err)
	}
	mustClose(t, l)
}

func TestConcurrentAppendersAreReadOnceAndInTheirOrder(t *testing.T) {
	before := runtime.NumGoroutine()
	l, err := Open(t.TempDir(), slog.New(slog.DiscardHandler), Config{SegmentBytes: 64 << 10, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	const appenders, each = 64, 100
	var wg sync.WaitGroup
	for g := range appenders {
		wg.Go(func() {
			buf := make([]byte, 0, 64)
			var last Seq
			for i := range each {
				buf = fmt.Appendf(buf[:0], "%d %d", g, i) // the log has its own copy
				seq, err := l.Append(context.Background(), buf, Mode((g+i)%2))
				if err != nil {
					t.Error(err)
					return
				}
				if !last.Less(seq) {
					t.Errorf("%s after %s", seq, last)
				}
				last = seq
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	next := make([]int, appenders)
	read := 0
	var last Seq
	for end := false; !end; {
		select {
		case <-done:
			end = true // and read what is left
		default:
			runtime.Gosched()
		}
		for {
			b := mustNext(t, l, 500)
			if len(b.Gaps) > 0 {
				t.Fatalf("gaps %v", b.Gaps)
			}
			if len(b.Records) == 0 {
				break
			}
			for _, r := range b.Records {
				var g, i int
				if _, err := fmt.Sscanf(string(r.Data), "%d %d", &g, &i); err != nil || next[g] != i || r.Seq.N != last.N+1 {
					t.Fatalf("%s %q after %s: %v", r.Seq, r.Data, last, err)
				}
				next[g]++
				read++
				last = r.Seq
			}
			if err := l.Advance(b.Through); err != nil {
				t.Fatal(err)
			}
		}
	}
	if read != appenders*each {
		t.Errorf("%d of %d", read, appenders*each)
	}
	if s := l.Status(); s.Appended != appenders*each || s.Segments != 1 {
		t.Errorf("status %+v", s)
	}
	mustClose(t, l)
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestTheCheckpointSurvivesALossOfPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		for i := range 3 {
			mustAppend(t, l, "record", ModeStrict)
			if err := l.Advance(mustNext(t, l, 9).Through); err != nil {
				t.Fatal(err)
			}
			after := open(t, m.afterCrash(true), Config{})
			if s := after.Status(); s.Checkpoint != (Seq{1, uint64(i + 1)}) || after.Instance() != l.Instance() {
				t.Errorf("after %d: %+v", i+1, s)
			}
			mustClose(t, after)
		}
		mustClose(t, l)
	})
}
