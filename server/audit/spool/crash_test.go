package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What the test binary does when it is started as a child, and where.
const (
	childRole = "VERDICT_SPOOL_CHILD"
	childDir  = "VERDICT_SPOOL_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "append":
		appendUntilKilled(os.Getenv(childDir))
	case "limit":
		fillUpToLimit(os.Getenv(childDir))
	default:
		os.Exit(m.Run())
	}
}

// appendUntilKilled appends from several goroutines and says on stdout, after each acknowledgement, what was acknowledged.
func appendUntilKilled(dir string) {
	l, err := Open(dir, slog.New(slog.DiscardHandler), Config{SegmentBytes: 32 << 10, MaxBytes: 1 << 30})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1 << 30 {
				text := fmt.Sprintf("%d-%d-%d-%s", os.Getpid(), g, i, strings.Repeat("x", (g*37+i*13)%400))
				seq, err := l.Append(context.Background(), []byte(text), Mode((g+i)%8/7))
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				_, err = fmt.Fprintf(os.Stdout, "%d %d %s\n", seq.Epoch, seq.N, text)
				mu.Unlock()
				if err != nil {
					os.Exit(1)
				}
			}
		})
	}
	wg.Wait()
}

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	const rounds = 20
	dir := t.TempDir()
	acked := map[Seq]string{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childRole+"=append", childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stopAfter := 1 + random.IntN(400)
		pause := time.Duration(random.IntN(3000)) * time.Microsecond
		lines := bufio.NewScanner(out)
		n := 0
		for lines.Scan() {
			var seq Seq
			var text string
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %s", &seq.Epoch, &seq.N, &text); err != nil {
				break // the line that was being written
			}
			if acked[seq] != "" {
				t.Fatalf("%s acknowledged twice", seq)
			}
			// A line cut short is of no use, and the last one may be.
			if len(text) > 0 {
				acked[seq] = text
			}
			if n++; n == stopAfter {
				time.Sleep(pause)
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		cancel()
		if n < stopAfter {
			t.Fatalf("the child ended by itself after %d records", n)
		}
	}
	l, err := Open(dir, slog.New(slog.DiscardHandler), Config{MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if e := l.Status().Epoch; e != rounds+1 {
		t.Errorf("epoch %d after %d openings", e, rounds)
	}
	var last Seq
	read, total := 0, len(acked)
	for {
		b, err := l.Next(100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Records {
			if !last.Less(r.Seq) || r.Seq.Epoch == last.Epoch && r.Seq.N != last.N+1 {
				t.Fatalf("%s after %s", r.Seq, last)
			}
			last = r.Seq
			read++
			// The child may have been killed while it said what was acknowledged.
			if said, ok := acked[r.Seq]; ok && !strings.HasPrefix(string(r.Data), said) {
				t.Fatalf("%s: acknowledged %q, read %q", r.Seq, said, r.Data)
			}
			delete(acked, r.Seq)
		}
		for _, g := range b.Gaps {
			if g.To != 0 {
				t.Errorf("gap %+v", g)
			}
		}
		if len(b.Records)+len(b.Gaps) == 0 {
			break
		}
		if err := l.Advance(b.Through); err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) > 0 {
		t.Fatalf("%d of %d acknowledged records lost", len(acked), total)
	}
	t.Logf("%d acknowledged, %d read", total, read)
}

// fill appends until the log refuses, and returns what it took.
func fill(l *Log, record func(i int) []byte) (took int, err error) {
	for i := range 100_000 {
		mode := ModeSpool
		if i%16 == 0 {
			mode = ModeStrict
		}
		if _, err := l.Append(context.Background(), record(i), mode); err != nil {
			return i, err
		}
	}
	return 100_000, errors.New("never full")
}

func numbered(i int) []byte { return fmt.Appendf(nil, "record %d %s", i, strings.Repeat("y", 300)) }

// The disk fills up, is drained while it is full, and the log works again with nobody's help; over and over.
func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	dir := small(t, 512)
	l, err := Open(dir, slog.New(slog.DiscardHandler), Config{SegmentBytes: 64 << 10, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// What else lies on the disk takes the rest, to the last byte.
	for round := range 5 {
		took, err := fill(l, numbered)
		if !errors.Is(err, ErrFull) {
			t.Fatalf("round %d: after %d records: %v", round, took, err)
		}
		if took < 100 {
			t.Fatalf("round %d: only %d records fit", round, took)
		}
		ballast, err := os.Create(dir + "/ballast")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(ballast, io.LimitReader(zeros{}, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("disk not full: %v", err)
		}
		ballast.Close()
		if s := l.Status(); !s.Warn || s.Refused == 0 || !errors.Is(s.Failing, ErrFull) {
			t.Fatalf("round %d: status %+v", round, s)
		}
		if round%2 == 1 {
			// A restart with a full disk works too.
			_ = l.Close()
			if l, err = Open(dir, slog.New(slog.DiscardHandler), Config{SegmentBytes: 64 << 10, Retry: time.Millisecond}); err != nil {
				t.Fatalf("open with a full disk: %v", err)
			}
		}
		read := 0
		for {
			b, err := l.Next(50)
			if err != nil || len(b.Gaps) > 0 && b.Gaps[0].To != 0 {
				t.Fatalf("round %d: %v, gaps %v", round, err, b.Gaps)
			}
			for _, r := range b.Records {
				if string(r.Data) != string(numbered(read)) && read < took {
					t.Fatalf("round %d: record %d is %q", round, read, r.Data)
				}
				read++
			}
			if err := l.Advance(b.Through); err != nil {
				t.Fatalf("round %d: advance with a full disk: %v", round, err)
			}
			if len(b.Records) == 0 {
				break
			}
		}
		if read < took {
			t.Fatalf("round %d: %d acknowledged, %d read", round, took, read)
		}
		if err := os.Remove(dir + "/ballast"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// fillUpToLimit appends with files limited to 100 KiB, then without the limit; the exit code says how it went.
func fillUpToLimit(dir string) {
	fail := func(text string, args ...any) {
		fmt.Fprintf(os.Stderr, text+"\n", args...)
		os.Exit(1)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		fail("%v", err)
	}
	l, err := Open(dir, slog.New(slog.DiscardHandler), Config{Retry: time.Millisecond, MaxBytes: 250 << 10, SegmentBytes: 1 << 30})
	if err != nil {
		fail("%v", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 20 << 10, Max: was.Max}); err != nil {
		fail("%v", err)
	}
	took, err := fill(l, numbered)
	if !errors.Is(err, ErrFull) || took < 20 {
		fail("%d records, then %v", took, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		fail("%v", err)
	}
	read := 0
	for {
		b, err := l.Next(1000)
		if err != nil || len(b.Gaps) > 0 {
			fail("%v %v", err, b.Gaps)
		}
		if len(b.Records) == 0 {
			break
		}
		for _, r := range b.Records {
			if read < took && string(r.Data) != string(numbered(read)) {
				fail("record %d: %q", read, r.Data)
			}
			read++
		}
		if err := l.Advance(b.Through); err != nil {
			fail("%v", err)
		}
	}
	if read != took {
		fail("%d acknowledged, %d read", took, read)
	}
	if _, err := l.Append(context.Background(), numbered(0), ModeStrict); err != nil {
		fail("after the limit: %v", err)
	}
	if err := l.Close(); err != nil {
		fail("%v", err)
	}
}

func TestALimitOnFileSizesIsAFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"=limit", childDir+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
