package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const sqlAcquireLease = `
INSERT INTO leases AS l (name, holder, expires_at)
VALUES (@name, @holder, clock_timestamp() + make_interval(secs => @seconds::float8))
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    expires_at = excluded.expires_at
WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()`

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

// AcquireLease implements store.Coordinator.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, sqlAcquireLease, pgx.StrictNamedArgs{"name": name, "holder": holder, "seconds": ttl.Seconds()})
	return tag.RowsAffected() > 0, s.asStoreError("acquire lease "+name, err)
}

// ReleaseLease implements store.Coordinator.
func (s *Store) ReleaseLease(ctx context.Context, name, holder string) error {
	_, err := s.pool.Exec(ctx, sqlReleaseLease, pgx.StrictNamedArgs{"name": name, "holder": holder})
	return s.asStoreError("release lease "+name, err)
}

// Cursor implements store.Coordinator.
func (s *Store) Cursor(ctx context.Context, name string) (value string, err error) {
	err = s.pool.QueryRow(ctx, sqlGetCursor, pgx.StrictNamedArgs{"name": name}).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return value, s.asStoreError("read cursor "+name, err)
}

// SetCursor implements store.Coordinator.
func (s *Store) SetCursor(ctx context.Context, name, value, expect string) error {
	query, args := sqlSetCursor, pgx.StrictNamedArgs{"name": name, "value": value, "expect": expect}
	if expect == "" {
		query, args = sqlNewCursor, pgx.StrictNamedArgs{"name": name, "value": value}
	}
	tag, err := s.pool.Exec(ctx, query, args)
	if err == nil && tag.RowsAffected() == 0 {
		err = store.ErrConflict
	}
	return s.asStoreError("set cursor "+name, err)
}
