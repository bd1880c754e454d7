// Package migrations holds the schemas of both engines and brings a database up to them. Up applies what is missing, forward
// only, each migration in a transaction of its own; Status tells what is applied. Two that run at once are safe: in Postgres
// the second waits for an advisory lock, in SQLite it finds the work done and looks again.
//
// It is for `verdict migrate`, `verdict dev` and tests. What serves does not import it: an engine only looks at the table
// schema_version, and knows by a constant of its own which version it needs (store.Store.CheckSchema).
//
// Rules for a new migration: the next number, in both folders or in one with a line that says why; the head says what it is
// for and which lock it takes for how long; binaries of the release before must go on with it, and then it inserts a row
// into schema_compatible to say so. SchemaVersion of the engine goes up with it; a test compares.
package migrations
