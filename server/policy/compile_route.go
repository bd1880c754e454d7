package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/request"
)

// Limits of a route, those of verdict.v1.Route.
const (
	maxRoutePermissions = 32
	maxUpgradeLen       = 32
	maxTokenAge         = 24 * time.Hour
)

// takeRoutes changes the lists of routes in the drafts.
func (c *change) takeRoutes(d *Delta) {
	for _, key := range d.DeleteRoutes {
		if c.drafts[key.API] != nil || c.from.APIByID(key.API) != nil {
			delete(c.draft(key.API).routes, key.ID)
		}
	}
	for i := range d.PutRoutes {
		r := d.PutRoutes[i]
		r.Methods = slices.Clone(r.Methods)
		r.Permissions = slices.Clone(r.Permissions)
		dr := c.draft(r.API)
		if dr.facts == nil {
			c.add(routeFact(r.API, r.ID), "api", "no api has the id %q; add the api or correct the id", clip(r.API))
		}
		if dr.putRoutes[r.ID] {
			c.add(routeFact(r.API, r.ID), "id", "another route of the api has this id; ids are unique")
			continue
		}
		dr.routes[r.ID] = &r
		dr.putRoutes[r.ID] = true
	}
}

// shape compiles what an api is apart from its grants.
func (c *change) shape(dr *draft) {
	if dr.facts == nil {
		return
	}
	shape := &apiShape{facts: *dr.facts}
	if dr.put {
		shape.vocabulary = c.declare(dr)
		c.caps(dr, shape)
	} else {
		shape.vocabulary = dr.old.vocabulary
		shape.scopes, shape.scopeOrder, shape.actors = dr.old.scopes, dr.old.scopeOrder, dr.old.actors
	}
	c.routes(dr, shape)
	dr.shape = shape
}

// routes compiles the routes of an api and their trie.
func (c *change) routes(dr *draft, shape *apiShape) {
	old := map[*Route]*CompiledRoute{}
	if dr.old != nil && !dr.put {
		for _, r := range dr.old.routes {
			old[&r.facts] = r
		}
	}
	facts := make([]*Route, 0, len(dr.routes))
	for _, r := range dr.routes {
		facts = append(facts, r)
	}
	slices.SortFunc(facts, func(a, b *Route) int {
		return cmp.Or(strings.Compare(a.Template, b.Template), strings.Compare(a.ID, b.ID))
	})
	b := newTrieBuilder()
	shape.routes = make([]*CompiledRoute, 0, len(facts))
	for _, f := range facts {
		t, wrong := parseTemplate(f.Template)
		if wrong != "" {
			c.add(routeFact(dr.id, f.ID), "template", "%q: %s", clip(f.Template), wrong)
		}
		r := old[f]
		if r == nil {
			r = c.route(dr.id, shape.vocabulary, f, &t)
		}
		shape.routes = append(shape.routes, r)
		if wrong != "" {
			continue
		}
		if tie := b.add(r, &t); tie != nil {
			c.tie(dr, r, tie)
		}
	}
	slices.SortFunc(shape.routes, func(a, b *CompiledRoute) int { return strings.Compare(a.facts.ID, b.facts.ID) })
	shape.trie = b.build()
}

// tie reports two routes that match the same requests; the blame is on the one that is new.
func (c *change) tie(dr *draft, r, other *CompiledRoute) {
	if dr.putRoutes[other.facts.ID] && (!dr.putRoutes[r.facts.ID] || r.facts.ID < other.facts.ID) {
		r, other = other, r
	}
	c.add(routeFact(dr.id, r.facts.ID), "template", "%s ties with route %s (%s) for %s; change a template or the methods",
		r.facts.Template, other.facts.ID, other.facts.Template, r.methods&other.methods)
}

