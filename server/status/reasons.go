package status

import (
	"net/http"

	"github.com/verdict-authz/verdict/server/policy"
)

// challenge says which WWW-Authenticate header goes with a reason.
type challenge uint8

const (
	noChallenge      challenge = iota
	bareChallenge              // RFC 6750 §3: no credential was sent, so no error attribute
	invalidRequest             // error="invalid_request"
	invalidToken               // error="invalid_token"
	scopeInsufficent           // error="insufficient_scope" with the scopes that would do
	stepUp                     // what a stronger or fresher sign-in takes
)

// Rule is what a reason becomes outside.
type Rule struct {
	HTTP       int    // status code; 200 for allows
	Title      string // short, fixed
	Detail     string // what to do, one or two sentences, fixed
	Retryable  bool   // may be answered otherwise a little later without anyone changing anything
	RetryAfter int    // seconds; 0: no Retry-After header
	Undecided  bool   // nothing was decided; the deny is for safety

	challenge challenge
	public    string // code shown to callers; "" means the reason's own name
}

// tokenInvalid is the public code of every reason that would tell a forger how far a forged token came.
const tokenInvalid = "TOKEN_INVALID"

const tokenInvalidDetail = "The access token was not accepted. Sign in again for a token of this API; if it persists, give the decision id to whoever runs verdict."

// hidden is a token failure whose kind only the decision record tells.
func hidden(detail string) Rule {
	return Rule{HTTP: http.StatusUnauthorized, Title: "Token not accepted", Detail: detail, challenge: invalidToken, public: tokenInvalid}
}

// shown is a token failure that its holder can see and mend, so it is told.
func shown(title, detail string) Rule {
	return Rule{HTTP: http.StatusUnauthorized, Title: title, Detail: detail, challenge: invalidToken}
}

func forbidden(title, detail string) Rule {
	return Rule{HTTP: http.StatusForbidden, Title: title, Detail: detail}
}

func undecided(detail string) Rule {
	return Rule{HTTP: http.StatusServiceUnavailable, Title: "No decision possible", Detail: detail, Retryable: true, RetryAfter: 5, Undecided: true}
}

