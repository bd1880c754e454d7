package postgres_test

import (
	"testing"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// insertOld is how binaries that know schema 2 append.
const insertOld = `
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id)
SELECT timestamptz '2026-01-01 22:00Z' + n * interval '1 min' + (now() - timestamptz '2026-01-01 22:00Z') * $1::int, gen_random_uuid(), n % 2 = 0, 1, 1, 7, 1, '', 't', 'p' || n % 3,
       'c', '', 'orders', 'r', '/x', 'GET', 'h', '', '{a.b}', '', '{g1}', 'check', '', ''
FROM generate_series(1, 240) AS n
ON CONFLICT DO NOTHING`

func TestRecordsOfTheReleaseBeforeMoveToTheirDays(t *testing.T) {
	ctx := t.Context()
	url := pgtest.NewEmpty(t)
	conn := raw(t, url)
	file := func(name string) string {
		text, err := migrations.Files.ReadFile("postgres/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	exec(t, conn, "BEGIN", file("0001_policy.sql"), file("0002_decisions.sql"), file("0010_revocations.sql"), file("0020_mirror.sql"), file("0025_trust.sql"), file("0030_decision_agent.sql"), "COMMIT")
	if _, err := conn.Exec(ctx, insertOld, 0); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "BEGIN", file("0040_audit.sql"), "COMMIT")
	if _, err := conn.Exec(ctx, insertOld, 1); err != nil {
		t.Fatalf("a binary of the release before appends: %v", err)
	}

	s := open(t, url)
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 0, 1)
	for day, want := range map[time.Time]int{first: 119, next: 121} {
		n := 0
		for d, err := range s.ExportPartition(ctx, "decisions_"+day.Format("20060102")) {
			if err != nil || !store.Day(d.At).Equal(day) {
				t.Fatalf("%v, %v", d, err)
			}
			n++
		}
		if n != want {
			t.Errorf("%v has %d records, want %d", day, n, want)
		}
	}
	tail, err := s.DecisionsAfter(ctx, store.TailCursor{}, store.DecisionFilter{}, 1000)
	if err != nil || len(tail.Records) != 240 || tail.More {
		t.Errorf("tail: %d records, more %v, %v", len(tail.Records), tail.More, err)
	}
	use, err := s.GrantUse(ctx, first)
	if err != nil || len(use) != 1 || use[0].Principals != 3 || !use[0].Last.Equal(first.Add(26*time.Hour)) {
		t.Errorf("use: %+v, %v", use, err)
	}
	if err := s.AppendDecisions(ctx, []store.Decision{record(1)}); err != nil {
		t.Fatal(err)
	}
	if again, err := s.DecisionsAfter(ctx, tail.Cursor, store.DecisionFilter{}, 10); err != nil || len(again.Records) != 1 {
		t.Errorf("tail goes on with %d records, %v", len(again.Records), err)
	}
	parts, err := s.Partitions(ctx)
	if err != nil || len(parts) != 2+8+1 {
		t.Errorf("%d partitions, %v", len(parts), err)
	}
}
