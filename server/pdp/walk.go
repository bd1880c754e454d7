package pdp

import (
	"context"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
)

// target is what a question is about, once it is found.
type target struct {
	api    *policy.CompiledAPI
	routes [2]*policy.CompiledRoute // the second is that of an overriding method; nil: none
	http   bool
}

// reached is how far a walk came.
type reached struct {
	snap   *policy.Snapshot // nil: the request is malformed, or there is no policy
	target target           // without an api: none was found
	caller *entra.Token     // with the groups that decided; nil: no caller was let through to the grants
}

// walk goes the road of DESIGN and fills a. Each step that does not pass answers.
func (p *PDP) walk(ctx context.Context, q *Question, pin *pinned, s *scratch, a *Answer) (r reached) {
	if q.HTTP != nil {
		if fault := request.Canonicalise(q.HTTP, &s.canonical); fault != 0 {
			reason := policy.RequestMalformed
			if fault.Ambiguous() {
				reason = policy.HeaderAmbiguous
			}
			a.deny(reason, fault.String())
			return r
		}
	}
	if pin == nil {
		snap, reason := p.snapshot(ctx, q.MinRevision, a.At)
		pin = &pinned{snap, reason}
	}
	if pin.snap == nil {
		a.deny(pin.reason, "")
		return r
	}
	r.snap = pin.snap
	a.Revision = r.snap.Revision()

	var ok bool
	if r.target, ok = locate(q, r.snap, s, a); !ok {
		return r
	}
	if r.target.public() {
		a.Effect, a.Reason = policy.Allow, policy.AllowedPublic
		return r
	}
	if r.caller, ok = p.known(ctx, q, s, &r.target, a); !ok {
		return r
	}
	evaluate(q, r.snap, r.target, r.caller, s, a)
	return r
}

// locate finds api and route, by explicit id or by host.
func locate(q *Question, snap *policy.Snapshot, s *scratch, a *Answer) (t target, ok bool) {
	t.http = q.HTTP != nil
	switch {
	case q.API != "":
		t.api = snap.APIByID(q.API)
	case t.http && s.canonical.Host != "":
		t.api = snap.APIByHost(s.canonical.Host)
	}
	if t.api == nil {
		a.deny(policy.APIUnknown, "")
		return t, false
	}
	a.API, s.basis.api = t.api.Facts().ID, t.api
	if !t.http {
		a.Permissions = []string{q.Permission}
		if !t.api.HasPermission(q.Permission) {
			a.deny(policy.PermissionUnknown, "")
			return t, false
		}
		return t, true
	}
	if t.api.Facts().RequireSNIMatch {
		if name, ok := request.CanonicalHost(q.SNI); !ok || name != request.HostName(s.canonical.Host) {
			a.deny(policy.RequestMalformed, "tls: server name is not the host")
			return t, false
		}
	}
	return t, t.match(s, a)
}

// match finds the route of the request, and with an overriding method that of the override too.
func (t *target) match(s *scratch, a *Answer) bool {
	c := &s.canonical
	if c.Override != 0 && c.Override != c.Method {
		// Whichever verb the backend obeys, both must be allowed. The parameters are those of the first match, below.
		if t.routes[1] = t.api.Match(c.Override, c.Path, &s.params); t.routes[1] == nil {
			a.deny(policy.RouteUnknown, "method override: no route")
			return false
		}
	}
	t.routes[0] = t.api.Match(c.Method, c.Path, &s.params)
	if t.routes[0] == nil {
		if c.TrailingSlash {
			a.deny(policy.RequestMalformed, "path: trailing slash")
		} else {
			a.deny(policy.RouteUnknown, "")
		}
		return false
	}
	if !t.sameRoutes(c) {
		a.deny(policy.RequestMalformed, "path: its escapes change the route")
		return false
	}
	for _, r := range t.routes {
		if r == nil {
			continue
		}
		f := r.Facts()
		if a.Route == "" {
			a.Route, a.Template = f.ID, f.Template
		}
		a.Permissions = append(a.Permissions, f.Permissions...)
		if c.Upgrade != "" && c.Upgrade != f.Upgrade {
			a.deny(policy.UpgradeNotAllowed, "")
			return false
		}
	}
	return true
}

// sameRoutes says whether the other spelling of the path, if it has one, leads to the same routes, since a backend may
// read either.
func (t *target) sameRoutes(c *request.Canonical) bool {
	if c.OtherPath == "" {
		return true
	}
	var params policy.Params
	if t.routes[1] != nil && t.api.Match(c.Override, c.OtherPath, &params) != t.routes[1] {
		return false
	}
	return t.api.Match(c.Method, c.OtherPath, &params) == t.routes[0]
}

// public says whether nobody needs to be known.
func (t *target) public() bool {
	if !t.http {
		return false
	}
	for _, r := range t.routes {
		if r != nil && r.Facts().Requirement != policy.RequirePublic {
			return false
		}
	}
	return true
}

