package postgres_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

const contoso = "aaaaaaaa-0000-4000-8000-000000000001"

// changeTrust makes every kind of change once, in this order, and undoes what can be undone.
func changeTrust(t *testing.T, s store.TrustWriter) {
	t.Helper()
	ctx := t.Context()
	by := func(reason string) store.Note { return store.Note{Actor: "local", Reason: reason, Ticket: "T-1"} }
	if _, err := s.AddTenant(ctx, store.TrustedTenant{Provider: "entra", ID: contoso, DisplayName: "Contoso"}, by("joins")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DenyKey(ctx, "k1", by("leaked")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OrderPurge(ctx, contoso, by("rolled")); err != nil {
		t.Fatal(err)
	}
	if err := s.AllowKey(ctx, "k1", by("did not leak")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveTenant(ctx, "entra", contoso, by("leaves")); err != nil {
		t.Fatal(err)
	}
}

func TestWhoTrustedWhomAndWhyIsKept(t *testing.T) {
	url := pgtest.New(t)
	changeTrust(t, open(t, url))
	rows, err := raw(t, url).Query(t.Context(), `
		SELECT concat_ws('|', version, action, provider, tenant_id, display_name, kid, actor, reason, ticket)
		FROM trust_changes
		ORDER BY version`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"1|add_tenant|entra|" + contoso + "|Contoso||local|joins|T-1",
		"2|deny_key||||k1|local|leaked|T-1",
		"3|purge||" + contoso + "|||local|rolled|T-1",
		"4|allow_key||||k1|local|did not leak|T-1",
		"5|remove_tenant|entra|" + contoso + "|Contoso||local|leaves|T-1",
	}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestThePDPReadsWhomToTrustAndTheAdminSaysIt(t *testing.T) {
	url := pgtest.New(t)
	pdp, admin := open(t, url+"&role=verdict_pdp"), open(t, url+"&role=verdict_admin")
	ctx := t.Context()
	changeTrust(t, admin)
	for name, s := range map[string]store.TrustReader{"pdp": pdp, "admin": admin} {
		if v, err := s.TrustVersion(ctx); v != 5 || err != nil {
			t.Errorf("%s: version %d, %v", name, v, err)
		}
		if _, err := s.Tenants(ctx); err != nil {
			t.Errorf("%s: tenants: %v", name, err)
		}
		if _, err := s.DeniedKeys(ctx); err != nil {
			t.Errorf("%s: denied keys: %v", name, err)
		}
		if l, err := s.Purges(ctx); len(l) != 1 || err != nil {
			t.Errorf("%s: purges: %v, %v", name, l, err)
		}
	}
	for name, call := range map[string]func() error{
		"added a tenant": func() error {
			_, err := pdp.AddTenant(ctx, store.TrustedTenant{Provider: "entra", ID: contoso}, store.Note{})
			return err
		},
		"removed a tenant": func() error { return pdp.RemoveTenant(ctx, "entra", contoso, store.Note{}) },
		"denied a key":     func() error { _, err := pdp.DenyKey(ctx, "k2", store.Note{}); return err },
		"allowed a key":    func() error { return pdp.AllowKey(ctx, "k2", store.Note{}) },
		"ordered a purge":  func() error { _, err := pdp.OrderPurge(ctx, "", store.Note{}); return err },
		"wrote a line": func() error {
			_, err := raw(t, url+"&role=verdict_pdp").Exec(ctx, "INSERT INTO trust_changes (version) VALUES (6)")
			return err
		},
		"moved the version": func() error {
			_, err := raw(t, url+"&role=verdict_pdp").Exec(ctx, "UPDATE trust_head SET version = 9")
			return err
		},
	} {
		if err := call(); !denied(err) {
			t.Errorf("the pdp %s: %v", name, err)
		}
	}
	for _, role := range []string{"verdict_pdp", "verdict_admin", "verdict"} { // the last one owns the tables
		conn := raw(t, url+"&role="+role)
		for _, statement := range []string{"UPDATE trust_changes SET reason = 'x'", "DELETE FROM trust_changes", "TRUNCATE trust_changes"} {
			if _, err := conn.Exec(context.Background(), statement); !denied(err) {
				t.Errorf("%s: %s: %v", role, statement, err)
			}
		}
	}
}
