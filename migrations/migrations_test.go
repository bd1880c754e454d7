package migrations_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/sqlite"
)

// engines gives an empty database of each.
var engines = map[string]func(t *testing.T) migrations.Target{
	"postgres": func(t *testing.T) migrations.Target { return migrations.Target{PostgresURL: pgtest.NewEmpty(t)} },
	"sqlite": func(t *testing.T) migrations.Target {
		return migrations.Target{SQLitePath: filepath.Join(t.TempDir(), "verdict.db")}
	},
}

func up(t *testing.T, to migrations.Target) migrations.Report {
	t.Helper()
	rep, err := migrations.Up(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func status(t *testing.T, to migrations.Target) []migrations.Migration {
	t.Helper()
	ms, err := migrations.Status(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestUpAppliesAllOnceAndStatusTells(t *testing.T) {
	for name, empty := range engines {
		t.Run(name, func(t *testing.T) {
			to := empty(t)
			before := status(t, to)
			if len(before) == 0 {
				t.Fatal("no migrations are known")
			}
			for _, m := range before {
				if !m.Applied.IsZero() || m.Name == "" {
					t.Errorf("before: %+v", m)
				}
			}
			rep := up(t, to)
			if len(rep.Applied) != len(before) || len(rep.Notices) != 0 {
				t.Errorf("applied %+v", rep)
			}
			for i, a := range rep.Applied {
				if a.Version != before[i].Version || a.Name != before[i].Name {
					t.Errorf("applied %+v, known %+v", a, before[i])
				}
			}
			latest, err := migrations.Latest(to)
			if err != nil || rep.Version != latest {
				t.Errorf("at version %d, latest %d, %v", rep.Version, latest, err)
			}
			for _, m := range status(t, to) {
				if m.Applied.IsZero() {
					t.Errorf("after: %+v", m)
				}
			}
			if rep = up(t, to); len(rep.Applied) != 0 || rep.Version != latest {
				t.Errorf("again: %+v", rep)
			}
		})
	}
}

func TestStatusChangesNothing(t *testing.T) {
	to := engines["postgres"](t)
	status(t, to)
	conn, err := pgx.Connect(t.Context(), to.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
	to = engines["sqlite"](t)
	status(t, to)
	if made, err := filepath.Glob(to.SQLitePath + "*"); err != nil || len(made) != 0 {
		t.Errorf("made %v", made)
	}
}

func TestManyAtOnceApplyEachMigrationOnce(t *testing.T) {
	for name, empty := range engines {
		t.Run(name, func(t *testing.T) {
			to := empty(t)
			var mu sync.Mutex
			applied := make(map[int64]int)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					rep, err := migrations.Up(t.Context(), to)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					for _, a := range rep.Applied {
						applied[a.Version]++
					}
				})
			}
			all.Wait()
			for _, m := range status(t, to) {
				if applied[m.Version] != 1 {
					t.Errorf("version %d was applied %d times", m.Version, applied[m.Version])
				}
			}
		})
	}
}

func TestATargetNamesOneDatabase(t *testing.T) {
	for _, to := range []migrations.Target{{}, {PostgresURL: "postgres://x", SQLitePath: "y"}} {
		if _, err := migrations.Up(t.Context(), to); err == nil {
			t.Errorf("%+v was accepted", to)
		}
	}
}

func TestAPasswordIsNotPrinted(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@localhost:port/db", "postgres://u:hunter2@localhost:1/db?connect_timeout=1&sslmode=disable"} {
		_, err := migrations.Up(t.Context(), migrations.Target{PostgresURL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestEnginesKnowTheNewestSchema(t *testing.T) {
	for name, tc := range map[string]struct {
		to    migrations.Target
		knows int64
	}{
		"postgres": {migrations.Target{PostgresURL: "x"}, postgres.SchemaVersion},
		"sqlite":   {migrations.Target{SQLitePath: "x"}, sqlite.SchemaVersion},
	} {
		if latest, err := migrations.Latest(tc.to); err != nil || latest != tc.knows {
			t.Errorf("%s: SchemaVersion is %d and the newest migration %d, %v", name, tc.knows, latest, err)
		}
	}
}

func TestEveryMigrationSaysWhatItIsForAndGoesForwardOnly(t *testing.T) {
	err := fs.WalkDir(migrations.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "roles.sql" {
			return err
		}
		b, err := fs.ReadFile(migrations.Files, path)
		text := string(b)
		if !strings.HasPrefix(text, "-- "+d.Name()+": ") {
			t.Errorf("%s does not begin with its name and why", path)
		}
		if strings.Contains(text, "+goose Down") {
			t.Errorf("%s goes back", path)
		}
		if strings.HasPrefix(path, "postgres/") && (!strings.Contains(text, "\n-- Lock: ") || !strings.Contains(text, "SET LOCAL lock_timeout")) {
			t.Errorf("%s does not say which lock it takes, or waits for it without end", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoMayNotMakeRolesIsToldAndMayMigrate(t *testing.T) {
	// Roles belong to the cluster: one without ours is needed.
	server := pgtest.Start(t)
	ctx := t.Context()
	admin, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	for _, s := range []string{"CREATE ROLE limited LOGIN", "CREATE DATABASE theirs OWNER limited"} {
		if _, err := admin.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	limited := migrations.Target{PostgresURL: strings.NewReplacer("/postgres?", "/theirs?", "user=verdict", "user=limited").Replace(server.URL())}
	rep := up(t, limited)
	if text := strings.Join(rep.Notices, "\n"); len(rep.Notices) != 2 || !strings.Contains(text, "verdict_pdp") || !strings.Contains(text, "verdict_admin") {
		t.Fatalf("notices: %q", rep.Notices)
	}

	// The administrator makes them, and the next run gives them their rights.
	for _, s := range []string{"CREATE ROLE verdict_pdp NOLOGIN", "CREATE ROLE verdict_admin NOLOGIN"} {
		if _, err := admin.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if rep = up(t, limited); len(rep.Applied) != 0 || len(rep.Notices) != 0 {
		t.Fatalf("second run: %+v", rep)
	}
	theirs, err := pgx.Connect(ctx, limited.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close(context.Background())
	var may bool
	const question = "SELECT has_table_privilege('verdict_pdp', 'decisions', 'INSERT') AND has_table_privilege('verdict_admin', 'grants', 'DELETE') AND NOT has_table_privilege('verdict_pdp', 'grants', 'INSERT')"
	if err := theirs.QueryRow(ctx, question).Scan(&may); err != nil || !may {
		t.Fatalf("rights were not given: %v", err)
	}
}
