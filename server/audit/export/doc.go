// Package export gives every decision record to a system outside of verdict, at least once. An Exporter follows the records
// from a cursor of its own that the store keeps; one replica at a time does so, under a lease. Records go to a Sink in
// batches, those of an instance in their order, and the cursor moves only when the Sink has said that it has them: what is
// down delays and never loses. After a crash, a takeover or an answer that was lost some records come again; the decision's
// id tells them.
//
// A record that a Sink will never take does not hold up the others, and is not dropped on a guess: the batch is halved until
// the record stands alone, and it is passed, logged by its id and counted only when the Sink takes other records at the same
// time. A Sink that takes none is at fault itself and is waited for.
//
// The rooms below are the sinks: otlp, files, kafka. Shape is what the last two write.
package export
