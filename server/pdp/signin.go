package pdp

import (
	"slices"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/revocation"
)

// revoked denies a token that a revocation names. It denies too when that cannot be said: revocations were never loaded, or
// are too old for this api.
func (p *PDP) revoked(token *entra.Token, api *policy.CompiledAPI, a *Answer) bool {
	who := &token.Principal
	hit, known := p.revocations.Check(revocation.Facts{
		TenantID: who.TenantID, ObjectID: who.ObjectID, ClientID: who.ClientID,
		SessionID: token.SessionID, TokenID: token.TokenID, IssuedAt: token.IssuedAt,
	})
	switch {
	case hit != nil:
		a.deny(policy.TokenRevoked, "revoked: "+string(hit.Kind)+", revocation "+hit.ID)
		a.SignIn = SignIn{NotBefore: hit.NotBefore, Authority: p.authorities[token.Provider]}
	case !known:
		a.deny(policy.RevocationStale, "revocations: never loaded")
	case api.Facts().StrictRevocation && p.revocations.Stale(a.At):
		a.deny(policy.RevocationStale, "revocations: too old for a strict api")
	default:
		return false
	}
	return true
}

// mustStepUp denies a caller whose sign-in is not what a route asks for: first not strong enough, then not fresh enough.
// The challenge names all that the route asks for, so that one new sign-in is enough.
func (p *PDP) mustStepUp(token *entra.Token, t *target, a *Answer) bool {
	for _, r := range t.routes {
		if r == nil {
			continue
		}
		f := r.Facts()
		var reason policy.Reason
		var detail string
		app := token.Principal.Kind != policy.PrincipalUser // what is no user does not sign in
		switch {
		case f.AuthContext != "" && app:
			reason, detail = policy.AuthContextRequired, "auth_context: not a user"
		case f.AuthContext != "" && !slices.Contains(token.AuthContexts, f.AuthContext):
			reason, detail = policy.AuthContextRequired, "auth_context: not among acrs"
		case f.MaxTokenAge > 0 && app:
			reason, detail = policy.AuthenticationTooOld, "max_token_age: not a user"
		case f.MaxTokenAge > 0 && token.AuthTime.IsZero():
			reason, detail = policy.AuthenticationTooOld, "max_token_age: no auth_time"
		case f.MaxTokenAge > 0 && a.At.Sub(token.AuthTime) > f.MaxTokenAge:
			reason, detail = policy.AuthenticationTooOld, "max_token_age: auth_time too old"
		default:
			continue
		}
		a.deny(reason, detail)
		a.SignIn = SignIn{AuthContext: f.AuthContext, MaxAge: f.MaxTokenAge, Authority: p.authorities[token.Provider]}
		return true
	}
	return false
}

// confidential says whether a route takes confidential clients only.
func (t *target) confidential() bool {
	for _, r := range t.routes {
		if r != nil && r.Facts().ConfidentialClient {
			return true
		}
	}
	return false
}

// endsWith makes an allow hold no longer than the sign-in is fresh enough for the route.
func (a *Answer) endsWith(token *entra.Token, r *policy.CompiledRoute) {
	age := r.Facts().MaxTokenAge
	if age == 0 || a.Until.IsZero() {
		return
	}
	if end := token.AuthTime.Add(age); end.Before(a.Until) {
		a.Until = end
	}
}
