package policy

// takeGrants turns the grants that change into rows for the tables, and changes the index of ids.
func (c *change) takeGrants(d *Delta) {
	if len(d.PutGrants)+len(d.DeleteGrants) == 0 {
		return
	}
	c.reserve(d)
	ids := make([]idRow, 0, len(d.PutGrants)+len(d.DeleteGrants))
	patterns := make([]uint32, 0, patternsOf(d))
	seen := make(map[string]bool, len(d.PutGrants)) // false: deleted only
	for _, id := range d.DeleteGrants {
		if _, repeated := seen[id]; repeated {
			continue
		}
		seen[id] = false
		c.release(id)
	}
	for i := range d.PutGrants {
		g := &d.PutGrants[i]
		put, deleted := seen[g.ID]
		if put {
			c.add(grantFact(g.ID), "id", "another grant has this id; ids are unique")
			continue
		}
		seen[g.ID] = true
		if !deleted {
			c.release(g.ID)
		}
		before := len(c.list) + c.omitted
		v, api := c.vocabulary(g.API)
		row := c.grant(g, v, patterns)
		if len(c.list)+c.omitted > before {
			continue
		}
		patterns = row.patterns[len(row.patterns):]
		c.rows[api] = append(c.rows[api], row)
		ids = append(ids, idRow{grantID: grantID{id: g.ID, subject: row.hash, api: api}, hash: idHash(g.ID)})
	}
	for _, id := range d.DeleteGrants {
		if !seen[id] {
			ids = append(ids, idRow{grantID: grantID{id: id}, hash: idHash(id), gone: true})
			seen[id] = true
		}
	}
	c.to.ids = c.to.ids.change(ids)
}

// reserve makes room for many grants at once.
func (c *change) reserve(d *Delta) {
	counts := map[string]int{}
	for i := range d.PutGrants {
		counts[d.PutGrants[i].API]++
	}
	for api, n := range counts {
		if v, i := c.vocabulary(api); v != nil {
			c.rows[i] = make([]grantRow, 0, n)
		}
	}
}

func patternsOf(d *Delta) int {
	n := 0
	for i := range d.PutGrants {
		n += len(d.PutGrants[i].Permissions)
	}
	return n
}

// release takes a grant out of the table that holds it now, if any.
func (c *change) release(id string) {
	if at, ok := c.from.findGrant(id); ok {
		c.rows[at.api] = append(c.rows[at.api], grantRow{hash: at.subject, id: id, gone: true})
	}
}

func (s *Snapshot) findGrant(id string) (grantID, bool) {
	if s.ids == nil {
		return grantID{}, false
	}
	return s.ids.find(id)
}

// grant checks a grant and makes its row. The numbers of its patterns are appended to room, which has place for them.
func (c *change) grant(g *Grant, v *vocabulary, room []uint32) grantRow {
	fact := grantFact(g.ID)
	if !isGrantID(g.ID) {
		c.add(fact, "id", "an id is 1 to %d of a-z, 0-9, -, _ and ., beginning with a letter or digit", maxIDLen)
	}
	row := grantRow{id: g.ID, subject: g.Subject, deny: g.Effect == Deny}
	subject, wrong := parseSubject(g.Subject)
	switch {
	case wrong != "":
		c.add(fact, "subject", "%q: %s", clip(g.Subject), wrong)
	case subject.Kind == AppRole && subject.Scope != g.API:
		c.add(fact, "subject", "%s is a role of api %s and can never match in api %s; write approle:%s/%s", g.Subject,
			subject.Scope, clip(g.API), clip(g.API), subject.ID)
	}
	row.hash = subject.hash()
	if g.Effect != Allow && g.Effect != Deny {
		c.add(fact, "effect", "set allow or deny")
	}
	if len(g.Permissions) == 0 {
		c.add(fact, "permissions", "none given; name at least one")
	}
	c.unique(fact, "permissions", g.Permissions)
	if v == nil {
		c.add(fact, "api", "no api has the id %q; add the api or correct the id", clip(g.API))
	} else {
		row.patterns = c.patterns(fact, "permissions", g.API, v, g.Permissions, room)
	}
	held, err := c.to.conditions.compile(g.Condition, c.compiler)
	if err != nil {
		c.add(fact, "condition", "%v", err)
	}
	if held != nil || !g.NotBefore.IsZero() || !g.ExpiresAt.IsZero() {
		row.limits = &limits{notBefore: g.NotBefore.Round(0), expiresAt: g.ExpiresAt.Round(0), condition: held}
	}
	return row
}
