// Package storetest checks that an engine keeps the contract of store.Store: one subtest a sentence. Run is the suite;
// Statements finds an engine's SQL, so that its own test can prepare all of it against the migrated schema.
package storetest
