-- 0040_audit.sql: decisions by day, what a tail and a review need beside them, and the proofs.
-- Lock: ACCESS EXCLUSIVE on decisions while its rows move to partitions, about ten seconds a million rows, and on apis at
-- the end, for the catalog change only; SHARE on what administrators changed while it is indexed. Decisions go on
-- meanwhile: their records wait where they are. Binaries that know schema 2 go on with this one, for the days that there are
-- partitions for; they make none. They ignore what apis say of their records: set it only when no such binary serves any more.
--
-- No DEFAULT partition: with one, DETACH CONCURRENTLY is refused. Who appends makes the partition it needs, with
-- ensure_decision_partition, which runs with the rights of the owner.

-- +goose Up
SET LOCAL lock_timeout = '2s';

ALTER TABLE decisions RENAME TO decisions_before;
ALTER INDEX decisions_pkey RENAME TO decisions_before_pkey;
DROP INDEX decisions_denied, decisions_reason, decisions_api, decisions_tenant, decisions_principal;

CREATE TABLE decisions (
    at             timestamptz NOT NULL,
    id             uuid NOT NULL,
    allowed        boolean NOT NULL,
    reason         smallint NOT NULL,
    principal_kind smallint NOT NULL,
    revision       bigint NOT NULL,
    took_us        bigint NOT NULL,
    epoch          bigint NOT NULL DEFAULT 0,
    seq            bigint NOT NULL DEFAULT 0,
    detail         text NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    principal_id   text COLLATE "C" NOT NULL,
    client_id      text COLLATE "C" NOT NULL,
    token_id       text NOT NULL,
    api            text COLLATE "C" NOT NULL,
    route          text COLLATE "C" NOT NULL,
    template       text NOT NULL,
    method         text NOT NULL,
    host           text NOT NULL,
    raw_path       text NOT NULL,
    permissions    text[] COLLATE "C" NOT NULL,
    resource       text NOT NULL,
    grants         text[] COLLATE "C" NOT NULL,
    door           text NOT NULL,
    pep            text NOT NULL,
    request_id     text NOT NULL,
    subjects       text[] NOT NULL DEFAULT '{}',
    scopes         text[] NOT NULL DEFAULT '{}',
    missing        text[] NOT NULL DEFAULT '{}',
    grant_subjects text[] COLLATE "C" NOT NULL DEFAULT '{}',
    source_ip      text NOT NULL DEFAULT '',
    instance       text COLLATE "C" NOT NULL DEFAULT '',
    leaf           bytea NOT NULL DEFAULT '',
    agent_parent   text NOT NULL DEFAULT '',
    agent_facets   text NOT NULL DEFAULT '',
    repeats        bigint NOT NULL DEFAULT 0,
    CONSTRAINT decisions_pkey PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
COMMENT ON TABLE decisions IS 'one row a decision, allow and deny alike; append-only, a partition a UTC day. Columns are the fields of verdict.v1.DecisionRecord';
COMMENT ON COLUMN decisions.reason IS 'number of verdict.v1.Reason';
COMMENT ON COLUMN decisions.principal_kind IS 'number of verdict.v1.PrincipalKind';
COMMENT ON COLUMN decisions.revision IS 'policy revision it was made on; 0: none was loaded';
COMMENT ON COLUMN decisions.took_us IS 'microseconds';
COMMENT ON COLUMN decisions.grant_subjects IS 'subjects that the grants in `grants` name, sorted';
COMMENT ON COLUMN decisions.instance IS 'who made it; empty: kept without a spool, and epoch and seq are the lane and the place in it';
COMMENT ON COLUMN decisions.agent_parent IS 'application id of the blueprint that the agent was made from; empty: none';
COMMENT ON COLUMN decisions.agent_facets IS 'such as actor 11; subject 13, with ignored when some of it was malformed; empty: none';
COMMENT ON COLUMN decisions.repeats IS 'further decisions like it in the second after at that have no row of their own; 0: none';
COMMENT ON COLUMN decisions.leaf IS 'SHA-256 over the record, 32 bytes; empty: none';

-- A day's rows lie in time order, so BRIN costs next to nothing and serves wide ranges; each btree serves a list, in its order.
CREATE INDEX decisions_at ON decisions USING brin (at) WITH (pages_per_range = 32);
CREATE INDEX decisions_denied ON decisions (at, id) WHERE NOT allowed;
CREATE INDEX decisions_reason ON decisions (reason, at, id);
CREATE INDEX decisions_revision ON decisions (revision, at, id);
CREATE INDEX decisions_api ON decisions (api, at, id);
CREATE INDEX decisions_route ON decisions (route, at, id) WHERE route <> '';
CREATE INDEX decisions_tenant ON decisions (tenant_id, at, id) WHERE tenant_id <> '';
CREATE INDEX decisions_principal ON decisions (principal_id, at, id) WHERE principal_id <> '';
CREATE INDEX decisions_client ON decisions (client_id, at, id) WHERE client_id <> '';
CREATE INDEX decisions_source ON decisions (instance, epoch, seq);
CREATE INDEX decisions_lists ON decisions USING gin (grant_subjects, permissions);

CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER decisions_no_truncate BEFORE TRUNCATE ON decisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE decision_partitions_dropped (
    name text COLLATE "C" CONSTRAINT decision_partitions_dropped_pkey PRIMARY KEY
);
COMMENT ON TABLE decision_partitions_dropped IS 'names of partitions that are gone for good; none of them is given again';

-- A partition is made beside the table and attached, which stops neither readers nor writers. The lock makes a second caller
-- wait for the first. The first one of a day keeps its name when it is detached, and after it was dropped, so another gets
-- another name: archives are called like partitions, and the number tells verify that the day is not whole. Its triggers are its
-- own, by statement, since those of the parent go with DETACH.
-- +goose StatementBegin
CREATE FUNCTION ensure_decision_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    base text := 'decisions_' || to_char(day, 'YYYYMMDD');
    made text := base;
    low  timestamptz := day::timestamp AT TIME ZONE 'UTC';
    high timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    copy integer := 1;
    taken boolean;
BEGIN
    IF EXISTS (SELECT FROM decision_days AS d WHERE d.day = ensure_decision_partition.day) THEN
        RETURN false;
    END IF;
    SET LOCAL lock_timeout = '2s';
    LOCK TABLE decisions IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM decision_days AS d WHERE d.day = ensure_decision_partition.day) THEN
        RETURN false;
    END IF;
    -- Until a detach is through, its partition still stands for the day.
    IF EXISTS (SELECT FROM decision_partitions AS p WHERE p.day = ensure_decision_partition.day AND p.detaching) THEN
        RAISE EXCEPTION 'the partition of % is being detached', day USING ERRCODE = 'object_in_use';
    END IF;
    LOOP
        taken := to_regclass(quote_ident(made)) IS NOT NULL; -- first: what is dropped meanwhile is found in the second place
        EXIT WHEN NOT taken AND NOT EXISTS (SELECT FROM decision_partitions_dropped AS d WHERE d.name = made);
        copy := copy + 1;
        made := base || '_' || copy;
    END LOOP;
    EXECUTE format('CREATE TABLE %I (LIKE decisions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', made);
    EXECUTE format('CREATE TRIGGER keep BEFORE UPDATE OR DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite()', made);
    EXECUTE format('ALTER TABLE decisions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', made, low, high);
    RETURN true;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION ensure_decision_partition IS 'makes the partition of a UTC day unless it is there, and says whether it did';