// rules has a row for every reason of the closed list; a test keeps it so, and docs/reasons.md has a section for each.
var rules = map[policy.Reason]Rule{
	policy.AllowedPublic:        {HTTP: http.StatusOK, Title: "Allowed", Detail: "The route is public."},
	policy.AllowedAuthenticated: {HTTP: http.StatusOK, Title: "Allowed", Detail: "The route asks only for a proven caller."},
	policy.AllowedByGrant:       {HTTP: http.StatusOK, Title: "Allowed", Detail: "A grant carries the permission."},

	policy.RequestMalformed: {HTTP: http.StatusBadRequest, Title: "Request refused as ambiguous",
		Detail: "The method, host, path or a header is not in canonical form. Send the path without dot segments, double slashes, encoded separators or a trailing slash."},
	policy.APIUnknown:        forbidden("Unknown API", "No API is registered for this host. Register the host, or name the API in the proxy's configuration."),
	policy.RouteUnknown:      forbidden("Unknown route", "The API has no route for this method and path. Add a route, or correct the request."),
	policy.PermissionUnknown: forbidden("Unknown permission", "The API declares no such permission. Declare it, or correct the question."),
	policy.UpgradeNotAllowed: forbidden("Protocol switch refused", "The route does not allow this protocol upgrade. Set upgrade on the route."),

	policy.TokenMissing: {HTTP: http.StatusUnauthorized, Title: "Token missing",
		Detail: "Send an access token: Authorization: Bearer <token>.", challenge: bareChallenge},
	policy.HeaderAmbiguous: {HTTP: http.StatusBadRequest, Title: "More than one credential",
		Detail: "Send exactly one Authorization header with one token, and no token in the query.", challenge: invalidRequest},
	policy.SchemeUnsupported: shown("Scheme not supported", "Use the Bearer scheme: Authorization: Bearer <token>."),
	policy.TokenTooLarge: {HTTP: http.StatusRequestHeaderFieldsTooLarge, Title: "Token too large",
		Detail: "The token is over 32 KiB. Reduce its groups claim, for example to groups assigned to the application."},
	policy.TokenMalformed: shown("Token malformed", "The credential is not a compact signed token. Send the access token exactly as it was issued."),
	policy.EncryptedToken: shown("Encrypted token", "The token is encrypted. Remove the token encryption certificate from the app registration."),
	policy.NonceTokenUnverifiable: shown("Token of another API",
		"The token was issued for a Microsoft API such as Graph. Request one for this API: scope api://<client id>/.default."),
	policy.TokenExpired:     shown("Token expired", "Request a fresh token."),
	policy.TokenNotYetValid: shown("Token not yet valid", "Check the clock of the machine that requested the token."),
	policy.AudienceMismatch: shown("Token of another API", "The token's audience is another API. Request one for this API: scope api://<client id>/.default."),

	policy.HeaderInvalid:          hidden(tokenInvalidDetail),
	policy.AlgNotAllowed:          hidden(tokenInvalidDetail),
	policy.CritUnsupported:        hidden(tokenInvalidDetail),
	policy.KidMissing:             hidden(tokenInvalidDetail),
	policy.KeyUnknown:             hidden(tokenInvalidDetail),
	policy.DuplicateMember:        hidden(tokenInvalidDetail),
	policy.ClaimsMalformed:        hidden(tokenInvalidDetail),
	policy.TenantNotAllowed:       hidden(tokenInvalidDetail),
	policy.TenantMismatch:         hidden(tokenInvalidDetail),
	policy.SignatureInvalid:       hidden(tokenInvalidDetail),
	policy.IssuerUntrusted:        hidden(tokenInvalidDetail),
	policy.KeyIssuerMismatch:      hidden(tokenInvalidDetail),
	policy.CloudMismatch:          hidden(tokenInvalidDetail),
	policy.TokenLifetimeExcessive: hidden(tokenInvalidDetail),
	policy.VersionMismatch:        hidden(tokenInvalidDetail),
	policy.TokenTypeRefused:       hidden(tokenInvalidDetail),
	policy.SubjectMissing:         hidden(tokenInvalidDetail),
	policy.BindingRequired:        hidden(tokenInvalidDetail),
	policy.GroupsMalformed:        hidden(tokenInvalidDetail),

	policy.TokenRevoked: shown("Token revoked", "The token was revoked. Sign in again."),
	policy.AuthContextRequired: {HTTP: http.StatusUnauthorized, Title: "Stronger sign-in needed",
		Detail: "This action needs a stronger sign-in. Sign in again as the challenge says.", challenge: stepUp},
	policy.AuthenticationTooOld: {HTTP: http.StatusUnauthorized, Title: "Fresh sign-in needed",
		Detail: "This action needs a recent sign-in. Sign in again.", challenge: stepUp},
	policy.GuestRefused: forbidden("Guests not allowed", "The API takes no guests of the tenant. Ask for an account in the tenant itself."),

	policy.ClientNotAllowed: forbidden("Application not allowed", "This client application may not call the API. Add its client id to the API's allowed_clients."),

	policy.NoGrant:       forbidden("Permission missing", "No grant gives you the missing permission. Ask for a grant to you or to a group you are in."),
	policy.DeniedByGrant: forbidden("Permission denied", "A deny grant forbids this, whatever else allows it. Ask who runs the policy to lift it."),
	policy.ScopeInsufficient: {HTTP: http.StatusForbidden, Title: "Scope missing",
		Detail:    "You hold the permission, but the application's token carries no scope for it. Request a token with one of the required scopes.",
		challenge: scopeInsufficent},
	policy.ActorNotPermitted: forbidden("Application capped", "You hold the permission, but the application that acts for you may not use it."),
	policy.ConditionNotMet:   forbidden("Condition not met", "The route's condition does not hold for this request."),

	policy.KeysUnavailable:    undecided("The signing keys of the issuer cannot be had at the moment. Try again shortly."),
	policy.GroupsUnresolved:   undecided("Your groups do not fit in the token and cannot be looked up at the moment. Try again shortly."),
	policy.PolicyUnavailable:  undecided("No policy is loaded yet. Try again shortly."),
	policy.PolicyStale:        undecided("The policy is too old to decide on because its store has been away. Try again shortly."),
	policy.RevisionNotReached: undecided("This replica has not reached the asked revision in time. Try again shortly."),
	policy.AuditUnavailable:   undecided("The decision cannot be recorded at the moment, so it is not given. Try again shortly."),
	policy.Internal:           undecided("A fault inside verdict. Give the decision id to whoever runs it."),
	policy.RevocationStale:    undecided("Revocations have not been heard of for too long, and the API is strict about them. Try again shortly."),
	policy.DeadlineTooShort:   undecided("The proxy left too little time to decide. Raise its ext_authz timeout."),
}

// Of returns the rule of a reason; an unknown one is treated as Internal.
func Of(r policy.Reason) Rule {
	if rule, ok := rules[r]; ok {
		return rule
	}
	return rules[policy.Internal]
}
