package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// What an api asks for is told by what it waits for: a disk whose fsync hangs, a store that is away, or nothing.
func TestAnApiGetsNoLessThanItAsksFor(t *testing.T) {
	const (
		def, inSpool, strict, syncDB = policy.DurabilityDefault, policy.DurabilitySpool, policy.DurabilityStrict, policy.DurabilitySyncDB
		unknown                      = policy.Durability(9)
	)
	for name, tc := range map[string]struct {
		server, api policy.Durability
		memory      bool
		disk, store bool // what is waited for
	}{
		"by default a spool":                      {},
		"the server's strict":                     {server: strict, disk: true},
		"the server's sync-db":                    {server: syncDB, store: true},
		"spool where the server is strict":        {server: strict, api: inSpool},
		"strict where the server has a spool":     {api: strict, disk: true},
		"strict where the server has sync-db":     {server: syncDB, api: strict, disk: true},
		"sync-db where the server has a spool":    {api: syncDB, store: true},
		"the strongest for what is not known":     {api: unknown, store: true},
		"without a spool by default memory":       {memory: true},
		"without a spool the server's sync-db":    {memory: true, server: syncDB, store: true},
		"sync-db for spool without a spool":       {memory: true, api: inSpool, store: true},
		"sync-db for strict without a spool":      {memory: true, api: strict, store: true},
		"sync-db without a spool":                 {memory: true, api: syncDB, store: true},
		"the default that is named means nothing": {memory: true, api: def},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, disk := &fakeStore{}, &faultyFS{hang: make(chan struct{})}
				var r *audit.Recorder
				cfg := audit.Config{Durability: tc.server}
				if tc.memory {
					r, _ = start(t, f, cfg)
				} else {
					r, _ = spooled(t, f, t.TempDir(), spool.Config{FS: disk}, cfg)
				}
				ask := func(id string) bool {
					err := r.Record(store.Decision{ID: id}, policy.Keeping{Durability: tc.api})
					if err != nil && !errors.Is(err, audit.ErrFailed) {
						t.Error(err)
					}
					return err == nil
				}
				if !ask("all is well") { // makes the segment, which waits for the disk in any case
					t.Error("refused when all is well")
				}
				time.Sleep(time.Second)
				f.set(unavailable)
				if got := !ask("store away"); got != tc.store {
					t.Errorf("waits for the store: %v, want %v", got, tc.store)
				}
				f.set(nil)
				time.Sleep(10 * time.Second)
				disk.sync.Store(true)
				if got := !ask("disk hangs"); got != tc.disk {
					t.Errorf("waits for the disk: %v, want %v", got, tc.disk)
				}
				disk.sync.Store(false)
				close(disk.hang)
				closed(t, r)
				wantStats(t, r, 0, 3, 0)
			})
		})
	}
}

func TestAnApiSaysWhatBecomesOfItsDecision(t *testing.T) {
	full := map[string]func(t *testing.T, cfg audit.Config) *audit.Recorder{
		"in memory": func(t *testing.T, cfg audit.Config) *audit.Recorder {
			cfg.Queue = 1
			r, _ := start(t, &fakeStore{fail: unavailable}, cfg)
			record(t, r, "fills it")
			return r
		},
		"in a spool": func(t *testing.T, cfg audit.Config) *audit.Recorder {
			r, _ := spooled(t, &fakeStore{fail: unavailable}, t.TempDir(), spool.Config{MaxBytes: 4 << 10}, cfg)
			for range 4096 {
				if r.Record(store.Decision{ID: "fills it"}, policy.Keeping{OnFailure: policy.OnAuditFailureDeny}) != nil {
					return r
				}
			}
			t.Fatal("the spool does not fill")
			return nil
		},
	}
	const unknown = policy.OnAuditFailure(9)
	for _, tc := range []struct {
		server audit.OnFailure
		api    policy.OnAuditFailure
		lose   bool
	}{
		{audit.Deny, policy.OnAuditFailureDefault, false},
		{audit.Deny, policy.OnAuditFailureDeny, false},
		{audit.Deny, policy.OnAuditFailureCount, true},
		{audit.Count, policy.OnAuditFailureDefault, true},
		{audit.Count, policy.OnAuditFailureDeny, false},
		{audit.Count, policy.OnAuditFailureCount, true},
		{audit.Count, unknown, false},
	} {
		for name, begin := range full {
			for _, durability := range []policy.Durability{policy.DurabilityDefault, policy.DurabilitySyncDB} {
				t.Run(fmt.Sprintf("%s, server %v, api %d, durability %d", name, tc.server, tc.api, durability), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := begin(t, audit.Config{OnFailure: tc.server})
						before := r.Stats()
						err := r.Record(store.Decision{ID: "one more"}, policy.Keeping{Durability: durability, OnFailure: tc.api})
						s := r.Stats()
						switch lost, refused := s.Lost-before.Lost, s.Refused-before.Refused; {
						case tc.lose && (err != nil || lost != 1 || refused != 0):
							t.Errorf("not counted: %v, %+v", err, s)
						case !tc.lose && (!errors.Is(err, audit.ErrFull) || lost != 0 || refused != 1):
							t.Errorf("not denied: %v, %+v", err, s)
						}
						if s.Late != 0 || s.LastRefusal == "" {
							t.Errorf("stats %+v", s)
						}
						stopAnyway(t, r)
					})
				})
			}
		}
	}
}

// stopAnyway closes r without giving it time, whatever is lost.
func stopAnyway(t *testing.T, r *audit.Recorder) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
