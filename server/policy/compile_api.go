package policy

import (
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/request"
)

// Limits of an api, those of verdict.v1.Api.
const (
	maxAudiences      = 16
	maxAudienceLen    = 256
	maxHosts          = 64
	maxPermissions    = 10000
	maxScopes         = 256
	maxScopeLen       = 120
	maxActors         = 1000
	maxAllowedClients = 1000
	maxCapPatterns    = 1000 // of one scope or actor rule
)

// takeAPIs begins drafts for the apis that change.
func (c *change) takeAPIs(d *Delta) {
	for _, id := range d.DeleteAPIs {
		c.draft(id).facts = nil
	}
	free := 0
	for i := range d.PutAPIs {
		a := cloneAPI(&d.PutAPIs[i])
		dr := c.draft(a.ID)
		if dr.put {
			c.add(apiFact(a.ID), "id", "another api has this id; ids are unique")
			continue
		}
		dr.facts, dr.put = &a, true
		if dr.old == nil {
			for free < len(c.from.apis) && c.from.apis[free] != nil {
				free++
			}
			if free == len(c.to.apis) {
				c.to.apis = append(c.to.apis, nil)
			}
			dr.index = index(free)
			free++
		}
		c.checkAPI(dr.facts)
	}
}

func cloneAPI(a *API) API {
	n := *a
	n.Audiences = slices.Clone(a.Audiences)
	n.Hosts = slices.Clone(a.Hosts)
	n.Permissions = slices.Clone(a.Permissions)
	n.Privileged = slices.Clone(a.Privileged)
	n.AllowedClients = slices.Clone(a.AllowedClients)
	n.Scopes = slices.Clone(a.Scopes)
	for i := range n.Scopes {
		n.Scopes[i].Permissions = slices.Clone(n.Scopes[i].Permissions)
	}
	n.Actors = slices.Clone(a.Actors)
	for i := range n.Actors {
		n.Actors[i].Permissions = slices.Clone(n.Actors[i].Permissions)
	}
	return n
}

// checkAPI checks what does not depend on other facts nor on the vocabulary.
func (c *change) checkAPI(a *API) {
	fact := apiFact(a.ID)
	if !isAPIID(a.ID) {
		c.add(fact, "id", "an id is 1 to %d of a-z, 0-9 and -, beginning with a letter", maxIDLen)
	}
	if len(a.Audiences) == 0 {
		c.add(fact, "audiences", "none given; name the audience (aud) of the tokens that this api accepts")
	}
	c.atMost(fact, "audiences", len(a.Audiences), maxAudiences)
	for i, audience := range a.Audiences {
		if audience == "" || len(audience) > maxAudienceLen {
			c.add(fact, item("audiences", i), "an audience is 1 to %d characters", maxAudienceLen)
		}
	}
	c.unique(fact, "audiences", a.Audiences)
	c.atMost(fact, "hosts", len(a.Hosts), maxHosts)
	for i, host := range a.Hosts {
		if canonical, ok := request.CanonicalHost(host); !ok {
			c.add(fact, item("hosts", i), "%q is not a host name; write it as in orders.example.com", clip(host))
		} else if canonical != host {
			c.add(fact, item("hosts", i), "%q is not canonical; write %s", clip(host), canonical)
		}
	}
	c.atMost(fact, "allowed_clients", len(a.AllowedClients), maxAllowedClients)
	for i, client := range a.AllowedClients {
		if !isClientID(client) {
			c.add(fact, item("allowed_clients", i), "%q is not a client id; write a GUID in lower case with hyphens, or the id of a provider's client", clip(client))
		}
	}
	c.unique(fact, "allowed_clients", a.AllowedClients)
	if a.Keeping.Durability > DurabilitySyncDB {
		c.add(fact, "audit_durability", "%d is no durability; leave it out, or set one that is", a.Keeping.Durability)
	}
	if a.Keeping.OnFailure > OnAuditFailureCount {
		c.add(fact, "on_audit_failure", "%d is neither to deny nor to count; leave it out, or set one of these", a.Keeping.OnFailure)
	}
}

// atMost checks how many elements a list has.
func (c *change) atMost(fact, field string, n, most int) {
	if n > most {
		c.add(fact, field, "has %d entries; at most %d are allowed", n, most)
	}
}

// unique checks that a list has no repeats.
func (c *change) unique(fact, field string, list []string) {
	if len(list) < 2 {
		return
	}
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		if seen[s] {
			c.add(fact, item(field, i), "%s is listed twice; remove one", clip(s))
		}
		seen[s] = true
	}
}

