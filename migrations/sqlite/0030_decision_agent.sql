-- 0030_decision_agent.sql: decision records say what is known of an agent that called. As in migrations/postgres.

-- +goose Up
-- application id of the blueprint that the agent was made from; empty: none
ALTER TABLE decisions ADD COLUMN agent_parent TEXT NOT NULL DEFAULT '';
-- such as actor 11; subject 13, with ignored when some of it was malformed; empty: none
ALTER TABLE decisions ADD COLUMN agent_facets TEXT NOT NULL DEFAULT '';

INSERT INTO schema_compatible (version, since) VALUES (30, 2);
