package sqlite

import (
	"context"
	"database/sql"

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

const sqlGetAPI = `
SELECT ` + columnsAPI + `
FROM apis
WHERE id = @id`

const sqlListAPIs = `
SELECT ` + columnsAPI + `
FROM apis
WHERE id > @after
ORDER BY id
LIMIT @limit`

const sqlPutAPI = `
INSERT INTO apis (id, display_name, audiences, hosts, permissions, scopes, actors, allowed_clients,
       allow_apps_without_roles, require_sni_match, deny_guests, strict_revocation,
       audit_durability, on_audit_failure, revision)
VALUES (@id, @display_name, @audiences, @hosts, @permissions, @scopes, @actors, @allowed_clients,
       @allow_apps_without_roles, @require_sni_match, @deny_guests, @strict_revocation,
       @audit_durability, @on_audit_failure, @revision)
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

const sqlDeleteAPI = `
DELETE FROM apis
WHERE id = @id`

func scanAPI(r scanner) (a store.API, err error) {
	err = r.Scan(&a.ID, &a.DisplayName, listInto(&a.Audiences), listInto(&a.Hosts), listInto(&a.Permissions),
		listInto(&a.Scopes), listInto(&a.Actors), listInto(&a.AllowedClients), &a.AllowAppsWithoutRoles, &a.RequireSNIMatch,
		&a.DenyGuests, &a.StrictRevocation, &a.AuditDurability, &a.OnAuditFailure, &a.Revision)
	return a, err
}

func putAPIArgs(a store.API) []any {
	return []any{
		sql.Named("id", a.ID), sql.Named("display_name", a.DisplayName), sql.Named("audiences", jsonOf(a.Audiences)),
		sql.Named("hosts", jsonOf(a.Hosts)), sql.Named("permissions", jsonOf(a.Permissions)),
		sql.Named("scopes", jsonOf(a.Scopes)), sql.Named("actors", jsonOf(a.Actors)),
		sql.Named("allowed_clients", jsonOf(a.AllowedClients)),
		sql.Named("allow_apps_without_roles", a.AllowAppsWithoutRoles),
		sql.Named("require_sni_match", a.RequireSNIMatch), sql.Named("deny_guests", a.DenyGuests),
		sql.Named("strict_revocation", a.StrictRevocation), sql.Named("audit_durability", string(a.AuditDurability)),
		sql.Named("on_audit_failure", string(a.OnAuditFailure)), sql.Named("revision", number(a.Revision)),
	}
}

// GetAPI implements store.PolicyReader.
func (s *Store) GetAPI(ctx context.Context, id string) (a store.API, head uint64, err error) {
	err = s.reading(ctx, "get api "+id, func(tx *sql.Tx) error {
		if a, err = scanAPI(tx.QueryRowContext(ctx, sqlGetAPI, sql.Named("id", id))); err != nil {
			return err
		}
		head, err = headOf(ctx, tx)
		return err
	})
	return a, head, err
}

// ListAPIs implements store.PolicyReader.
func (s *Store) ListAPIs(ctx context.Context, after string, limit int) ([]store.API, error) {
	l, err := collect(ctx, s.read, scanAPI, sqlListAPIs, sql.Named("after", after), sql.Named("limit", max(limit, 0)))
	return l, s.asStoreError(ctx, "list apis", err)
}
