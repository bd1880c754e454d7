// Package files is the sink that writes files: JSON lines, a record a line, packed with zstd.
//
//	audit-20261121T101112.123456Z-0.jsonl.zst        complete, and never written again
//	audit-20261121T101642.000000Z-0.jsonl.zst.open   being written
//	.lock                                            held by the process that writes; it stays
//
// The time is that of the first record. Each batch is a zstd frame of its own, and on the disk before it counts as taken, so
// after a crash a file is whole up to its last whole frame: what follows is cut off, and the records in it come again. Any
// zstd reads the frames as one stream.
package files
