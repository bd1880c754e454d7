package policy_test

import (
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// reference is the policy engine written for obviousness: it keeps the facts as they are and answers by going through
// all of them, every time. It shares no code with the engine. Where the two differ, docs/policy.md says who is right.
type reference struct {
	facts      policy.Facts
	conditions *conditions
}

// answer is what the reference says of a question.
type answer struct {
	policy.Outcome // Volatile: a condition may be read to find it
}

// subjects lists whom grants may name to mean p, as grants write it.
func subjects(api string, p *policy.Principal) []string {
	all := []string{"tenant:" + p.TenantID}
	if p.Kind == policy.PrincipalUser {
		all = append(all, "user:"+p.TenantID+"/"+p.ObjectID)
	}
	if p.Kind == policy.PrincipalApp {
		all = append(all, "app:"+p.TenantID+"/"+p.ObjectID, "app:"+p.TenantID+"/"+p.ClientID)
	}
	for _, g := range p.Groups {
		all = append(all, "group:"+p.TenantID+"/"+g)
	}
	for _, r := range p.Roles {
		all = append(all, "approle:"+api+"/"+r)
	}
	for _, w := range p.WIDs {
		all = append(all, "wid:"+w)
	}
	return all
}

// matchesPattern says whether a pattern stands for the permission, and anyPattern whether one of them does.
func matchesPattern(pattern, permission string) bool {
	if words, isWildcard := strings.CutSuffix(pattern, "*"); isWildcard {
		return strings.HasPrefix(permission, words) // words ends in '.'
	}
	return pattern == permission
}

func anyPattern(patterns []string, permission string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchesPattern(p, permission) })
}

// concerns says whether the grant is about this api, caller and permission, whatever the time and its condition.
func concerns(g policy.Grant, api string, who []string, permission string) bool {
	return g.API == api && anyPattern(g.Permissions, permission) && slices.Contains(who, g.Subject)
}

// inWindow says whether the grant counts at that time.
func inWindow(g policy.Grant, now time.Time) bool {
	begun := g.NotBefore.IsZero() || !now.Before(g.NotBefore)
	ended := !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt)
	return begun && !ended
}

// holds reads a condition; onError is what it is worth when it fails.
func (m *reference) holds(source string, in *policy.Input, onError bool) bool {
	if source == "" {
		return true
	}
	c, err := m.conditions.compile(source)
	if err != nil {
		panic("the reference was asked about a policy that does not compile: " + err.Error())
	}
	holds, err := c.Holds(in)
	if err != nil {
		return onError
	}
	return holds
}

// permission decides one permission: AllowedByGrant with the allows that carry it, or why it does not pass.
func (m *reference) permission(api policy.API, permission string, in *policy.Input, out *answer) (policy.Reason, []string) {
	who := subjects(api.ID, in.Principal)
	var allows, denies []string
	for _, g := range m.facts.Grants {
		if !concerns(g, api.ID, who, permission) {
			continue
		}
		for _, t := range []time.Time{g.NotBefore, g.ExpiresAt} {
			if !t.IsZero() && t.After(in.Now) && (out.Until.IsZero() || t.Before(out.Until)) {
				out.Until = t
			}
		}
		if !inWindow(g, in.Now) {
			continue
		}
		out.Volatile = out.Volatile || g.Condition != ""
		if g.Effect == policy.Deny && m.holds(g.Condition, in, true) {
			denies = append(denies, g.ID)
		}
		if g.Effect == policy.Allow && m.holds(g.Condition, in, false) {
			allows = append(allows, g.ID)
		}
	}
	switch {
	case len(denies) > 0:
		return policy.DeniedByGrant, denies
	case len(allows) == 0:
		return policy.NoGrant, nil
	case !withinScopes(api, permission, in.Principal):
		return policy.ScopeInsufficient, nil
	case !withinActor(api, permission, in.Principal):
		return policy.ActorNotPermitted, nil
	}
	return policy.AllowedByGrant, allows
}

