-- 0010_revocations.sql: tokens can be refused before they expire; apis and routes say what they ask of a sign-in.
-- Binaries of schema 2 go on and ignore all of it: set the new columns only when no such binary serves any more.
-- Lock: ACCESS EXCLUSIVE on apis and routes, for the catalog change only. The other tables are new.

-- +goose Up
SET LOCAL lock_timeout = '2s';

ALTER TABLE apis
    ADD COLUMN deny_guests boolean NOT NULL DEFAULT false,
    ADD COLUMN strict_revocation boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN apis.permissions IS '[{"name": …, "description": …, "privileged": …}]';

ALTER TABLE routes
    ADD COLUMN max_token_age_ns bigint NOT NULL DEFAULT 0,
    ADD COLUMN auth_context text NOT NULL DEFAULT '',
    ADD COLUMN confidential_client boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN routes.max_token_age_ns IS 'nanoseconds; 0: any age';
COMMENT ON COLUMN routes.auth_context IS 'such as c1; empty: none';

CREATE TABLE revocation_head (
    one boolean DEFAULT true CONSTRAINT revocation_head_pkey PRIMARY KEY CONSTRAINT revocation_head_one CHECK (one),
    seq bigint NOT NULL CONSTRAINT revocation_head_seq CHECK (seq >= 0)
);
COMMENT ON TABLE revocation_head IS 'one row: the number of the newest change of a revocation. Updating it is the lock that orders these';
INSERT INTO revocation_head (seq) VALUES (0);

CREATE TABLE revocations (
    id         uuid CONSTRAINT revocations_pkey PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    kind       text NOT NULL CONSTRAINT revocations_kind CHECK (kind IN ('principal', 'client', 'session', 'token', 'tenant')),
    value      text COLLATE "C" NOT NULL,
    not_before timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    reason     text NOT NULL,
    ticket     text NOT NULL,
    actor      text NOT NULL,
    created_at timestamptz NOT NULL,
    seq        bigint NOT NULL,
    deleted    boolean NOT NULL
);
CREATE UNIQUE INDEX revocations_once ON revocations (tenant_id, kind, value) WHERE NOT deleted;
CREATE INDEX revocations_seq ON revocations (seq);
CREATE INDEX revocations_expires_at ON revocations (expires_at);
COMMENT ON TABLE revocations IS 'what is revoked; rows go some time after they have expired';
COMMENT ON COLUMN revocations.not_before IS 'whole second; tokens issued up to and including it are refused';
COMMENT ON COLUMN revocations.seq IS 'number of the last change to this row';
COMMENT ON COLUMN revocations.deleted IS 'taken back; the row stays until expires_at so that replicas learn of it';

CREATE TABLE revocation_changes (
    seq        bigint CONSTRAINT revocation_changes_pkey PRIMARY KEY,
    at         timestamptz NOT NULL,
    action     text NOT NULL CONSTRAINT revocation_changes_action CHECK (action IN ('put', 'delete')),
    id         uuid NOT NULL,
    tenant_id  text NOT NULL,
    kind       text NOT NULL,
    value      text NOT NULL,
    not_before timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    reason     text NOT NULL,
    ticket     text NOT NULL,
    actor      text NOT NULL
);
COMMENT ON TABLE revocation_changes IS 'who revoked what and why, and who took it back; append-only';

CREATE TRIGGER revocation_changes_append_only BEFORE UPDATE OR DELETE ON revocation_changes
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER revocation_changes_no_truncate BEFORE TRUNCATE ON revocation_changes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

INSERT INTO schema_compatible (version, since) VALUES (10, 2);
