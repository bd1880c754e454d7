package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// What the generated policies are made of: little, so that everything meets everything. A user, a group, a client, a
// directory role and a tenant may share one GUID, and both apis know the same permissions and hosts' names.
var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	guids = []string{
		"00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002",
		"a0000000-0000-4000-8000-00000000000b", "ffffffff-ffff-ffff-ffff-ffffffffffff",
	}
	tenants   = guids[:2]
	apis      = []string{"orders", "orders-eu", "billing"}
	allHosts  = []string{"orders.example", "billing.example", "api.orders.example", "orders-eu.example"}
	roles     = []string{"Admin", "admin", "Task:Run", "orders:Admin"}
	scopes    = []string{"Orders.Read", "orders.read", "Orders.ReadWrite", "user_impersonation"}
	grantIDs  = []string{"g-0", "g-1", "g-10", "g-2", "g-3", "g-4", "g-5", "g-6", "g-7", "g-8", "g-9", "a", "z", "0"}
	declarers = []string{
		"orders", "orders.read", "orders.write", "orders.items", "orders.items.read", "orders.items.read.all", "orders-x.read",
		"ordersx.read", "items.read", "read", "orders.items-x.read", "a.b.c.d.e.f.g.h",
	}
	grantConditions = []string{condTrue, condFalse, condError, condErrorTrue, condMethodGET, condPathPrefix + "/a"}
	pathLiterals    = []string{"a", "b", "42", guids[0], "A", "a.b", "...", "@me"}
	pathParams      = []string{"{x}", "{y}", "{x}", "{id:int}", "{n:int}", "{id:uuid}", "{u:uuid}"}
)

// generator makes policies and questions from a seed; the same seed makes the same ones.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, 0x76657264696374))} // tests that can be replayed
}

// pick returns one of the list, and chance is true in so many of a hundred cases.
func pick[T any](g generator, list []T) T      { return list[g.IntN(len(list))] }
func (g generator) chance(percent int) bool    { return g.IntN(100) < percent }
func (g generator) oneOf(list []string) string { return pick(g, list) }

// some returns between least and most different elements of the list, in any order.
func (g generator) some(list []string, least, most int) []string {
	most = min(most, len(list))
	n := least + g.IntN(most-least+1)
	var out []string
	for _, i := range g.Perm(len(list))[:n] {
		out = append(out, list[i])
	}
	return out
}

// instant is near now: on it, or beside it by as little as a nanosecond; seldom at the ends of what time can be.
func (g generator) instant() time.Time {
	if g.chance(5) {
		return pick(g, []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Unix(0, 0).UTC(), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)})
	}
	return now.Add(pick(g, []time.Duration{0, 0, 1, -1, time.Second, -time.Second, time.Hour, -time.Hour}))
}

// window is a time for which a grant counts; an open side is the zero time. It never ends before it begins.
func (g generator) window() (notBefore, expiresAt time.Time) {
	if g.chance(35) {
		notBefore = g.instant()
	}
	if g.chance(35) {
		expiresAt = g.instant()
	}
	if !notBefore.IsZero() && !expiresAt.IsZero() && !notBefore.Before(expiresAt) {
		return time.Time{}, expiresAt
	}
	return notBefore, expiresAt
}

// patterns are some that match what is declared, wildcards among them.
func (g generator) patterns(declared []string, least, most int) []string {
	var candidates []string
	for _, p := range declared {
		candidates = append(candidates, p)
		for i := range p {
			if p[i] == '.' {
				candidates = append(candidates, p[:i]+".*")
			}
		}
	}
	slices.Sort(candidates)
	return g.some(slices.Compact(candidates), least, most)
}

// subject is one that a grant of the api may name.
func (g generator) subject(api string) string {
	tenant, id := g.oneOf(tenants), g.oneOf(guids)
	if g.chance(25) {
		return g.otherSubject()
	}
	return pick(g, []string{
		"user:" + tenant + "/" + id, "app:" + tenant + "/" + id, "group:" + tenant + "/" + id, "group:" + tenant + "/" + id,
		"approle:" + api + "/" + g.oneOf(roles), "wid:" + id, "tenant:" + tenant,
	})
}

