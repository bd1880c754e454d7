// Package extauthz is the door for Envoy: envoy.service.auth.v3.Authorization. It turns a CheckRequest into a question of
// package pdp and the answer into what Envoy does: let the request through with headers set and removed, or refuse it
// with status, challenge and a problem+json body.
//
// Check never returns a gRPC error: what could not be decided is Denied with 503 and a reason, since an error would hand
// the question to the proxy's failure_mode_allow.
package extauthz
