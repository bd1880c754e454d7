-- 0020_mirror.sql: a copy of the groups of Entra tenants, so that decisions need not ask for them.
-- Binaries of schema 2 go on and ignore it.
-- Lock: none that matters, all tables are new.
--
-- Memberships are kept as they are in Entra, not looking through nested groups; a recursive query does that. A table of all
-- ancestors would be quicker by little and would change by much whenever one large group is nested. mirror_members_group does
-- not begin with the tenant, so that the planner, as long as it knows nothing of a new table, cannot take it for the
-- groups of a member.

-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE mirror_tenants (
    tenant      uuid CONSTRAINT mirror_tenants_pkey PRIMARY KEY,
    round       bigint NOT NULL DEFAULT 0 CONSTRAINT mirror_tenants_round CHECK (round >= 0),
    changed     bigint NOT NULL DEFAULT 0,
    synced_at   timestamptz,
    full_at     timestamptz,
    resync      boolean NOT NULL DEFAULT false,
    holder      text NOT NULL,
    lease_until timestamptz NOT NULL,
    CONSTRAINT mirror_tenants_synced CHECK ((round = 0) = (synced_at IS NULL))
);
COMMENT ON TABLE mirror_tenants IS 'one row a tenant that is copied. Updating it is the lock that orders rounds';
COMMENT ON COLUMN mirror_tenants.round IS 'number of the newest round; 0: none yet';
COMMENT ON COLUMN mirror_tenants.changed IS 'the last round that changed anything else';
COMMENT ON COLUMN mirror_tenants.synced_at IS 'UTC instant before which the newest round had read nothing';
COMMENT ON COLUMN mirror_tenants.full_at IS 'the same of the last round that read everything';
COMMENT ON COLUMN mirror_tenants.resync IS 'the next round must read all groups';
COMMENT ON COLUMN mirror_tenants.holder IS 'the replica that may make rounds until lease_until';

CREATE TABLE mirror_links (
    tenant   uuid NOT NULL CONSTRAINT mirror_links_tenant_fkey REFERENCES mirror_tenants (tenant),
    resource text NOT NULL CONSTRAINT mirror_links_resource CHECK (resource IN ('groups', 'users', 'service_principals')),
    link     text NOT NULL,
    CONSTRAINT mirror_links_pkey PRIMARY KEY (tenant, resource)
);
COMMENT ON TABLE mirror_links IS 'where the changes since the newest round are asked for';

CREATE TABLE mirror_principals (
    tenant              uuid NOT NULL,
    id                  uuid NOT NULL,
    kind                smallint NOT NULL CONSTRAINT mirror_principals_kind CHECK (kind IN (1, 2)),
    enabled             boolean NOT NULL,
    deleted             boolean NOT NULL,
    sessions_valid_from timestamptz,
    CONSTRAINT mirror_principals_pkey PRIMARY KEY (tenant, id)
);
COMMENT ON COLUMN mirror_principals.kind IS '1: user, 2: service principal';
COMMENT ON COLUMN mirror_principals.deleted IS 'it may be restored';
COMMENT ON COLUMN mirror_principals.sessions_valid_from IS 'sessions that began before have ended; NULL: not said';

CREATE TABLE mirror_groups (
    tenant  uuid NOT NULL,
    id      uuid NOT NULL,
    deleted boolean NOT NULL,
    CONSTRAINT mirror_groups_pkey PRIMARY KEY (tenant, id)
);
COMMENT ON COLUMN mirror_groups.deleted IS 'it may be restored; it has no members here';

CREATE TABLE mirror_members (
    tenant    uuid NOT NULL,
    member_id uuid NOT NULL,
    group_id  uuid NOT NULL,
    kind      smallint NOT NULL CONSTRAINT mirror_members_kind CHECK (kind IN (1, 2, 3)),
    CONSTRAINT mirror_members_pkey PRIMARY KEY (tenant, member_id, group_id)
);
CREATE INDEX mirror_members_group ON mirror_members (group_id, member_id);
CREATE INDEX mirror_members_nested ON mirror_members (tenant, member_id, group_id) WHERE kind = 3;
COMMENT ON INDEX mirror_members_nested IS 'groups in groups are few: a small index to ask for each group that was reached';
COMMENT ON COLUMN mirror_members.kind IS 'of the member. 1: user, 2: service principal, 3: group';

CREATE TABLE mirror_events (
    tenant uuid NOT NULL,
    seq    bigint GENERATED ALWAYS AS IDENTITY,
    object uuid NOT NULL,
    kind   smallint NOT NULL CONSTRAINT mirror_events_kind CHECK (kind IN (1, 2, 3, 4)),
    at     timestamptz NOT NULL,
    CONSTRAINT mirror_events_pkey PRIMARY KEY (tenant, seq)
);
COMMENT ON TABLE mirror_events IS 'what principals have lost, until somebody has acted on it';
COMMENT ON COLUMN mirror_events.kind IS '1: disabled, 2: sessions invalid, 3: deleted, 4: removed from a group';

INSERT INTO schema_compatible (version, since) VALUES (20, 2);
