package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/verdict-authz/verdict/store/sqlite"
)

const (
	// sqliteRetries and sqlitePause bound how often one migration looks again when another was in its way.
	sqliteRetries = 20
	sqlitePause   = 100 * time.Millisecond

	sqlSQLiteHasVersions = `
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version')`

	// tstamp is text here, so it goes through the number of seconds.
	sqlSQLiteApplied = `
SELECT version_id, CAST(strftime('%s', max(tstamp)) AS INTEGER)
FROM schema_version
WHERE is_applied AND version_id > 0
GROUP BY version_id`
)

func openSQLite(path string, fsys fs.FS) (*engine, error) {
	source, err := sqlite.Source(path)
	if err != nil {
		return nil, err
	}
	e := &engine{dialect: goose.DialectSQLite3, files: fsys, close: func() {}}
	connect := func() error {
		if err := sqlite.Create(path); err != nil {
			return err
		}
		db, err := sql.Open("sqlite", source)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		db.SetMaxOpenConns(1)
		e.db, e.close = db, func() { _ = db.Close() }
		return nil
	}
	e.applied = func(ctx context.Context) (map[int64]time.Time, error) {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil // asking does not make the file
		}
		if err := connect(); err != nil {
			return nil, err
		}
		return e.sqliteApplied(ctx)
	}
	e.up = func(ctx context.Context) (Report, error) {
		if err := connect(); err != nil {
			return Report{}, err
		}
		return e.upSQLite(ctx)
	}
	return e, nil
}

// upSQLite runs until nothing is pending. SQLite has no lock that outlives a transaction, so two migrations may both see a
// version as missing; its transactions make the second fail whole, and then it looks again.
func (e *engine) upSQLite(ctx context.Context) (Report, error) {
	var all []Applied
	for try := 0; ; try++ {
		before, _ := e.sqliteApplied(ctx)
		rep, err := e.run(ctx)
		all = append(all, rep.Applied...)
		rep.Applied = all
		if err == nil {
			return rep, nil
		}
		after, _ := e.sqliteApplied(ctx)
		// Nobody else made headway, several times in a row: the fault is our own.
		if try >= 3 && len(after) == len(before) || try == sqliteRetries {
			return rep, err
		}
		select {
		case <-ctx.Done():
			return rep, fmt.Errorf("migrate: %w", ctx.Err())
		case <-time.After(sqlitePause):
		}
	}
}

func (e *engine) sqliteApplied(ctx context.Context) (map[int64]time.Time, error) {
	var there bool
	if err := e.db.QueryRowContext(ctx, sqlSQLiteHasVersions).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := e.db.QueryContext(ctx, sqlSQLiteApplied)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var v, seconds int64
		if err := rows.Scan(&v, &seconds); err != nil {
			return nil, err
		}
		applied[v] = time.Unix(seconds, 0).UTC()
	}
	return applied, rows.Err()
}
