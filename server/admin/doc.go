// Package admin has the services of the admin listener: PolicyService changes and reads the policy, AuditService reads
// decision records, RevocationService refuses tokens before they expire, SystemService tells how this replica is.
//
// A change of the policy is checked as a whole before it is made: the policy that it leads to is compiled, and committed
// only on the very revision that it was compiled on, so that what is stored always compiles. Everything that is wrong is
// told at once, by its place in the request. When others commit meanwhile the change is checked again on what they made;
// a caller's own etag or expected_revision that does not hold is a conflict at once.
//
// A stored policy that does not compile, because a row was written behind the API, is never blamed on the request: changes
// that mend it are taken, others are refused with FAILED_PRECONDITION and what to mend.
//
// The services return wrapped errors; server/status makes codes of them. Rules on the shape of single fields are in the
// proto and checked before a call gets here.
package admin
