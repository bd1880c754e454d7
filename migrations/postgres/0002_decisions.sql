-- 0002_decisions.sql: the record of decisions.
-- Lock: none that matters, the table is new.
--
-- The primary key begins with `at`, so that the table can be cut into partitions by day. A record has one `at` for ever (its
-- id, a UUIDv7, holds the same instant), so (at, id) is as good a key as id. Triggers are by row, since those reach
-- partitions. No index is on what most rows have: allowed ones are found by time.

-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE decisions (
    at             timestamptz NOT NULL,
    id             uuid NOT NULL,
    allowed        boolean NOT NULL,
    reason         smallint NOT NULL,
    principal_kind smallint NOT NULL,
    revision       bigint NOT NULL,
    took_us        bigint NOT NULL,
    detail         text NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    principal_id   text COLLATE "C" NOT NULL,
    client_id      text NOT NULL,
    token_id       text NOT NULL,
    api            text COLLATE "C" NOT NULL,
    route          text NOT NULL,
    template       text NOT NULL,
    method         text NOT NULL,
    host           text NOT NULL,
    raw_path       text NOT NULL,
    permissions    text[] NOT NULL,
    resource       text NOT NULL,
    grants         text[] NOT NULL,
    door           text NOT NULL,
    pep            text NOT NULL,
    request_id     text NOT NULL,
    CONSTRAINT decisions_pkey PRIMARY KEY (at, id)
);
COMMENT ON TABLE decisions IS 'one row a decision, allow and deny alike; append-only. Columns are the fields of verdict.v1.DecisionRecord';
COMMENT ON COLUMN decisions.reason IS 'number of verdict.v1.Reason';
COMMENT ON COLUMN decisions.principal_kind IS 'number of verdict.v1.PrincipalKind';
COMMENT ON COLUMN decisions.revision IS 'policy revision it was made on; 0: none was loaded';
COMMENT ON COLUMN decisions.took_us IS 'microseconds';

CREATE INDEX decisions_denied ON decisions (at, id) WHERE NOT allowed;
CREATE INDEX decisions_reason ON decisions (reason, at, id);
CREATE INDEX decisions_api ON decisions (api, at, id);
CREATE INDEX decisions_tenant ON decisions (tenant_id, at, id) WHERE tenant_id <> '';
CREATE INDEX decisions_principal ON decisions (principal_id, at, id) WHERE principal_id <> '';

CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER decisions_no_truncate BEFORE TRUNCATE ON decisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
