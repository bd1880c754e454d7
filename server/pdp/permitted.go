package pdp

import (
	"context"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
)

// Permitted divides the routes of an api into those that a caller may use whatever else its request says, and all others.
// Each route is in one of the two, by template, then id. Routes are shared with the snapshot.
type Permitted struct {
	Routes  []*policy.CompiledRoute
	Refused []*policy.CompiledRoute // refused, or depending on more than method and path
	Until   time.Time               // up to which time alone changes nothing for any of Routes
}

// lister says of one route after the other whether the caller may use it.
type lister struct {
	pdp   *PDP
	snap  *policy.Snapshot
	api   *policy.CompiledAPI
	token *entra.Token // as proven; for what it says of the sign-in
	eval  *policy.Scratch
	in    policy.Input
	aside Answer // of the steps that are those of a walk

	listed *holder // with the groups of the token, or wherever groups come from
	fresh  *holder // with groups that were fetched for this question; nil: they were not

	confidential bool // the token is of a client that proved who it is, if a route of the api wants that
}

// holder is a caller with its groups, and what of it has grants.
type holder struct {
	principal *policy.Principal
	subjects  []policy.SubjectRef
}

// permitted says which routes of the api the caller of q may use, on the policy and at the instant of a. It is nil when the
// walk found no api or nobody was proven, which includes callers who are revoked or whose groups are not known. What the walk
// did not need it does itself: a caller whose route asked for no token, or for none yet, is proven now, and a is told.
func (p *PDP) permitted(ctx context.Context, q *Question, r reached, s *scratch, a *Answer) *Permitted {
	api := r.target.api
	canonical := a.Reason == policy.RequestMalformed || !malformed(a.Reason) // with a policy, the form was right and the path was not
	if q.HTTP == nil || r.snap == nil || api == nil || !canonical {
		return nil
	}
	open := target{api: api, http: true} // of no route: what each asks comes later
	aside := Answer{At: a.At}            // of these steps; the question has its own already
	token := a.Caller
	if token == nil {
		switch a.Reason { //nolint:exhaustive // with any other the walk did not accept the token
		case policy.AllowedPublic, policy.RouteUnknown, policy.RequestMalformed, policy.UpgradeNotAllowed, policy.ClientNotAllowed:
		default:
			return nil
		}
		var ok bool
		if token, ok = p.prove(ctx, q, s, &open, &aside); !ok {
			return nil
		}
	}
	if p.revoked(token, api, &aside) {
		return nil
	}
	known, ok := p.expand(ctx, token, false, &aside)
	if !ok {
		return nil
	}
	a.Caller = token
	l := lister{
		pdp: p, snap: r.snap, api: api, token: token, eval: &s.eval, in: policy.Input{Now: a.At}, aside: aside,
		confidential: p.provesClient(ctx, q, s, api),
	}
	switch {
	case r.caller == nil: // the record tells by which subjects the list was made, as it does of an answer
		l.listed = &holder{&known.Principal, s.resolve(r.snap, api, &known.Principal)}
	case r.target.needsFreshGroups(""):
		l.fresh = hold(r.snap, api, r.caller)
		fallthrough
	default:
		l.listed = hold(r.snap, api, known)
	}
	return l.list()
}

// provesClient says whether the token is of a client that proved who it is, as far as a route of the api wants to know.
func (p *PDP) provesClient(ctx context.Context, q *Question, s *scratch, api *policy.CompiledAPI) bool {
	for _, r := range api.Routes() {
		if r.Facts().ConfidentialClient {
			_, ok := p.prove(ctx, q, s, &target{api: api, routes: [2]*policy.CompiledRoute{r}, http: true}, &Answer{})
			return ok
		}
	}
	return false
}

func hold(snap *policy.Snapshot, api *policy.CompiledAPI, token *entra.Token) *holder {
	return &holder{&token.Principal, snap.Resolve(api, &token.Principal, nil)}
}

// list goes through all routes.
func (l *lister) list() *Permitted {
	all := &Permitted{Until: l.token.ExpiresAt} // where nothing is permitted too
	for _, r := range l.api.RoutesByTemplate() {
		passes, until := l.passes(r)
		if !passes {
			all.Refused = append(all.Refused, r)
			continue
		}
		all.Routes = append(all.Routes, r)
		if until.Before(all.Until) {
			all.Until = until
		}
	}
	return all
}

// passes says whether the caller may use r, and until when, at most until the token ends. The steps are those of a
// walk to that route.
func (l *lister) passes(r *policy.CompiledRoute) (passes bool, until time.Time) {
	f := r.Facts()
	if l.api.Facts().RequireSNIMatch { // every answer depends on the connection
		return false, time.Time{}
	}
	who := l.listed
	if f.Requirement != policy.RequirePublic {
		one := target{api: l.api, routes: [2]*policy.CompiledRoute{r}, http: true}
		switch {
		case one.confidential() && !l.confidential, l.pdp.mustStepUp(l.token, &one, &l.aside):
			return false, time.Time{}
		case one.needsFreshGroups(""):
			who = l.fresh
		}
		if who == nil { // fresh groups are fetched for who asks for the route itself
			return false, time.Time{}
		}
	}
	l.in.Principal, l.in.Subjects = who.principal, who.subjects
	if passes, until = l.snap.InAnyCase(l.api, r, &l.in, l.eval); !passes {
		return false, time.Time{}
	}
	l.aside.Until = l.token.ExpiresAt
	if !until.IsZero() && until.Before(l.aside.Until) {
		l.aside.Until = until
	}
	l.aside.endsWith(l.token, r)
	return true, l.aside.Until
}
