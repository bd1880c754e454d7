package snapshot

import (
	"fmt"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// Facts translates a whole policy. What has no meaning as policy, an unknown effect for one, is a *policy.InvalidError.
// Lists are shared with f, which must not be changed afterwards.
func Facts(f store.Facts) (policy.Facts, error) {
	t := translation{}
	facts := policy.Facts{
		Revision: f.Revision,
		APIs:     convert(f.APIs, t.api),
		Routes:   convert(f.Routes, t.route),
		Grants:   convert(f.Grants, t.grant),
	}
	return facts, t.err()
}

// Delta translates a change of the policy, as Facts does.
func Delta(d store.Delta) (policy.Delta, error) {
	t := translation{}
	delta := policy.Delta{
		Revision:     d.To,
		PutAPIs:      convert(d.APIs, t.api),
		PutRoutes:    convert(d.Routes, t.route),
		PutGrants:    convert(d.Grants, t.grant),
		DeleteAPIs:   d.DeleteAPIs,
		DeleteRoutes: convert(d.DeleteRoutes, func(k store.RouteKey) policy.RouteKey { return policy.RouteKey{API: k.API, ID: k.ID} }),
		DeleteGrants: d.DeleteGrants,
	}
	return delta, t.err()
}

// APIFact is the name of an api in policy.Problem.
func APIFact(id string) string { return "api/" + id }

// RouteFact is the name of a route in policy.Problem.
func RouteFact(k store.RouteKey) string { return "route/" + k.API + "/" + k.ID }

// GrantFact is the name of a grant in policy.Problem.
func GrantFact(id string) string { return "grant/" + id }

// convert is from, one by one; nil for none.
func convert[S, P any](from []S, one func(S) P) []P {
	if len(from) == 0 {
		return nil
	}
	to := make([]P, len(from))
	for i, s := range from {
		to[i] = one(s)
	}
	return to
}

// maxProblems is how many problems of translation are listed; the others are counted.
const maxProblems = 100

// translation collects what cannot be translated.
type translation struct{ invalid policy.InvalidError }

func (t *translation) err() error {
	if len(t.invalid.Problems) == 0 {
		return nil
	}
	return &t.invalid
}

func (t *translation) problem(fact, field, format string, args ...any) {
	if len(t.invalid.Problems) == maxProblems {
		t.invalid.Omitted++
		return
	}
	t.invalid.Problems = append(t.invalid.Problems, policy.Problem{Fact: fact, Field: field, Text: fmt.Sprintf(format, args...)})
}

func (t *translation) api(a store.API) policy.API {
	var privileged []string
	for _, p := range a.Permissions {
		if p.Privileged {
			privileged = append(privileged, p.Name)
		}
	}
	return policy.API{
		ID:          a.ID,
		Audiences:   a.Audiences,
		Hosts:       a.Hosts,
		Permissions: convert(a.Permissions, func(p store.Permission) string { return p.Name }),
		Privileged:  privileged,
		Scopes: convert(a.Scopes, func(s store.ScopeRule) policy.ScopeRule {
			return policy.ScopeRule{Scope: s.Scope, Permissions: s.Permissions}
		}),
		Actors: convert(a.Actors, func(r store.ActorRule) policy.ActorRule {
			return policy.ActorRule{ClientID: r.ClientID, Permissions: r.Permissions}
		}),
		AllowedClients:        a.AllowedClients,
		AllowAppsWithoutRoles: a.AllowAppsWithoutRoles,
		RequireSNIMatch:       a.RequireSNIMatch,
		DenyGuests:            a.DenyGuests,
		StrictRevocation:      a.StrictRevocation,
		Keeping:               t.keeping(a),
	}
}

var durabilities = map[store.AuditDurability]policy.Durability{
	"":                policy.DurabilityDefault,
	store.AuditSpool:  policy.DurabilitySpool,
	store.AuditStrict: policy.DurabilityStrict,
	store.AuditSyncDB: policy.DurabilitySyncDB,
}

var auditFailures = map[store.OnAuditFailure]policy.OnAuditFailure{
	"":                      policy.OnAuditFailureDefault,
	store.AuditFailureDeny:  policy.OnAuditFailureDeny,
	store.AuditFailureCount: policy.OnAuditFailureCount,
}

func (t *translation) keeping(a store.API) policy.Keeping {
	durability, ok := durabilities[a.AuditDurability]
	if !ok {
		t.problem(APIFact(a.ID), "audit_durability", "%q is none of %q, %q, %q", a.AuditDurability,
			store.AuditSpool, store.AuditStrict, store.AuditSyncDB)
	}
	onFailure, ok := auditFailures[a.OnAuditFailure]
	if !ok {
		t.problem(APIFact(a.ID), "on_audit_failure", "%q is neither %q nor %q", a.OnAuditFailure,
			store.AuditFailureDeny, store.AuditFailureCount)
	}
	return policy.Keeping{Durability: durability, OnFailure: onFailure}
}

var requirements = map[store.Requirement]policy.Requirement{
	store.Public:        policy.RequirePublic,
	store.Authenticated: policy.RequireAuthenticated,
	store.AllOf:         policy.RequireAllOf,
	store.AnyOf:         policy.RequireAnyOf,
}

func (t *translation) route(r store.Route) policy.Route {
	requirement, ok := requirements[r.Requirement]
	if !ok {
		t.problem(RouteFact(r.Key()), "requirement", "%q is none of %q, %q, %q, %q", r.Requirement,
			store.Public, store.Authenticated, store.AllOf, store.AnyOf)
	}
	return policy.Route{
		API: r.API, ID: r.ID, Methods: r.Methods, Template: r.Template, Requirement: requirement,
		Permissions: r.Permissions, Condition: r.Condition, Upgrade: r.Upgrade,
		MaxTokenAge: r.MaxTokenAge, AuthContext: r.AuthContext, ConfidentialClient: r.ConfidentialClient,
	}
}

func (t *translation) grant(g store.Grant) policy.Grant {
	effect := policy.Deny
	switch g.Effect {
	case store.Allow:
		effect = policy.Allow
	case store.Deny:
	default:
		t.problem(GrantFact(g.ID), "effect", "%q is neither %q nor %q", g.Effect, store.Allow, store.Deny)
	}
	return policy.Grant{
		ID: g.ID, API: g.API, Subject: g.Subject, Permissions: g.Permissions, Effect: effect, Condition: g.Condition,
		NotBefore: g.NotBefore, ExpiresAt: g.ExpiresAt,
	}
}
