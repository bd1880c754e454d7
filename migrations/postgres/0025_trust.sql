-- 0025_trust.sql: tenants, refused signing keys and orders to fetch keys anew can be administered, beside the configuration.
-- Binaries of schema 2 go on and ignore it: they trust what their configuration says, and refuse no key.
-- Lock: none that matters, all tables are new.

-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE trust_head (
    one     boolean DEFAULT true CONSTRAINT trust_head_pkey PRIMARY KEY CONSTRAINT trust_head_one CHECK (one),
    version bigint NOT NULL CONSTRAINT trust_head_version CHECK (version >= 0)
);
COMMENT ON TABLE trust_head IS 'one row: the number of the newest change of whom is trusted. Its lock orders these';
INSERT INTO trust_head (version) VALUES (0);

CREATE TABLE trust_tenants (
    provider     text COLLATE "C" NOT NULL,
    tenant_id    uuid NOT NULL,
    display_name text NOT NULL,
    added_at     timestamptz NOT NULL,
    CONSTRAINT trust_tenants_pkey PRIMARY KEY (provider, tenant_id)
);
COMMENT ON TABLE trust_tenants IS 'tenants whose tokens are accepted beside those of the configuration';
COMMENT ON COLUMN trust_tenants.provider IS 'name of a provider of the configuration';
COMMENT ON COLUMN trust_tenants.display_name IS 'for people; never compared';

CREATE TABLE trust_denied_keys (
    kid       text COLLATE "C" CONSTRAINT trust_denied_keys_pkey PRIMARY KEY,
    reason    text NOT NULL,
    denied_at timestamptz NOT NULL
);
COMMENT ON TABLE trust_denied_keys IS 'signing keys that are refused whatever their issuer publishes';

CREATE TABLE trust_changes (
    version      bigint CONSTRAINT trust_changes_pkey PRIMARY KEY,
    at           timestamptz NOT NULL,
    action       text NOT NULL CONSTRAINT trust_changes_action
                 CHECK (action IN ('add_tenant', 'remove_tenant', 'deny_key', 'allow_key', 'purge')),
    provider     text NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    kid          text NOT NULL,
    actor        text NOT NULL,
    reason       text NOT NULL,
    ticket       text NOT NULL
);
CREATE INDEX trust_changes_purges ON trust_changes (tenant_id, version) WHERE action = 'purge';
COMMENT ON TABLE trust_changes IS 'who changed whom is trusted, and why; append-only. Orders to fetch keys anew are read from here';
COMMENT ON COLUMN trust_changes.tenant_id IS 'of a purge: empty means every tenant';

CREATE TRIGGER trust_changes_append_only BEFORE UPDATE OR DELETE ON trust_changes
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER trust_changes_no_truncate BEFORE TRUNCATE ON trust_changes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

INSERT INTO schema_compatible (version, since) VALUES (25, 2);
