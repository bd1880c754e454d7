// Package trust carries what administrators say of whose tokens are trusted from the store to the verifier of this replica:
// tenants that were added to a provider of the configuration, signing keys that are refused, and orders to forget signing
// keys and fetch them anew.
//
// A Feed asks the store twice a second for one number, sooner on a hint, and reads the rest when it has moved, so that a
// change is in force on every replica within two seconds. While the store is away the last known state stays in force. What
// the configuration says is never taken away, and an added tenant that the verifier cannot take, because its provider is
// not configured here any more, is left out and told by Status; all others and every refused key are in force all the same.
//
// An order to purge is carried out once by a replica that runs when it is given. One that starts later, or that begins to
// trust a tenant, drops those keys that an earlier process kept on disk before the order.
//
// What a tenant's tokens must look like, and how keys are fetched, is the verifier's business.
package trust
