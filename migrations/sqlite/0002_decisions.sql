-- 0002_decisions.sql: the record of decisions. As in migrations/postgres; instants are microseconds since 1970 UTC.

-- +goose Up
CREATE TABLE decisions (
    at             INTEGER NOT NULL,
    id             TEXT NOT NULL,
    allowed        INTEGER NOT NULL,
    reason         INTEGER NOT NULL,
    principal_kind INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    took_us        INTEGER NOT NULL,
    detail         TEXT NOT NULL,
    tenant_id      TEXT NOT NULL,
    principal_id   TEXT NOT NULL,
    client_id      TEXT NOT NULL,
    token_id       TEXT NOT NULL,
    api            TEXT NOT NULL,
    route          TEXT NOT NULL,
    template       TEXT NOT NULL,
    method         TEXT NOT NULL,
    host           TEXT NOT NULL,
    raw_path       TEXT NOT NULL,
    permissions    TEXT NOT NULL,
    resource       TEXT NOT NULL,
    grants         TEXT NOT NULL,
    door           TEXT NOT NULL,
    pep            TEXT NOT NULL,
    request_id     TEXT NOT NULL,
    CONSTRAINT decisions_pkey PRIMARY KEY (at, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_denied ON decisions (allowed, at, id) WHERE allowed = 0;
CREATE INDEX decisions_reason ON decisions (reason, at, id);
CREATE INDEX decisions_api ON decisions (api, at, id);
CREATE INDEX decisions_tenant ON decisions (tenant_id, at, id);
CREATE INDEX decisions_principal ON decisions (principal_id, at, id);

-- +goose StatementBegin
CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
