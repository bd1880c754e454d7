//go:build unix

package pgtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func ask(ctx context.Context, url, query string) (n int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(ctx, query).Scan(&n)
	return n, err
}

func TestNewIsMigratedAndEmpty(t *testing.T) {
	url := pgtest.New(t)
	if n, err := ask(t.Context(), url, "SELECT revision::int FROM policy_head"); n != 0 || err != nil {
		t.Fatalf("revision %d, %v", n, err)
	}
}

func TestNewEmptyHasNoTables(t *testing.T) {
	url := pgtest.NewEmpty(t)
	const tables = "SELECT count(*)::int FROM pg_tables WHERE schemaname = 'public'"
	if n, err := ask(t.Context(), url, tables); n != 0 || err != nil {
		t.Fatalf("%d tables, %v", n, err)
	}
}

func TestAServerOfItsOwnStopsPausesAndKeepsItsData(t *testing.T) {
	s := pgtest.Start(t, "fsync=on")
	url := s.New(t)
	ctx := t.Context()
	if _, err := ask(ctx, url, "UPDATE policy_head SET revision = 7 RETURNING revision::int"); err != nil {
		t.Fatal(err)
	}

	s.Pause()
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := ask(short, url, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("paused: %v", err)
	}
	s.Resume()
	if n, err := ask(ctx, url, "SELECT 1"); n != 1 || err != nil {
		t.Fatalf("resumed: %d, %v", n, err)
	}

	s.Stop()
	if _, err := ask(ctx, url, "SELECT 1"); err == nil {
		t.Fatal("stopped, and it answers")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := ask(ctx, url, "SELECT revision::int FROM policy_head"); n != 7 || err != nil {
		t.Fatalf("started again: %d, %v", n, err)
	}
}
