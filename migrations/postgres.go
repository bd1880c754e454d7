package migrations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// advisoryLock is what orders two migrations of one database; any number will do that nobody else uses.
	advisoryLock = 7300_7301_7302
	// lockPatience is how long, in seconds, one waits for the other.
	lockPatience = 300

	undefinedTable = "42P01" // SQLSTATE

	sqlPostgresApplied = `
SELECT version_id, max(tstamp)
FROM schema_version
WHERE is_applied AND version_id > 0
GROUP BY version_id`
)

func openPostgres(url string, fsys fs.FS) (*engine, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err) // pgx masks the password
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "verdict migrate"
	}
	cfg.RuntimeParams["timezone"] = "UTC" // goose's column has no zone
	var notices []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Message) }
	e := &engine{db: stdlib.OpenDB(*cfg), dialect: goose.DialectPostgres, files: fsys}
	e.close = func() { _ = e.db.Close() }
	e.applied = e.postgresApplied
	e.up = func(ctx context.Context) (Report, error) {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(advisoryLock), lock.WithLockTimeout(1, lockPatience))
		if err != nil {
			return Report{}, err
		}
		rep, err := e.run(ctx, goose.WithSessionLocker(locker))
		if err != nil {
			return rep, err
		}
		notices = nil // those of the migrations themselves are for nobody
		if err := e.grantRoles(ctx); err != nil {
			return rep, err
		}
		rep.Notices = notices
		return rep, nil
	}
	return e, nil
}

// grantRoles runs roles.sql, alone: two GRANTs on one table at once fail.
func (e *engine) grantRoles(ctx context.Context) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("grant roles: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", advisoryLock); err != nil {
		return fmt.Errorf("grant roles: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlRoles); err != nil {
		return fmt.Errorf("grant roles: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("grant roles: %w", err)
	}
	return nil
}

func (e *engine) postgresApplied(ctx context.Context) (map[int64]time.Time, error) {
	rows, err := e.db.QueryContext(ctx, sqlPostgresApplied)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var v int64
		var at time.Time
		if err := rows.Scan(&v, &at); err != nil {
			return nil, err
		}
		applied[v] = at.UTC()
	}
	return applied, rows.Err()
}
