//go:build unix

// Package pgtest gives tests a real Postgres. New returns the URL of an empty, migrated database of the test's own, NewEmpty
// of one without tables. The first call starts a server for the whole test binary, in a temporary folder and on a Unix
// socket, with settings that are light and careless of loss (fsync off); the databases are clones of one template.
//
// Binaries are looked for in $VERDICT_POSTGRES_BIN, on PATH and in /usr/lib/postgresql. $VERDICT_TEST_POSTGRES, the URL of a
// superuser, names a running server instead. With neither the test is skipped, unless $VERDICT_TEST_REQUIRE lists
// "postgres": then it fails.
//
// The server is a child of a small shell that waits for the end of the test binary, however that comes, stops the server by
// its process id and removes the folder. Start gives a test a server of its own, which it may stop, start and pause.
package pgtest
