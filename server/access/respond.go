package access

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
)

// Response translates an answer, for doors whose callers read it as those of Check do.
func (s *Server) Response(a *pdp.Answer) *verdictv1.CheckResponse { return s.response(a) }

// response translates an answer. The asker is an enforcement point, so the reason is the exact one; detail and challenge
// are what it may pass on to its caller.
func (s *Server) response(a *pdp.Answer) *verdictv1.CheckResponse {
	r := s.refusal(a)
	rule := r.Rule()
	resp := &verdictv1.CheckResponse{
		Effect:             verdictv1.Effect_EFFECT_DENY,
		Reason:             verdictv1.Reason(a.Reason),
		Revision:           a.Revision,
		DecisionId:         a.ID,
		Detail:             rule.Detail,
		Principal:          principal(a.Caller),
		Api:                a.API,
		Route:              a.Route,
		Grants:             a.Grants,
		MissingPermissions: a.Missing,
		RequiredScopes:     a.Scopes,
		HttpStatus:         int32(rule.HTTP), //nolint:gosec // HTTP status codes fit
		Retryable:          rule.Retryable,
	}
	if a.Detail != "" && (s.verbose || a.Reason == policy.RequestMalformed) {
		resp.Detail += " (" + a.Detail + ")"
	}
	if a.Allowed() {
		resp.Effect = verdictv1.Effect_EFFECT_ALLOW
	} else {
		resp.WwwAuthenticate = status.Challenges(r)
		if a.Reason == policy.AuthContextRequired {
			resp.RequiredAuthContext = a.SignIn.AuthContext
		}
	}
	if ttl := s.ttl(a.At, a.Until); ttl > 0 {
		resp.Ttl = durationpb.New(ttl)
	}
	if a.Permitted != nil {
		resp.PermittedRoutes = s.permitted(a)
	}
	return resp
}

// permitted translates the list of routes.
func (s *Server) permitted(a *pdp.Answer) *verdictv1.PermittedRoutes {
	list := &verdictv1.PermittedRoutes{Permitted: routes(a.Permitted.Routes), Refused: routes(a.Permitted.Refused)}
	if ttl := s.ttl(a.At, a.Permitted.Until); ttl > 0 {
		list.Ttl = durationpb.New(ttl)
	}
	return list
}

func routes(compiled []*policy.CompiledRoute) []*verdictv1.PermittedRoute {
	list := make([]*verdictv1.PermittedRoute, len(compiled))
	for i, r := range compiled {
		f := r.Facts()
		list[i] = &verdictv1.PermittedRoute{Id: f.ID, Methods: f.Methods, Template: f.Template, Upgrade: f.Upgrade}
	}
	return list
}

func (s *Server) refusal(a *pdp.Answer) status.Refusal {
	r := status.Refusal{
		Reason: a.Reason, Scopes: a.Scopes, Verbose: s.verbose,
		AuthContext: a.SignIn.AuthContext, MaxAge: a.SignIn.MaxAge, NotBefore: a.SignIn.NotBefore, Authority: a.SignIn.Authority,
	}
	if a.Caller != nil {
		r.Kind, r.TenantID, r.CanChallenge = a.Caller.Principal.Kind, a.Caller.Principal.TenantID, a.Caller.CanChallenge
	}
	return r
}

// ttl is how long what was answered at an instant may be kept: never beyond the token, the next instant at which a grant
// begins or ends, or what the operator allows, and not at all when it holds for this one question only.
func (s *Server) ttl(at, until time.Time) time.Duration {
	if until.IsZero() {
		return 0
	}
	return max(0, min(s.maxTTL, until.Sub(at)))
}

func principal(t *entra.Token) *verdictv1.Principal {
	if t == nil {
		return nil
	}
	return &verdictv1.Principal{
		Kind:        verdictv1.PrincipalKind(t.Principal.Kind),
		TenantId:    t.Principal.TenantID,
		ObjectId:    t.Principal.ObjectID,
		ClientId:    t.Principal.ClientID,
		DisplayName: t.DisplayName,
	}
}
