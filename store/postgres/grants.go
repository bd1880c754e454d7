package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

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

const sqlFindGrants = `
SELECT ` + columnsGrant + `
FROM grants
WHERE id = ANY (@ids::text[])`

const sqlGetGrant = `
SELECT ` + columnsGrant + `, (SELECT revision FROM policy_head)
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
WHERE subject = @subject AND id > @after AND (@api::text = '' OR api = @api)
ORDER BY id
LIMIT @limit`

const sqlPutGrants = `
INSERT INTO grants (id, api, subject, subject_display_name, permissions, effect, condition, not_before, expires_at,
       reason, ticket, revision)
SELECT f.id, f.api, COALESCE(f.subject, ''), COALESCE(f.subject_display_name, ''), COALESCE(f.permissions, '{}'), f.effect,
       COALESCE(f.condition, ''), f.not_before, f.expires_at, COALESCE(f.reason, ''), COALESCE(f.ticket, ''), f.revision
FROM unnest(@after::text[]) AS fact,
     jsonb_to_record(fact::jsonb) AS f (
         id text, api text, subject text, subject_display_name text, permissions text[], effect text, condition text,
         not_before timestamptz, expires_at timestamptz, reason text, ticket text, revision bigint)
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

const sqlDeleteGrants = `
DELETE FROM grants
WHERE id = ANY (@keys::text[])`

// grantRow is a grant as it is scanned: NULL is the zero time.
type grantRow struct {
	store.Grant
	notBefore, expiresAt *time.Time
}

func (g *grantRow) fields() []any {
	return []any{&g.ID, &g.API, &g.Subject, &g.SubjectDisplayName, &g.Permissions, &g.Effect, &g.Condition,
		&g.notBefore, &g.expiresAt, &g.Reason, &g.Ticket, &g.Revision}
}

func (g *grantRow) grant() store.Grant {
	if g.notBefore != nil {
		g.NotBefore = *g.notBefore
	}
	if g.expiresAt != nil {
		g.ExpiresAt = *g.expiresAt
	}
	return g.Canonical()
}

func scanGrant(r pgx.Row) (store.Grant, error) {
	var g grantRow
	err := r.Scan(g.fields()...)
	return g.grant(), err
}

// GetGrant implements store.PolicyReader.
func (s *Store) GetGrant(ctx context.Context, id string) (store.Grant, uint64, error) {
	var g grantRow
	var head uint64
	row := s.pool.QueryRow(ctx, sqlGetGrant, pgx.StrictNamedArgs{"id": id})
	if err := row.Scan(append(g.fields(), &head)...); err != nil {
		return store.Grant{}, 0, s.asStoreError("get grant "+id, err)
	}
	return g.grant(), head, nil
}

// ListGrants implements store.PolicyReader.
func (s *Store) ListGrants(ctx context.Context, f store.GrantFilter, after string, limit int) ([]store.Grant, error) {
	args := pgx.StrictNamedArgs{"after": after, "limit": max(limit, 0)}
	query := sqlListGrants
	switch {
	case f.Subject != "":
		query, args["subject"], args["api"] = sqlListGrantsOfSubject, f.Subject, f.API
	case f.API != "":
		query, args["api"] = sqlListGrantsOfAPI, f.API
	}
	l, err := collect(ctx, s.pool, scanGrant, query, args)
	return l, s.asStoreError("list grants", err)
}
