package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func stolen(id string) store.Revocation {
	at := time.Now()
	return store.Revocation{ID: id, TenantID: "t", Kind: store.RevokePrincipal, Value: "p", NotBefore: at, ExpiresAt: at.Add(time.Hour),
		Reason: "stolen", Ticket: "T-1", Actor: "local"}
}

func TestWhoRevokedWhatAndWhyIsKept(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	first := stolen("0198a000-0000-7000-8000-000000000001")
	if _, err := s.CreateRevocation(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	wider := stolen("0198a000-0000-7000-8000-000000000002")
	wider.NotBefore, wider.Reason, wider.Actor = wider.NotBefore.Add(time.Minute), "again", "feed"
	if _, err := s.CreateRevocation(t.Context(), wider); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteRevocation(t.Context(), first.ID, store.Note{Actor: "local", Reason: "found", Ticket: "T-2"}); err != nil {
		t.Fatal(err)
	}
	rows, err := raw(t, url).Query(t.Context(), `
		SELECT concat_ws('|', action, id, kind, value, actor, reason, ticket)
		FROM revocation_changes
		ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"put|" + first.ID + "|principal|p|local|stolen|T-1",
		"put|" + first.ID + "|principal|p|feed|again|T-1",
		"delete|" + first.ID + "|principal|p|local|found|T-2",
	}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestThePDPReadsRevocationsAndTheAdminMakesThem(t *testing.T) {
	url := pgtest.New(t)
	pdp, admin := open(t, url+"&role=verdict_pdp"), open(t, url+"&role=verdict_admin")
	ctx := t.Context()
	r := stolen("0198a000-0000-7000-8000-000000000001")
	if _, err := pdp.CreateRevocation(ctx, r); !denied(err) {
		t.Errorf("the pdp revoked: %v", err)
	}
	if _, err := admin.CreateRevocation(ctx, r); err != nil {
		t.Fatal(err)
	}
	wider := r
	wider.NotBefore = wider.NotBefore.Add(time.Minute)
	if _, err := admin.CreateRevocation(ctx, wider); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]store.Store{"pdp": pdp, "admin": admin} {
		if d, err := s.RevocationsSince(ctx, 0); err != nil || len(d.Changed) != 1 {
			t.Errorf("%s follows: %+v, %v", name, d, err)
		}
		if l, err := s.ListRevocations(ctx, store.RevocationFilter{}, "", 10); err != nil || len(l) != 1 {
			t.Errorf("%s lists: %+v, %v", name, l, err)
		}
	}
	if _, err := pdp.DeleteRevocation(ctx, r.ID, store.Note{}); !denied(err) {
		t.Errorf("the pdp took a revocation back: %v", err)
	}
	if _, err := admin.DeleteRevocation(ctx, r.ID, store.Note{}); err != nil {
		t.Error(err)
	}
	for _, role := range []string{"verdict_pdp", "verdict_admin", "verdict"} { // the last one owns the tables
		conn := raw(t, url+"&role="+role)
		for _, statement := range []string{
			"UPDATE revocation_changes SET reason = 'x'", "DELETE FROM revocation_changes", "TRUNCATE revocation_changes",
		} {
			if _, err := conn.Exec(context.Background(), statement); !denied(err) {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
}
