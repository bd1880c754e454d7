package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

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
		"append with use": func() error {
			d := record(4)
			d.Grants, d.Instance, d.Epoch, d.Seq = []string{"g"}, "i", 1, 1
			return pdp.AppendDecisions(ctx, []store.Decision{d})
		},
		"ensure":       func() error { _, err := pdp.EnsurePartitions(ctx, time.Unix(0, 0), 1); return err },
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
	if _, err := pdp.GrantUse(ctx, time.Time{}); !denied(err) {
		t.Errorf("it read the use of grants: %v", err)
	}
}

// The store took the records of yesterday, and takes them still: who appends would take those of today for refused, and
// drop them one by one.
func TestARightThatIsMissingIsNotTheFaultOfARecord(t *testing.T) {
	today := record(2)
	today.At = time.Date(2019, 4, 5, 6, 7, 8, 0, time.UTC)
	used := record(3)
	used.Grants = []string{"g"}
	for name, tc := range map[string]struct {
		revoked string
		d       store.Decision
	}{
		"to make the partition of a day": {"EXECUTE ON FUNCTION ensure_decision_partition", today},
		"to note the use of a grant":     {"EXECUTE ON FUNCTION note_grant_use", used},
		"to append":                      {"INSERT ON decisions", record(4)},
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.New(t)
			pdp := open(t, url+"&role=verdict_pdp")
			if err := pdp.AppendDecisions(t.Context(), []store.Decision{record(1)}); err != nil {
				t.Fatal(err)
			}
			exec(t, raw(t, url), "REVOKE "+tc.revoked+" FROM verdict_pdp")
			err := pdp.AppendDecisions(t.Context(), []store.Decision{tc.d})
			if !errors.Is(err, store.ErrUnavailable) || !denied(err) {
				t.Errorf("%v", err)
			}
		})
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
	for name, call := range map[string]func() error{
		"tail": func() error {
			_, err := admin.DecisionsAfter(ctx, store.TailCursor{}, store.DecisionFilter{}, 1)
			return err
		},
		"grant use":     func() error { _, err := admin.GrantUse(ctx, time.Time{}); return err },
		"append digest": func() error { return admin.AppendDigest(ctx, store.Digest{Number: 1, Kind: store.DigestHourly}) },
		"lease":         func() error { _, err := admin.AcquireLease(ctx, "l", "h", time.Minute); return err },
		"release":       func() error { return admin.ReleaseLease(ctx, "l", "h") },
		"cursor":        func() error { return admin.SetCursor(ctx, "c", "1", "") },
		"partitions":    func() error { _, err := admin.Partitions(ctx); return err },
		"ensure":        func() error { _, err := admin.EnsurePartitions(ctx, time.Now(), 1); return err },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := admin.DetachPartition(ctx, "decisions_"+time.Now().UTC().Format("20060102")); !denied(err) {
		t.Errorf("it detached audit: %v", err)
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
	if err := s.AppendDigest(t.Context(), store.Digest{Number: 1, Kind: store.DigestHourly}); err != nil {
		t.Fatal(err)
	}
	day := "decisions_00010101"                                                // of record(1)
	for _, role := range []string{"verdict_pdp", "verdict_admin", "verdict"} { // the last one owns the tables
		conn := raw(t, url+"&role="+role)
		for _, statement := range []string{
			"UPDATE decisions SET allowed = true", "DELETE FROM decisions", "TRUNCATE decisions",
			"UPDATE revisions SET actor = 'x'", "DELETE FROM revisions", "TRUNCATE revisions, changes",
			"UPDATE changes SET key = 'x'", "DELETE FROM changes", "TRUNCATE changes",
			"UPDATE digests SET root = ''", "DELETE FROM digests", "TRUNCATE digests",
			"UPDATE " + day + " SET allowed = true", "DELETE FROM " + day, "TRUNCATE " + day,
		} {
			if _, err := conn.Exec(context.Background(), statement); !denied(err) {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
}

func TestADetachedDayStaysAsItIs(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	if err := s.AppendDecisions(t.Context(), []store.Decision{record(1)}); err != nil {
		t.Fatal(err)
	}
	const day = "decisions_00010101"
	if err := s.DetachPartition(t.Context(), day); err != nil {
		t.Fatal(err)
	}
	conn := raw(t, url)
	for _, statement := range []string{"UPDATE " + day + " SET allowed = true", "DELETE FROM " + day, "TRUNCATE " + day} {
		if _, err := conn.Exec(t.Context(), statement); !denied(err) {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestADetachThatWasCutShortIsFinished(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	ctx := t.Context()
	if err := s.AppendDecisions(ctx, []store.Decision{record(1)}); err != nil {
		t.Fatal(err)
	}
	const day = "decisions_00010101"
	reader := raw(t, url)
	exec(t, reader, "BEGIN", "SELECT count(*) FROM decisions") // the detach waits for it
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := s.DetachPartition(short, day); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("detach beside a reader: %v", err)
	}
	exec(t, reader, "COMMIT")
	if err := s.DetachPartition(ctx, day); err != nil {
		t.Fatalf("detach again: %v", err)
	}
	if err := s.DropPartition(ctx, day); err != nil {
		t.Fatalf("drop: %v", err)
	}
}

// A later record that names a function or a table of its own session must not run with the rights of the owner.
func TestWhatRunsAsTheOwnerDoesNotLookIntoTheCallersSchema(t *testing.T) {
	url := pgtest.New(t)
	conn := raw(t, url+"&role=verdict_pdp")
	exec(t, conn, "CREATE TEMPORARY TABLE grant_use (LIKE pg_class)",
		"SELECT note_grant_use('{2026-01-01}', '{g}', '{t}', '{p}', '{2026-01-01Z}', '{2026-01-01Z}')")
	if l, err := open(t, url).GrantUse(t.Context(), time.Time{}); err != nil || len(l) != 1 {
		t.Fatalf("%v, %v", l, err)
	}
}
