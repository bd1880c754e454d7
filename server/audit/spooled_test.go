package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func openSpool(t *testing.T, dir string, cfg spool.Config) *spool.Log {
	t.Helper()
	l, err := spool.Open(dir, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// logged is what was logged, to be read at any time.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// spooled starts a recorder over the spool in dir.
func spooled(t *testing.T, to store.DecisionAppender, dir string, size spool.Config, cfg audit.Config) (*audit.Recorder, *logged) {
	t.Helper()
	var buf logged
	r, err := audit.NewSpooled(to, openSpool(t, dir, size), slog.New(slog.NewTextHandler(&buf, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, &buf
}

// durabilities are those that a spool gives, by the words of configuration.
var durabilities = map[string]policy.Durability{
	"spool": policy.DurabilitySpool, "strict": policy.DurabilityStrict, "sync-db": policy.DurabilitySyncDB,
}

func closed(t *testing.T, r *audit.Recorder) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// stop closes r without giving it time to write.
func stop(t *testing.T, r *audit.Recorder) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestSpooledRecordsAreWrittenInOrder(t *testing.T) {
	for name, mode := range durabilities {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{}
				r, _ := spooled(t, f, t.TempDir(), spool.Config{}, audit.Config{Batch: 8, Durability: mode})
				want := numbered(50)
				record(t, r, want...)
				time.Sleep(200 * time.Millisecond) // what a caller of ListDecisions may have to wait
				wantStats(t, r, 0, 50, 0)
				record(t, r, "later")
				time.Sleep(200 * time.Millisecond)
				wantStats(t, r, 0, 51, 0)
				if got := f.ids(); !slices.Equal(got, append(want, "later")) {
					t.Errorf("written %v", got)
				}
				if s := r.Stats(); s.OldestAge != 0 || s.SpoolBytes == 0 || s.SpoolMaxBytes != 2<<30 || s.Warn {
					t.Errorf("stats %+v", s)
				}
				closed(t, r)
			})
		})
	}
}

func TestARestartResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeStore{}
		for start := range 4 {
			f.set(nil)
			r, logged := spooled(t, f, dir, spool.Config{}, audit.Config{Batch: 4})
			for i := range 5 {
				record(t, r, fmt.Sprintf("%d-%d", start, i))
			}
			time.Sleep(time.Second) // these and what the last one left are written
			wantQueued := uint64(3)
			if got := r.Stats(); got.Queued != 0 || start > 0 && got.Written != 5+wantQueued {
				t.Errorf("start %d: %+v", start, got)
			}
			f.set(unavailable)
			for i := range 3 {
				record(t, r, fmt.Sprintf("%d-left-%d", start, i))
			}
			time.Sleep(time.Second)
			if got := r.Stats(); got.Queued != wantQueued || got.OldestAge == 0 {
				t.Errorf("start %d: %+v", start, got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := r.Close(ctx); err != nil {
				t.Errorf("what stays in the spool is no loss: %v", err)
			}
			cancel()
			wantStats(t, r, 3, map[bool]uint64{true: 5, false: 8}[start == 0], 0)
			if !strings.Contains(logged.String(), "audit records stay in the spool for the next start\" queued=3") {
				t.Errorf("the log does not say that records stay:\n%s", logged)
			}
		}
		f.set(nil)
		r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{})
		closed(t, r) // without a pause: closing drains
		var want []string
		for start := range 4 {
			for i := range 5 {
				want = append(want, fmt.Sprintf("%d-%d", start, i))
			}
			for i := range 3 {
				want = append(want, fmt.Sprintf("%d-left-%d", start, i))
			}
		}
		if got := f.ids(); !slices.Equal(got, want) {
			t.Errorf("written %v\nwant    %v", got, want)
		}
	})
}

func TestASpoolOutlastsAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: unavailable}
		r, logged := spooled(t, f, t.TempDir(), spool.Config{}, audit.Config{Queue: 10, Batch: 4})
		record(t, r, numbered(100)...) // the limit of the memory queue means nothing here
		time.Sleep(time.Minute)
		if s := r.Stats(); s.Queued != 100 || s.FailingSince.IsZero() || !strings.Contains(s.LastError, "unavailable") || s.OldestAge < 50*time.Second {
			t.Errorf("stats %+v", s)
		}
		if f.calls < 12 || f.calls > 24 {
			t.Errorf("%d tries in a minute", f.calls)
		}
		f.set(nil)
		time.Sleep(6 * time.Second)
		wantStats(t, r, 0, 100, 0)
		if got := f.ids(); !slices.Equal(got, numbered(100)) {
			t.Errorf("order after the outage: %v", got)
		}
		closed(t, r)
		if n := strings.Count(logged.String(), "audit writes fail"); n != 1 {
			t.Errorf("an outage is logged %d times", n)
		}
	})
}

func TestBadRecordsInTheSpoolAreIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := &fakeStore{fail: poison("d-0000", "d-0021", "d-0022")}
		r, logged := spooled(t, f, dir, spool.Config{}, audit.Config{Batch: 16})
		record(t, r, numbered(64)...)
		closed(t, r)
		wantStats(t, r, 0, 61, 3)
		want := slices.DeleteFunc(numbered(64), func(id string) bool { return id == "d-0000" || id == "d-0021" || id == "d-0022" })
		if got := f.ids(); !slices.Equal(got, want) {
			t.Errorf("written %v", got)
		}
		if n := strings.Count(logged.String(), "decision_id="); n != 3 {
			t.Errorf("%d records are named in the log", n)
		}
		calls := f.calls
		r, _ = spooled(t, f, dir, spool.Config{}, audit.Config{})
		closed(t, r)
		if wantStats(t, r, 0, 0, 0); f.calls != calls {
			t.Error("what was given up is tried again after a restart")
		}
	})
}

// A batch that the store took and the spool was not told of is offered again, and kept once.
func TestACheckpointThatCannotMoveLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f, disk := t.TempDir(), &fakeStore{}, &faultyFS{}
		r, logged := spooled(t, f, dir, spool.Config{FS: disk}, audit.Config{}) // with a checkpoint of its own
		disk.rename.Store(true)
		record(t, r, "a")
		time.Sleep(time.Second)
		record(t, r, "b")
		time.Sleep(time.Minute)
		wantStats(t, r, 0, 2, 0)
		if s := r.Stats(); s.OldestAge == 0 {
			t.Error("the checkpoint has moved; the test shows nothing")
		}
		closed(t, r)
		if n := strings.Count(logged.String(), "spool checkpoint cannot be moved"); n != 1 {
			t.Errorf("that is logged %d times:\n%s", n, logged)
		}
		r, _ = spooled(t, f, dir, spool.Config{FS: disk}, audit.Config{})
		time.Sleep(time.Second)
		disk.rename.Store(false)
		time.Sleep(6 * time.Second) // without a new record
		if s := r.Stats(); s.OldestAge != 0 || s.Written != 2 {
			t.Errorf("the checkpoint does not follow: %+v", s)
		}
		closed(t, r)
		if got := f.ids(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("kept %v", got)
		}
	})
}

func TestAGapIsCountedExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeStore{fail: unavailable}
		r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{})
		record(t, r, numbered(9)...)
		stop(t, r)
		segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		if err != nil || len(segments) != 1 {
			t.Fatalf("segments %v %v", segments, err)
		}
		content, err := os.ReadFile(segments[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"d-0003", "d-0004"} {
			content[bytes.Index(content, []byte(id))] ^= 1
		}
		if err := os.WriteFile(segments[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		f.set(nil)
		var buf bytes.Buffer
		log := slog.New(slog.NewTextHandler(&buf, nil))
		sp, err := spool.Open(dir, log, spool.Config{})
		if err != nil {
			t.Fatal(err)
		}
		r, err = audit.NewSpooled(f, sp, log, audit.Config{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantStats(t, r, 0, 7, 2)
		closed(t, r)
		if got := f.ids(); !slices.Equal(got, slices.Concat(numbered(3), numbered(9)[5:])) {
			t.Errorf("written %v", got)
		}
		for _, want := range []string{"epoch=1 from=4 to=5", "records=2 lost_total=2"} {
			if !strings.Contains(buf.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, &buf)
			}
		}
	})
}

// mix appends records of this binary and raw bytes to the spool in dir.
func mix(t *testing.T, dir string, ids []string, raw []byte) {
	t.Helper()
	for i, id := range ids {
		r, _ := spooled(t, &fakeStore{fail: unavailable}, dir, spool.Config{}, audit.Config{})
		record(t, r, id)
		stop(t, r)
		if i > 0 {
			continue
		}
		l := openSpool(t, dir, spool.Config{})
		if _, err := l.Append(t.Context(), raw, spool.ModeStrict); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARecordOfANewerVerdictIsKeptForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeStore{}
		mix(t, dir, []string{"before", "after"}, []byte{99, 1, 2})
		for range 2 { // a restart changes nothing
			r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{})
			record(t, r, "now") // decisions go on
			time.Sleep(time.Minute)
			s := r.Stats()
			if s.FailingSince.IsZero() || !strings.Contains(s.LastError, "version 99: written by a newer verdict") || s.Lost != 0 || s.Queued != 1 {
				t.Errorf("stats %+v", s)
			}
			closed(t, r)
		}
		if got := f.ids(); !slices.Equal(got, []string{"before"}) {
			t.Errorf("written %v", got)
		}
		l := openSpool(t, dir, spool.Config{})
		left, err := l.Next(10)
		if err != nil || len(left.Records) != 4 || left.Records[0].Data[0] != 99 {
			t.Errorf("left in the spool: %+v %v", left, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestBytesThatAreNoRecordAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeStore{}
		mix(t, dir, []string{"before", "after"}, []byte{1, 7})
		r, logged := spooled(t, f, dir, spool.Config{}, audit.Config{Batch: 1})
		time.Sleep(time.Second)
		wantStats(t, r, 0, 2, 1)
		closed(t, r)
		if got := f.ids(); !slices.Equal(got, []string{"before", "after"}) {
			t.Errorf("written %v", got)
		}
		if !strings.Contains(logged.String(), "unreadable and lost\" seq=2.1") {
			t.Errorf("the log does not name it:\n%s", logged)
		}
	})
}

func TestAClosedSpooledRecorder(t *testing.T) {
	for name, tc := range map[string]struct {
		on            audit.OnFailure
		want          error
		lost, refused uint64
	}{
		"denies": {audit.Deny, audit.ErrClosed, 0, 1},
		"counts": {audit.Count, nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := spooled(t, &fakeStore{}, t.TempDir(), spool.Config{}, audit.Config{OnFailure: tc.on})
			closed(t, r)
			closed(t, r) // the same again
			if err := r.Record(store.Decision{ID: "late"}, policy.Keeping{}); !errors.Is(err, tc.want) {
				t.Errorf("record: %v", err)
			}
			if s := r.Stats(); s.Lost != tc.lost || s.Refused != tc.refused {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestTheSpooledAccountAddsUp(t *testing.T) {
	const writers, each = 8, 300
	for name, mode := range durabilities {
		t.Run(name, func(t *testing.T) {
			dir, f := t.TempDir(), &fakeStore{}
			var n atomic.Int64
			f.set(func([]store.Decision) error {
				if n.Add(1)%3 == 0 {
					return store.ErrUnavailable
				}
				return nil
			})
			r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{
				Batch: 32, Wait: time.Millisecond, Backoff: 2 * time.Millisecond, Durability: mode,
			})
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if err := r.Record(store.Decision{ID: fmt.Sprintf("%d-%04d", w, i)}, policy.Keeping{}); err != nil {
							t.Error(err)
						}
						if s := r.Stats(); s.Lost != 0 || s.Written+s.Queued > writers*each {
							t.Errorf("stats %+v", s)
						}
					}
				})
			}
			wg.Wait()
			closed(t, r)
			wantStats(t, r, 0, writers*each, 0)
			got := f.ids()
			if len(got) != writers*each {
				t.Errorf("%d kept", len(got))
			}
			last := map[byte]string{}
			for _, id := range got {
				if id <= last[id[0]] {
					t.Fatalf("%s comes after %s", id, last[id[0]])
				}
				last[id[0]] = id
			}
		})
	}
}

func TestNewSpooledRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	sp := openSpool(t, t.TempDir(), spool.Config{})
	defer sp.Close()
	for name, tc := range map[string]struct {
		to  store.DecisionAppender
		sp  *spool.Log
		log *slog.Logger
		cfg audit.Config
	}{
		"no store":              {nil, sp, log, audit.Config{}},
		"no spool":              {&fakeStore{}, nil, log, audit.Config{}},
		"no logger":             {&fakeStore{}, sp, nil, audit.Config{}},
		"a negative patience":   {&fakeStore{}, sp, log, audit.Config{Patience: -1}},
		"an unknown durability": {&fakeStore{}, sp, log, audit.Config{Durability: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := audit.NewSpooled(tc.to, tc.sp, tc.log, tc.cfg); err == nil {
				t.Error("taken")
			}
		})
	}
}
