// Package doctor examines the road from an identity provider to an accepted token and says in plain words which check
// fails, the likely cause, and where to mend it.
//
// It walks every check even when an early one fails, because the first failure is seldom the only one. The last step is
// the judgement of entra.Verifier itself, made with the configuration that a server would have: whatever the other steps
// think, a token that a server refuses is never called good.
//
// A report holds no token, no signature, no key id and no claim values but those of aud, iss, tid, ver, idtyp and azp,
// quoted and cut; of all others only whether they are there, their number and their times. Nothing goes anywhere but to
// the authority that was configured; no address in a token is followed.
package doctor
