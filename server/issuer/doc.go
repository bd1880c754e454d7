// Package issuer is a local token issuer in the shape of Microsoft Entra, for `verdict dev` and for tests: discovery and
// key documents of both versions, a client credentials endpoint that OAuth libraries can use, and /mint, which gives
// whoever asks a token for any persona with any claims.
//
// It proves nothing about anybody. It answers on loopback only: New refuses another base URL, and the handler another
// Host header or a request that a browser sends for a foreign page. A verdict that trusts it trusts every process of the
// machine, so it belongs in no configuration but a developer's own.
//
// What Entra does is imitated where a resource can see it: names and forms of claims, RS256 with the header typ JWT, kids
// that are certificate thumbprints, keys that name their issuer, group overage. Sign-in, consent and Graph are not.
package issuer
