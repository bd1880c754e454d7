-- 0030_decision_agent.sql: decision records say what is known of an agent that called.
-- Binaries of schema 2 go on and ignore it: what they record has the columns empty.
-- Lock: ACCESS EXCLUSIVE on decisions, for the catalog change only; no row is rewritten.

-- +goose Up
SET LOCAL lock_timeout = '2s';

ALTER TABLE decisions
    ADD COLUMN agent_parent text NOT NULL DEFAULT '',
    ADD COLUMN agent_facets text NOT NULL DEFAULT '';
COMMENT ON COLUMN decisions.agent_parent IS 'application id of the blueprint that the agent was made from; empty: none';
COMMENT ON COLUMN decisions.agent_facets IS 'such as actor 11; subject 13, with ignored when some of it was malformed; empty: none';

INSERT INTO schema_compatible (version, since) VALUES (30, 2);
