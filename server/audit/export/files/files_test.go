package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/store"
)

var begin = time.Date(2026, 11, 21, 10, 11, 12, 123456000, time.UTC)

// batch is the n-th of five records.
func batch(n int) (ds []store.Decision) {
	for i := n * 5; i < n*5+5; i++ {
		at := begin.Add(time.Duration(i) * time.Second)
		ds = append(ds, store.Decision{ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, i), At: at, API: "orders"})
	}
	return ds
}

// clock is a clock that is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func send(t *testing.T, s *Sink, n int) {
	t.Helper()
	if err := s.Send(t.Context(), batch(n)); err != nil {
		t.Fatal(err)
	}
}

// names are those of the files in a folder, the lock excepted.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lock {
			all = append(all, e.Name())
		}
	}
	return all
}

// ids are those of the records in a file.
func ids(t *testing.T, name string) (all []string) {
	t.Helper()
	packed, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(packed, nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for line := range bytes.Lines(plain) {
		d, err := shape.ParseJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d.ID)
	}
	return all
}

func idsOf(batches ...int) (all []string) {
	for _, n := range batches {
		for _, d := range batch(n) {
			all = append(all, d.ID)
		}
	}
	return all
}

func TestFilesAreCompleteBySizeByAgeAndAtTheEnd(t *testing.T) {
	c := &clock{begin}
	s := newSink(t, Config{Bytes: 1200, Age: time.Minute, Now: c.now})
	dir := s.cfg.Dir
	send(t, s, 0)
	if got := names(t, dir); len(got) != 1 || got[0] != "audit-20261121T101112.123456Z-0.jsonl.zst.open" {
		t.Fatalf("being written: %v", got)
	}
	for n := 1; strings.HasSuffix(names(t, dir)[0], open); n++ { // until the size is reached
		send(t, s, n)
	}
	first := names(t, dir)
	if len(first) != 1 || first[0] != "audit-20261121T101112.123456Z-0.jsonl.zst" {
		t.Fatalf("by size: %v", first)
	}
	send(t, s, 0) // of the same time
	if err := s.Tend(t.Context(), true); err != nil || len(names(t, dir)) != 2 || !strings.HasSuffix(names(t, dir)[1], "-1.jsonl.zst.open") {
		t.Fatalf("a second of the same time, not old yet: %v, %v", names(t, dir), err)
	}
	c.at = c.at.Add(time.Minute)
	if err := s.Tend(t.Context(), true); err != nil || strings.HasSuffix(names(t, dir)[1], open) {
		t.Fatalf("by age, with nothing to write: %v, %v", names(t, dir), err)
	}
	send(t, s, 3)
	c.at = c.at.Add(time.Hour)
	send(t, s, 4)
	if got := names(t, dir); len(got) != 4 || !strings.HasSuffix(got[3], open) || strings.HasSuffix(got[2], open) {
		t.Fatalf("by age, before it is written to: %v", got)
	}
	if err := s.Tend(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	got := names(t, dir)
	if len(got) != 4 || strings.HasSuffix(got[3], open) {
		t.Fatalf("when another writes: %v", got)
	}
	if got := ids(t, filepath.Join(dir, got[3])); !slices.Equal(got, idsOf(4)) {
		t.Errorf("in the last: %v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, got[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A crash may leave any number of the bytes that were on their way. What was taken is there, and what was not is gone.
func TestAFileThatWasTornAnywhereIsWholeAgain(t *testing.T) {
	made := newSink(t, Config{})
	var ends []int // of the file after each batch
	for n := range 3 {
		send(t, made, n)
		ends = append(ends, int(made.file.size))
	}
	whole, err := os.ReadFile(made.file.Name())
	if err != nil || len(whole) != ends[2] {
		t.Fatal(len(whole), err)
	}
	name := filepath.Base(made.file.Name())
	for size := range len(whole) + 1 {
		for kind, tail := range map[string][]byte{
			"cut":                               nil,
			"of full length, and zeros in it":   make([]byte, len(whole)-size),
			"of full length, and noise in it":   bytes.Repeat([]byte{0xa5}, len(whole)-size),
			"a frame of somebody else after it": {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4},
		} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), append(slices.Clone(whole[:size]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			s := newSink(t, Config{Dir: dir})
			if err := s.take(); err != nil {
				t.Fatalf("%d bytes, %s: %v", size, kind, err)
			}
			var want []string
			for n, end := range ends {
				if end <= size {
					want = append(want, idsOf(n)...)
				}
			}
			got := names(t, dir)
			if want == nil && len(got) == 0 {
				_ = s.Close()
				continue
			}
			if len(got) != 1 || got[0] != strings.TrimSuffix(name, open) {
				t.Fatalf("%d bytes, %s: %v", size, kind, got)
			}
			if got := ids(t, filepath.Join(dir, got[0])); !slices.Equal(got, want) {
				t.Fatalf("%d bytes, %s: %d records, want %d", size, kind, len(got), len(want))
			}
			_ = s.Close()
		}
	}
}

func TestABitThatFlippedInAnOpenFileEndsItThere(t *testing.T) {
	made := newSink(t, Config{})
	send(t, made, 0)
	end := int(made.file.size)
	send(t, made, 1)
	whole, err := os.ReadFile(made.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFrames()
	if err != nil {
		t.Fatal(err)
	}
	defer f.decoder.Close()
	for i := end; i < len(whole); i++ {
		broken := slices.Clone(whole)
		broken[i] ^= 0x10
		if n := f.whole(broken); n != end && n != len(whole) {
			t.Fatalf("byte %d: whole up to %d of %d", i, n, len(whole))
		} else if n == len(whole) { // a bit of the header that says nothing of the content
			plain, err := f.decoder.DecodeAll(broken, nil)
			want, _ := f.decoder.DecodeAll(whole, nil)
			if err != nil || !bytes.Equal(plain, want) {
				t.Fatalf("byte %d: other content passes", i)
			}
		}
	}
}

func TestProcessesThatShareAFolderTakeTurns(t *testing.T) {
	dir := t.TempDir()
	a, b := newSink(t, Config{Dir: dir}), newSink(t, Config{Dir: dir})
	send(t, a, 0)
	if err := b.Send(t.Context(), batch(1)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("both write: %v", err)
	}
	if err := a.Tend(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	send(t, b, 1)
	if got := names(t, dir); len(got) != 2 || strings.HasSuffix(got[0], open) || !strings.HasSuffix(got[1], open) {
		t.Error(got)
	}
}

func TestAFileThatCannotBeWrittenIsLeftAtWhatWasTaken(t *testing.T) {
	s := newSink(t, Config{})
	send(t, s, 0)
	name := s.file.name
	s.file.File.Close() // the disk is gone
	if err := s.Send(t.Context(), batch(1)); err == nil || errors.Is(err, export.ErrRefused) {
		t.Fatalf("taken, or the records' fault: %v", err)
	}
	send(t, s, 1) // the same again, when it is back
	if got := ids(t, name); !slices.Equal(got, idsOf(0)) {
		t.Errorf("in the first: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	all := names(t, s.cfg.Dir)
	if len(all) != 2 {
		t.Fatal(all)
	}
	if got := ids(t, filepath.Join(s.cfg.Dir, all[1])); !slices.Equal(got, idsOf(1)) {
		t.Errorf("in the second: %v", got)
	}
}

func TestAFolderThatWentAwayIsAFailureAndComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "of", "its[own]*")
	s := newSink(t, Config{Dir: dir, Shape: export.OCSF})
	send(t, s, 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), batch(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	send(t, s, 1)
	left := s.file.Name()
	s.file, s.lock = nil, nil // as after a crash; the lock of the process is let go by the collector or its end
	again := newSink(t, Config{Dir: dir})
	again.lock = nil
	if err := again.recover(); err != nil {
		t.Fatal(err)
	}
	if there, err := exists(strings.TrimSuffix(left, open)); err != nil || !there {
		t.Error("a folder with the signs of a pattern in its name is not recovered")
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no folder": {}, "a file for a folder": {Dir: file}, "a negative size": {Dir: t.TempDir(), Bytes: -1}, "a negative age": {Dir: t.TempDir(), Age: -1},
		"a shape of its own": {Dir: t.TempDir(), Shape: 9},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg); err == nil {
				t.Error("taken")
			}
		})
	}
}
