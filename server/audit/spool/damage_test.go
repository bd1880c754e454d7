package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// twoEpochs makes a spool of two epochs with several segments each, the first ended by a crash, the second by Close. It
// returns the files by name and the records in order.
func twoEpochs(t testing.TB) (*memFS, []Record) {
	t.Helper()
	m := newMemFS()
	var want []Record
	for epoch := range 2 {
		l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m, SegmentBytes: 170, MaxBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			text := fmt.Sprintf("epoch %d, record %d", epoch, i)
			seq, err := l.Append(context.Background(), []byte(text), ModeStrict)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, Record{seq, []byte(text)})
		}
		crashed := m.afterCrash(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if epoch == 0 {
			m = crashed
		}
	}
	return m, want
}

func (m *memFS) segments() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		if strings.HasSuffix(name, segmentSuffix) {
			names = append(names, name)
		}
	}
	return names
}

// readAll opens the spool and reads it to its end.
func readAll(t testing.TB, m *memFS) ([]Record, []Gap) {
	t.Helper()
	l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer l.Close()
	var rs []Record
	var gaps []Gap
	for range 1000 {
		b, err := l.Next(2)
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if len(b.Records)+len(b.Gaps) == 0 {
			if err := l.Advance(b.Through); err != nil {
				t.Fatal(err)
			}
			if s := l.Status(); s.Segments != 0 || s.Bytes != 0 {
				t.Fatalf("drained, but %+v", s)
			}
			return rs, gaps
		}
		rs, gaps = append(rs, b.Records...), append(gaps, b.Gaps...)
	}
	t.Fatal("no end")
	return nil, nil
}

// account checks that each record is either read, unchanged and in order, or within a gap, and none is both. It returns
// those that are neither.
func account(t testing.TB, want, got []Record, gaps []Gap) (silent []Record) {
	t.Helper()
	left := got
	for _, w := range want {
		read := len(left) > 0 && left[0].Seq == w.Seq
		gone := slices.ContainsFunc(gaps, func(g Gap) bool {
			return g.Epoch == w.Seq.Epoch && g.From <= w.Seq.N && (g.To == 0 || w.Seq.N <= g.To)
		})
		if read {
			if !bytes.Equal(left[0].Data, w.Data) {
				t.Fatalf("%s: %q, was %q", w.Seq, left[0].Data, w.Data)
			}
			left = left[1:]
		}
		if read && gone {
			t.Fatalf("%s is read and reported missing: %+v", w.Seq, gaps)
		}
		if !read && !gone {
			silent = append(silent, w)
		}
	}
	if len(left) > 0 {
		t.Fatalf("read what was not written, or twice: %s %q", left[0].Seq, left[0].Data)
	}
	for _, g := range gaps {
		if n, ok := g.Records(); ok && (n == 0 || n > uint64(len(want))) {
			t.Fatalf("gap of %d records: %+v", n, g)
		}
	}
	return silent
}

func TestAWholeSpoolIsReadWithoutGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, want := twoEpochs(t)
		if n := len(m.segments()); n < 6 {
			t.Fatalf("only %d segments", n)
		}
		got, gaps := readAll(t, m)
		if silent := account(t, want, got, gaps); len(silent)+len(gaps) > 0 {
			t.Errorf("missing %v, gaps %v", silent, gaps)
		}
	})
}

func TestAFlippedBitCostsTheRecordsOfItsFrameAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole, want := twoEpochs(t)
		files := append(whole.segments(), filepath.Join("spool", checkpointName))
		for _, name := range files {
			for i := range whole.names[name].data {
				m := whole.afterCrash(false)
				m.names[name].data[i] ^= 1 << (i % 8)
				got, gaps := readAll(t, m)
				silent := account(t, want, got, gaps)
				lost := len(want) - len(got)
				inFrames := strings.HasSuffix(name, segmentSuffix) && i >= segmentHeader
				if len(silent) > 0 || lost > 1 || lost > 0 && !inFrames || len(gaps) > 1 {
					t.Fatalf("%s, byte %d: lost %d, silently %v, gaps %+v", name, i, lost, silent, gaps)
				}
				// The last frame of the second epoch is its seal: there the loss is exact, or none.
				if lost == 1 && gaps[0].To == 0 && gaps[0].Epoch != 1 {
					t.Fatalf("%s, byte %d: not exact: %+v", name, i, gaps)
				}
			}
		}
	})
}

func TestATruncatedSegmentIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole, want := twoEpochs(t)
		names := whole.segments()
		for k, name := range names {
			parsed, _ := parseSegmentName(filepath.Base(name))
			last := k == len(names)-1
			if !last {
				next, _ := parseSegmentName(filepath.Base(names[k+1]))
				last = next.epoch != parsed.epoch
			}
			for n := range len(whole.names[name].data) {
				m := whole.afterCrash(false)
				m.names[name].data = m.names[name].data[:n]
				got, gaps := readAll(t, m)
				silent := account(t, want, got, gaps)
				// Frames that vanish without a trace at the very end of an epoch are the one thing that nothing can prove.
				if len(silent) > 0 && (!last || len(gaps) > 0 || n >= segmentHeader && !endsFrame(whole.names[name].data, n)) {
					t.Fatalf("%s cut at %d: silently lost %v, gaps %+v", name, n, silent, gaps)
				}
				for _, g := range gaps {
					if !last && g.To == 0 {
						t.Fatalf("%s cut at %d: not exact: %+v", name, n, g)
					}
				}
			}
		}
	})
}

