package spool

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// cpu is what the process has used so far, all threads, kernel included.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmark appends b.N records of 300 bytes from the given number of goroutines (0: one, the benchmark's own), while a
// consumer drains. The metric is CPU microseconds per record, everything included: appending, fsync and reading.
func benchmark(b *testing.B, mode Mode, goroutines int, drain bool) {
	l, err := Open(b.TempDir(), slog.New(slog.DiscardHandler), Config{MaxBytes: 64 << 30})
	if err != nil {
		b.Fatal(err)
	}
	stop, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			for drain {
				batch, err := l.Next(5000)
				if err != nil || len(batch.Records) == 0 {
					break
				}
				if err := l.Advance(batch.Through); err != nil {
					b.Error(err)
				}
			}
		}
	}()
	record := bytes.Repeat([]byte("verdict"), 43)[:300]
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // a context that can end, as those of calls do
	defer cancel()
	b.SetBytes(int64(len(record) + frameHeader))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	if goroutines == 0 {
		for range b.N {
			if _, err := l.Append(ctx, record, mode); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := l.Append(ctx, record, mode); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
	b.StopTimer()
	close(stop)
	<-drained
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	b.Run("single", func(b *testing.B) { benchmark(b, ModeSpool, 0, false) })
	b.Run("parallel", func(b *testing.B) { benchmark(b, ModeSpool, 64, false) })
	b.Run("parallel_drained", func(b *testing.B) { benchmark(b, ModeSpool, 64, true) })
}

func BenchmarkAppendStrict(b *testing.B) {
	b.Run("single", func(b *testing.B) { benchmark(b, ModeStrict, 0, false) })
	b.Run("parallel", func(b *testing.B) { benchmark(b, ModeStrict, 512, false) })
}
