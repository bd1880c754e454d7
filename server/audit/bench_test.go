package audit_test

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// The metric is the CPU time of all threads, the kernel's part, the fsyncs and the drain included. "memory" is what it is
// to be compared with.
func BenchmarkRecordParallel(b *testing.B) {
	to := appender(func(context.Context, []store.Decision) error { return nil })
	log := slog.New(slog.DiscardHandler)
	for _, kind := range []string{"memory", "spool", "strict"} {
		b.Run(kind, func(b *testing.B) {
			var r *audit.Recorder
			var err error
			cfg := audit.Config{OnFailure: audit.Count}
			if kind == "memory" {
				r, err = audit.NewRecorder(to, log, cfg)
			} else {
				cfg.Durability, _ = audit.ParseDurability(kind)
				var sp *spool.Log
				if sp, err = spool.Open(b.TempDir(), log, spool.Config{}); err == nil {
					r, err = audit.NewSpooled(to, sp, log, cfg)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
			d := store.Decision{
				ID: "0190b2c4-0000-7000-8000-000000000000", TenantID: "11111111-1111-4111-8111-111111111111", Host: "orders.example", Method: "GET",
				PrincipalID: "bbbbbbbb-0001-4000-8000-000000000001", ClientID: "33333333-3333-4333-8333-333333333333", API: "orders",
				Route: "read", Template: "/orders/{id:int}", RequestID: "0190b2c4-1111-7000-8000-000000000000",
				Permissions: []string{"orders.read"}, Grants: []string{"g-1"}, Door: "extauthz",
			}
			b.SetParallelism(64)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = r.Record(d, policy.Keeping{})
				}
			})
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
			b.StopTimer()
			if err := r.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			// A record that the disk took too late is both lost to its caller and written.
			s, n := r.Stats(), uint64(b.N)
			if s.Written+s.Lost < n || s.Written+s.Lost > n && s.LastRefusal == "" {
				b.Fatalf("%+v does not add up to %d", s, b.N)
			}
		})
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
