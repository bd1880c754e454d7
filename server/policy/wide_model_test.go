package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// wideGUID is one of as many ids as are asked for.
func wideGUID(n int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", n*2654435761&0xffffffff, n)
}

// wideFacts is a policy with too much of everything for the small sizes that an engine may treat apart: permissions, routes
// under one segment, subjects, grants of one subject.
func (g generator) wideFacts(grants int) policy.Facts {
	a := policy.API{ID: "wide", Audiences: []string{"aud-wide"}, Hosts: []string{"wide.example"}}
	for i := range 40 {
		for j := range 8 {
			a.Permissions = append(a.Permissions, fmt.Sprintf("area%d.thing%d.use", i, j), fmt.Sprintf("area%d.thing%d", i, j))
		}
	}
	for i := range 100 {
		a.Scopes = append(a.Scopes, policy.ScopeRule{Scope: fmt.Sprintf("Scope.%d", i), Permissions: g.patterns(a.Permissions, 1, 60)})
	}
	for i := range 20 {
		a.Actors = append(a.Actors, policy.ActorRule{ClientID: wideGUID(i), Permissions: g.patterns(a.Permissions, 0, 300)})
	}
	f := policy.Facts{Revision: 1, APIs: []policy.API{a}}
	for i := range 300 {
		r := g.route(a, fmt.Sprintf("r-%d", i))
		r.Template = fmt.Sprintf("/v%d", i%70) + g.template()
		ties := func(other policy.Route) bool { return tie(r, other) }
		if templateFault(r.Template) == "" && !slices.ContainsFunc(f.Routes, ties) {
			f.Routes = append(f.Routes, r)
		}
	}
	for i := range grants {
		f.Grants = append(f.Grants, g.wideGrant(a, fmt.Sprintf("g-%d", i)))
	}
	return f
}

// wideGrant is to one of a few hundred subjects, often to one of the few that have most of the grants.
func (g generator) wideGrant(a policy.API, id string) policy.Grant {
	a.Permissions = g.some(a.Permissions, 3, 12)
	gr := g.grant(a, id)
	subject := g.IntN(400)
	if g.chance(40) {
		subject = g.IntN(3)
	}
	gr.Subject = "group:" + tenants[0] + "/" + wideGUID(subject)
	if g.chance(10) {
		gr.Subject = fmt.Sprintf("approle:%s/Role.%d", a.ID, subject)
	}
	if gr.Effect == policy.Deny && g.chance(80) { // among so many, denies would leave nothing to allow
		gr.Effect = policy.Allow
	}
	return gr
}

// widePrincipal is in up to two hundred groups, as a token can say at most.
func (g generator) widePrincipal(f policy.Facts) policy.Principal {
	p := g.principal(nil)
	p.TenantID, p.ClientID = tenants[0], wideGUID(g.IntN(40))
	p.Groups, p.Roles = nil, nil
	most := pick(g, []int{1, 3, 30, 200})
	for _, i := range g.Perm(450)[:most] {
		p.Groups = append(p.Groups, wideGUID(i))
		if len(p.Roles) < 20 {
			p.Roles = append(p.Roles, fmt.Sprintf("Role.%d", i))
		}
	}
	for range 30 {
		p.Scopes = append(p.Scopes, pick(g, f.APIs[0].Scopes).Scope)
	}
	return p
}

// Size changes nothing: a policy of thousands of grants and hundreds of routes answers as the reference does, whole and
// through deltas.
func TestEngineAgreesWithReferenceOnWidePolicies(t *testing.T) {
	first, last, replay := seeds(t, 2)
	var total tally
	for seed := first; seed <= last && !t.Failed(); seed++ {
		g := newGenerator(seed)
		m := &reference{g.wideFacts(3000), &conditions{}}
		if found := faultsOf(m.facts); len(found) > 0 {
			t.Fatalf("seed %d: the generator made an invalid policy: %v", seed, found)
		}
		e := compiled(t, m.facts)
		n := tally{answers: map[string]int{}}
		for range 12 {
			for range 60 {
				q := g.question(m.facts)
				q.principal = g.widePrincipal(m.facts)
				if said := differ(e, m, q, nil); said != "" {
					f, least := smallest(m.facts, q)
					t.Fatalf("%s=%d, revision %d\n  %s\n%s\nin the least policy when compiled whole: %s\n%s",
						envSeed, seed, m.facts.Revision, q, said, least, dump(policy.Facts{Grants: f.Grants}))
				}
				n.count(m, q)
			}
			d := g.wideDelta(m.facts)
			s, err := e.snapshot.Apply(d, e.conditions.compile)
			if err != nil {
				t.Fatalf("%s=%d: revision %d: %v", envSeed, seed, d.Revision, err)
			}
			m.facts, e.snapshot = apply(m.facts, d), s
			n.applied++
		}
		total.add(n)
	}
	total.log(t)
	if !replay && (total.decided < 1000 || total.answers["ALLOWED_BY_GRANT"] < 50 || total.answers["DENIED_BY_GRANT"] < 50) {
		t.Error("too few answers to say anything")
	}
}

// wideDelta changes, adds and deletes some hundred grants and a few routes.
func (g generator) wideDelta(f policy.Facts) policy.Delta {
	d := policy.Delta{Revision: f.Revision + 1}
	for _, i := range g.Perm(len(f.Grants))[:200] {
		switch id := f.Grants[i].ID; g.IntN(3) {
		case 0:
			d.DeleteGrants = append(d.DeleteGrants, id)
		case 1:
			d.PutGrants = append(d.PutGrants, g.wideGrant(f.APIs[0], id))
		case 2:
			d.PutGrants = append(d.PutGrants, g.wideGrant(f.APIs[0], fmt.Sprintf("n-%d-%d", d.Revision, i)))
		}
	}
	for _, i := range g.Perm(len(f.Routes))[:3] {
		d.DeleteRoutes = append(d.DeleteRoutes, policy.RouteKey{API: f.Routes[i].API, ID: f.Routes[i].ID})
	}
	return d
}
