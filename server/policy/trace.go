package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Trace, given to an evaluation, says afterwards what was looked at and why each thing counted or did not. It is for people
// and costs allocations; a nil *Trace costs nothing. Each evaluation overwrites it.
type Trace struct {
	API         string
	Route       string // id; empty: a named permission was asked for
	Asked       string // that permission
	Requirement Requirement
	Permissions []PermissionTrace // those that were looked at, in order
	Condition   ConditionState    // of the route
	Effect      Effect
	Reason      Reason
	Until       time.Time // as in Outcome
}

// PermissionTrace says what became of one permission.
type PermissionTrace struct {
	Permission string
	Reason     Reason // AllowedByGrant: it passes
	Grants     []GrantTrace
	Scopes     []string // of the caller, those that carry it; users only
	Actor      ActorState
}

// GrantTrace says what became of one grant to the caller that names the permission.
type GrantTrace struct {
	ID        string
	Effect    Effect
	Subject   string
	Pattern   string
	Window    WindowState
	NotBefore time.Time
	ExpiresAt time.Time
	Condition ConditionState
	Counted   bool
}

// WindowState says where now lies in the time of a grant.
type WindowState uint8

// The window states.
const (
	WindowOpen WindowState = iota
	WindowEarly
	WindowOver
)

// ConditionState says what a condition gave.
type ConditionState uint8

// The condition states.
const (
	ConditionNone   ConditionState = iota // there is none
	ConditionUnread                       // it did not matter
	ConditionHolds
	ConditionFails
	ConditionErrs
)

// ActorState says what the cap of the client that acts for a user makes of a permission.
type ActorState uint8

// The actor states.
const (
	ActorNone ActorState = iota // the caller is no user
	ActorFree                   // no rule names the client
	ActorMay
	ActorMayNot
)

// ofRoute writes down how a route was decided.
func (t *Trace) ofRoute(a *CompiledAPI, r *CompiledRoute, in *Input, out *Outcome) {
	*t = Trace{API: a.facts.ID, Route: r.facts.ID, Requirement: r.facts.Requirement}
	t.outcome(out)
	for _, p := range r.permissions {
		pt := tracePermission(a, p, in)
		t.Permissions = append(t.Permissions, pt)
		if r.facts.Requirement == RequireAnyOf && pt.Reason == AllowedByGrant {
			break
		}
	}
	if r.condition != nil {
		t.Condition = ConditionUnread
		if out.Effect == Allow || out.Reason == ConditionNotMet {
			t.Condition = traceCondition(r.condition, in)
		}
	}
}

// ofPermission writes down how a named permission was decided; p is nil when it is unknown.
func (t *Trace) ofPermission(a *CompiledAPI, p *permission, name string, in *Input, out *Outcome) {
	*t = Trace{API: a.facts.ID, Asked: name, Requirement: RequireAllOf}
	t.outcome(out)
	if p != nil {
		t.Permissions = append(t.Permissions, tracePermission(a, p, in))
	}
}

func (t *Trace) outcome(out *Outcome) {
	t.Effect, t.Reason, t.Until = out.Effect, out.Reason, out.Until
}

// tracePermission weighs a permission again, by the same rules, and keeps notes.
func tracePermission(a *CompiledAPI, p *permission, in *Input) PermissionTrace {
	e := evaluation{api: a, in: in, scratch: new(Scratch)}
	e.begin()
	pt := PermissionTrace{Permission: p.name, Reason: e.weigh(p, true)}
	for _, ref := range in.Subjects {
		held, run := a.grants.run(ref)
		for _, en := range run {
			if p.named(en.pattern) {
				pt.Grants = append(pt.Grants, traceGrant(a, held, en, a.grants.subject(ref), in))
			}
		}
	}
	slices.SortFunc(pt.Grants, func(x, y GrantTrace) int {
		return cmp.Or(cmp.Compare(x.Effect, y.Effect), strings.Compare(x.ID, y.ID), strings.Compare(x.Pattern, y.Pattern))
	})
	if in.Principal == nil || in.Principal.Kind == PrincipalApp {
		return pt
	}
	for _, scope := range in.Principal.Scopes {
		if a.carries([]string{scope}, p) && !slices.Contains(pt.Scopes, scope) {
			pt.Scopes = append(pt.Scopes, scope)
		}
	}
	pt.Actor = ActorFree
	if _, limited := a.actors[in.Principal.ClientID]; limited {
		pt.Actor = ActorMayNot
		if a.actorMay(in.Principal.ClientID, p) {
			pt.Actor = ActorMay
		}
	}
	return pt
}

func traceGrant(a *CompiledAPI, held *shard, en entry, subject string, in *Input) GrantTrace {
	g := &held.grants[en.grant&entryGrant]
	gt := GrantTrace{ID: g.id, Effect: Allow, Subject: subject, Pattern: a.vocabulary.texts[en.pattern], Counted: true}
	if en.grant&entryDeny != 0 {
		gt.Effect = Deny
	}
	if g.limits == nil {
		return gt
	}
	gt.NotBefore, gt.ExpiresAt = g.limits.notBefore, g.limits.expiresAt
	early, over := g.limits.window(in.Now)
	switch {
	case early:
		gt.Window = WindowEarly
	case over:
		gt.Window = WindowOver
	}
	if g.limits.condition != nil {
		gt.Condition = ConditionUnread
		if gt.Window == WindowOpen {
			gt.Condition = traceCondition(g.limits.condition, in)
		}
	}
	e := evaluation{in: in}
	gt.Counted = e.within(g.limits, gt.Effect == Deny)
	return gt
}

func traceCondition(c *condition, in *Input) ConditionState {
	switch holds, err := c.Holds(in); {
	case err != nil:
		return ConditionErrs
	case holds:
		return ConditionHolds
	default:
		return ConditionFails
	}
}