-- Names, not catalogue text, tell the day: they are given by ensure_decision_partition alone.
CREATE VIEW decision_partitions AS
SELECT c.oid AS relation, c.relname::text AS name, to_date(substr(c.relname, 11, 8), 'YYYYMMDD') AS day,
       i.inhrelid IS NULL AS detached, COALESCE(i.inhdetachpending, false) AS detaching
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = 'decisions'::regclass
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'decisions'::regclass)
  AND c.relkind = 'r' AND c.relname ~ '^decisions_[0-9]{8}(_[0-9]+)?$';
COMMENT ON VIEW decision_partitions IS 'partitions of decisions, by name; detached ones as well';

CREATE VIEW decision_days AS
SELECT day
FROM decision_partitions
WHERE NOT detached AND NOT detaching;
COMMENT ON VIEW decision_days IS 'UTC days that decisions has a partition for';

CREATE TABLE decision_sources (
    instance   text COLLATE "C" NOT NULL,
    epoch      bigint NOT NULL,
    day        date NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    CONSTRAINT decision_sources_pkey PRIMARY KEY (instance, epoch, day)
) WITH (fillfactor = 50);
COMMENT ON TABLE decision_sources IS 'which numbers of a source lie in which day, so that a tail looks nowhere else; written with the records';
COMMENT ON COLUMN decision_sources.epoch IS 'of the instance; the lane when instance is empty';

