package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// RoutesByTemplate returns the routes by template, then id.
func (a *CompiledAPI) RoutesByTemplate() []*CompiledRoute {
	routes := slices.Clone(a.routes)
	slices.SortFunc(routes, func(x, y *CompiledRoute) int {
		return cmp.Or(strings.Compare(x.facts.Template, y.facts.Template), strings.Compare(x.facts.ID, y.facts.ID))
	})
	return routes
}

// InAnyCase says whether the caller may pass by a route of a whatever else a request says, and the earliest instant at which
// time alone could change that; the zero time: none. Of in, only the time, the principal and its subjects count, and Assume is
// set. A route with a condition of its own is not passed in any case, nor is one that may switch protocols. Of grants, an allow
// with a condition is taken not to hold and a deny with one to hold.
func (s *Snapshot) InAnyCase(a *CompiledAPI, r *CompiledRoute, in *Input, sc *Scratch) (passes bool, until time.Time) {
	if r.condition != nil || r.facts.Upgrade != "" {
		return false, time.Time{}
	}
	in.Assume = AssumeWorst
	out := s.EvaluateRoute(a, r, in, sc, nil)
	return out.Effect == Allow, out.Until
}
