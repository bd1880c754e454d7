-- 0001_policy.sql: facts of the policy, and the history of every change to them.
-- Lock: none that matters, all tables are new.
--
-- Keys are COLLATE "C", so that the database orders them by their bytes, as verdict does.

-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE schema_compatible (
    version bigint CONSTRAINT schema_compatible_pkey PRIMARY KEY,
    since   bigint NOT NULL
);
COMMENT ON TABLE schema_compatible IS 'binaries that know schema `since` may go on when the schema is at `version`; without a row they may not';

CREATE TABLE policy_head (
    one      boolean DEFAULT true CONSTRAINT policy_head_pkey PRIMARY KEY CONSTRAINT policy_head_one CHECK (one),
    revision bigint NOT NULL CONSTRAINT policy_head_revision CHECK (revision >= 0)
);
COMMENT ON TABLE policy_head IS 'one row: the newest revision. Updating it is the lock that orders commits';
INSERT INTO policy_head (revision) VALUES (0);

CREATE TABLE revisions (
    number bigint CONSTRAINT revisions_pkey PRIMARY KEY CONSTRAINT revisions_number CHECK (number > 0),
    at     timestamptz NOT NULL,
    actor  text NOT NULL,
    reason text NOT NULL,
    ticket text NOT NULL
);
COMMENT ON TABLE revisions IS 'one row a change of the policy, numbered from 1 without gaps; append-only';

CREATE TABLE changes (
    revision bigint NOT NULL CONSTRAINT changes_revision_fkey REFERENCES revisions (number),
    seq      integer NOT NULL,
    kind     text NOT NULL CONSTRAINT changes_kind CHECK (kind IN ('api', 'route', 'grant')),
    key      text COLLATE "C" NOT NULL,
    before   jsonb,
    after    jsonb,
    CONSTRAINT changes_pkey PRIMARY KEY (revision, seq),
    CONSTRAINT changes_some CHECK (before IS NOT NULL OR after IS NOT NULL)
);
COMMENT ON TABLE changes IS 'what a revision did, a row a fact, in the order it was done; append-only';
COMMENT ON COLUMN changes.key IS 'id of the api or grant; api/id of the route';
COMMENT ON COLUMN changes.before IS 'the fact as it was; NULL: it was not there';
COMMENT ON COLUMN changes.after IS 'the fact as it became; NULL: it was deleted';

CREATE TABLE apis (
    id                       text COLLATE "C" CONSTRAINT apis_pkey PRIMARY KEY,
    display_name             text NOT NULL,
    audiences                text[] NOT NULL,
    hosts                    text[] NOT NULL,
    permissions              jsonb NOT NULL,
    scopes                   jsonb NOT NULL,
    actors                   jsonb NOT NULL,
    allowed_clients          text[] NOT NULL,
    allow_apps_without_roles boolean NOT NULL,
    require_sni_match        boolean NOT NULL,
    revision                 bigint NOT NULL
);
COMMENT ON COLUMN apis.permissions IS '[{"name": …, "description": …}]';
COMMENT ON COLUMN apis.scopes IS '[{"scope": …, "permissions": […]}]';
COMMENT ON COLUMN apis.actors IS '[{"client_id": …, "permissions": […]}]';
COMMENT ON COLUMN apis.revision IS 'that of the last change to this row';

CREATE TABLE routes (
    api         text COLLATE "C" NOT NULL CONSTRAINT routes_api_fkey REFERENCES apis (id),
    id          text COLLATE "C" NOT NULL,
    methods     text[] NOT NULL,
    template    text NOT NULL,
    requirement text NOT NULL CONSTRAINT routes_requirement CHECK (requirement IN ('public', 'authenticated', 'all_of', 'any_of')),
    permissions text[] NOT NULL,
    condition   text NOT NULL,
    upgrade     text NOT NULL,
    revision    bigint NOT NULL,
    CONSTRAINT routes_pkey PRIMARY KEY (api, id)
);
CREATE INDEX routes_revision ON routes (revision);
COMMENT ON COLUMN routes.condition IS 'CEL; empty: none';

CREATE TABLE grants (
    id                   text COLLATE "C" CONSTRAINT grants_pkey PRIMARY KEY,
    api                  text COLLATE "C" NOT NULL CONSTRAINT grants_api_fkey REFERENCES apis (id),
    subject              text COLLATE "C" NOT NULL,
    subject_display_name text NOT NULL,
    permissions          text[] NOT NULL,
    effect               text NOT NULL CONSTRAINT grants_effect CHECK (effect IN ('allow', 'deny')),
    condition            text NOT NULL,
    not_before           timestamptz,
    expires_at           timestamptz,
    reason               text NOT NULL,
    ticket               text NOT NULL,
    revision             bigint NOT NULL
);
CREATE INDEX grants_api ON grants (api, id);
CREATE INDEX grants_subject ON grants (subject, id);
CREATE INDEX grants_revision ON grants (revision);
COMMENT ON COLUMN grants.subject_display_name IS 'for people; never compared';
COMMENT ON COLUMN grants.condition IS 'CEL; empty: none';
COMMENT ON COLUMN grants.not_before IS 'UTC instant from which the grant counts; NULL: from the start';
COMMENT ON COLUMN grants.expires_at IS 'UTC instant from which the grant no longer counts; NULL: no end';

-- +goose StatementBegin
CREATE FUNCTION refuse_rewrite() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %: what is recorded stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION refuse_rewrite IS 'makes a table append-only, for its owner and for superusers too';

CREATE TRIGGER revisions_append_only BEFORE UPDATE OR DELETE ON revisions
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER revisions_no_truncate BEFORE TRUNCATE ON revisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();

CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE ON changes
FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER changes_no_truncate BEFORE TRUNCATE ON changes
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite();
