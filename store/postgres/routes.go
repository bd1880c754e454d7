package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const columnsRoute = `api, id, methods, template, requirement, permissions, condition, upgrade,
       max_token_age_ns, auth_context, confidential_client, revision`

const sqlLoadRoutes = `
SELECT ` + columnsRoute + `
FROM routes
ORDER BY api, id`

const sqlRoutesSince = `
SELECT ` + columnsRoute + `
FROM routes
WHERE revision > @from
ORDER BY api, id`

const sqlFindRoutes = `
SELECT ` + columnsRoute + `
FROM unnest(@apis::text[], @ids::text[]) AS key (key_api, key_id)
JOIN routes ON api = key_api AND id = key_id`

const sqlGetRoute = `
SELECT ` + columnsRoute + `, (SELECT revision FROM policy_head)
FROM routes
WHERE api = @api AND id = @id`

const sqlListRoutes = `
SELECT ` + columnsRoute + `
FROM routes
WHERE (api, id) > (@after_api, @after_id)
ORDER BY api, id
LIMIT @limit`

const sqlListRoutesOfAPI = `
SELECT ` + columnsRoute + `
FROM routes
WHERE api = @api AND (api, id) > (@after_api, @after_id)
ORDER BY api, id
LIMIT @limit`

const sqlPutRoutes = `
INSERT INTO routes (api, id, methods, template, requirement, permissions, condition, upgrade,
       max_token_age_ns, auth_context, confidential_client, revision)
SELECT f.api, f.id, COALESCE(f.methods, '{}'), COALESCE(f.template, ''), f.requirement, COALESCE(f.permissions, '{}'),
       COALESCE(f.condition, ''), COALESCE(f.upgrade, ''), COALESCE(f.max_token_age_ns, 0),
       COALESCE(f.auth_context, ''), COALESCE(f.confidential_client, false), f.revision
FROM unnest(@after::text[]) AS fact,
     jsonb_to_record(fact::jsonb) AS f (
         api text, id text, methods text[], template text, requirement text, permissions text[], condition text,
         upgrade text, max_token_age_ns bigint, auth_context text, confidential_client boolean, revision bigint)
ON CONFLICT (api, id) DO UPDATE
SET methods = excluded.methods,
    template = excluded.template,
    requirement = excluded.requirement,
    permissions = excluded.permissions,
    condition = excluded.condition,
    upgrade = excluded.upgrade,
    max_token_age_ns = excluded.max_token_age_ns,
    auth_context = excluded.auth_context,
    confidential_client = excluded.confidential_client,
    revision = excluded.revision`

// The key of a route is api/id; api has no slash.
const sqlDeleteRoutes = `
DELETE FROM routes
USING unnest(@keys::text[]) AS key
WHERE api = split_part(key, '/', 1) AND id = substr(key, strpos(key, '/') + 1)`

func fieldsRoute(r *store.Route) []any {
	return []any{&r.API, &r.ID, &r.Methods, &r.Template, &r.Requirement, &r.Permissions, &r.Condition, &r.Upgrade,
		&r.MaxTokenAge, &r.AuthContext, &r.ConfidentialClient, &r.Revision}
}

func scanRoute(row pgx.Row) (r store.Route, err error) {
	err = row.Scan(fieldsRoute(&r)...)
	return r.Canonical(), err
}

// GetRoute implements store.PolicyReader.
func (s *Store) GetRoute(ctx context.Context, api, id string) (r store.Route, head uint64, err error) {
	row := s.pool.QueryRow(ctx, sqlGetRoute, pgx.StrictNamedArgs{"api": api, "id": id})
	if err := row.Scan(append(fieldsRoute(&r), &head)...); err != nil {
		return store.Route{}, 0, s.asStoreError("get route "+api+"/"+id, err)
	}
	return r.Canonical(), head, nil
}

// ListRoutes implements store.PolicyReader.
func (s *Store) ListRoutes(ctx context.Context, api string, after store.RouteKey, limit int) ([]store.Route, error) {
	args := pgx.StrictNamedArgs{"after_api": after.API, "after_id": after.ID, "limit": max(limit, 0)}
	query := sqlListRoutes
	if api != "" {
		query, args["api"] = sqlListRoutesOfAPI, api
	}
	l, err := collect(ctx, s.pool, scanRoute, query, args)
	return l, s.asStoreError("list routes", err)
}
