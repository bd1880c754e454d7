// Package spool is verdict's own durable log for decision records on their way to the store: a directory of segment
// files that many goroutines append to and one consumer reads, in order, and lets go of. docs/spool.md has the format.
//
// Append promises, per Mode, what a nil error means: with ModeSpool the record has been handed to the kernel and
// survives a crash of the process, with ModeStrict it has been fsynced and survives a loss of power. Every record gets
// a Seq that has no gaps within its epoch, and an epoch is one opening of the log, so that a loss can be proven. What
// Append refused may still be read later on, when only the last step of keeping it failed; it never takes the place of
// a record that was acknowledged.
//
// Next reads from the checkpoint on, each acknowledged record once, in order. What cannot be read is reported as a Gap
// with the numbers that are missing; nothing is skipped silently and nothing is read that was not written, since every
// frame carries a checksum. Advance moves the checkpoint, durably, and deletes the segments behind it.
//
// A segment on which a write or an fsync failed is abandoned at once: no fsync is tried a second time on the same file,
// since the kernel may answer the second one with success for pages that it dropped at the first. What was not yet
// known to be on disk is kept in memory until it is, and written again to a new segment. When that fails too, Append
// refuses (ErrFull, ErrFailed), and the log tries again by itself.
//
// The package knows nothing of what a record says, and of no store. What happens to a decision whose record is refused
// is for its caller to say.
package spool
