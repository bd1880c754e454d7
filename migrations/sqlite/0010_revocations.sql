-- 0010_revocations.sql: tokens can be refused before they expire; apis and routes say what they ask of a sign-in.
-- As in migrations/postgres; instants are microseconds since 1970 UTC.

-- +goose Up
ALTER TABLE apis ADD COLUMN deny_guests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apis ADD COLUMN strict_revocation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE routes ADD COLUMN max_token_age_ns INTEGER NOT NULL DEFAULT 0; -- 0: any age
ALTER TABLE routes ADD COLUMN auth_context TEXT NOT NULL DEFAULT '';       -- such as c1; empty: none
ALTER TABLE routes ADD COLUMN confidential_client INTEGER NOT NULL DEFAULT 0;

-- one row: the number of the newest change of a revocation
CREATE TABLE revocation_head (
    one INTEGER PRIMARY KEY CONSTRAINT revocation_head_one CHECK (one = 1),
    seq INTEGER NOT NULL CONSTRAINT revocation_head_seq CHECK (seq >= 0)
) STRICT;
INSERT INTO revocation_head (one, seq) VALUES (1, 0);

-- what is revoked; rows go some time after they have expired
CREATE TABLE revocations (
    id         TEXT NOT NULL CONSTRAINT revocations_pkey PRIMARY KEY,
    tenant_id  TEXT NOT NULL,
    kind       TEXT NOT NULL CONSTRAINT revocations_kind CHECK (kind IN ('principal', 'client', 'session', 'token', 'tenant')),
    value      TEXT NOT NULL,
    not_before INTEGER NOT NULL, -- whole second; tokens issued up to and including it are refused
    expires_at INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    ticket     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seq        INTEGER NOT NULL, -- number of the last change to this row
    deleted    INTEGER NOT NULL  -- taken back; the row stays until expires_at so that replicas learn of it
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX revocations_once ON revocations (tenant_id, kind, value) WHERE NOT deleted;
CREATE INDEX revocations_seq ON revocations (seq);
CREATE INDEX revocations_expires_at ON revocations (expires_at);

-- who revoked what and why, and who took it back
CREATE TABLE revocation_changes (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    action     TEXT NOT NULL CONSTRAINT revocation_changes_action CHECK (action IN ('put', 'delete')),
    id         TEXT NOT NULL,
    tenant_id  TEXT NOT NULL,
    kind       TEXT NOT NULL,
    value      TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    ticket     TEXT NOT NULL,
    actor      TEXT NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER revocation_changes_no_update BEFORE UPDATE ON revocation_changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER revocation_changes_no_delete BEFORE DELETE ON revocation_changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd

INSERT INTO schema_compatible (version, since) VALUES (10, 2);