// otherSubject is one of a provider without tenants, or of Active Directory. Ids are chosen so that a slash at another
// place, or one more, makes another subject.
func (g generator) otherSubject() string {
	id := g.oneOf([]string{"a", "b", "a/b", "okta/a", "Domain Users", "user:a", guids[0], "Zoë"})
	return pick(g, []string{
		"user:okta/" + id, "app:okta/" + id, "group:okta/" + id, "group:okta.b/" + id, "tenant:okta", "tenant:okta.b",
		"group:" + g.oneOf(tenants) + "/S-1-5-21-7-512", "user:" + g.oneOf(tenants) + "/S-1-5-18",
		"group:" + g.oneOf(tenants) + "/cn=a/b,dc=x",
	})
}

func (g generator) api(id string, hosts []string) policy.API {
	a := policy.API{ID: id, Audiences: []string{"aud-" + id}, Hosts: hosts, Permissions: g.some(declarers, 1, 7)}
	for _, scope := range g.some(scopes, 0, 4) {
		a.Scopes = append(a.Scopes, policy.ScopeRule{Scope: scope, Permissions: g.patterns(a.Permissions, 1, 3)})
	}
	if g.chance(50) {
		for _, client := range g.some(guids, 1, 3) {
			a.Actors = append(a.Actors, policy.ActorRule{ClientID: client, Permissions: g.patterns(a.Permissions, 0, 3)})
		}
	}
	return a
}

// template is well formed but for parameters named twice, which the caller has to expect.
func (g generator) template() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString("/")
		if g.chance(50) {
			b.WriteString(g.oneOf(pathLiterals[:5]))
		} else {
			b.WriteString(g.oneOf(pathParams))
		}
	}
	switch {
	case g.chance(15):
		b.WriteString(pick(g, []string{"/{rest...}", "/{tail...}"}))
	case b.Len() == 0 || g.chance(15):
		b.WriteString("/")
	}
	return b.String()
}

func (g generator) route(a policy.API, id string) policy.Route {
	r := policy.Route{API: a.ID, ID: id, Template: g.template(), Methods: g.some([]string{"GET", "POST", "DELETE"}, 1, 2)}
	r.Requirement = pick(g, []policy.Requirement{
		policy.RequirePublic, policy.RequireAuthenticated, policy.RequireAuthenticated,
		policy.RequireAllOf, policy.RequireAllOf, policy.RequireAllOf, policy.RequireAllOf, policy.RequireAllOf,
		policy.RequireAnyOf, policy.RequireAnyOf, policy.RequireAnyOf, policy.RequireAnyOf, policy.RequireAnyOf,
	})
	if r.Requirement == policy.RequireAllOf || r.Requirement == policy.RequireAnyOf {
		r.Permissions = g.some(a.Permissions, 1, 3)
	}
	if r.Requirement != policy.RequirePublic && g.chance(20) {
		r.Condition = g.oneOf(grantConditions)
	}
	return r
}

func (g generator) grant(a policy.API, id string) policy.Grant {
	gr := policy.Grant{ID: id, API: a.ID, Subject: g.subject(a.ID), Permissions: g.patterns(a.Permissions, 1, 6), Effect: policy.Allow}
	if g.chance(20) {
		gr.Effect = policy.Deny
	}
	if g.chance(25) {
		gr.Condition = g.oneOf(grantConditions)
	}
	gr.NotBefore, gr.ExpiresAt = g.window()
	return gr
}

// facts is a valid policy: what the reference would refuse is left out as it is made.
func (g generator) facts() policy.Facts {
	f := policy.Facts{Revision: 1 + g.Uint64N(1000)}
	hosts := g.some(allHosts, 2, 3)
	for i, id := range g.some(apis, 1, 2) {
		f.APIs = append(f.APIs, g.api(id, hosts[i:i+1]))
	}
	for i := range g.IntN(20) {
		r := g.route(pick(g, f.APIs), fmt.Sprintf("r-%d", i))
		ties := func(other policy.Route) bool { return tie(r, other) }
		catchAll := (r.Requirement == policy.RequirePublic || r.Requirement == policy.RequireAuthenticated) && catchesAll(r.Template)
		if templateFault(r.Template) == "" && !catchAll && !slices.ContainsFunc(f.Routes, ties) {
			f.Routes = append(f.Routes, r)
		}
	}
	for _, id := range g.some(grantIDs, 0, len(grantIDs)) {
		f.Grants = append(f.Grants, g.grant(pick(g, f.APIs), id))
	}
	return f
}