// declare makes the vocabulary of an api; names that are not well formed are reported and left out.
func (c *change) declare(dr *draft) *vocabulary {
	old := new(vocabulary)
	if dr.old != nil {
		old = dr.old.vocabulary
	}
	fact, names := apiFact(dr.id), dr.facts.Permissions
	c.atMost(fact, "permissions", len(names), maxPermissions)
	c.unique(fact, "permissions", names)
	good := make([]string, 0, len(names))
	for i, name := range names {
		if wrong := checkPermission(name); wrong != "" {
			c.add(fact, item("permissions", i), "%q: %s", clip(name), wrong)
			continue
		}
		good = append(good, name)
	}
	slices.Sort(good)
	next := old.with(slices.Compact(good))
	for i, name := range dr.facts.Privileged {
		if p := next.byName[name]; p != nil {
			p.privileged = true
			continue
		}
		c.add(fact, item("privileged", i), "%q is not among the permissions of the api", clip(name))
	}
	return next
}

// caps compiles the scope and actor rules. Rules for the same scope add up; rules for the same client each cap it.
func (c *change) caps(dr *draft, shape *apiShape) {
	fact, a := apiFact(dr.id), dr.facts
	c.atMost(fact, "scopes", len(a.Scopes), maxScopes)
	c.atMost(fact, "actors", len(a.Actors), maxActors)
	shape.scopes = make(map[string]permissionSet, len(a.Scopes))
	for i, rule := range a.Scopes {
		if !isScope(rule.Scope) {
			c.add(fact, item("scopes", i)+".scope", "%q: a scope is 1 to %d printable ASCII characters without spaces",
				clip(rule.Scope), maxScopeLen)
		}
		field := item("scopes", i) + ".permissions"
		if len(rule.Permissions) == 0 {
			c.add(fact, field, "none given; name what the scope may carry, or remove the rule")
		}
		set := shape.vocabulary.set(c.patterns(fact, field, dr.id, shape.vocabulary, rule.Permissions, nil))
		if known, repeated := shape.scopes[rule.Scope]; repeated {
			for j := range set {
				set[j] |= known[j]
			}
		} else {
			shape.scopeOrder = append(shape.scopeOrder, rule.Scope)
		}
		shape.scopes[rule.Scope] = set
	}
	shape.actors = make(map[string]permissionSet, len(a.Actors))
	for i, rule := range a.Actors {
		if !isClientID(rule.ClientID) {
			c.add(fact, item("actors", i)+".client_id", "%q is not a client id; write a GUID in lower case with hyphens, or the id of a provider's client",
				clip(rule.ClientID))
		}
		field := item("actors", i) + ".permissions"
		set := shape.vocabulary.set(c.patterns(fact, field, dr.id, shape.vocabulary, rule.Permissions, nil))
		if known, repeated := shape.actors[rule.ClientID]; repeated {
			for j := range set {
				set[j] &= known[j]
			}
		}
		shape.actors[rule.ClientID] = set
	}
}

func isScope(s string) bool {
	if s == "" || len(s) > maxScopeLen {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// patterns appends to into the numbers of patterns that match a declared permission, and reports the others.
func (c *change) patterns(fact, field, api string, v *vocabulary, texts []string, into []uint32) []uint32 {
	c.atMost(fact, field, len(texts), maxCapPatterns)
	for i, text := range texts {
		if number, ok := v.pattern(text); ok {
			into = append(into, number)
			continue
		}
		if wrong := checkPattern(text); wrong != "" {
			c.add(fact, item(field, i), "%q: %s", clip(text), wrong)
			continue
		}
		c.undeclared(fact, item(field, i), api, v, text)
	}
	return into
}

// undeclared reports a permission or pattern that api does not know, and what may have been meant.
func (c *change) undeclared(fact, field, api string, v *vocabulary, text string) {
	if c.full() {
		c.omitted++
		return
	}
	if near := v.nearest(text); near != "" {
		c.add(fact, field, "%q matches no permission of api %s; did you mean %s?", text, api, near)
		return
	}
	c.add(fact, field, "%q matches no permission of api %s; declare it in the api or correct the name", text, api)
}

// isClientID says whether s can be the id of a client: a GUID of Entra, or whatever another provider calls its clients. A
// GUID in capitals would match nothing.
func isClientID(s string) bool {
	return isGUID(s) || IsForeignID(s) && !isGUID(strings.ToLower(s))
}
