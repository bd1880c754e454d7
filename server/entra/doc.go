// Package entra proves access tokens of Microsoft Entra, and of other issuers by a mapping of their claims, and makes a
// principal of them.
//
// A token goes through sixteen steps, and the first that fails names the reason: one Bearer credential (Credential),
// then in Verify size, shape, header, key id, tenant, signature, claims, issuer, the key's issuer, cloud, audience, times,
// version, token type, principal. A strict guard reads the token before any library does: compact form only, strict
// base64url, strict JSON without repeated names. The signature is verified once, RS256 (of an OIDC provider that says so
// also ES256), with the one key that the token names and that the pinned metadata of its own tenant publishes. No network
// is touched for a tenant that is not configured, and never at an address that a token names.
//
// Who is trusted is a registry of providers and tenants, keys and discovery are key sets, one per provider, tenant and
// metadata document; all of them are immutable and stand behind atomic pointers. Readers never wait for them, except on a
// key id they have not seen: then at most 2 s, for a refresh that all share and that happens at most once in 5 minutes.
// What was fetched last is kept on disk, if that is asked for, and read again as strictly.
//
// An OIDC provider has no tenants: its name stands in their place. Its tokens share the guard, the keys and the times with
// Entra's; audience, type and principal follow its Mapping.
//
// The package knows nothing of grants, revocation or routes, and keeps no verified token: every Verify verifies.
// Nothing that it returns or logs as text holds a part of a token.
package entra
