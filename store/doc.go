// Package store is the contract between verdict and its databases: policy facts and decision records as plain values, what
// an engine promises about them, and the errors that are part of the promise. store/postgres and store/sqlite keep it;
// storetest checks that they do, sentence by sentence.
//
// What does not depend on an engine is here too, so that both do the same: which changes can be stored (Change.Validate),
// what a change makes of what it finds (Change.Resolve), the one form in which facts and records are kept (Canonical), and
// the net effect of a stretch of history (NetDeletes). Standard library only.
package store
