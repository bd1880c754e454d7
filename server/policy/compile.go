package policy

import (
	"maps"
	"slices"
)

// Compile checks a whole policy and makes a Snapshot of it. Everything that is wrong comes back at once as an
// *InvalidError. The facts are copied but for the text of their strings; cc compiles their conditions, nil: none may occur.
func Compile(f Facts, cc ConditionCompiler) (*Snapshot, error) {
	return new(Snapshot).Apply(Delta{
		Revision: f.Revision, PutAPIs: f.APIs, PutRoutes: f.Routes, PutGrants: f.Grants,
	}, cc)
}

// Apply makes the Snapshot that a change leads to; s stays as it is and valid. The new one shares with s what did not
// change: routes of apis that are not touched, grants of subjects that hash elsewhere. Deletions come before puts, and to
// delete what is not there is no problem. When anything is wrong, all of it comes back as an *InvalidError and there is no
// snapshot. cc must compile as it did for s: conditions that s knows are not compiled again.
func (s *Snapshot) Apply(d Delta, cc ConditionCompiler) (*Snapshot, error) {
	c := newChange(s, cc)
	c.takeAPIs(&d)
	c.takeRoutes(&d)
	touched := c.touched()
	for _, dr := range touched {
		c.shape(dr)
	}
	c.takeGrants(&d)
	c.placeAPIs(touched)
	c.placeHosts(touched)
	if err := c.err(); err != nil {
		return nil, err
	}
	c.to.revision = d.Revision
	c.to.counts = c.to.count()
	return c.to, nil
}

// change is an Apply under way.
type change struct {
	problems
	from, to *Snapshot
	compiler ConditionCompiler
	drafts   map[string]*draft // of the apis that are touched, or whose routes are, by id
	rows     map[uint32][]grantRow
}

// draft is an api on its way into the next snapshot.
type draft struct {
	id        string
	index     uint32
	old       *CompiledAPI      // nil: new
	facts     *API              // nil: deleted, or never there
	put       bool              // facts are new
	routes    map[string]*Route // all it will have, by id
	putRoutes map[string]bool   // those that are new
	shape     *apiShape         // nil without facts
}

func newChange(s *Snapshot, cc ConditionCompiler) *change {
	next := *s
	next.apis = slices.Clone(s.apis)
	if next.conditions == nil {
		next.conditions = newConditionCache()
	}
	if next.ids == nil {
		next.ids = new(grantIDs)
	}
	return &change{from: s, to: &next, compiler: cc, drafts: map[string]*draft{}, rows: map[uint32][]grantRow{}}
}

// draft returns the draft of an api, begun if need be from what it is now.
func (c *change) draft(id string) *draft {
	if dr := c.drafts[id]; dr != nil {
		return dr
	}
	dr := &draft{id: id, old: c.from.APIByID(id), routes: map[string]*Route{}, putRoutes: map[string]bool{}}
	if dr.old != nil {
		dr.index = c.from.byID[id]
		dr.facts = &dr.old.facts
		for _, r := range dr.old.routes {
			dr.routes[r.facts.ID] = &r.facts
		}
	}
	c.drafts[id] = dr
	return dr
}

// touched returns the drafts by id.
func (c *change) touched() []*draft {
	all := make([]*draft, 0, len(c.drafts))
	for _, id := range slices.Sorted(maps.Keys(c.drafts)) {
		all = append(all, c.drafts[id])
	}
	return all
}

// vocabulary returns what grants of an api may name, nil when there is no such api, and where the api is held.
func (c *change) vocabulary(api string) (*vocabulary, uint32) {
	if dr := c.drafts[api]; dr != nil {
		if dr.shape == nil {
			return nil, 0
		}
		return dr.shape.vocabulary, dr.index
	}
	if a := c.from.APIByID(api); a != nil {
		return a.vocabulary, c.from.byID[api]
	}
	return nil, 0
}

