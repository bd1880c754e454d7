// Package postgres keeps policy and decision records in PostgreSQL 14 or later: the reference store. It promises what
// store.Store says.
//
// Commits are ordered by a row lock, the update of the one row in policy_head: no advisory lock, no serializable isolation,
// and NOTIFY is a hint that nothing depends on. A commit is one transaction, carried out in batches, so that a change of
// 100,000 grants costs a hundred round trips and not 100,000. Reads of more than one statement see one snapshot.
//
// The URL may lead through a connection pooler. Statements are prepared: with one that shares sessions between transactions
// and cannot follow prepared statements, add default_query_exec_mode=exec to the URL.
package postgres
