package export_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/export/files"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// A test that is started with these is a replica of its own, to be killed.
const (
	envURL = "VERDICT_TEST_EXPORT_URL"
	envDir = "VERDICT_TEST_EXPORT_DIR"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envURL); url != "" {
		if err := exportFiles(context.Background(), url, os.Getenv(envDir)); err != nil {
			slog.Error("replica", "error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func exportFiles(ctx context.Context, url, dir string) error {
	s, err := postgres.Open(ctx, postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer s.Close()
	k, err := files.New(files.Config{Dir: dir, Bytes: 20_000})
	if err != nil {
		return err
	}
	e, err := export.New(s, k, slog.New(slog.DiscardHandler), export.Config{
		Name: "files", Batch: 10, Poll: 5 * time.Millisecond, LeaseTTL: time.Second, Start: export.StartBeginning,
	})
	if err != nil {
		return err
	}
	return e.Run(ctx)
}

func newPostgres(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// readFiles are the records in all complete files, in the order of the files.
func readFiles(t *testing.T, dir string) (ds []store.Decision) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		lines := bufio.NewScanner(z)
		for lines.Scan() {
			d, err := shape.ParseJSON(lines.Bytes())
			if err != nil {
				t.Fatal(name, err)
			}
			ds = append(ds, d)
		}
		if err := lines.Err(); err != nil {
			t.Fatal(name, err)
		}
	}
	return ds
}

func TestAKilledReplicaLeavesNoGap(t *testing.T) {
	url, dir := pgtest.New(t), t.TempDir()
	s := newPostgres(t, url)
	const rounds, each = 4, 200
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, os.Args[0]) // its end is SIGKILL
		cmd.Env = append(os.Environ(), envURL+"="+url, envDir+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before, err := s.Cursor(t.Context(), "export/files")
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < each; n += 20 { // while it exports
			appendAll(t, s, records('a', 1+round*each+n, 1+round*each+n+20))
		}
		until(t, "it exports", func() bool {
			now, err := s.Cursor(t.Context(), "export/files")
			return err == nil && now != before && now != store.TailCursor{}.String()
		})
		cancel()
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended by itself")
		}
	}
	k, err := files.New(files.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e := run(t, s, k, export.Config{Name: "files", LeaseTTL: time.Second})
	until(t, "this one takes over and has caught up", func() bool {
		tail, err := s.DecisionsAfter(t.Context(), cursor(t, s), store.DecisionFilter{}, 1)
		return err == nil && e.Stats().Holding && len(tail.Records) == 0
	})
	e.stop()
	ds := readFiles(t, dir)
	if n := distinct(ds); n != rounds*each {
		t.Errorf("%d records, want %d", n, rounds*each)
	}
	t.Logf("%d of %d records came twice", len(ds)-distinct(ds), distinct(ds))
	if left, _ := filepath.Glob(filepath.Join(dir, "*.open")); len(left) > 0 {
		t.Errorf("left open: %v", left)
	}
}

func cursor(t *testing.T, s store.Coordinator) store.TailCursor {
	t.Helper()
	text, err := s.Cursor(t.Context(), "export/files")
	if err != nil {
		t.Fatal(err)
	}
	c, err := store.ParseTailCursor(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cut is a store that a replica can be cut off from.
type cut struct {
	store.Store
	off atomic.Bool
}

func (c *cut) err() error {
	if c.off.Load() {
		return errors.New("no route: " + store.ErrUnavailable.Error())
	}
	return nil
}

func (c *cut) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if err := c.err(); err != nil {
		return false, err
	}
	return c.Store.AcquireLease(ctx, name, holder, ttl)
}

func (c *cut) SetCursor(ctx context.Context, name, value, expect string) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Store.SetCursor(ctx, name, value, expect)
}

func (c *cut) ReleaseLease(ctx context.Context, name, holder string) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Store.ReleaseLease(ctx, name, holder)
}

func TestOneReplicaExportsAndAnotherTakesOverFromOneThatIsCutOff(t *testing.T) {
	s := newPostgres(t, pgtest.New(t))
	first, k := &cut{Store: s}, new(sink)
	cfg := export.Config{Batch: 10, LeaseTTL: 600 * time.Millisecond, Start: export.StartBeginning}
	a := run(t, first, k, cfg)
	until(t, "the first exports", func() bool { return a.Stats().Holding })
	b := run(t, s, k, cfg)
	appendAll(t, s, records('a', 1, 101))
	appendAll(t, s, records('b', 1, 51))
	until(t, "all by the first", func() bool { return a.Stats().Exported == 150 })
	if st := b.Stats(); st.Holding || st.Exported != 0 || len(k.records()) != 150 {
		t.Errorf("the second: %+v; %d records", st, len(k.records()))
	}
	first.off.Store(true)
	appendAll(t, s, records('a', 101, 201))
	until(t, "the second takes over", func() bool { return b.Stats().Holding })
	until(t, "all", func() bool { return distinct(k.records()) == 250 && b.Stats().Lag == 0 })
	first.off.Store(false)
	until(t, "the first sees that it lost", func() bool { st := a.Stats(); return !st.Holding && st.LastError == "" })
	appendAll(t, s, records('b', 51, 81))
	until(t, "the rest", func() bool { return distinct(k.records()) == 280 })
	if !b.Stats().Holding {
		t.Error("the lease went back")
	}
	inOrder(t, k.records())
	b.stop()
	until(t, "the first takes over at once", func() bool { return a.Stats().Holding })
}

func TestManyReplicasWriteWhileOneExports(t *testing.T) {
	s, k := newPostgres(t, pgtest.New(t)), new(sink)
	var down atomic.Int64
	k.breaks(func([]store.Decision) error {
		if down.Add(1)%5 == 0 {
			return errors.New("now and then")
		}
		return nil
	})
	e := run(t, s, k, export.Config{Batch: 33, Start: export.StartBeginning})
	done := make(chan error)
	const instances, each = 4, 300
	for i := range instances {
		go func() {
			var err error
			for n := 1; n <= each && err == nil; n += 25 {
				err = s.AppendDecisions(t.Context(), records(byte('a'+i), n, n+25))
			}
			done <- err
		}()
	}
	for range instances {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all", func() bool { return e.Stats().Exported == instances*each })
	e.stop()
	if n := len(k.records()); n != instances*each {
		t.Errorf("%d records, want each once", n)
	}
	inOrder(t, k.records())
}
