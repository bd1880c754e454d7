// Package audit keeps decision records on their way from the decision to the store.
//
// A Recorder takes records without ever waiting, holds them in memory in order, and writes them in batches, each until the
// store has it. It promises an account that adds up: every record it took is written, waiting, or lost, and what is lost
// is counted exactly and said in the log. A full queue either refuses the record, so that the decision is denied
// (OnFailure Deny), or loses it and counts (OnFailure Count).
//
// What waits in memory does not survive the process; a durable spool can take the Recorder's place behind the same
// method, Record, which is all that the decision knows of it.
package audit
