// Package seal proves that decision records and the changes of administrators are as they were written. Each window of time
// gets a digest: the root of a Merkle tree over its records, signed with Ed25519, which names the digest before it. Verify
// says which record was edited, which is missing, which was put in, and where numbers of an instance leave a gap.
//
// It proves nothing against who holds the signing key, and nothing about records that were taken away before the digest of
// their window, except by the gap that they leave. Keep the key from the owner of the database, and copies of the digests
// where neither can rewrite them.
package seal
