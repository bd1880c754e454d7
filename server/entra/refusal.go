package entra

import "github.com/verdict-authz/verdict/server/policy"

// Refusal says why a credential was not accepted; the zero value is no refusal. Detail is one of the texts below, for
// the audit record and, at the door's choice, for the caller. It never holds a part of the token.
type Refusal struct {
	Reason policy.Reason
	Detail string
}

// OK reports that nothing was refused.
func (r Refusal) OK() bool { return r == Refusal{} }

// Every refusal of this package, once.
var (
	accepted Refusal

	// Step 1: one credential, one place.
	noCredential      = Refusal{policy.TokenMissing, "no credential was sent"}
	severalValues     = Refusal{policy.HeaderAmbiguous, "the Authorization header holds more than one credential"}
	otherScheme       = Refusal{policy.SchemeUnsupported, "the credential does not use the Bearer scheme"}
	badSeparator      = Refusal{policy.TokenMalformed, "the scheme is not followed by a space and a token"}
	emptyCredential   = Refusal{policy.TokenMalformed, "the token is empty"}
	tooLarge          = Refusal{policy.TokenTooLarge, "the token is longer than 32 KiB"}
	notBase64URL      = Refusal{policy.TokenMalformed, "the token holds a character outside base64url"}
	notThreeSegments  = Refusal{policy.TokenMalformed, "the token does not have three segments"}
	encrypted         = Refusal{policy.EncryptedToken, "the token is encrypted (JWE)"}
	emptySegment      = Refusal{policy.TokenMalformed, "a segment of the token is empty"}
	notStrictBase64   = Refusal{policy.TokenMalformed, "a segment of the token is not strict base64url"}
	headerNotJSON     = Refusal{policy.HeaderInvalid, "the token header is not a strict JSON object"}
	headerDuplicate   = Refusal{policy.DuplicateMember, "a member of the token header occurs twice"}
	headerName        = Refusal{policy.HeaderInvalid, "a member of the token header differs from a known one in case only"}
	algMissing        = Refusal{policy.AlgNotAllowed, "the token header names no algorithm"}
	algType           = Refusal{policy.HeaderInvalid, "alg is not a string"}
	algOther          = Refusal{policy.AlgNotAllowed, "the algorithm is not RS256"}
	algNotOfProvider  = Refusal{policy.AlgNotAllowed, "the algorithm is not one of the provider's"}
	critPresent       = Refusal{policy.CritUnsupported, "the token header holds crit or b64"}
	forbiddenMember   = Refusal{policy.HeaderInvalid, "the token header holds cty, enc, jku, jwk, x5c, x5u or zip"}
	typOther          = Refusal{policy.HeaderInvalid, "typ is not JWT"}
	nonceHeader       = Refusal{policy.NonceTokenUnverifiable, "the token header holds a nonce: it was issued for a Microsoft API"}
	kidMissing        = Refusal{policy.KidMissing, "the token header names no key"}
	kidInvalid        = Refusal{policy.HeaderInvalid, "kid is not a key id"}
	x5tMismatch       = Refusal{policy.HeaderInvalid, "x5t does not equal kid"}
	claimsNotJSON     = Refusal{policy.ClaimsMalformed, "the claims are not a strict JSON object"}
	claimDuplicate    = Refusal{policy.DuplicateMember, "a claim occurs twice"}
	claimType         = Refusal{policy.ClaimsMalformed, "a claim has the wrong type"}
	claimText         = Refusal{policy.ClaimsMalformed, "a claim is empty or holds a control or replacement character"}
	claimMissing      = Refusal{policy.ClaimsMalformed, "iss, aud, ver, iat, nbf or exp is missing"}
	tenantMalformed   = Refusal{policy.ClaimsMalformed, "tid is not a GUID"}
	tenantUnknown     = Refusal{policy.TenantNotAllowed, "the tenant is not configured"}
	tenantCase        = Refusal{policy.TenantMismatch, "tid is not in lower case"}
	keyUnknown        = Refusal{policy.KeyUnknown, "the issuer publishes no such key"}
	keyDenied         = Refusal{policy.KeyUnknown, "the key is on the deny-list"}
	keysUnavailable   = Refusal{policy.KeysUnavailable, "the keys of the issuer cannot be had"}
	signatureInvalid  = Refusal{policy.SignatureInvalid, "the signature does not verify"}
	issuerTenant      = Refusal{policy.TenantMismatch, "iss names another tenant than tid"}
	issuerUntrusted   = Refusal{policy.IssuerUntrusted, "iss is not the issuer configured for the tenant"}
	keyIssuerMismatch = Refusal{policy.KeyIssuerMismatch, "the signing key belongs to another issuer"}
	cloudMismatch     = Refusal{policy.CloudMismatch, "the signing key belongs to another cloud"}
	noAudience        = Refusal{policy.AudienceMismatch, "no audience is configured for the api"}
	audienceMismatch  = Refusal{policy.AudienceMismatch, "aud is not an audience of the api"}
	expired           = Refusal{policy.TokenExpired, "exp has passed"}
	notYetValid       = Refusal{policy.TokenNotYetValid, "nbf or iat is in the future"}
	timesContradict   = Refusal{policy.ClaimsMalformed, "nbf is after exp"}
	lifetimeExcessive = Refusal{policy.TokenLifetimeExcessive, "exp is more than 28 hours after iat"}
	versionMismatch   = Refusal{policy.VersionMismatch, "ver is not accepted or does not fit iss"}
	idToken           = Refusal{policy.TokenTypeRefused, "the token is an ID token or names no client"}
	idtypMissing      = Refusal{policy.TokenTypeRefused, "idtyp is missing"}
	idtypOther        = Refusal{policy.TokenTypeRefused, "idtyp is neither user nor app"}
	userWithoutScope  = Refusal{policy.TokenTypeRefused, "a user token carries no scope"}
	appWithScope      = Refusal{policy.ClaimsMalformed, "an app token carries a delegated scope"}
	appWithoutRoles   = Refusal{policy.TokenTypeRefused, "an app token carries no role"}
	clientsDiffer     = Refusal{policy.ClaimsMalformed, "azp and appid differ"}
	identifierNotGUID = Refusal{policy.ClaimsMalformed, "oid or the client id is not a GUID in lower case"}
	subjectMissing    = Refusal{policy.SubjectMissing, "oid is missing"}
	clientNotAllowed  = Refusal{policy.ClientNotAllowed, "the client application is not on the list of the api"}
	clientPublic      = Refusal{policy.ClientNotAllowed, "the client did not prove who it is, and the route asks for that"}
	guestRefused      = Refusal{policy.GuestRefused, "the api takes no guests of the tenant"}
	bindingRequired   = Refusal{policy.BindingRequired, "the token is bound to a key (cnf)"}
	requiredClaim     = Refusal{policy.TokenTypeRefused, "the token lacks a claim that its provider requires"}
	mappedIdentifier  = Refusal{policy.ClaimsMalformed, "the subject or the client id cannot be named by a grant"}

	mappedSubjectMissing = Refusal{policy.SubjectMissing, "the claim that holds the subject is missing"}

	groupsMalformed = Refusal{policy.GroupsMalformed, "groups is not a list of texts"}
)
