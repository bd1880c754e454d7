package policy_test

import (
	"fmt"
	"slices"

	"github.com/verdict-authz/verdict/server/policy"
)

// apply is what the facts are after the delta, found the slow way.
func apply(f policy.Facts, d policy.Delta) policy.Facts {
	out := policy.Facts{Revision: d.Revision}
	for _, a := range f.APIs {
		replaced := slices.ContainsFunc(d.PutAPIs, func(put policy.API) bool { return put.ID == a.ID })
		if !replaced && !slices.Contains(d.DeleteAPIs, a.ID) {
			out.APIs = append(out.APIs, a)
		}
	}
	for _, r := range f.Routes {
		key := policy.RouteKey{API: r.API, ID: r.ID}
		replaced := slices.ContainsFunc(d.PutRoutes, func(put policy.Route) bool { return put.API == r.API && put.ID == r.ID })
		if !replaced && !slices.Contains(d.DeleteRoutes, key) {
			out.Routes = append(out.Routes, r)
		}
	}
	for _, g := range f.Grants {
		replaced := slices.ContainsFunc(d.PutGrants, func(put policy.Grant) bool { return put.ID == g.ID })
		if !replaced && !slices.Contains(d.DeleteGrants, g.ID) {
			out.Grants = append(out.Grants, g)
		}
	}
	out.APIs = append(out.APIs, d.PutAPIs...)
	out.Routes = append(out.Routes, d.PutRoutes...)
	out.Grants = append(out.Grants, d.PutGrants...)
	return out
}

// delta is a change to the facts, of one to four parts. It names each fact at most once and deletes only what is there;
// what it leads to may be invalid.
func (g generator) delta(f policy.Facts) policy.Delta {
	d := policy.Delta{Revision: f.Revision + 1 + g.Uint64N(3)}
	touched := map[string]bool{}
	fresh := func(fact string) bool {
		defer func() { touched[fact] = true }()
		return !touched[fact]
	}
	for range 1 + g.IntN(4) {
		switch g.IntN(10) {
		case 0, 1, 2, 3:
			if id := g.oneOf(grantIDs); fresh("grant/" + id) {
				d.PutGrants = append(d.PutGrants, g.grant(pick(g, f.APIs), id))
			}
		case 4, 5:
			if len(f.Grants) > 0 {
				if id := pick(g, f.Grants).ID; fresh("grant/" + id) {
					d.DeleteGrants = append(d.DeleteGrants, id)
				}
			}
		case 6:
			r := g.route(pick(g, f.APIs), fmt.Sprintf("r-%d", g.IntN(20)))
			if fresh("route/" + r.API + "/" + r.ID) {
				d.PutRoutes = append(d.PutRoutes, r)
			}
		case 7:
			if len(f.Routes) > 0 {
				r := pick(g, f.Routes)
				if fresh("route/" + r.API + "/" + r.ID) {
					d.DeleteRoutes = append(d.DeleteRoutes, policy.RouteKey{API: r.API, ID: r.ID})
				}
			}
		case 8:
			if a := g.changed(f); fresh("api/" + a.ID) {
				d.PutAPIs = append(d.PutAPIs, a)
			}
		case 9:
			g.removal(f, &d, fresh)
		}
	}
	return d
}

// changed is an api of the facts with one thing of it made anew, or an api that was not there.
func (g generator) changed(f policy.Facts) policy.API {
	made := g.api(g.oneOf(apis), []string{g.oneOf(allHosts)})
	for _, a := range f.APIs {
		if a.ID != made.ID {
			continue
		}
		switch g.IntN(5) {
		case 0: // the caps, within what is declared
			again := g.api(a.ID, a.Hosts)
			again.Permissions = a.Permissions
			again.Scopes, again.Actors = nil, nil
			for _, scope := range g.some(scopes, 1, 4) {
				again.Scopes = append(again.Scopes, policy.ScopeRule{Scope: scope, Permissions: g.patterns(a.Permissions, 1, 3)})
			}
			return again
		case 1: // one permission more, which wildcards may match already
			more := a
			more.Permissions = slices.Clone(a.Permissions)
			for _, p := range g.some(declarers, len(declarers), len(declarers)) {
				if !slices.Contains(a.Permissions, p) {
					more.Permissions = append(more.Permissions, p)
					break
				}
			}
			return more
		case 2: // one permission less, which something may name
			less := a
			less.Permissions = slices.Clone(a.Permissions)
			i := g.IntN(len(less.Permissions))
			if len(less.Permissions) > 1 {
				less.Permissions = slices.Delete(less.Permissions, i, i+1)
			}
			return less
		case 3: // another host, which another api may have
			made.Permissions, made.Scopes, made.Actors = a.Permissions, a.Scopes, a.Actors
			return made
		}
	}
	return made
}

// removal deletes an api, mostly with all that hangs on it.
func (g generator) removal(f policy.Facts, d *policy.Delta, fresh func(string) bool) {
	if len(f.APIs)-len(d.DeleteAPIs) < 2 { // one is always left to ask about
		return
	}
	id := pick(g, f.APIs).ID
	if !fresh("api/" + id) {
		return
	}
	d.DeleteAPIs = append(d.DeleteAPIs, id)
	if g.chance(20) {
		return
	}
	for _, r := range f.Routes {
		if r.API == id && fresh("route/"+r.API+"/"+r.ID) {
			d.DeleteRoutes = append(d.DeleteRoutes, policy.RouteKey{API: r.API, ID: r.ID})
		}
	}
	for _, gr := range f.Grants {
		if gr.API == id && fresh("grant/"+gr.ID) {
			d.DeleteGrants = append(d.DeleteGrants, gr.ID)
		}
	}
}
