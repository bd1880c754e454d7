package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// A change a minute in each trail, of 500 revocations and 500 keys; revisions of five facts.
var manyChanges = []string{
	`INSERT INTO revisions (number, at, actor, reason, ticket)
SELECT n, timestamptz '2026-01-01Z' + n * interval '1 min', 'a' || n % 50, '', '' FROM generate_series(1, 20000) AS n`,
	`INSERT INTO changes (revision, seq, kind, key, after)
SELECT n, s, 'api', 'a', '{}' FROM generate_series(1, 20000) AS n, generate_series(1, 5) AS s`,
	`INSERT INTO revocation_changes (seq, at, action, id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor)
SELECT n, timestamptz '2026-01-01Z' + n * interval '1 min', 'put', ('00000000-0000-0000-0000-' || lpad((n % 500)::text, 12, '0'))::uuid, 't', 'token', 'v',
       now(), now(), '', '', 'a' || n % 50
FROM generate_series(1, 20000) AS n`,
	`INSERT INTO trust_changes (version, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket)
SELECT n, timestamptz '2026-01-01Z' + n * interval '1 min', 'deny_key', '', '', '', 'k' || n % 500, 'a' || n % 50, '', '' FROM generate_series(1, 20000) AS n`,
	"ANALYZE revisions, changes, revocation_changes, trust_changes",
}

func TestEveryQueryOfChangesUsesItsIndexes(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range manyChanges {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	day := time.Date(2026, 1, 6, 0, 0, 0, 0, time.UTC)
	pages := map[string]func(t store.Trail) pgx.StrictNamedArgs{
		"the first page": func(t store.Trail) pgx.StrictNamedArgs {
			return changeArgs(t, store.ChangeFilter{}, store.ChangeCursor{}, 100)
		},
		"a later page of a day": func(t store.Trail) pgx.StrictNamedArgs {
			return changeArgs(t, store.ChangeFilter{From: day, To: day.AddDate(0, 0, 1)}, store.ChangeCursor{At: day.Add(time.Hour), Trail: t, Number: 7260}, 100)
		},
		"of an actor": func(t store.Trail) pgx.StrictNamedArgs {
			return changeArgs(t, store.ChangeFilter{Actor: "a7"}, store.ChangeCursor{}, 100)
		},
	}
	for trail, tc := range map[store.Trail]struct {
		query   string
		indexes []string
	}{
		store.TrailPolicy:     {sqlListPolicyChanges, []string{"revisions_at", "changes_pkey"}},
		store.TrailRevocation: {sqlListRevocationChanges, []string{"revocation_changes_at", "revocation_changes_id"}},
		store.TrailTrust:      {sqlListTrustChanges, []string{"trust_changes_at", "trust_changes_of"}},
	} {
		for name, args := range pages {
			t.Run(fmt.Sprintf("%s, %s", trail, name), func(t *testing.T) {
				wantIndexes(t, explain(t, conn, tc.query, args(trail)), tc.indexes)
			})
		}
	}
	t.Run("facts", func(t *testing.T) {
		wantIndexes(t, explain(t, conn, sqlListFactsOfRevisions, pgx.StrictNamedArgs{"revisions": []int64{7, 8, 9}, "facts": 1000}), []string{"changes_pkey"})
	})
}

// wantIndexes refuses a plan that reads a whole table or does without one of the indexes.
func wantIndexes(t *testing.T, plan string, indexes []string) {
	t.Helper()
	if strings.Contains(plan, "Seq Scan on") {
		t.Error("reads a whole table")
	}
	for _, index := range indexes {
		if !strings.Contains(plan, index) {
			t.Errorf("does not use %s", index)
		}
	}
	if t.Failed() {
		t.Log(plan)
	}
}
