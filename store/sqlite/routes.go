package sqlite

import (
	"context"
	"database/sql"

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

const sqlGetRoute = `
SELECT ` + columnsRoute + `
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
ORDER BY id
LIMIT @limit`

const sqlPutRoute = `
INSERT INTO routes (api, id, methods, template, requirement, permissions, condition, upgrade,
       max_token_age_ns, auth_context, confidential_client, revision)
VALUES (@api, @id, @methods, @template, @requirement, @permissions, @condition, @upgrade,
       @max_token_age_ns, @auth_context, @confidential_client, @revision)
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

const sqlDeleteRoute = `
DELETE FROM routes
WHERE api = @api AND id = @id`

func scanRoute(r scanner) (rt store.Route, err error) {
	err = r.Scan(&rt.API, &rt.ID, listInto(&rt.Methods), &rt.Template, &rt.Requirement, listInto(&rt.Permissions),
		&rt.Condition, &rt.Upgrade, &rt.MaxTokenAge, &rt.AuthContext, &rt.ConfidentialClient, &rt.Revision)
	return rt, err
}

func putRouteArgs(rt store.Route) []any {
	return []any{
		sql.Named("api", rt.API), sql.Named("id", rt.ID), sql.Named("methods", jsonOf(rt.Methods)),
		sql.Named("template", rt.Template), sql.Named("requirement", string(rt.Requirement)),
		sql.Named("permissions", jsonOf(rt.Permissions)), sql.Named("condition", rt.Condition),
		sql.Named("upgrade", rt.Upgrade), sql.Named("max_token_age_ns", int64(rt.MaxTokenAge)),
		sql.Named("auth_context", rt.AuthContext), sql.Named("confidential_client", rt.ConfidentialClient), sql.Named("revision", number(rt.Revision)),
	}
}

func routeKeyArgs(k store.RouteKey) []any {
	return []any{sql.Named("api", k.API), sql.Named("id", k.ID)}
}

// GetRoute implements store.PolicyReader.
func (s *Store) GetRoute(ctx context.Context, api, id string) (rt store.Route, head uint64, err error) {
	k := store.RouteKey{API: api, ID: id}
	err = s.reading(ctx, "get route "+k.String(), func(tx *sql.Tx) error {
		if rt, err = scanRoute(tx.QueryRowContext(ctx, sqlGetRoute, routeKeyArgs(k)...)); err != nil {
			return err
		}
		head, err = headOf(ctx, tx)
		return err
	})
	return rt, head, err
}

// ListRoutes implements store.PolicyReader.
func (s *Store) ListRoutes(ctx context.Context, api string, after store.RouteKey, limit int) ([]store.Route, error) {
	args := []any{sql.Named("after_api", after.API), sql.Named("after_id", after.ID), sql.Named("limit", max(limit, 0))}
	query := sqlListRoutes
	if api != "" {
		query, args = sqlListRoutesOfAPI, append(args, sql.Named("api", api))
	}
	l, err := collect(ctx, s.read, scanRoute, query, args...)
	return l, s.asStoreError(ctx, "list routes", err)
}
