-- 0040_audit.sql: decisions by day, what a tail and a review need beside them, and the proofs. As in migrations/postgres; a
-- partition is a row of decision_days, and detaching it moves its records to decisions_detached.
-- The file is locked while the records are copied. Binaries that know schema 2 go on with this one.

-- +goose Up
DROP TRIGGER decisions_no_update;
DROP TRIGGER decisions_no_delete;
DROP INDEX decisions_denied;
DROP INDEX decisions_reason;
DROP INDEX decisions_api;
DROP INDEX decisions_tenant;
DROP INDEX decisions_principal;
ALTER TABLE decisions RENAME TO decisions_before;

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
    subjects       TEXT NOT NULL DEFAULT '[]',
    scopes         TEXT NOT NULL DEFAULT '[]',
    missing        TEXT NOT NULL DEFAULT '[]',
    grant_subjects TEXT NOT NULL DEFAULT '[]',
    source_ip      TEXT NOT NULL DEFAULT '',
    instance       TEXT NOT NULL DEFAULT '', -- empty: kept without a spool, and epoch and seq are the lane and the place in it
    epoch          INTEGER NOT NULL DEFAULT 0,
    seq            INTEGER NOT NULL DEFAULT 0,
    leaf           BLOB NOT NULL DEFAULT x'',
    agent_parent   TEXT NOT NULL DEFAULT '',
    agent_facets   TEXT NOT NULL DEFAULT '',
    repeats        INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT decisions_pkey PRIMARY KEY (at, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions_detached (
    partition      TEXT NOT NULL, -- name in decision_days
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
    subjects       TEXT NOT NULL DEFAULT '[]',
    scopes         TEXT NOT NULL DEFAULT '[]',
    missing        TEXT NOT NULL DEFAULT '[]',
    grant_subjects TEXT NOT NULL DEFAULT '[]',
    source_ip      TEXT NOT NULL DEFAULT '',
    instance       TEXT NOT NULL DEFAULT '', -- empty: kept without a spool, and epoch and seq are the lane and the place in it
    epoch          INTEGER NOT NULL DEFAULT 0,
    seq            INTEGER NOT NULL DEFAULT 0,
    leaf           BLOB NOT NULL DEFAULT x'',
    agent_parent   TEXT NOT NULL DEFAULT '',
    agent_facets   TEXT NOT NULL DEFAULT '',
    repeats        INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT decisions_detached_pkey PRIMARY KEY (partition, at, id)
) STRICT, WITHOUT ROWID;

-- Old records go to the lane, in the order of their time.
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id, agent_parent, agent_facets, epoch, seq)
SELECT at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id, agent_parent, agent_facets, 1, row_number() OVER (ORDER BY at, id)
FROM decisions_before;
DROP TABLE decisions_before;

CREATE INDEX decisions_denied ON decisions (allowed, at, id) WHERE allowed = 0;
CREATE INDEX decisions_reason ON decisions (reason, at, id);
CREATE INDEX decisions_api ON decisions (api, at, id);
CREATE INDEX decisions_tenant ON decisions (tenant_id, at, id);
CREATE INDEX decisions_principal ON decisions (principal_id, at, id);
CREATE INDEX decisions_client ON decisions (client_id, at, id);
CREATE INDEX decisions_source ON decisions (instance, epoch, seq);

