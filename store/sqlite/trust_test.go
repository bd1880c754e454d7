package sqlite_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/store"
)

func TestWhoTrustedWhomAndWhyIsKept(t *testing.T) {
	const contoso = "aaaaaaaa-0000-4000-8000-000000000001"
	path := migrated(t)
	s := open(t, path)
	ctx := t.Context()
	by := store.Note{Actor: "local", Reason: "asked", Ticket: "T-1"}
	if _, err := s.AddTenant(ctx, store.TrustedTenant{Provider: "entra", ID: contoso, DisplayName: "Contoso"}, by); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DenyKey(ctx, "k1", by); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OrderPurge(ctx, contoso, by); err != nil {
		t.Fatal(err)
	}
	if err := s.AllowKey(ctx, "k1", by); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveTenant(ctx, "entra", contoso, by); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	rows, err := db.QueryContext(ctx, `
		SELECT concat_ws('|', version, action, provider, tenant_id, display_name, kid, actor, reason, ticket)
		FROM trust_changes
		ORDER BY version`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if want := []string{
		"1|add_tenant|entra|" + contoso + "|Contoso||local|asked|T-1",
		"2|deny_key||||k1|local|asked|T-1",
		"3|purge||" + contoso + "|||local|asked|T-1",
		"4|allow_key||||k1|local|asked|T-1",
		"5|remove_tenant|entra|" + contoso + "|Contoso||local|asked|T-1",
	}; rows.Err() != nil || !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q, %v", got, want, rows.Err())
	}
	for _, statement := range []string{"UPDATE trust_changes SET reason = 'x'", "DELETE FROM trust_changes"} {
		if _, err := db.ExecContext(ctx, statement); err == nil || !strings.Contains(err.Error(), "what is recorded stays") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
