package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func denied(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

func TestThePDPReadsPolicyAndAppendsAudit(t *testing.T) {
	url := pgtest.New(t)
	if _, err := open(t, url).Commit(t.Context(), putAPI("a")); err != nil {
		t.Fatal(err)
	}
	pdp := open(t, url+"&role=verdict_pdp")
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"load":         func() error { _, err := pdp.Load(ctx); return err },
		"changes":      func() error { _, err := pdp.ChangesSince(ctx, 0); return err },
		"get":          func() error { _, _, err := pdp.GetAPI(ctx, "a"); return err },
		"check schema": func() error { return pdp.CheckSchema(ctx) },
		"append":       func() error { return pdp.AppendDecisions(ctx, []store.Decision{record(1), record(2)}) },
		"append again": func() error { return pdp.AppendDecisions(ctx, []store.Decision{record(1), record(3)}) },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pdp.Commit(ctx, putAPI("b")); !denied(err) {
		t.Errorf("it changed the policy: %v", err)
	}
	if _, err := pdp.ListDecisions(ctx, store.DecisionFilter{}, store.DecisionCursor{}, 1); !denied(err) {
		t.Errorf("it read the audit: %v", err)
	}
}

func TestTheAdminWritesPolicyAndReadsAudit(t *testing.T) {
	url := pgtest.New(t)
	admin := open(t, url+"&role=verdict_admin")
	ctx := t.Context()
	for name, c := range map[string]store.Change{
		"put": {PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: "a"}}, {Fact: store.API{ID: "b"}}},
			PutRoutes: []store.Put[store.Route]{{Fact: store.Route{API: "a", ID: "r", Requirement: store.Public}}},
			PutGrants: []store.Put[store.Grant]{{Fact: store.Grant{API: "a", ID: "g", Effect: store.Allow}}}},
	} {
		if _, err := admin.Commit(ctx, c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if _, err := admin.Commit(ctx, store.Change{
		DeleteAPIs:   []store.Delete[string]{{Key: "a"}},
		DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}},
		DeleteGrants: []store.Delete[string]{{Key: "g"}},
	}); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := admin.Revisions(ctx, 0, 10); err != nil {
		t.Errorf("revisions: %v", err)
	}
	if _, err := admin.ListDecisions(ctx, store.DecisionFilter{}, store.DecisionCursor{}, 1); err != nil {
		t.Errorf("list decisions: %v", err)
	}
	if err := admin.AppendDecisions(ctx, []store.Decision{record(1)}); !denied(err) {
		t.Errorf("it appended audit: %v", err)
	}
}

func TestNobodyRewritesWhatIsRecorded(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	if _, err := s.Commit(t.Context(), putAPI("a")); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendDecisions(t.Context(), []store.Decision{record(1)}); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"verdict_pdp", "verdict_admin", "verdict"} { // the last one owns the tables
		conn := raw(t, url+"&role="+role)
		for _, statement := range []string{
			"UPDATE decisions SET allowed = true", "DELETE FROM decisions", "TRUNCATE decisions",
			"UPDATE revisions SET actor = 'x'", "DELETE FROM revisions", "TRUNCATE revisions, changes",
			"UPDATE changes SET key = 'x'", "DELETE FROM changes", "TRUNCATE changes",
		} {
			if _, err := conn.Exec(context.Background(), statement); !denied(err) {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
}
