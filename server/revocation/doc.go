// Package revocation knows which tokens are refused before they expire. A Feed follows the store and answers from memory:
// Check costs the same at any number of revocations, takes no lock, waits for nothing and allocates nothing.
//
// The store is asked twice a second for what changed, sooner on a hint, so that a revocation, and the taking back of one,
// is in force on every replica within two seconds. While the store is away the last known set stays in force; Stale tells
// when that set was last known to be current longer ago than Config.MaxAge, and what to make of it is the caller's
// business. Before the first answer of the store nothing is known, which Check says as well: no revocation and no knowledge
// of any are different things.
//
// Revocations that have expired go by themselves, whether the store answers or not.
package revocation