// known proves the caller, whose token must not be revoked and whose sign-in must do for the routes, and makes sure that
// its groups are known.
func (p *PDP) known(ctx context.Context, q *Question, s *scratch, t *target, a *Answer) (*entra.Token, bool) {
	token, ok := p.prove(ctx, q, s, t, a)
	if !ok {
		return nil, false
	}
	a.Caller = token
	if p.revoked(token, t.api, a) || p.mustStepUp(token, t, a) {
		return nil, false
	}
	return p.expand(ctx, token, t.needsFreshGroups(q.Permission), a)
}

// prove takes the one credential of the question and has it verified for the api.
func (p *PDP) prove(ctx context.Context, q *Question, s *scratch, t *target, a *Answer) (*entra.Token, bool) {
	bare, refusal := credential(q, s)
	if refusal.OK() {
		f := t.api.Facts()
		var token *entra.Token
		token, refusal = p.verifier.Verify(ctx, bare, entra.Expect{
			Audiences: f.Audiences, Clients: f.AllowedClients, AllowAppsWithoutRoles: f.AllowAppsWithoutRoles,
			DenyGuests: f.DenyGuests, ConfidentialClient: t.confidential(),
		})
		if refusal.OK() && token != nil {
			return token, true
		}
	}
	if refusal.OK() { // a verifier that neither accepts nor refuses
		refusal.Reason = policy.Internal
	}
	a.deny(refusal.Reason, refusal.Detail)
	return nil, false
}

// credential finds the one place a token is in: the question's own field or the Authorization header. A token in the
// query is never read, and beside another it makes the request ambiguous.
func credential(q *Question, s *scratch) (string, entra.Refusal) {
	header := ""
	inQuery := false
	if q.HTTP != nil {
		header, inQuery = s.canonical.Authorization, s.canonical.HasQueryToken
	}
	switch {
	case q.Token != "" && header != "":
		return "", entra.Refusal{Reason: policy.HeaderAmbiguous, Detail: "credential: in the token field and the header"}
	case inQuery && (q.Token != "" || header != ""):
		return "", entra.Refusal{Reason: policy.HeaderAmbiguous, Detail: "credential: in the query too"}
	case q.Token != "":
		return q.Token, entra.Refusal{}
	}
	return entra.Credential(header)
}

// evaluate asks the grants. With an overriding method both routes must allow; the first that does not answers.
func evaluate(q *Question, snap *policy.Snapshot, t target, token *entra.Token, s *scratch, a *Answer) {
	in := policy.Input{
		Now: a.At, Principal: &token.Principal, Subjects: s.resolve(snap, t.api, &token.Principal),
		SourceIP: q.SourceIP, Resource: q.Resource,
	}
	if !t.http {
		a.take(t.api, token, snap.EvaluatePermission(t.api, q.Permission, &in, &s.eval, nil))
		return
	}
	in.Host, in.Path, in.Params = s.canonical.Host, s.canonical.Path, &s.params
	methods := [2]request.Method{s.canonical.Method, s.canonical.Override}
	for i, r := range t.routes {
		if r == nil {
			continue
		}
		if in.Method = methods[i].String(); i > 0 { // parameters are those of the route that is evaluated
			t.api.Match(methods[i], in.Path, &s.params)
		}
		a.take(t.api, token, snap.EvaluateRoute(t.api, r, &in, &s.eval, nil))
		if !a.Allowed() {
			return
		}
		a.endsWith(token, r)
	}
}

// take copies an outcome out of the scratch. A second allow adds its grants to the first.
func (a *Answer) take(api *policy.CompiledAPI, token *entra.Token, o policy.Outcome) {
	second := a.Reason != policy.ReasonNone
	a.Effect, a.Reason = o.Effect, o.Reason
	if o.Effect == policy.Allow && second {
		a.Grants = append(a.Grants, o.Grants...)
		slices.Sort(a.Grants)
		a.Grants = slices.Compact(a.Grants)
		a.Until = time.Time{} // two routes, one answer: do not keep it
		return
	}
	a.Grants = slices.Clone(o.Grants)
	a.Missing = slices.Clone(o.Missing)
	if o.Reason == policy.ScopeInsufficient {
		a.Scopes = scopesFor(api, o.Missing)
	}
	if !o.Volatile {
		a.Until = token.ExpiresAt
		if !o.Until.IsZero() && o.Until.Before(a.Until) {
			a.Until = o.Until
		}
	}
}

// scopesFor returns the scopes of which one would carry every missing permission, or failing that any of them.
func scopesFor(api *policy.CompiledAPI, missing []string) []string {
	if len(missing) == 0 {
		return nil
	}
	every := api.ScopesFor(missing[0], nil)
	var some []string
	for _, permission := range missing {
		scopes := api.ScopesFor(permission, nil)
		every = slices.DeleteFunc(every, func(s string) bool { return !slices.Contains(scopes, s) })
		for _, s := range scopes {
			if !slices.Contains(some, s) {
				some = append(some, s)
			}
		}
	}
	if len(every) > 0 {
		return every
	}
	return some
}