// placeAPIs puts the new shapes and grants into the next snapshot.
func (c *change) placeAPIs(touched []*draft) {
	for i, rows := range c.rows {
		next := CompiledAPI{grants: new(grantTable)}
		if a := c.to.apis[i]; a != nil {
			next = *a
		}
		next.grants = next.grants.change(rows)
		c.to.apis[i] = &next
	}
	if len(touched) > 0 {
		c.to.byID = maps.Clone(c.from.byID)
		if c.to.byID == nil {
			c.to.byID = map[string]uint32{}
		}
	}
	for _, dr := range touched {
		switch {
		case dr.facts == nil && dr.old != nil:
			c.remove(dr)
		case dr.shape != nil:
			next := &CompiledAPI{apiShape: dr.shape, grants: new(grantTable)}
			if a := c.to.apis[dr.index]; a != nil {
				next.grants = a.grants
			}
			c.to.apis[dr.index] = next
			c.to.byID[dr.id] = dr.index
			if dr.old != nil && dr.old.vocabulary.lost(dr.shape.vocabulary) {
				c.checkLost(next)
			}
		}
	}
}

// remove takes an api out, which must be empty by now.
func (c *change) remove(dr *draft) {
	left := c.to.apis[dr.index].grants
	if len(dr.routes) > 0 || left.n > 0 {
		c.add(apiFact(dr.id), "", "cannot be deleted while it has routes (%d) or grants (%d); delete them in the same change",
			len(dr.routes), left.n)
	}
	for _, id := range slices.Sorted(maps.Keys(dr.routes)) {
		if !dr.putRoutes[id] { // those have been reported
			c.add(routeFact(dr.id, id), "api", "api %s is deleted; delete the route in the same change", dr.id)
		}
	}
	left.each(func(s *shard) {
		for i := range s.grants {
			c.add(grantFact(s.grants[i].id), "api", "api %s is deleted; delete the grant in the same change", dr.id)
		}
	})
	c.to.apis[dr.index] = nil
	delete(c.to.byID, dr.id)
}

// checkLost reports the grants that name what the api no longer declares.
func (c *change) checkLost(a *CompiledAPI) {
	a.grants.each(func(s *shard) {
		s.each(func(_ string, e entry) {
			if !a.vocabulary.live[e.pattern] {
				c.add(grantFact(s.grants[e.grant&entryGrant].id), "permissions",
					"%s is no longer declared by api %s; keep it declared, or change or delete the grant",
					a.vocabulary.texts[e.pattern], a.facts.ID)
			}
		})
	})
}

// placeHosts makes the table of hosts when an api has changed. Apis that stay as they are keep their hosts, so that the
// change is blamed.
func (c *change) placeHosts(touched []*draft) {
	if !slices.ContainsFunc(touched, func(dr *draft) bool { return dr.put || dr.facts == nil }) {
		return
	}
	hosts := make(map[string]uint32, len(c.from.byHost))
	for host, i := range c.from.byHost {
		if dr := c.drafts[c.from.apis[i].facts.ID]; dr == nil || !dr.put && dr.facts != nil {
			hosts[host] = i
		}
	}
	for _, dr := range touched {
		if !dr.put {
			continue
		}
		for i, host := range dr.facts.Hosts {
			owner, taken := hosts[host]
			switch {
			case taken && owner == dr.index:
				c.add(apiFact(dr.id), item("hosts", i), "%s is listed twice; remove one", clip(host))
			case taken:
				c.add(apiFact(dr.id), item("hosts", i), "%s belongs to api %s already; a host belongs to one api", clip(host),
					c.to.apis[owner].facts.ID)
			default:
				hosts[host] = dr.index
			}
		}
	}
	c.to.byHost = hosts
}

// count counts what s holds.
func (s *Snapshot) count() Counts {
	n := Counts{APIs: len(s.byID)}
	for _, a := range s.apis {
		if a != nil {
			n.Routes += len(a.routes)
			n.Grants += a.grants.n
		}
	}
	return n
}

func apiFact(id string) string        { return "api/" + clip(id) }
func routeFact(api, id string) string { return "route/" + clip(api) + "/" + clip(id) }
func grantFact(id string) string      { return "grant/" + clip(id) }
