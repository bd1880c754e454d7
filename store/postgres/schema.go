package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
)

// SchemaVersion is the schema this code was written for: the number of the newest file in migrations/postgres.
const SchemaVersion = 40

const sqlSchema = `
SELECT COALESCE((SELECT max(version_id) FROM schema_version WHERE is_applied), 0),
       COALESCE((SELECT since FROM schema_compatible ORDER BY version DESC LIMIT 1), 0),
       COALESCE((SELECT max(version) FROM schema_compatible), 0)`

// CheckSchema implements store.Store.
func (s *Store) CheckSchema(ctx context.Context) error {
	var version, since, compatible int64
	err := s.pool.QueryRow(ctx, sqlSchema).Scan(&version, &since, &compatible)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.Code == undefinedTable: // nothing was ever migrated
	case err != nil:
		return s.asStoreError("check schema", err)
	}
	switch {
	case version < SchemaVersion:
		return fmt.Errorf("schema is at version %d and this binary needs %d: run verdict migrate: %w", version, SchemaVersion, store.ErrSchema)
	case version > SchemaVersion && (compatible != version || since > SchemaVersion):
		return fmt.Errorf("schema is at version %d and this binary knows %d: use a newer verdict: %w", version, SchemaVersion, store.ErrSchema)
	}
	return nil
}
