// Package pep knows who may ask. An enforcement point (PEP) is a proxy, a gateway's function or a service that asks verdict for
// decisions; a Gate says which one a call comes from and whether it may ask at all, before anything is decided.
//
// There are two ways to be known, and no shared secret is one of them: a verified client certificate, by a name in it that
// Config.Allow has, and a token that AWS STS signed for a role (GetWebIdentityToken), by the ARN of the role. The token travels
// as `authorization: Bearer` in the metadata of the call. That place is the PEP's alone: tokens of end users are part of the
// message, and are never read from metadata.
//
// Where a call has a token it decides alone; a certificate beside it does not mend a token that is not accepted. A token is
// proven by the rules of package entra, and by tighter ones where STS allows them: the one key that it names, of the issuer's
// own document at its fixed address; RS256 or ES384, whichever the key is for; the exact issuer, one audience, a life of at most
// an hour. Keys serve up to 24 h after they were last fetched, and tokens cost an issuer at most one fetch in 5 minutes.
//
// A Gate without any setting lets everyone in who reaches the listener. With one, who is not known is UNAUTHENTICATED and who
// is not allowed PERMISSION_DENIED, on a Unix socket and on loopback too. Health and reflection stay reachable.
package pep