CREATE TABLE decision_lanes (
    lane smallint CONSTRAINT decision_lanes_pkey PRIMARY KEY,
    last bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE decision_lanes IS 'a row a lane, for records without an instance. Its lock lasts until they are committed: a lane fills in order';
INSERT INTO decision_lanes (lane, last)
SELECT lane, 0 FROM generate_series(1, 16) AS lane;

CREATE TABLE grant_use (
    day          date NOT NULL,
    grant_id     text COLLATE "C" NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    principal_id text COLLATE "C" NOT NULL,
    first_at     timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    CONSTRAINT grant_use_pkey PRIMARY KEY (day, grant_id, tenant_id, principal_id)
) WITH (fillfactor = 80);
COMMENT ON TABLE grant_use IS 'on which UTC day a grant decided for whom, and when first and last; written with the records';
COMMENT ON COLUMN grant_use.last_at IS 'may be up to a minute early';

-- verdict_pdp notes use and cannot read it, as with decisions.
-- +goose StatementBegin
CREATE FUNCTION note_grant_use(days date[], grant_ids text[], tenant_ids text[], principal_ids text[], first_ats timestamptz[], last_ats timestamptz[]) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
INSERT INTO grant_use AS g (day, grant_id, tenant_id, principal_id, first_at, last_at)
SELECT u.day, u.grant_id, u.tenant_id, u.principal_id, u.first_at, u.last_at
FROM unnest(days, grant_ids, tenant_ids, principal_ids, first_ats, last_ats) AS u (day, grant_id, tenant_id, principal_id, first_at, last_at)
ON CONFLICT (day, grant_id, tenant_id, principal_id) DO UPDATE
SET first_at = LEAST(g.first_at, excluded.first_at),
    last_at = GREATEST(g.last_at, excluded.last_at)
$$;
-- +goose StatementEnd

CREATE TABLE digests (
    number         bigint CONSTRAINT digests_pkey PRIMARY KEY CONSTRAINT digests_number CHECK (number > 0),
    kind           text NOT NULL CONSTRAINT digests_kind CHECK (kind IN ('hourly', 'backfill')),
    from_at        timestamptz NOT NULL,
    to_at          timestamptz NOT NULL,
    count          bigint NOT NULL,
    root           bytea NOT NULL,
    previous       bytea NOT NULL,
    key_id         text NOT NULL,
    signature      bytea NOT NULL,
    ranges         jsonb NOT NULL,
    revision_first bigint NOT NULL,
    revision_last  bigint NOT NULL,
    leaves         bytea NOT NULL
);
COMMENT ON TABLE digests IS 'one row a sealed window, numbered from 1 without gaps; append-only';
COMMENT ON COLUMN digests.ranges IS '[{"instance": …, "epoch": …, "first": …, "last": …, "count": …}]';
ALTER TABLE digests ALTER COLUMN leaves SET STORAGE EXTERNAL; -- packed already
CREATE INDEX digests_window ON digests (to_at, from_at);

CREATE TRIGGER digests_append_only BEFORE UPDATE OR DELETE ON digests
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER digests_no_truncate BEFORE TRUNCATE ON digests
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE leases (
    name       text COLLATE "C" CONSTRAINT leases_pkey PRIMARY KEY,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE leases IS 'who does what only one may do, until when';

CREATE TABLE cursors (
    name  text COLLATE "C" CONSTRAINT cursors_pkey PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE cursors IS 'how far each exporter has come';

-- What runs with the rights of the owner finds names in this schema, whatever its caller has in its search_path.
-- +goose StatementBegin
DO $$
DECLARE
    day date;
BEGIN
    EXECUTE format('ALTER FUNCTION ensure_decision_partition(date) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION note_grant_use(date[], text[], text[], text[], timestamptz[], timestamptz[]) SET search_path = %I, pg_temp', current_schema());
    FOR day IN
        SELECT (at AT TIME ZONE 'UTC')::date FROM decisions_before
        UNION
        SELECT (now() AT TIME ZONE 'UTC')::date + n FROM generate_series(0, 7) AS n
    LOOP
        PERFORM ensure_decision_partition(day);
    END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION ensure_decision_partition, note_grant_use FROM PUBLIC;

-- Old records go to lane 1, in the order of their time.
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, epoch, seq, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets)
SELECT at, id, allowed, reason, principal_kind, revision, took_us, 1, row_number() OVER (ORDER BY at, id), detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets
FROM decisions_before
ORDER BY at, id;

INSERT INTO decision_sources (instance, epoch, day, first_seq, last_seq)
SELECT '', 1, (at AT TIME ZONE 'UTC')::date, min(seq), max(seq)
FROM decisions
GROUP BY (at AT TIME ZONE 'UTC')::date;

UPDATE decision_lanes
SET last = (SELECT count(*) FROM decisions)
WHERE lane = 1;

INSERT INTO grant_use (day, grant_id, tenant_id, principal_id, first_at, last_at)
SELECT (at AT TIME ZONE 'UTC')::date, g, tenant_id, principal_id, min(at), max(at)
FROM decisions CROSS JOIN unnest(grants) AS g
GROUP BY (at AT TIME ZONE 'UTC')::date, g, tenant_id, principal_id;

DROP TABLE decisions_before;

ALTER TABLE apis
    ADD COLUMN audit_durability text NOT NULL DEFAULT ''
        CONSTRAINT apis_audit_durability CHECK (audit_durability IN ('', 'spool', 'strict', 'sync_db')),
    ADD COLUMN on_audit_failure text NOT NULL DEFAULT ''
        CONSTRAINT apis_on_audit_failure CHECK (on_audit_failure IN ('', 'deny', 'count'));
COMMENT ON COLUMN apis.audit_durability IS 'what an answer promises about its record; empty: as the server is configured';
COMMENT ON COLUMN apis.on_audit_failure IS 'what becomes of a decision that cannot be recorded; empty: as the server is configured';

-- What administrators changed is listed newest first, each line with the one before it of the same revocation, tenant or key.
CREATE INDEX revisions_at ON revisions (at, number);
CREATE INDEX revocation_changes_at ON revocation_changes (at, seq);
CREATE INDEX revocation_changes_id ON revocation_changes (id, seq);
CREATE INDEX trust_changes_at ON trust_changes (at, version);
CREATE INDEX trust_changes_of ON trust_changes (tenant_id, kid, provider, version);

INSERT INTO schema_compatible (version, since) VALUES (40, 2);
