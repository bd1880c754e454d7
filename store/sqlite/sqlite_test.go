package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/sqlite"
	"github.com/verdict-authz/verdict/store/storetest"
)

// template is an empty store, migrated once: each test gets a copy.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "verdict-sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "verdict.db")
	if _, err := migrations.Up(context.Background(), migrations.Target{SQLitePath: path}); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)") // all of it into the one file
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// migrated returns the path of an empty store.
func migrated(t testing.TB) string {
	t.Helper()
	empty, err := template()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "verdict.db")
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// raw is the file without a Store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	source, err := sqlite.Source(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, migrated(t)) })
}

func TestEveryStatementPrepares(t *testing.T) {
	db := raw(t, migrated(t))
	statements := storetest.Statements(t, ".")
	if len(statements) < 30 {
		t.Fatalf("only %d statements were found", len(statements))
	}
	for name, text := range statements {
		st, err := db.PrepareContext(t.Context(), text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		st.Close()
	}
}

func TestTheFileAndItsCompanionsAreForTheOwnerOnly(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	if _, err := s.Commit(t.Context(), store.Change{PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: "a"}}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(name), info.Mode().Perm())
		}
	}
}

func TestConnectionsHaveTheSettingsThatDurabilityNeeds(t *testing.T) {
	db := raw(t, migrated(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
		}
	}
}

func TestPathsMayHaveAnyCharacter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c=d&e%20#ü.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).CheckSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("the file itself was not used: %v", err)
	}
}

func TestOpenRefusesWhatIsNotAFile(t *testing.T) {
	for _, path := range []string{"", ":memory:", "file:x.db", t.TempDir(), filepath.Join(t.TempDir(), "none", "x.db")} {
		if s, err := sqlite.Open(t.Context(), path); err == nil {
			s.Close()
			t.Errorf("%q was opened", path)
		}
	}
}

func TestCheckSchema(t *testing.T) {
	for name, tc := range map[string]struct {
		sql  string // "": an empty file
		want string // "": all right
	}{
		"nothing was migrated":                    {"", "run verdict migrate"},
		"the newest migration is missing":         {"DELETE FROM schema_version WHERE version_id = (SELECT MAX(version_id) FROM schema_version)", "run verdict migrate"},
		"a newer schema is not known":             {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1)", "use a newer verdict"},
		"a newer schema may say it is compatible": {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1); INSERT INTO schema_compatible VALUES (99, 2)", ""},
		"a newer schema may need a newer binary":  {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, 1); INSERT INTO schema_compatible VALUES (99, 50)", "use a newer verdict"},
		"only the newest one's word counts":       {"INSERT INTO schema_version (version_id, is_applied) VALUES (98, 1), (99, 1); INSERT INTO schema_compatible VALUES (98, 2)", "use a newer verdict"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "verdict.db")
			if tc.sql != "" {
				path = migrated(t)
				if _, err := raw(t, path).ExecContext(t.Context(), tc.sql); err != nil {
					t.Fatal(err)
				}
			}
			err := open(t, path).CheckSchema(t.Context())
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestChangesWhoseHistoryIsGoneAreErrNotFound(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	for range 3 {
		if _, err := s.Commit(t.Context(), store.Change{PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: "a"}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw(t, path).ExecContext(t.Context(), "DROP TRIGGER changes_no_delete; DELETE FROM changes WHERE revision <= 2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangesSince(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("since 1: %v", err)
	}
	if _, err := s.ChangesSince(t.Context(), 2); err != nil {
		t.Fatalf("since 2: %v", err)
	}
}

func TestWhatIsRecordedStays(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	if _, err := s.Commit(t.Context(), store.Change{PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: "a"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendDecisions(t.Context(), []store.Decision{{ID: "0198a000-0000-7000-8000-000000000001"}}); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	for _, statement := range []string{
		"UPDATE decisions SET allowed = 1", "DELETE FROM decisions", "UPDATE revisions SET actor = 'x'", "DELETE FROM revisions",
		"UPDATE changes SET key = 'x'", "DELETE FROM changes",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "what is recorded stays") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestAFileThatAnotherProcessHoldsIsErrUnavailable(t *testing.T) {
	path := migrated(t)
	s := open(t, path)
	tx, err := raw(t, path).BeginTx(t.Context(), nil) // immediate: it has the file to itself
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	_, err = s.Commit(t.Context(), store.Change{PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: "a"}}}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Head(t.Context()); err != nil {
		t.Fatalf("a reader waits for nobody, and got %v", err)
	}
}

func TestHistoryHoldsEachFactBeforeAndAfter(t *testing.T) {
	path := migrated(t)
	storetest.History(t, open(t, path), func(t *testing.T) (lines []storetest.Line) {
		rows, err := raw(t, path).QueryContext(t.Context(), `
			SELECT revision, seq, kind, key, COALESCE(before, ''), COALESCE(after, '')
			FROM changes
			ORDER BY revision, seq`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var l storetest.Line
			if err := rows.Scan(&l.Revision, &l.Seq, &l.Kind, &l.Key, &l.Before, &l.After); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return lines
	})
}
