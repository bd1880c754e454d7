package policy

import "time"

// weigh says what becomes of one permission: AllowedByGrant, or why it does not pass. The allows that carry it, or with
// keepDenies the denies that forbid it, stay in the scratch.
func (e *evaluation) weigh(p *permission, keepDenies bool) Reason {
	sc := e.scratch
	allows, denies := len(sc.allows), len(sc.denies)
	for i := range sc.runs {
		e.collect(sc.runs[i].held, sc.runs[i].entries, p)
	}
	reason := AllowedByGrant
	switch {
	case len(sc.denies) > denies:
		reason = DeniedByGrant
		if !keepDenies {
			sc.denies = sc.denies[:denies]
		}
	case len(sc.allows) == allows:
		reason = NoGrant
	case e.in.Principal == nil:
		reason = NoGrant
	case e.in.Principal.Kind == PrincipalApp:
	case !e.api.carries(e.in.Principal.Scopes, p):
		reason = ScopeInsufficient
	case !e.api.actorMay(e.in.Principal.ClientID, p):
		reason = ActorNotPermitted
	}
	if reason != AllowedByGrant {
		sc.allows = sc.allows[:allows]
	}
	return reason
}

// scanLimit is how long a run is gone through entry by entry; eight entries are a cache line.
const scanLimit = 16

func (e *evaluation) collect(held *shard, run []entry, p *permission) {
	if len(run) <= scanLimit {
		for _, en := range run {
			if p.named(en.pattern) {
				e.count(held, en.grant)
			}
		}
		return
	}
	for _, pattern := range p.patterns[:p.n] {
		for _, en := range run[firstOf(run, pattern):] {
			if en.pattern != pattern {
				break
			}
			e.count(held, en.grant)
		}
	}
}

// firstOf is the index of the first entry of a pattern or of one after it.
func firstOf(run []entry, pattern uint32) int {
	low, high := 0, len(run)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if run[middle].pattern < pattern {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// count keeps the id of a grant whose subject and pattern match, if its limits let it.
func (e *evaluation) count(held *shard, flags uint32) {
	g := &held.grants[flags&entryGrant]
	deny := flags&entryDeny != 0
	if flags&entryLimited != 0 && !e.within(g.limits, deny) {
		return
	}
	if deny {
		e.scratch.denies = append(e.scratch.denies, g.id)
	} else {
		e.scratch.allows = append(e.scratch.allows, g.id)
	}
}

// within says whether a grant counts now, and keeps the instant at which that may change.
func (e *evaluation) within(l *limits, deny bool) bool {
	early, over := l.window(e.in.Now)
	if early {
		e.changesAt(l.notBefore)
	}
	if !over && !l.expiresAt.IsZero() {
		e.changesAt(l.expiresAt)
	}
	if early || over {
		return false
	}
	if l.condition == nil {
		return true
	}
	e.volatile = true
	switch e.in.Assume {
	case AssumeBest:
		return !deny
	case AssumeWorst:
		return deny
	case AssumeNothing:
	}
	holds, err := l.condition.Holds(e.in)
	if err != nil {
		return deny
	}
	return holds
}

// window says whether now lies before or after the time in which a grant counts; its end is no longer in it.
func (l *limits) window(now time.Time) (early, over bool) {
	return l.notBefore.After(now), !l.expiresAt.IsZero() && !l.expiresAt.After(now)
}

func (e *evaluation) changesAt(t time.Time) {
	if e.until.IsZero() || t.Before(e.until) {
		e.until = t
	}
}

// carries says whether one of a user's scopes carries p.
func (a *CompiledAPI) carries(scopes []string, p *permission) bool {
	for _, scope := range scopes {
		if set, ok := a.scopes[scope]; ok && set.has(p) {
			return true
		}
	}
	return false
}

// actorMay says whether a client may use p when it acts for a user. Clients without a rule are not limited.
func (a *CompiledAPI) actorMay(client string, p *permission) bool {
	set, limited := a.actors[client]
	return !limited || set.has(p)
}