// route compiles one route; t is its template, empty when that is wrong.
func (c *change) route(api string, v *vocabulary, f *Route, t *template) *CompiledRoute {
	fact := routeFact(api, f.ID)
	r := &CompiledRoute{facts: *f, params: t.params}
	if !isRouteID(f.ID) {
		c.add(fact, "id", "an id is 1 to %d of a-z, 0-9, -, _ and ., beginning with a letter", maxIDLen)
	}
	r.methods = c.methods(fact, f.Methods)
	open := f.Requirement == RequirePublic || f.Requirement == RequireAuthenticated
	if open && t.catchAll() {
		c.add(fact, "template", "%s matches every path and cannot be public or authenticated; begin it with a literal "+
			"segment or require permissions", f.Template)
	}
	if f.Requirement == RequirePublic && f.Condition != "" {
		c.add(fact, "condition", "a public route asks nothing of the caller; remove the condition or require authenticated")
	}
	c.signIn(fact, f)
	r.permissions = c.required(fact, api, v, f)
	r.freshGroups = slices.ContainsFunc(r.permissions, func(p *permission) bool { return p.privileged })
	var err error
	if r.condition, err = c.to.conditions.compile(f.Condition, c.compiler); err != nil {
		c.add(fact, "condition", "%v", err)
	}
	if !isUpgrade(f.Upgrade) {
		c.add(fact, "upgrade", "%q: name one protocol in lower case, such as websocket, of at most %d characters",
			clip(f.Upgrade), maxUpgradeLen)
	}
	return r
}

// signIn checks what a route asks of the sign-in behind the token.
func (c *change) signIn(fact string, f *Route) {
	if f.Requirement == RequirePublic {
		for field, set := range map[string]bool{
			"max_token_age": f.MaxTokenAge != 0, "auth_context": f.AuthContext != "", "confidential_client": f.ConfidentialClient,
		} {
			if set {
				c.add(fact, field, "a public route asks nothing of the caller; remove it or require authenticated")
			}
		}
	}
	if f.MaxTokenAge < 0 || f.MaxTokenAge > maxTokenAge || f.MaxTokenAge%time.Second != 0 {
		c.add(fact, "max_token_age", "%s is not a whole number of seconds up to %d", f.MaxTokenAge, int(maxTokenAge.Seconds()))
	}
	if !isAuthContext(f.AuthContext) {
		c.add(fact, "auth_context", "%q: an authentication context is c1 to c99", clip(f.AuthContext))
	}
}

// isAuthContext says whether s is empty or the id of an authentication context of Entra.
func isAuthContext(s string) bool {
	switch len(s) {
	case 0:
		return true
	case 2, 3:
		return s[0] == 'c' && s[1] >= '1' && s[1] <= '9' && (len(s) == 2 || s[2] >= '0' && s[2] <= '9')
	}
	return false
}

// methods reads the methods of a route as bits.
func (c *change) methods(fact string, names []string) request.Method {
	if len(names) == 0 {
		c.add(fact, "methods", "none given; name at least one, such as GET")
	}
	c.unique(fact, "methods", names)
	var all request.Method
	for i, name := range names {
		m, ok := request.ParseMethod(name)
		if !ok {
			c.add(fact, item("methods", i), "%q is not a method; write it in upper case, such as GET", clip(name))
		}
		all |= m
	}
	return all
}

// required finds the permissions that a route asks for.
func (c *change) required(fact, api string, v *vocabulary, f *Route) []*permission {
	var field string
	switch f.Requirement {
	case RequirePublic, RequireAuthenticated:
		if len(f.Permissions) > 0 {
			c.add(fact, "permissions", "a public or authenticated route asks for no permission; remove them or require all_of")
		}
		return nil
	case RequireAllOf:
		field = "all_of.permissions"
	case RequireAnyOf:
		field = "any_of.permissions"
	default:
		c.add(fact, "requirement", "none given; set one of public, authenticated, all_of, any_of")
		return nil
	}
	if len(f.Permissions) == 0 {
		c.add(fact, field, "none given; name at least one, or make the route authenticated")
	}
	c.atMost(fact, field, len(f.Permissions), maxRoutePermissions)
	c.unique(fact, field, f.Permissions)
	all := make([]*permission, 0, len(f.Permissions))
	for i, name := range f.Permissions {
		if p := v.byName[name]; p != nil {
			all = append(all, p)
			continue
		}
		if wrong := checkPermission(name); wrong != "" {
			c.add(fact, item(field, i), "%q: %s", clip(name), wrong)
			continue
		}
		c.undeclared(fact, item(field, i), api, v, name)
	}
	return all
}

// isUpgrade says whether s is empty or a protocol name: a token in lower case.
func isUpgrade(s string) bool {
	if len(s) > maxUpgradeLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~!#$&'*+^`|/", rune(c)) {
			return false
		}
	}
	return true
}
