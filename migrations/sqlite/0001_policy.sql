-- 0001_policy.sql: facts of the policy, and the history of every change to them.
-- The same tables as in migrations/postgres, in SQLite's own terms: lists are JSON text, instants are microseconds since
-- 1970 UTC, booleans are 0 and 1. Text compares by its bytes (BINARY) already.

-- +goose Up
CREATE TABLE schema_compatible (
    version INTEGER PRIMARY KEY, -- binaries that know schema `since` may go on when the schema is at `version`
    since   INTEGER NOT NULL
) STRICT;

-- one row: the newest revision
CREATE TABLE policy_head (
    one      INTEGER PRIMARY KEY CONSTRAINT policy_head_one CHECK (one = 1),
    revision INTEGER NOT NULL CONSTRAINT policy_head_revision CHECK (revision >= 0)
) STRICT;
INSERT INTO policy_head (one, revision) VALUES (1, 0);

CREATE TABLE revisions (
    number INTEGER PRIMARY KEY CONSTRAINT revisions_number CHECK (number > 0),
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL
) STRICT;

CREATE TABLE changes (
    revision INTEGER NOT NULL CONSTRAINT changes_revision_fkey REFERENCES revisions (number),
    seq      INTEGER NOT NULL,
    kind     TEXT NOT NULL CONSTRAINT changes_kind CHECK (kind IN ('api', 'route', 'grant')),
    key      TEXT NOT NULL, -- id of the api or grant; api/id of the route
    before   TEXT,          -- JSON of the fact as it was; NULL: it was not there
    after    TEXT,          -- JSON of the fact as it became; NULL: it was deleted
    CONSTRAINT changes_pkey PRIMARY KEY (revision, seq),
    CONSTRAINT changes_some CHECK (before IS NOT NULL OR after IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE apis (
    id                       TEXT NOT NULL CONSTRAINT apis_pkey PRIMARY KEY,
    display_name             TEXT NOT NULL,
    audiences                TEXT NOT NULL,
    hosts                    TEXT NOT NULL,
    permissions              TEXT NOT NULL,
    scopes                   TEXT NOT NULL,
    actors                   TEXT NOT NULL,
    allowed_clients          TEXT NOT NULL,
    allow_apps_without_roles INTEGER NOT NULL,
    require_sni_match        INTEGER NOT NULL,
    revision                 INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE routes (
    api         TEXT NOT NULL CONSTRAINT routes_api_fkey REFERENCES apis (id),
    id          TEXT NOT NULL,
    methods     TEXT NOT NULL,
    template    TEXT NOT NULL,
    requirement TEXT NOT NULL CONSTRAINT routes_requirement CHECK (requirement IN ('public', 'authenticated', 'all_of', 'any_of')),
    permissions TEXT NOT NULL,
    condition   TEXT NOT NULL,
    upgrade     TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    CONSTRAINT routes_pkey PRIMARY KEY (api, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX routes_revision ON routes (revision);

CREATE TABLE grants (
    id                   TEXT NOT NULL CONSTRAINT grants_pkey PRIMARY KEY,
    api                  TEXT NOT NULL CONSTRAINT grants_api_fkey REFERENCES apis (id),
    subject              TEXT NOT NULL,
    subject_display_name TEXT NOT NULL,
    permissions          TEXT NOT NULL,
    effect               TEXT NOT NULL CONSTRAINT grants_effect CHECK (effect IN ('allow', 'deny')),
    condition            TEXT NOT NULL,
    not_before           INTEGER, -- NULL: from the start
    expires_at           INTEGER, -- NULL: no end
    reason               TEXT NOT NULL,
    ticket               TEXT NOT NULL,
    revision             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_api ON grants (api, id);
CREATE INDEX grants_subject ON grants (subject, id);
CREATE INDEX grants_revision ON grants (revision);

-- +goose StatementBegin
CREATE TRIGGER revisions_no_update BEFORE UPDATE ON revisions
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
