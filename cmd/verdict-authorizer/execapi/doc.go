// Package execapi writes the IAM policies that a Lambda authorizer answers API Gateway with, and proves what they let pass.
//
// A policy is made of route templates and of what the gateway said in the ARN of the request; nothing that a client wrote gets
// into one. That is not enough for a policy that the gateway keeps and reads again for other requests: its only wildcard spans
// slashes, so that `GET/users/*`, written for the template /users/{id}, lets /users/1/admin pass too. So a Set is proven when
// it is built: every path that one of its Allow patterns matches is one that verdict itself would let pass, or a Deny pattern
// covers it; and no Deny pattern touches a route that the set is to allow. What cannot be proven is said so, and is not to be
// kept. The proof errs on the side of no.
//
// It knows nothing of events, of Lambda and of gRPC.
package execapi
