package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Files are postgres/, sqlite/ and roles.sql.
//
//go:embed postgres/*.sql sqlite/*.sql roles.sql
var Files embed.FS

//go:embed roles.sql
var sqlRoles string

// versionTable is where goose notes what it applied; engines read it too.
const versionTable = "schema_version"

// Target names the database; exactly one field is set.
type Target struct {
	PostgresURL string // URL or keywords and values; holds the password and is never printed
	SQLitePath  string // a file, made with mode 0600 when it is not there
}

// Migration is one numbered file and whether it is in the database.
type Migration struct {
	Version int64
	Name    string    // the file, such as 0001_policy.sql
	Applied time.Time // UTC; zero: pending
}

// Applied is a migration that Up carried out.
type Applied struct {
	Version int64
	Name    string
	Took    time.Duration
}

// Report is what Up did.
type Report struct {
	Applied []Applied // in order; empty when nothing was pending
	Version int64     // of the schema now
	// Notices are what the operator should read, such as roles that could not be made. Empty when all went as planned.
	Notices []string
}

// Up applies what is missing, and gives the Postgres roles their rights. On an error the report says what was applied before.
func Up(ctx context.Context, t Target) (Report, error) {
	e, err := t.open()
	if err != nil {
		return Report{}, err
	}
	defer e.close()
	return e.up(ctx)
}

// Status lists the migrations this binary knows, in order, and which are applied. It changes nothing. Versions in the
// database that this binary does not know come last, with an empty Name.
func Status(ctx context.Context, t Target) ([]Migration, error) {
	e, err := t.open()
	if err != nil {
		return nil, err
	}
	defer e.close()
	applied, err := e.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", versionTable, err)
	}
	known, err := files(e.files)
	if err != nil {
		return nil, err
	}
	for i := range known {
		known[i].Applied = applied[known[i].Version]
		delete(applied, known[i].Version)
	}
	var unknown []Migration
	for v, at := range applied {
		unknown = append(unknown, Migration{Version: v, Applied: at})
	}
	slices.SortFunc(unknown, func(a, b Migration) int { return int(a.Version - b.Version) })
	return append(known, unknown...), nil
}

// Latest returns the newest version that Up brings a database like t to.
func Latest(t Target) (int64, error) {
	fsys, err := t.files()
	if err != nil {
		return 0, err
	}
	known, err := files(fsys)
	if err != nil {
		return 0, err
	}
	return known[len(known)-1].Version, nil
}

// engine is an open database with its migrations.
type engine struct {
	db      *sql.DB
	dialect goose.Dialect
	files   fs.FS
	applied func(ctx context.Context) (map[int64]time.Time, error)
	up      func(ctx context.Context) (Report, error)
	close   func()
}

func (t Target) files() (fs.FS, error) {
	switch {
	case (t.PostgresURL == "") == (t.SQLitePath == ""):
		return nil, errors.New("migrate: name a Postgres URL or an SQLite file, one of them")
	case t.PostgresURL != "":
		return fs.Sub(Files, "postgres")
	default:
		return fs.Sub(Files, "sqlite")
	}
}

func (t Target) open() (*engine, error) {
	fsys, err := t.files()
	if err != nil {
		return nil, err
	}
	if t.PostgresURL != "" {
		return openPostgres(t.PostgresURL, fsys)
	}
	return openSQLite(t.SQLitePath, fsys)
}

// run lets goose apply what is pending.
func (e *engine) run(ctx context.Context, opts ...goose.ProviderOption) (Report, error) {
	opts = append(opts, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	p, err := goose.NewProvider(e.dialect, e.db, e.files, opts...)
	if err != nil {
		return Report{}, fmt.Errorf("read migrations: %w", err)
	}
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	var rep Report
	for _, r := range results {
		rep.Applied = append(rep.Applied, Applied{Version: r.Source.Version, Name: path.Base(r.Source.Path), Took: r.Duration})
	}
	if err != nil {
		return rep, fmt.Errorf("migrate: %w", err)
	}
	if rep.Version, err = p.GetDBVersion(ctx); err != nil {
		return rep, fmt.Errorf("read schema version: %w", err)
	}
	return rep, nil
}

// files are the migrations in fsys, by version.
func files(fsys fs.FS) ([]Migration, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	ms := make([]Migration, 0, len(names))
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: no number: %w", name, err)
		}
		ms = append(ms, Migration{Version: v, Name: name})
	}
	slices.SortFunc(ms, func(a, b Migration) int { return int(a.Version - b.Version) })
	return ms, nil
}
