// Package audit keeps decision records on their way from the decision to the store.
//
// A Recorder takes records, holds them in order, and writes them in batches, each until the store has it. It promises an
// account that adds up: every record it took is written, waiting, or lost, and what is lost is counted exactly and said in
// the log. What cannot be taken is either refused, so that the decision is denied (OnFailure Deny), or lost and counted
// (OnFailure Count). A record that the store refuses for itself is isolated, named in the log and counted as lost.
//
// Records wait in one of two places, behind the same method, Record, which is all that the decision knows of it.
// NewRecorder holds them in memory: by default Record never waits, and a crash of the process loses what waits. NewSpooled
// holds them in a spool.Log on local disk: once Record has returned they survive the process (spool) or a loss of power too
// (strict), and the next process writes what this one left. With either, Record can wait until the store has committed the
// record (sync-db), and each api can ask for what it needs (policy.Keeping). The store may be offered a record twice, after
// a crash between its commit and the checkpoint of the spool, and keeps it once: AppendDecisions is idempotent.
//
// A record is written with its leaf (package seal) and, out of a spool, with its place: instance, epoch and a number
// without gaps. The records of an instance are written in the order of their numbers; a sync-db record too waits behind
// those that an outage left.
//
// Denials that cost nothing to cause are recorded one by one only up to a limit a second. What is above it is counted, and
// records with Repeats say how often, so that a flood fills no disk and yet no event goes unsaid.
package audit
