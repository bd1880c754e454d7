package sqlite_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

func TestWhoRevokedWhatAndWhyIsKept(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	const id = "0198a000-0000-7000-8000-000000000001"
	at := time.Now()
	if _, err := s.CreateRevocation(t.Context(), store.Revocation{
		ID: id, TenantID: "t", Kind: store.RevokeTenant, NotBefore: at, ExpiresAt: at.Add(time.Hour), Reason: "stolen", Ticket: "T-1", Actor: "local",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteRevocation(t.Context(), id, store.Note{Actor: "local", Reason: "found", Ticket: "T-2"}); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	rows, err := db.QueryContext(t.Context(), `
		SELECT action || '|' || id || '|' || kind || '|' || actor || '|' || reason || '|' || ticket
		FROM revocation_changes
		ORDER BY seq`)
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
	if want := []string{"put|" + id + "|tenant|local|stolen|T-1", "delete|" + id + "|tenant|local|found|T-2"}; rows.Err() != nil || !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q, %v", got, want, rows.Err())
	}
	for _, statement := range []string{"UPDATE revocation_changes SET reason = 'x'", "DELETE FROM revocation_changes"} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "what is recorded stays") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
