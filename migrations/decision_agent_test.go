package migrations_test

import (
	"database/sql"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/sqlite"
)

// insertOf25 is how a binary of schema 25 records a decision; it names its columns, so that new ones do not disturb it.
const insertOf25 = `
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id)
VALUES ($1, $2, $3, 1, 1, 1, 1, '', '', '', '', '', '', '', '', '', '', '', $4, '', $4, '', '', '')`

func TestRecordsOfBinariesThatKnowNoAgentsAreKeptBeforeAndAfter0030(t *testing.T) {
	instant := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const before, after, agent = "0198a000-0000-7000-8000-000000000001", "0198a000-0000-7000-8000-000000000002", "0198a000-0000-7000-8000-000000000003"
	for name, tc := range map[string]struct {
		dialect goose.Dialect
		db      func(t *testing.T, to migrations.Target) *sql.DB
		at      any
		allowed any
		noList  string
		open    func(t *testing.T, to migrations.Target) store.Store
	}{
		"postgres": {
			dialect: goose.DialectPostgres, at: instant, allowed: true, noList: "{}",
			db: func(t *testing.T, to migrations.Target) *sql.DB { return openDB(t, "pgx", to.PostgresURL) },
			open: func(t *testing.T, to migrations.Target) store.Store {
				s, err := postgres.Open(t.Context(), postgres.Config{URL: to.PostgresURL}, slog.New(slog.DiscardHandler))
				return opened(t, s, err)
			},
		},
		"sqlite": {
			dialect: goose.DialectSQLite3, at: instant.UnixMicro(), allowed: 1, noList: "[]",
			db: func(t *testing.T, to migrations.Target) *sql.DB {
				if err := sqlite.Create(to.SQLitePath); err != nil {
					t.Fatal(err)
				}
				source, err := sqlite.Source(to.SQLitePath)
				if err != nil {
					t.Fatal(err)
				}
				return openDB(t, "sqlite", source)
			},
			open: func(t *testing.T, to migrations.Target) store.Store {
				s, err := sqlite.Open(t.Context(), to.SQLitePath)
				return opened(t, s, err)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := engines[name](t)
			db := tc.db(t, to)
			upTo(t, db, tc.dialect, name, 25)
			if _, err := db.ExecContext(t.Context(), insertOf25, tc.at, before, tc.allowed, tc.noList); err != nil {
				t.Fatalf("before: %v", err)
			}
			up(t, to)
			if _, err := db.ExecContext(t.Context(), insertOf25, tc.at, after, tc.allowed, tc.noList); err != nil {
				t.Fatalf("after: %v", err)
			}
			s := tc.open(t, to)
			known := store.Decision{ID: agent, At: instant, AgentParent: "p", AgentFacets: "actor 11"}
			if err := s.AppendDecisions(t.Context(), []store.Decision{known}); err != nil {
				t.Fatal(err)
			}
			ds, err := s.ListDecisions(t.Context(), store.DecisionFilter{}, store.DecisionCursor{}, 10)
			if err != nil || len(ds) != 3 {
				t.Fatalf("%d records, %v", len(ds), err)
			}
			for i, want := range []store.Decision{known, {ID: after}, {ID: before}} {
				if d := ds[i]; d.ID != want.ID || d.AgentParent != want.AgentParent || d.AgentFacets != want.AgentFacets {
					t.Errorf("record %d is %+v, want %+v", i, d, want)
				}
			}
		})
	}
}

func openDB(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func opened[S interface {
	store.Store
	Close()
}](t *testing.T, s S, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// upTo brings db to an older schema, as the binary of then did.
func upTo(t *testing.T, db *sql.DB, dialect goose.Dialect, folder string, version int64) {
	t.Helper()
	files, err := fs.Sub(migrations.Files, folder)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}
