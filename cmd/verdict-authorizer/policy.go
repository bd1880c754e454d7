package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// policy answers with an IAM policy: of all that is permitted where the settings want that and it can be proven, else of the one
// route that was asked about.
func (a *authorizer) policy(q *question, resp *verdictv1.CheckResponse, allowed bool, l *line) (any, error) {
	routes := resp.GetPermittedRoutes()
	if a.cfg.grantSet && q.kind != webSocket && !q.kind.httpAPI() && routes != nil {
		answer, why, err := a.everything(q, resp, allowed, l)
		if answer != nil || err != nil {
			return answer, err
		}
		l.note = why + ": answered for one route; until that is mended the authorizer's TTL should be 0"
	}
	if !allowed {
		return a.denied(q, resp, l), nil
	}
	if q.arn.Method == execapi.Connect || q.arn.Method == execapi.Default {
		return a.constant(q, resp, l)
	}
	if routes == nil { // a public route, and a token that is not accepted: no caller, so no list
		return a.unauthorized(q, resp, l, l.reason)
	}
	return a.oneRoute(q, resp, l)
}

// kept says whether the gateway keeps the answer for other requests. It keeps none for WebSockets.
func (a *authorizer) kept(q *question) bool { return a.cfg.cacheTTL > 0 && q.kind != webSocket }

// constant answers where the ARN has no method and no path: its last word is the gateway's.
func (a *authorizer) constant(q *question, resp *verdictv1.CheckResponse, l *line) (any, error) {
	if a.kept(q) {
		return nil, failure("NotSeparable", "an answer for $default would let every route pass; set the authorizer's TTL and VERDICT_CACHE_TTL to 0s")
	}
	return a.allow(q, resp, &execapi.Set{Allow: []string{q.arn.Method}}, resp.GetTtl().AsDuration(), l)
}

// oneRoute answers for the route that was asked about, by its template.
func (a *authorizer) oneRoute(q *question, resp *verdictv1.CheckResponse, l *line) (any, error) {
	routes := resp.GetPermittedRoutes()
	i := slices.IndexFunc(routes.GetPermitted(), func(r *verdictv1.PermittedRoute) bool { return r.GetId() == resp.GetRoute() })
	ttl, route := routes.GetTtl().AsDuration(), (*verdictv1.PermittedRoute)(nil)
	if i >= 0 {
		route = routes.GetPermitted()[i]
	} else if i = slices.IndexFunc(routes.GetRefused(), func(r *verdictv1.PermittedRoute) bool { return r.GetId() == resp.GetRoute() }); i >= 0 {
		ttl, route = 0, routes.GetRefused()[i] // allowed to this request, and perhaps to no other
	}
	if route == nil || !slices.Contains(route.GetMethods(), q.arn.Method) {
		return nil, failure("NoTemplate", "verdict allowed a route that it did not name")
	}
	table := a.table(routes)
	set := table.Only(execapi.Route{Methods: route.GetMethods(), Template: route.GetTemplate()}, q.arn.Method)
	// A decoded path holds bytes that no pattern can refuse, so that only a path without parameters is one path.
	proven := set.Proven && (!q.kind.httpAPI() || !strings.Contains(route.GetTemplate(), "{"))
	if a.kept(q) {
		switch {
		case ttl <= 0:
			return nil, errNotKeepable()
		case !proven || a.size(q, &set) > a.cfg.policyLimit:
			return nil, failure("NotSeparable", "the route cannot be told from others by a policy that is kept (route "+route.GetId()+"); set the authorizer's TTL and VERDICT_CACHE_TTL to 0s")
		}
		return a.allow(q, resp, &set, ttl, l)
	}
	// What is denied beside is for a TTL that is not what the settings say it is: an escape in this path, which meets some of it,
	// must neither fail for that nor let everything else pass.
	if set.Spare(q.arn.Request()); a.size(q, &set) > a.cfg.policyLimit {
		set.Deny = nil
	}
	return a.allow(q, resp, &set, resp.GetTtl().AsDuration(), l)
}

// allow answers with a set that is to let the request pass.
func (a *authorizer) allow(q *question, resp *verdictv1.CheckResponse, set *execapi.Set, ttl time.Duration, l *line) (any, error) {
	d, err := set.Document(q.arn)
	switch {
	case err != nil:
		l.reason = "resource_too_long"
		return a.denied(q, resp, l), nil
	case !set.Passes(q.arn.Request()):
		l.note = "verdict allows the request, and no template as a pattern matches its ARN: is there a base path (VERDICT_BASE_PATH), an escape, or a star in the template?"
		l.reason = "arn_mismatch"
		return a.denied(q, resp, l), nil
	}
	l.effect = "allow"
	return a.iam(d, resp, a.allowContext(resp, ttl, false)), nil
}

// everything answers with all that is permitted, also to a request that is refused: the gateway keeps the answer for the next.
// No answer and no error: why not.
func (a *authorizer) everything(q *question, resp *verdictv1.CheckResponse, allowed bool, l *line) (answer any, why string, err error) {
	routes := resp.GetPermittedRoutes()
	ttl := routes.GetTtl().AsDuration()
	if ttl <= 0 {
		if !allowed {
			return a.denied(q, resp, l), "", nil
		}
		return nil, "", errNotKeepable()
	}
	table := a.table(routes)
	if table.Resources()*len(q.arn.Prefix()) > a.cfg.policyLimit {
		return nil, "policy_too_large", nil
	}
	set := table.All()
	if !set.Proven {
		return nil, "not_separable", nil
	}
	d, err := set.Document(q.arn)
	if err != nil {
		return nil, "resource_too_long", nil
	}
	if a.size(q, &set) > a.cfg.policyLimit {
		return nil, "policy_too_large", nil
	}
	passes := set.Passes(q.arn.Request())
	switch {
	case !allowed && passes: // refused for something beside method and path, such as a header
		return a.denied(q, resp, l), "", nil
	case allowed && !passes:
		l.note = "verdict allows the request, and the set of what is permitted without condition does not hold it"
	}
	if l.effect = "deny"; passes {
		l.effect = "allow"
	}
	return a.iam(d, resp, a.allowContext(resp, ttl, true)), "", nil
}

func (a *authorizer) table(routes *verdictv1.PermittedRoutes) *execapi.Table {
	list := func(from []*verdictv1.PermittedRoute) []execapi.Route {
		to := make([]execapi.Route, len(from))
		for i, r := range from {
			to[i] = execapi.Route{Methods: r.GetMethods(), Template: r.GetTemplate()}
		}
		return to
	}
	return &execapi.Table{Permitted: list(routes.GetPermitted()), Refused: list(routes.GetRefused()), Reach: a.cfg.reach}
}

// size is how many bytes the policy of a set has.
func (a *authorizer) size(q *question, set *execapi.Set) int {
	d, err := set.Document(q.arn)
	if err != nil {
		return 0 // told apart by who makes the answer
	}
	b, _ := json.Marshal(d) // strings always do
	return len(b)
}
