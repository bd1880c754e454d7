// Package pdp makes decisions, in an order that is part of the contract (the first failing step answers):
//
//  1. canonicalise the request, or refuse it as malformed
//  2. find the api and the route
//  3. a public route: allow
//  4. prove the token
//  5. revoked? A token that a revocation names is refused; when revocations were never loaded, or are too old for an api
//     that is strict about them, there is no decision
//  6. step up: what the route asks of the sign-in, first its strength (auth_context), then its age (max_token_age).
//     Applications do not sign in and cannot meet either
//  7. expand the principal to subjects; groups that do not fit in the token and cannot be had are no decision
//  8. evaluate the grants
//  9. record the decision; one that cannot be recorded is not given
//
// Decide always answers: whatever goes wrong becomes a deny with a reason, never an error and never an allow. It knows
// nothing of gRPC or HTTP; the doors turn their messages into a Question and an Answer into theirs. It holds no state of
// its own: policy, keys and records belong to its collaborators.
package pdp
