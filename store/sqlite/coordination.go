package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlAcquireLease = `
INSERT INTO leases (name, holder, expires_at)
VALUES (@name, @holder, @expires_at)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    expires_at = excluded.expires_at
WHERE leases.holder = excluded.holder OR leases.expires_at <= @now`

const sqlReleaseLease = `
DELETE FROM leases
WHERE name = @name AND holder = @holder`

const sqlGetCursor = `
SELECT value
FROM cursors
WHERE name = @name`

const sqlNewCursor = `
INSERT INTO cursors (name, value)
VALUES (@name, @value)
ON CONFLICT (name) DO UPDATE
SET value = excluded.value
WHERE cursors.value = ''`

const sqlSetCursor = `
UPDATE cursors
SET value = @value
WHERE name = @name AND value = @expect`

// change runs one statement in a transaction and says whether it changed anything.
func (s *Store) change(ctx context.Context, doing, query string, args ...any) (changed bool, err error) {
	err = s.writing(ctx, doing, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed = n > 0
		return err
	})
	return changed && err == nil, err
}

// AcquireLease implements store.Coordinator.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	now := s.now()
	return s.change(ctx, "acquire lease "+name, sqlAcquireLease, sql.Named("name", name), sql.Named("holder", holder),
		sql.Named("expires_at", now.Add(ttl).UnixMicro()), sql.Named("now", now.UnixMicro()))
}

// ReleaseLease implements store.Coordinator.
func (s *Store) ReleaseLease(ctx context.Context, name, holder string) error {
	_, err := s.change(ctx, "release lease "+name, sqlReleaseLease, sql.Named("name", name), sql.Named("holder", holder))
	return err
}

// Cursor implements store.Coordinator.
func (s *Store) Cursor(ctx context.Context, name string) (value string, err error) {
	err = s.read.QueryRowContext(ctx, sqlGetCursor, sql.Named("name", name)).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, s.asStoreError(ctx, "read cursor "+name, err)
}

// SetCursor implements store.Coordinator.
func (s *Store) SetCursor(ctx context.Context, name, value, expect string) error {
	query, args := sqlSetCursor, []any{sql.Named("name", name), sql.Named("value", value), sql.Named("expect", expect)}
	if expect == "" {
		query, args = sqlNewCursor, args[:2]
	}
	doing := "set cursor " + name
	changed, err := s.change(ctx, doing, query, args...)
	if err == nil && !changed {
		err = s.asStoreError(ctx, doing, store.ErrConflict)
	}
	return err
}
