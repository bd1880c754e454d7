package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store"
)

// insertOld is how binaries that know schema 2 append: 240 records, one a minute from 2026-01-01 22:01 on.
const insertOld = `
WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 240)
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id)
SELECT 1767304800000000 + n * 60000000, printf('0198a000-0000-7000-8000-%012x', n), n % 2, 1, 1, 7, 1, '', 't', 'p' || (n % 3),
       'c', '', 'orders', 'r', '/x', 'GET', 'h', '', '["a.b"]', '', '["g1"]', 'check', '', ''
FROM s
WHERE true
ON CONFLICT (at, id) DO NOTHING`

func TestRecordsOfTheReleaseBeforeMoveToTheirDays(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "verdict.db")
	db := raw(t, path)
	for _, name := range []string{"0001_policy.sql", "0002_decisions.sql", "0010_revocations.sql", "0020_mirror.sql", "0025_trust.sql", "0030_decision_agent.sql", "", "0040_audit.sql", ""} {
		text := insertOld
		if name != "" {
			file, err := migrations.Files.ReadFile("sqlite/" + name)
			if err != nil {
				t.Fatal(err)
			}
			text = string(file)
		}
		if _, err := db.ExecContext(ctx, text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	s := open(t, path)
	for day, want := range map[string]int{"decisions_20260101": 119, "decisions_20260102": 121} {
		n := 0
		for _, err := range s.ExportPartition(ctx, day) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%s has %d records, want %d", day, n, want)
		}
	}
	tail, err := s.DecisionsAfter(ctx, store.TailCursor{}, store.DecisionFilter{}, 1000)
	if err != nil || len(tail.Records) != 240 || tail.More {
		t.Errorf("tail: %d records, more %v, %v", len(tail.Records), tail.More, err)
	}
	use, err := s.GrantUse(ctx, tail.Records[0].Decision.At)
	if err != nil || len(use) != 1 || use[0].Principals != 3 || !use[0].Last.Equal(tail.Records[239].Decision.At) {
		t.Errorf("use: %+v, %v", use, err)
	}
}
