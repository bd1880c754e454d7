package policy

import (
	"slices"
	"time"
)

// Scratch holds what one evaluation needs, so that it allocates nothing once the slices have grown. Not for concurrent use;
// reuse it. An Outcome is good until its Scratch is used again.
type Scratch struct {
	allows, denies, missing []string
	runs                    []run
	one                     [1]*permission
}

// run is the entries of one of the caller's subjects.
type run struct {
	held    *shard
	entries []entry
}

// evaluation is one question on its way to an answer.
type evaluation struct {
	api      *CompiledAPI
	in       *Input
	scratch  *Scratch
	until    time.Time
	volatile bool
}

// EvaluateRoute decides whether the caller may pass by a route of a. The answer depends on nothing but s, r and in. With a
// trace, it also writes down why.
func (s *Snapshot) EvaluateRoute(a *CompiledAPI, r *CompiledRoute, in *Input, sc *Scratch, tr *Trace) Outcome {
	e := evaluation{api: a, in: in, scratch: sc}
	out := e.route(r)
	if tr != nil {
		tr.ofRoute(a, r, in, &out)
	}
	return out
}

// EvaluatePermission decides whether the caller may use a permission of a.
func (s *Snapshot) EvaluatePermission(a *CompiledAPI, name string, in *Input, sc *Scratch, tr *Trace) Outcome {
	out := Outcome{Reason: PermissionUnknown}
	p := a.vocabulary.byName[name]
	if p != nil {
		e := evaluation{api: a, in: in, scratch: sc}
		e.begin()
		sc.one[0] = p
		out = e.finish(e.allOf(sc.one[:]))
	}
	if tr != nil {
		tr.ofPermission(a, p, name, in, &out)
	}
	return out
}

// route never allows without a requirement that says so.
func (e *evaluation) route(r *CompiledRoute) Outcome {
	if r.facts.Requirement == RequirePublic {
		return Outcome{Effect: Allow, Reason: AllowedPublic}
	}
	e.begin()
	var out Outcome
	switch r.facts.Requirement {
	case RequireAuthenticated:
		if e.in.Principal == nil {
			return Outcome{Reason: TokenMissing}
		}
		out = Outcome{Effect: Allow, Reason: AllowedAuthenticated}
	case RequireAllOf:
		out = e.allOf(r.permissions)
	case RequireAnyOf:
		out = e.anyOf(r.permissions)
	default:
		return Outcome{Reason: Internal} // Compile lets no such route through
	}
	if out.Effect == Allow && r.condition != nil {
		e.volatile = true
		if holds, err := r.condition.Holds(e.in); err != nil || !holds {
			out = Outcome{Reason: ConditionNotMet}
		}
	}
	return e.finish(out)
}

// begin finds the runs of all subjects before any is read: the memory they lie in is then fetched side by side and not one
// after the other.
func (e *evaluation) begin() {
	sc := e.scratch
	sc.allows, sc.denies, sc.missing, sc.runs = sc.allows[:0], sc.denies[:0], sc.missing[:0], sc.runs[:0]
	for _, ref := range e.in.Subjects {
		held, entries := e.api.grants.run(ref)
		sc.runs = append(sc.runs, run{held, entries})
	}
}

func (e *evaluation) finish(out Outcome) Outcome {
	out.Until, out.Volatile = e.until, e.volatile
	return out
}

// allOf looks at every permission. What has to be fixed first decides the reason: a deny, then a grant, then the scope,
// then the actor.
func (e *evaluation) allOf(permissions []*permission) Outcome {
	reason := AllowedByGrant
	for _, p := range permissions {
		switch found := e.weigh(p, reason != DeniedByGrant); {
		case found == AllowedByGrant:
		case reason == AllowedByGrant || fixedBefore(found, reason):
			reason = found
			fallthrough
		default:
			e.scratch.missing = append(e.scratch.missing, p.name)
		}
	}
	return e.outcome(reason)
}

// anyOf stops at the first permission that passes. When none does, the one nearest to passing decides the reason, after a
// deny: it lacks the actor's cap only, then the scope, then a grant.
func (e *evaluation) anyOf(permissions []*permission) Outcome {
	reason := NoGrant
	for _, p := range permissions {
		found := e.weigh(p, reason != DeniedByGrant)
		if found == AllowedByGrant {
			return e.outcome(found)
		}
		if found == DeniedByGrant || reason != DeniedByGrant && fixedBefore(reason, found) {
			reason = found
		}
		e.scratch.missing = append(e.scratch.missing, p.name)
	}
	return e.outcome(reason)
}

// fixedBefore orders the reasons for which a permission does not pass by what one has to mend first.
func fixedBefore(a, b Reason) bool { return mendOrder(a) < mendOrder(b) }

func mendOrder(r Reason) int {
	switch r {
	case DeniedByGrant:
		return 0
	case NoGrant:
		return 1
	case ScopeInsufficient:
		return 2
	default: // ActorNotPermitted
		return 3
	}
}

func (e *evaluation) outcome(reason Reason) Outcome {
	out := Outcome{Reason: reason}
	switch reason {
	case AllowedByGrant:
		out.Effect = Allow
		out.Grants = sortedOnce(e.scratch.allows)
	case DeniedByGrant:
		out.Grants = sortedOnce(e.scratch.denies)
	default:
		out.Missing = e.scratch.missing
	}
	return out
}

func sortedOnce(ids []string) []string {
	if len(ids) < 2 {
		return ids
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