// withinScopes says whether a user's scopes carry the permission; apps have none to stay within.
func withinScopes(api policy.API, permission string, p *policy.Principal) bool {
	if p.Kind != policy.PrincipalUser {
		return true
	}
	for _, rule := range api.Scopes {
		if slices.Contains(p.Scopes, rule.Scope) && anyPattern(rule.Permissions, permission) {
			return true
		}
	}
	return false
}

// withinActor says whether the client that acts for a user may use the permission.
func withinActor(api policy.API, permission string, p *policy.Principal) bool {
	if p.Kind != policy.PrincipalUser {
		return true
	}
	for _, rule := range api.Actors {
		if rule.ClientID == p.ClientID && !anyPattern(rule.Permissions, permission) {
			return false
		}
	}
	return true
}

// route answers a request that matched the route.
func (m *reference) route(api policy.API, r policy.Route, in *policy.Input) answer {
	var out answer
	switch r.Requirement {
	case policy.RequirePublic:
		out.Effect, out.Reason = policy.Allow, policy.AllowedPublic
		return out
	case policy.RequireAuthenticated:
		out.Effect, out.Reason = policy.Allow, policy.AllowedAuthenticated
	case policy.RequireAllOf:
		m.allOf(api, r.Permissions, in, &out)
	case policy.RequireAnyOf:
		m.anyOf(api, r.Permissions, in, &out)
	case policy.RequireUnset:
	}
	if out.Effect == policy.Allow && r.Condition != "" {
		out.Volatile = true
		if !m.holds(r.Condition, in, false) {
			out.Effect, out.Reason, out.Grants = policy.Deny, policy.ConditionNotMet, nil
		}
	}
	return out
}

// named answers a question for one permission by its name.
func (m *reference) named(api policy.API, permission string, in *policy.Input) answer {
	var out answer
	if !slices.Contains(api.Permissions, permission) {
		out.Reason = policy.PermissionUnknown
		return out
	}
	m.allOf(api, []string{permission}, in, &out)
	return out
}

// allOf passes when all permissions do; the gravest reason is given, a deny before a lack of grants before the caps.
func (m *reference) allOf(api policy.API, permissions []string, in *policy.Input, out *answer) {
	reasons := map[policy.Reason]bool{}
	var denies []string
	for _, p := range permissions {
		reason, grants := m.permission(api, p, in, out)
		switch {
		case reason == policy.AllowedByGrant:
			out.Grants = append(out.Grants, grants...)
			continue
		case reason == policy.DeniedByGrant && denies == nil:
			denies = grants
		}
		reasons[reason] = true
		out.Missing = append(out.Missing, p)
	}
	if len(reasons) == 0 {
		out.Effect, out.Reason, out.Grants = policy.Allow, policy.AllowedByGrant, sorted(out.Grants)
		return
	}
	m.refuse(out, reasons, denies, policy.NoGrant, policy.ScopeInsufficient, policy.ActorNotPermitted)
}

// anyOf passes with the first permission that does; else the reason nearest to success is given, after a deny.
func (m *reference) anyOf(api policy.API, permissions []string, in *policy.Input, out *answer) {
	reasons := map[policy.Reason]bool{}
	var denies []string
	for _, p := range permissions {
		reason, grants := m.permission(api, p, in, out)
		if reason == policy.AllowedByGrant {
			out.Effect, out.Reason, out.Grants, out.Missing = policy.Allow, policy.AllowedByGrant, sorted(grants), nil
			return
		}
		if reason == policy.DeniedByGrant && denies == nil {
			denies = grants
		}
		reasons[reason] = true
		out.Missing = append(out.Missing, p)
	}
	m.refuse(out, reasons, denies, policy.ActorNotPermitted, policy.ScopeInsufficient, policy.NoGrant)
}

// refuse gives the first of the reasons that occurred; a deny comes before all and names its grants, nothing missing.
func (m *reference) refuse(out *answer, occurred map[policy.Reason]bool, denies []string, order ...policy.Reason) {
	out.Effect, out.Grants = policy.Deny, nil
	if occurred[policy.DeniedByGrant] {
		out.Reason, out.Grants, out.Missing = policy.DeniedByGrant, sorted(denies), nil
		return
	}
	for _, reason := range order {
		if occurred[reason] {
			out.Reason = reason
			return
		}
	}
}

// sorted is the ids in order, each once.
func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