CREATE TABLE decision_days (
    name     TEXT NOT NULL CONSTRAINT decision_days_pkey PRIMARY KEY,
    day      INTEGER NOT NULL,           -- its midnight UTC
    detached INTEGER NOT NULL DEFAULT 0,
    moving   INTEGER NOT NULL DEFAULT 0  -- 1 within the transaction that detaches it: its records may leave decisions
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX decision_days_attached ON decision_days (day) WHERE detached = 0;

-- Names of partitions that are gone for good; none of them is given again.
CREATE TABLE decision_partitions_dropped (
    name TEXT NOT NULL CONSTRAINT decision_partitions_dropped_pkey PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE decision_sources (
    instance  TEXT NOT NULL,
    epoch     INTEGER NOT NULL, -- of the instance; the lane when instance is empty
    day       INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    CONSTRAINT decision_sources_pkey PRIMARY KEY (instance, epoch, day)
) STRICT, WITHOUT ROWID;

-- one row: there is one writer, and so one lane
CREATE TABLE decision_lanes (
    lane INTEGER PRIMARY KEY CONSTRAINT decision_lanes_one CHECK (lane = 1),
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE grant_use (
    day          INTEGER NOT NULL,
    grant_id     TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    first_at     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL, -- may be up to a minute early
    CONSTRAINT grant_use_pkey PRIMARY KEY (day, grant_id, tenant_id, principal_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE digests (
    number         INTEGER PRIMARY KEY CONSTRAINT digests_number CHECK (number > 0),
    kind           TEXT NOT NULL CONSTRAINT digests_kind CHECK (kind IN ('hourly', 'backfill')),
    from_at        INTEGER NOT NULL,
    to_at          INTEGER NOT NULL,
    count          INTEGER NOT NULL,
    root           BLOB NOT NULL,
    previous       BLOB NOT NULL,
    key_id         TEXT NOT NULL,
    signature      BLOB NOT NULL,
    ranges         TEXT NOT NULL, -- [{"instance": …, "epoch": …, "first": …, "last": …, "count": …}]
    revision_first INTEGER NOT NULL,
    revision_last  INTEGER NOT NULL,
    leaves         BLOB NOT NULL
) STRICT;

CREATE TABLE leases (
    name       TEXT NOT NULL CONSTRAINT leases_pkey PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    name  TEXT NOT NULL CONSTRAINT cursors_pkey PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO decision_days (name, day)
SELECT 'decisions_' || strftime('%Y%m%d', day / 1000000, 'unixepoch'), day
FROM (SELECT DISTINCT at - ((at % 86400000000) + 86400000000) % 86400000000 AS day FROM decisions);

INSERT INTO decision_sources (instance, epoch, day, first_seq, last_seq)
SELECT '', 1, at - ((at % 86400000000) + 86400000000) % 86400000000 AS day, min(seq), max(seq)
FROM decisions
GROUP BY 3;

INSERT INTO decision_lanes (lane, last)
SELECT 1, count(*) FROM decisions;

INSERT INTO grant_use (day, grant_id, tenant_id, principal_id, first_at, last_at)
SELECT at - ((at % 86400000000) + 86400000000) % 86400000000 AS day, g.value, tenant_id, principal_id, min(at), max(at)
FROM decisions, json_each(grants) AS g
GROUP BY 1, 2, 3, 4;

-- +goose StatementBegin
CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions
WHEN NOT EXISTS (SELECT 1 FROM decision_days WHERE moving = 1 AND OLD.at >= day AND OLD.at < day + 86400000000)
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_detached_no_update BEFORE UPDATE ON decisions_detached
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_detached_no_delete BEFORE DELETE ON decisions_detached
WHEN EXISTS (SELECT 1 FROM decision_days WHERE name = OLD.partition)
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER digests_no_update BEFORE UPDATE ON digests
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER digests_no_delete BEFORE DELETE ON digests
BEGIN SELECT RAISE(ABORT, 'what is recorded stays'); END;
-- +goose StatementEnd

-- What an answer promises about its record, and what becomes of a decision that cannot be recorded; empty: as the server is
-- configured.
ALTER TABLE apis ADD COLUMN audit_durability TEXT NOT NULL DEFAULT ''
    CONSTRAINT apis_audit_durability CHECK (audit_durability IN ('', 'spool', 'strict', 'sync_db'));
ALTER TABLE apis ADD COLUMN on_audit_failure TEXT NOT NULL DEFAULT ''
    CONSTRAINT apis_on_audit_failure CHECK (on_audit_failure IN ('', 'deny', 'count'));

-- What administrators changed is listed newest first, each line with the one before it of the same revocation, tenant or key.
CREATE INDEX revisions_at ON revisions (at, number);
CREATE INDEX revocation_changes_at ON revocation_changes (at, seq);
CREATE INDEX revocation_changes_id ON revocation_changes (id, seq);
CREATE INDEX trust_changes_at ON trust_changes (at, version);
CREATE INDEX trust_changes_of ON trust_changes (tenant_id, kid, provider, version);

INSERT INTO schema_compatible (version, since) VALUES (40, 2);
