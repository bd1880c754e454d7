// Package sqlite keeps policy and decision records in one SQLite file, for a single node: development, edge, small
// installations. It promises the same as store/postgres (store.Store), with one process at a time meant to write.
//
// One connection writes and a few read. The journal is a write-ahead log, so readers see one state while a commit runs;
// synchronous is FULL, so what was committed survives loss of power. The file is made with mode 0600. Instants are
// microseconds since 1970 UTC, lists are JSON text, tables are STRICT. Hints (Notify) reach this process only.
package sqlite
