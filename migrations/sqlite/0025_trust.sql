-- 0025_trust.sql: tenants, refused signing keys and orders to fetch keys anew can be administered, beside the configuration.
-- As in migrations/postgres; instants are microseconds since 1970 UTC.

-- +goose Up
-- one row: the number of the newest change of whom is trusted
CREATE TABLE trust_head (
    one     INTEGER PRIMARY KEY CONSTRAINT trust_head_one CHECK (one = 1),
    version INTEGER NOT NULL CONSTRAINT trust_head_version CHECK (version >= 0)
) STRICT;
INSERT INTO trust_head (one, version) VALUES (1, 0);

-- tenants whose tokens are accepted beside those of the configuration
CREATE TABLE trust_tenants (
    provider     TEXT NOT NULL, -- name of a provider of the configuration
    tenant_id    TEXT NOT NULL,
    display_name TEXT NOT NULL, -- for people; never compared
    added_at     INTEGER NOT NULL,
    CONSTRAINT trust_tenants_pkey PRIMARY KEY (provider, tenant_id)
) STRICT, WITHOUT ROWID;

-- signing keys that are refused whatever their issuer publishes
CREATE TABLE trust_denied_keys (
    kid       TEXT NOT NULL CONSTRAINT trust_denied_keys_pkey PRIMARY KEY,
    reason    TEXT NOT NULL,
    denied_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- who changed whom is trusted, and why; orders to fetch keys anew are read from here
CREATE TABLE trust_changes (
    version      INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    action       TEXT NOT NULL CONSTRAINT trust_changes_action
                 CHECK (action IN ('add_tenant', 'remove_tenant', 'deny_key', 'allow_key', 'purge')),
    provider     TEXT NOT NULL,
    tenant_id    TEXT NOT NULL, -- of a purge: empty means every tenant
    display_name TEXT NOT NULL,
    kid          TEXT NOT NULL,
    actor        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    ticket       TEXT NOT NULL
) STRICT;
CREATE INDEX trust_changes_purges ON trust_changes (tenant_id, version) WHERE action = 'purge';

-- +goose StatementBegin
CREATE TRIGGER trust_changes_no_update BEFORE UPDATE ON trust_changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER trust_changes_no_delete BEFORE DELETE ON trust_changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd

INSERT INTO schema_compatible (version, since) VALUES (25, 2);