// endsFrame reports whether a frame of the segment ends at n.
func endsFrame(segment []byte, n int) bool {
	at := segmentHeader
	for at < n {
		at += frameHeader + int(order.Uint32(segment[at:]))
	}
	return at == n
}

func TestAMissingSegmentIsAnExactGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole, want := twoEpochs(t)
		names := whole.segments()
		for _, k := range []int{0, 1, len(names) - 2} {
			m := whole.afterCrash(false)
			delete(m.names, names[k])
			got, gaps := readAll(t, m)
			if silent := account(t, want, got, gaps); len(silent) > 0 || len(gaps) != 1 || gaps[0].To == 0 {
				t.Errorf("%s: silent %v, gaps %+v", names[k], silent, gaps)
			}
		}
	})
}

func TestWithoutCheckpointTheSpoolKeepsItsNameAndItsRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, want := twoEpochs(t)
		id, _, _ := decodeCheckpoint(m.names[filepath.Join("spool", checkpointName)].data)
		delete(m.names, filepath.Join("spool", checkpointName))
		l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m})
		if err != nil {
			t.Fatal(err)
		}
		if l.Instance() != id.instance || l.Status().Epoch != 3 {
			t.Errorf("instance %s, epoch %d", l.Instance(), l.Status().Epoch)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got, gaps := readAll(t, m)
		if silent := account(t, want, got, gaps); len(silent)+len(gaps) > 0 {
			t.Errorf("missing %v, gaps %v", silent, gaps)
		}
	})
}

func TestASegmentOfAnotherSpoolIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := twoEpochs(t)
		other, _ := twoEpochs(t)
		name := m.segments()[1]
		m.names[name] = other.names[name]
		if _, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m}); !errors.Is(err, ErrForeign) {
			t.Errorf("error %v", err)
		}
	})
}

// A record whose content looks like frames must not be read as frames when its own is damaged, since whoever calls an
// api has a say in what records contain.
func TestFramesWithinARecordAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m})
		if err != nil {
			t.Fatal(err)
		}
		// All that is public is known to the forger: the instance, the epoch, the numbers.
		forged := []byte("forged")
		public := identity{instance: l.Instance()}
		inner := append(make([]byte, frameHeader), forged...)
		putFrameHeader(inner, recordSum(public.seed(1), forged), 2, len(forged))
		for _, r := range [][]byte{[]byte("first"), inner, []byte("third")} {
			if _, err := l.Append(context.Background(), r, ModeStrict); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		m.names[m.segments()[0]].data[segmentHeader+frameHeader+len("first")] ^= 1
		got, gaps := readAll(t, m)
		if len(got) != 2 || string(got[1].Data) != "third" || len(gaps) != 1 || gaps[0] != (Gap{1, 2, 2, int64(frameHeader + len(inner))}) {
			t.Errorf("read %q, gaps %+v", got, gaps)
		}
	})
}

// A number is believed with its checksum only: behind damage several numbers are possible.
func TestANumberIsCoveredByTheChecksum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		for _, r := range []string{"first", "second", "third", "fourth"} {
			mustAppend(t, l, r, ModeStrict)
		}
		mustClose(t, l)
		data := m.names[m.segments()[0]].data
		second := bytes.Index(data, []byte("second"))
		third := bytes.Index(data, []byte("third"))
		data[second] ^= 1
		if data[third-8] != 3 {
			t.Fatal("the number of the third record is elsewhere")
		}
		data[third-8] = 2
		got, gaps := readAll(t, m)
		if len(got) != 2 || string(got[1].Data) != "fourth" || len(gaps) != 1 || gaps[0].From != 2 || gaps[0].To != 3 {
			t.Errorf("read %q, gaps %+v", got, gaps)
		}
	})
}

func FuzzOpen(f *testing.F) {
	whole, want := twoEpochs(f)
	names := whole.segments()
	for i, name := range names {
		f.Add(uint8(i), whole.names[name].data)
	}
	check := filepath.Join("spool", checkpointName)
	f.Add(uint8(len(names)), whole.names[check].data)
	texts := map[string]bool{}
	for _, r := range want {
		texts[r.Seq.String()+string(r.Data)] = true
	}
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		m := whole.afterCrash(false)
		name := append(names, check)[int(which)%(len(names)+1)]
		m.names[name].data = content
		l, err := Open("spool", slog.New(slog.DiscardHandler), Config{FS: m})
		if err != nil {
			return // a header that is whole and names another spool
		}
		defer l.Close()
		var last Seq
		for range 1000 {
			b, err := l.Next(3)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Records {
				if !texts[r.Seq.String()+string(r.Data)] || !last.Less(r.Seq) {
					t.Fatalf("invented, or out of order: %s %q", r.Seq, r.Data)
				}
				last = r.Seq
			}
			if len(b.Records)+len(b.Gaps) == 0 {
				return
			}
		}
		t.Fatal("no end")
	})
}
