package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/verdict-authz/verdict/store"
)

// SchemaVersion is the schema this code was written for: the number of the newest file in migrations/sqlite.
const SchemaVersion = 40

const sqlHasSchema = `
SELECT count(*) = 2
FROM sqlite_schema
WHERE type = 'table' AND name IN ('schema_version', 'schema_compatible')`

const sqlSchema = `
SELECT COALESCE((SELECT MAX(version_id) FROM schema_version WHERE is_applied), 0),
       COALESCE((SELECT since FROM schema_compatible ORDER BY version DESC LIMIT 1), 0),
       COALESCE((SELECT MAX(version) FROM schema_compatible), 0)`

// CheckSchema implements store.Store.
func (s *Store) CheckSchema(ctx context.Context) error {
	var version, since, compatible int64
	err := s.reading(ctx, "check schema", func(tx *sql.Tx) error {
		var there bool
		if err := tx.QueryRowContext(ctx, sqlHasSchema).Scan(&there); err != nil || !there {
			return err
		}
		return tx.QueryRowContext(ctx, sqlSchema).Scan(&version, &since, &compatible)
	})
	switch {
	case err != nil:
		return err
	case version < SchemaVersion:
		return fmt.Errorf("schema is at version %d and this binary needs %d: run verdict migrate: %w", version, SchemaVersion, store.ErrSchema)
	case version > SchemaVersion && (compatible != version || since > SchemaVersion):
		return fmt.Errorf("schema is at version %d and this binary knows %d: use a newer verdict: %w", version, SchemaVersion, store.ErrSchema)
	}
	return nil
}
