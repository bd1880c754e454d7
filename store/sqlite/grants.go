package sqlite

import (
	"context"
	"database/sql"

	"github.com/verdict-authz/verdict/store"
)

const columnsGrant = `id, api, subject, subject_display_name, permissions, effect, condition, not_before, expires_at,
       reason, ticket, revision`

const sqlLoadGrants = `
SELECT ` + columnsGrant + `
FROM grants
ORDER BY id`

const sqlGrantsSince = `
SELECT ` + columnsGrant + `
FROM grants
WHERE revision > @from
ORDER BY id`

const sqlGetGrant = `
SELECT ` + columnsGrant + `
FROM grants
WHERE id = @id`

const sqlListGrants = `
SELECT ` + columnsGrant + `
FROM grants
WHERE id > @after
ORDER BY id
LIMIT @limit`

const sqlListGrantsOfAPI = `
SELECT ` + columnsGrant + `
FROM grants
WHERE api = @api AND id > @after
ORDER BY id
LIMIT @limit`

const sqlListGrantsOfSubject = `
SELECT ` + columnsGrant + `
FROM grants
WHERE subject = @subject AND id > @after AND (@api = '' OR api = @api)
ORDER BY id
LIMIT @limit`

const sqlPutGrant = `
INSERT INTO grants (id, api, subject, subject_display_name, permissions, effect, condition, not_before, expires_at,
       reason, ticket, revision)
VALUES (@id, @api, @subject, @subject_display_name, @permissions, @effect, @condition, @not_before, @expires_at,
       @reason, @ticket, @revision)
ON CONFLICT (id) DO UPDATE
SET api = excluded.api,
    subject = excluded.subject,
    subject_display_name = excluded.subject_display_name,
    permissions = excluded.permissions,
    effect = excluded.effect,
    condition = excluded.condition,
    not_before = excluded.not_before,
    expires_at = excluded.expires_at,
    reason = excluded.reason,
    ticket = excluded.ticket,
    revision = excluded.revision`

const sqlDeleteGrant = `
DELETE FROM grants
WHERE id = @id`

func scanGrant(r scanner) (g store.Grant, err error) {
	var notBefore, expiresAt sql.NullInt64
	err = r.Scan(&g.ID, &g.API, &g.Subject, &g.SubjectDisplayName, listInto(&g.Permissions), &g.Effect, &g.Condition,
		&notBefore, &expiresAt, &g.Reason, &g.Ticket, &g.Revision)
	g.NotBefore, g.ExpiresAt = timeOf(notBefore), timeOf(expiresAt)
	return g, err
}

func putGrantArgs(g store.Grant) []any {
	return []any{
		sql.Named("id", g.ID), sql.Named("api", g.API), sql.Named("subject", g.Subject),
		sql.Named("subject_display_name", g.SubjectDisplayName), sql.Named("permissions", jsonOf(g.Permissions)),
		sql.Named("effect", string(g.Effect)), sql.Named("condition", g.Condition),
		sql.Named("not_before", micros(g.NotBefore)), sql.Named("expires_at", micros(g.ExpiresAt)),
		sql.Named("reason", g.Reason), sql.Named("ticket", g.Ticket), sql.Named("revision", number(g.Revision)),
	}
}

// GetGrant implements store.PolicyReader.
func (s *Store) GetGrant(ctx context.Context, id string) (g store.Grant, head uint64, err error) {
	err = s.reading(ctx, "get grant "+id, func(tx *sql.Tx) error {
		if g, err = scanGrant(tx.QueryRowContext(ctx, sqlGetGrant, sql.Named("id", id))); err != nil {
			return err
		}
		head, err = headOf(ctx, tx)
		return err
	})
	return g, head, err
}

// ListGrants implements store.PolicyReader.
func (s *Store) ListGrants(ctx context.Context, f store.GrantFilter, after string, limit int) ([]store.Grant, error) {
	args := []any{sql.Named("after", after), sql.Named("limit", max(limit, 0))}
	query := sqlListGrants
	switch {
	case f.Subject != "":
		query, args = sqlListGrantsOfSubject, append(args, sql.Named("subject", f.Subject), sql.Named("api", f.API))
	case f.API != "":
		query, args = sqlListGrantsOfAPI, append(args, sql.Named("api", f.API))
	}
	l, err := collect(ctx, s.read, scanGrant, query, args...)
	return l, s.asStoreError(ctx, "list grants", err)
}
