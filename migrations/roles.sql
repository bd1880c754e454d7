-- roles.sql: who may do what. Not a numbered migration: it runs after each `verdict migrate`, so that roles which an
-- administrator made later get their rights on the next run. Running it again changes nothing.
--
-- Roles belong to the whole cluster, and the user that migrates may not be allowed to make them: then it says so and goes
-- on, since a single user that owns the tables can serve too (with no wall between policy and audit).
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['verdict_pdp', 'verdict_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % is not there and this user may not create it; see docs/store.md', wanted;
                    CONTINUE;
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- another database of the cluster is being migrated
            END;
        END IF;
        BEGIN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'this user may not grant USAGE on schema % to %', current_schema(), wanted;
        END;
        BEGIN
            EXECUTE format('GRANT SELECT ON schema_version, schema_compatible, policy_head, revisions, changes, apis, routes, grants TO %I', wanted);
            EXECUTE format('GRANT SELECT ON revocation_head, revocations, revocation_changes TO %I', wanted);
            EXECUTE format('GRANT SELECT ON trust_head, trust_tenants, trust_denied_keys, trust_changes TO %I', wanted);
            EXECUTE format('GRANT SELECT ON mirror_tenants, mirror_links, mirror_principals, mirror_groups, mirror_members, mirror_events TO %I', wanted);
            EXECUTE format('GRANT EXECUTE ON FUNCTION ensure_decision_partition(date) TO %I', wanted);
            EXECUTE format('GRANT SELECT ON decision_partitions, decision_days, decision_sources TO %I', wanted);
            IF wanted = 'verdict_pdp' THEN
                EXECUTE format('GRANT INSERT ON decisions TO %I', wanted);
                EXECUTE format('GRANT INSERT, UPDATE ON decision_sources TO %I', wanted);
                EXECUTE format('GRANT SELECT, UPDATE ON decision_lanes TO %I', wanted);
                EXECUTE format('GRANT EXECUTE ON FUNCTION note_grant_use(date[], text[], text[], text[], timestamptz[], timestamptz[]) TO %I', wanted);
                -- Copying groups is the work of those who decide. To revoke what the directory took away takes verdict_admin.
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON mirror_tenants, mirror_links, mirror_principals, mirror_groups, mirror_members, mirror_events TO %I', wanted);
            ELSE
                EXECUTE format('GRANT UPDATE (revision) ON policy_head TO %I', wanted);
                EXECUTE format('GRANT INSERT ON revisions, changes TO %I', wanted);
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON apis, routes, grants TO %I', wanted);
                EXECUTE format('GRANT SELECT ON decisions, grant_use TO %I', wanted);
                EXECUTE format('GRANT SELECT, INSERT ON digests TO %I', wanted);
                EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON leases, cursors TO %I', wanted);
                EXECUTE format('GRANT UPDATE (seq) ON revocation_head TO %I', wanted);
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON revocations TO %I', wanted);
                EXECUTE format('GRANT INSERT ON revocation_changes TO %I', wanted);
                EXECUTE format('GRANT UPDATE (version) ON trust_head TO %I', wanted);
                EXECUTE format('GRANT INSERT, UPDATE, DELETE ON trust_tenants, trust_denied_keys TO %I', wanted);
                EXECUTE format('GRANT INSERT ON trust_changes TO %I', wanted);
            END IF;
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON decisions, revisions, changes, digests, revocation_changes, trust_changes FROM %I, PUBLIC', wanted);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'this user does not own the tables and may not grant rights to %', wanted;
        END;
    END LOOP;
END
$$;
