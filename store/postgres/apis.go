package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const columnsAPI = `id, display_name, audiences, hosts, permissions, scopes, actors, allowed_clients,
       allow_apps_without_roles, require_sni_match, deny_guests, strict_revocation,
       audit_durability, on_audit_failure, revision`

const sqlLoadAPIs = `
SELECT ` + columnsAPI + `
FROM apis
ORDER BY id`

const sqlAPIsSince = `
SELECT ` + columnsAPI + `
FROM apis
WHERE revision > @from
ORDER BY id`

const sqlFindAPIs = `
SELECT ` + columnsAPI + `
FROM apis
WHERE id = ANY (@ids::text[])`

const sqlGetAPI = `
SELECT ` + columnsAPI + `, (SELECT revision FROM policy_head)
FROM apis
WHERE id = @id`

const sqlListAPIs = `
SELECT ` + columnsAPI + `
FROM apis
WHERE id > @after
ORDER BY id
LIMIT @limit`

// Facts come as the JSON that history keeps of them, which leaves out what is empty.
const sqlPutAPIs = `
INSERT INTO apis (id, display_name, audiences, hosts, permissions, scopes, actors, allowed_clients,
       allow_apps_without_roles, require_sni_match, deny_guests, strict_revocation,
       audit_durability, on_audit_failure, revision)
SELECT f.id, COALESCE(f.display_name, ''), COALESCE(f.audiences, '{}'), COALESCE(f.hosts, '{}'),
       COALESCE(f.permissions, '[]'), COALESCE(f.scopes, '[]'), COALESCE(f.actors, '[]'), COALESCE(f.allowed_clients, '{}'),
       COALESCE(f.allow_apps_without_roles, false), COALESCE(f.require_sni_match, false),
       COALESCE(f.deny_guests, false), COALESCE(f.strict_revocation, false),
       COALESCE(f.audit_durability, ''), COALESCE(f.on_audit_failure, ''), f.revision
FROM unnest(@after::text[]) AS fact,
     jsonb_to_record(fact::jsonb) AS f (
         id text, display_name text, audiences text[], hosts text[], permissions jsonb, scopes jsonb, actors jsonb,
         allowed_clients text[], allow_apps_without_roles boolean, require_sni_match boolean, deny_guests boolean,
         strict_revocation boolean, audit_durability text, on_audit_failure text, revision bigint)
ON CONFLICT (id) DO UPDATE
SET display_name = excluded.display_name,
    audiences = excluded.audiences,
    hosts = excluded.hosts,
    permissions = excluded.permissions,
    scopes = excluded.scopes,
    actors = excluded.actors,
    allowed_clients = excluded.allowed_clients,
    allow_apps_without_roles = excluded.allow_apps_without_roles,
    require_sni_match = excluded.require_sni_match,
    deny_guests = excluded.deny_guests,
    strict_revocation = excluded.strict_revocation,
    audit_durability = excluded.audit_durability,
    on_audit_failure = excluded.on_audit_failure,
    revision = excluded.revision`

const sqlDeleteAPIs = `
DELETE FROM apis
WHERE id = ANY (@keys::text[])`

// fieldsAPI are where a row of columnsAPI goes.
func fieldsAPI(a *store.API) []any {
	return []any{&a.ID, &a.DisplayName, &a.Audiences, &a.Hosts, &a.Permissions, &a.Scopes, &a.Actors, &a.AllowedClients,
		&a.AllowAppsWithoutRoles, &a.RequireSNIMatch, &a.DenyGuests, &a.StrictRevocation, &a.AuditDurability, &a.OnAuditFailure,
		&a.Revision}
}

func scanAPI(r pgx.Row) (a store.API, err error) {
	err = r.Scan(fieldsAPI(&a)...)
	return a.Canonical(), err
}

// GetAPI implements store.PolicyReader.
func (s *Store) GetAPI(ctx context.Context, id string) (a store.API, head uint64, err error) {
	row := s.pool.QueryRow(ctx, sqlGetAPI, pgx.StrictNamedArgs{"id": id})
	if err := row.Scan(append(fieldsAPI(&a), &head)...); err != nil {
		return store.API{}, 0, s.asStoreError("get api "+id, err)
	}
	return a.Canonical(), head, nil
}

// ListAPIs implements store.PolicyReader.
func (s *Store) ListAPIs(ctx context.Context, after string, limit int) ([]store.API, error) {
	l, err := collect(ctx, s.pool, scanAPI, sqlListAPIs, pgx.StrictNamedArgs{"after": after, "limit": max(limit, 0)})
	return l, s.asStoreError("list apis", err)
}
