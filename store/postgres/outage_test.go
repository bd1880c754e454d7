//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func TestAnOutageIsErrUnavailableAndEndsByItself(t *testing.T) {
	server := pgtest.Start(t, "fsync=on")
	s := open(t, server.New(t))
	ctx := t.Context()
	hints := s.Notify(ctx)
	rev, err := s.Commit(ctx, putAPI("a"))
	if err != nil {
		t.Fatal(err)
	}

	server.Pause()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := s.Commit(short, putAPI("b")); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit while paused: %v", err)
	}
	server.Resume()

	server.Stop()
	for name, call := range map[string]func() error{
		"commit": func() error { _, err := s.Commit(ctx, putAPI("b")); return err },
		"load":   func() error { _, err := s.Load(ctx); return err },
		"head":   func() error { _, err := s.Head(ctx); return err },
		"append": func() error { return s.AppendDecisions(ctx, []store.Decision{record(1)}) },
		"ping":   func() error { return s.Ping(ctx) },
		"schema": func() error { return s.CheckSchema(ctx) },
	} {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s while stopped: %v", name, err)
		}
	}

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for s.Ping(ctx) != nil {
		if time.Now().After(deadline) {
			t.Fatal("it does not come back")
		}
		time.Sleep(10 * time.Millisecond)
	}
	f, err := s.Load(ctx)
	if err != nil || f.Revision < rev.Number {
		t.Fatalf("revision %d, was %d: %v", f.Revision, rev.Number, err)
	}

	// Hints come back as well: what is there now is drained first.
	for deadline := time.After(40 * time.Second); ; {
		select {
		case <-hints:
			continue
		default:
		}
		if _, err := s.Commit(ctx, putAPI("c")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hints:
			return
		case <-time.After(200 * time.Millisecond):
		case <-deadline:
			t.Fatal("no hint after the outage")
		}
	}
}

func TestACommitWhoseConnectionIsCutIsWholeOrAbsent(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	killer := raw(t, url)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
				_, _ = killer.Exec(context.Background(), `
					SELECT pg_terminate_backend(pid)
					FROM pg_stat_activity
					WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			}
		}
	}()
	failed := 0
	for range 150 {
		c := putAPI("a")
		c.PutGrants = []store.Put[store.Grant]{{Fact: store.Grant{ID: "g", API: "a", Effect: store.Allow}}}
		if _, err := s.Commit(t.Context(), c); err != nil {
			failed++
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("commit: %v", err)
			}
		}
	}
	close(stop)
	<-done
	t.Logf("%d of 150 failed", failed)
	var f store.Facts
	var err error
	for range 10 { // connections that were cut may still be in the pool
		if f, err = s.Load(t.Context()); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	revs, err := s.Revisions(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(revs)) != f.Revision || f.Revision < uint64(150-failed) || f.APIs[0].Revision != f.Revision || f.Grants[0].Revision != f.Revision {
		t.Fatalf("%d revisions, head %d, api of %d, grant of %d, %d failed", len(revs), f.Revision, f.APIs[0].Revision, f.Grants[0].Revision, failed)
	}
}

// Who appends would give up a record that is at fault itself, and this one is not.
func TestARecordWhosePartitionGoesAwayEachTimeIsNotAtFault(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	exec(t, raw(t, url), `CREATE OR REPLACE FUNCTION ensure_decision_partition(day date) RETURNS boolean LANGUAGE sql AS 'SELECT false'`)
	d := record(1)
	d.At = time.Date(2019, 4, 5, 6, 7, 8, 0, time.UTC)
	if err := s.AppendDecisions(t.Context(), []store.Decision{d}); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
