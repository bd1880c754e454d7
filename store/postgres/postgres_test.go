package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/storetest"
)

func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// raw is a connection without a Store.
func raw(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func putAPI(id string) store.Change {
	return store.Change{PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: id}}}}
}

func record(n int) store.Decision {
	return store.Decision{ID: fmt.Sprintf("0198a000-0000-7000-8000-%012x", n)}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, pgtest.New(t)) })
}

func TestStoreWithoutPreparedStatements(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite once more")
	}
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, pgtest.New(t)+"&default_query_exec_mode=exec") })
}

func TestEveryStatementPrepares(t *testing.T) {
	conn := raw(t, pgtest.New(t))
	statements := storetest.Statements(t, ".")
	if len(statements) < 30 {
		t.Fatalf("only %d statements were found", len(statements))
	}
	exec(t, conn, statements["sqlMakeStaging"]) // others read from it
	for name, text := range statements {
		numbered, _, err := pgx.NamedArgs{}.RewriteQuery(t.Context(), conn, text, nil)
		if err == nil {
			_, err = conn.Prepare(t.Context(), name, numbered)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAConfigDoesNotPrintItsPassword(t *testing.T) {
	for name, url := range map[string]string{
		"a good url": "postgres://u:hunter2@localhost/db", "a bad url": "postgres://u:hunter2@localhost:port/db",
		"a bad setting": "postgres://u:hunter2@localhost/db?sslmode=maybe", "keywords": "host=localhost password=hunter2 port=x",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := postgres.Config{URL: url}
			s, err := postgres.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err == nil {
				defer s.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 1)
				defer cancel()
				err = s.Ping(ctx)
			}
			var log strings.Builder
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", cfg, "pointer", &cfg)
			if text := fmt.Sprintf("%v %+v %#v %s %v %s", cfg, cfg, cfg, cfg, err, log.String()); strings.Contains(text, "hunter2") {
				t.Fatalf("printed: %s", text)
			}
		})
	}
}

func TestOpenRefusesWhatItCannotWorkWith(t *testing.T) {
	if _, err := postgres.Open(t.Context(), postgres.Config{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no url was accepted")
	}
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://localhost/x"}, nil); err == nil {
		t.Error("no logger was accepted")
	}
}

func TestOpenDoesNotWaitForTheDatabase(t *testing.T) {
	s := open(t, "postgres:///none?host="+t.TempDir()+"&user=nobody")
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("ping: %v", err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("load: %v", err)
	}
	if err := s.CheckSchema(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("check schema: %v", err)
	}
}

func TestCheckSchema(t *testing.T) {
	for name, tc := range map[string]struct {
		sql  string // "": an empty database
		want string // "": all right
	}{
		"nothing was migrated":                    {"", "run verdict migrate"},
		"the newest migration is missing":         {"DELETE FROM schema_version WHERE version_id = (SELECT max(version_id) FROM schema_version)", "run verdict migrate"},
		"a newer schema is not known":             {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, true)", "use a newer verdict"},
		"a newer schema may say it is compatible": {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, true); INSERT INTO schema_compatible VALUES (99, 2)", ""},
		"a newer schema may need a newer binary":  {"INSERT INTO schema_version (version_id, is_applied) VALUES (99, true); INSERT INTO schema_compatible VALUES (99, 50)", "use a newer verdict"},
		"only the newest one's word counts":       {"INSERT INTO schema_version (version_id, is_applied) VALUES (98, true), (99, true); INSERT INTO schema_compatible VALUES (98, 2)", "use a newer verdict"},
	} {
		t.Run(name, func(t *testing.T) {
			url := pgtest.NewEmpty(t)
			if tc.sql != "" {
				url = pgtest.New(t)
				exec(t, raw(t, url), tc.sql)
			}
			err := open(t, url).CheckSchema(t.Context())
			if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestReadingWithoutASchemaIsErrSchema(t *testing.T) {
	if _, err := open(t, pgtest.NewEmpty(t)).Load(t.Context()); !errors.Is(err, store.ErrSchema) {
		t.Fatalf("got %v", err)
	}
}

func TestChangesWhoseHistoryIsGoneAreErrNotFound(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	for range 3 {
		if _, err := s.Commit(t.Context(), putAPI("a")); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, raw(t, url), "ALTER TABLE changes DISABLE TRIGGER USER", "DELETE FROM changes WHERE revision <= 2")
	if _, err := s.ChangesSince(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("since 1: %v", err)
	}
	if _, err := s.ChangesSince(t.Context(), 2); err != nil {
		t.Fatalf("since 2: %v", err)
	}
}

func TestReferenceErrorsNameTheConstraint(t *testing.T) {
	s := open(t, pgtest.New(t))
	_, err := s.Commit(t.Context(), store.Change{PutRoutes: []store.Put[store.Route]{{Fact: store.Route{API: "none", ID: "r", Requirement: store.Public}}}})
	if !errors.Is(err, store.ErrReferenced) || !strings.Contains(err.Error(), "routes_api_fkey") {
		t.Fatalf("got %v", err)
	}
}

func TestTwoProcessesCountWithoutLosingAnUpdate(t *testing.T) {
	url := pgtest.New(t)
	stores := []*postgres.Store{open(t, url), open(t, url)}
	errs := make(chan error)
	for _, s := range stores {
		go func() {
			for range 50 {
				if _, err := s.Commit(t.Context(), putAPI("a")); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range stores {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n, err := stores[0].Head(t.Context()); n != 100 || err != nil {
		t.Fatalf("revision %d, %v", n, err)
	}
}

func TestHistoryHoldsEachFactBeforeAndAfter(t *testing.T) {
	url := pgtest.New(t)
	storetest.History(t, open(t, url), func(t *testing.T) (lines []storetest.Line) {
		rows, err := raw(t, url).Query(t.Context(), `
			SELECT revision, seq, kind, key, COALESCE(before::text, ''), COALESCE(after::text, '')
			FROM changes
			ORDER BY revision, seq`)
		if err != nil {
			t.Fatal(err)
		}
		lines, err = pgx.CollectRows(rows, pgx.RowToStructByPos[storetest.Line])
		if err != nil {
			t.Fatal(err)
		}
		return lines
	})
}
