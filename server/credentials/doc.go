// Package credentials is the door of verdict.v1.CredentialsService: short-lived credentials of AWS for those whom a grant lets
// have them. Callers name an alias; the operator's file (LoadRoles) says which role, tags, session policy and duration stand
// behind it. Whether the caller may is an ordinary decision, with its record, on the permission `assume.{alias}` of the api
// that the file names; its resource is the ARN of the role.
//
// It promises:
//
//   - Whoever is refused learns nothing of which aliases there are: one that nobody declared is answered as one that the caller
//     has no grant for. The record has the exact reason.
//   - No value of a token can change the structure of a session policy, widen one of its strings or name a tag. A value that
//     cannot stand where the file puts it is refused, not mended.
//   - Every session is named for its decision, and one of AssumeRole is tagged with it, so that a session can be denied by name
//     afterwards and CloudTrail leads to the record.
//   - Credentials are made anew for each call and kept nowhere; neither they nor tokens reach a log, a record or an error.
//
// Whom AWS trusts is not its business: the role's own trust policy says that, and STS has the last word (package sts asks it).
package credentials
