// Package status is the one table that turns reasons and errors into what callers see: gRPC codes, HTTP status,
// WWW-Authenticate challenges and problem+json bodies (RFC 9457).
//
// It tells a caller what to fix and no more than is safe: texts are fixed per reason, never made of token content, and the
// reasons that would tell a forger how far a forged token came share one public code. The decision record has the exact
// reason always.
package status
