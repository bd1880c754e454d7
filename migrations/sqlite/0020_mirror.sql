-- 0020_mirror.sql: a copy of the groups of Entra tenants, so that decisions need not ask for them.
-- As in migrations/postgres; ids are their 16 bytes, instants are microseconds since 1970 UTC. Binaries of schema 2 go on
-- and ignore it.

-- +goose Up
CREATE TABLE mirror_tenants (
    tenant      BLOB NOT NULL CONSTRAINT mirror_tenants_pkey PRIMARY KEY CONSTRAINT mirror_tenants_id CHECK (length(tenant) = 16),
    round       INTEGER NOT NULL DEFAULT 0 CONSTRAINT mirror_tenants_round CHECK (round >= 0), -- 0: none yet
    changed     INTEGER NOT NULL DEFAULT 0, -- the last round that changed anything else
    synced_at   INTEGER,
    full_at     INTEGER,
    resync      INTEGER NOT NULL DEFAULT 0,
    holder      TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    CONSTRAINT mirror_tenants_synced CHECK ((round = 0) = (synced_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_links (
    tenant   BLOB NOT NULL CONSTRAINT mirror_links_tenant_fkey REFERENCES mirror_tenants (tenant),
    resource TEXT NOT NULL CONSTRAINT mirror_links_resource CHECK (resource IN ('groups', 'users', 'service_principals')),
    link     TEXT NOT NULL,
    CONSTRAINT mirror_links_pkey PRIMARY KEY (tenant, resource)
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_principals (
    tenant              BLOB NOT NULL,
    id                  BLOB NOT NULL CONSTRAINT mirror_principals_id CHECK (length(id) = 16),
    kind                INTEGER NOT NULL CONSTRAINT mirror_principals_kind CHECK (kind IN (1, 2)), -- user, service principal
    enabled             INTEGER NOT NULL,
    deleted             INTEGER NOT NULL, -- it may be restored
    sessions_valid_from INTEGER,          -- NULL: not said
    CONSTRAINT mirror_principals_pkey PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_groups (
    tenant  BLOB NOT NULL,
    id      BLOB NOT NULL CONSTRAINT mirror_groups_id CHECK (length(id) = 16),
    deleted INTEGER NOT NULL, -- it may be restored; it has no members here
    CONSTRAINT mirror_groups_pkey PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE mirror_members (
    tenant    BLOB NOT NULL,
    member_id BLOB NOT NULL CONSTRAINT mirror_members_member CHECK (length(member_id) = 16),
    group_id  BLOB NOT NULL CONSTRAINT mirror_members_of CHECK (length(group_id) = 16),
    kind      INTEGER NOT NULL CONSTRAINT mirror_members_kind CHECK (kind IN (1, 2, 3)), -- user, service principal, group
    CONSTRAINT mirror_members_pkey PRIMARY KEY (tenant, member_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mirror_members_group ON mirror_members (tenant, group_id, member_id);
CREATE INDEX mirror_members_nested ON mirror_members (tenant, member_id, group_id) WHERE kind = 3;

CREATE TABLE mirror_events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant BLOB NOT NULL,
    object BLOB NOT NULL,
    kind   INTEGER NOT NULL CONSTRAINT mirror_events_kind CHECK (kind IN (1, 2, 3, 4)),
    at     INTEGER NOT NULL
) STRICT;
CREATE INDEX mirror_events_tenant ON mirror_events (tenant, seq);

INSERT INTO schema_compatible (version, since) VALUES (20, 2);
