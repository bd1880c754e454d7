package policy

import (
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/request"
)

// Snapshot is a policy at one revision, compiled. It never changes and is safe for concurrent use. The zero value holds
// nothing, at revision 0. What it and its parts return is shared: read it, do not write to it.
type Snapshot struct {
	revision   uint64
	apis       []*CompiledAPI // nil where an api was deleted
	byID       map[string]uint32
	byHost     map[string]uint32
	ids        *grantIDs
	conditions *conditionCache
	counts     Counts
}

// Counts says how much a Snapshot holds.
type Counts struct{ APIs, Routes, Grants int }

// CompiledAPI is an api of one Snapshot.
type CompiledAPI struct {
	*apiShape
	grants *grantTable
}

// apiShape is what a change of grants leaves as it is.
type apiShape struct {
	facts      API
	vocabulary *vocabulary
	scopes     map[string]permissionSet // what each scope carries
	scopeOrder []string                 // in order of declaration, each once
	actors     map[string]permissionSet // what each limited client may use
	routes     []*CompiledRoute         // by id
	trie       *trie
}

// CompiledRoute is a route of a Snapshot.
type CompiledRoute struct {
	facts       Route
	methods     request.Method
	params      []string
	permissions []*permission
	condition   *condition // nil: none
	freshGroups bool
}

// Revision is the revision of the policy.
func (s *Snapshot) Revision() uint64 { return s.revision }

// Counts says how much s holds.
func (s *Snapshot) Counts() Counts { return s.counts }

// APIByID returns the api of that id, or nil.
func (s *Snapshot) APIByID(id string) *CompiledAPI {
	if i, ok := s.byID[id]; ok {
		return s.apis[i]
	}
	return nil
}

// APIByHost returns the api that a canonical host belongs to, or nil.
func (s *Snapshot) APIByHost(host string) *CompiledAPI {
	if i, ok := s.byHost[host]; ok {
		return s.apis[i]
	}
	return nil
}

// APIs returns the apis by id.
func (s *Snapshot) APIs() []*CompiledAPI {
	all := make([]*CompiledAPI, 0, len(s.byID))
	for _, i := range s.byID {
		all = append(all, s.apis[i])
	}
	slices.SortFunc(all, func(a, b *CompiledAPI) int { return strings.Compare(a.ID(), b.ID()) })
	return all
}

// ID is the id of the api.
func (a *CompiledAPI) ID() string { return a.facts.ID }

// Facts is what the api was compiled from.
func (a *CompiledAPI) Facts() *API { return &a.facts }

// Routes returns the routes by id.
func (a *CompiledAPI) Routes() []*CompiledRoute { return slices.Clone(a.routes) }

// Grants is how many grants the api has.
func (a *CompiledAPI) Grants() int { return a.grants.n }

// Permissions returns the declared permissions, sorted.
func (a *CompiledAPI) Permissions() []string {
	names := make([]string, len(a.vocabulary.permissions))
	for i := range names {
		names[i] = a.vocabulary.permissions[i].name
	}
	return names
}

// HasPermission says whether the api declares a permission.
func (a *CompiledAPI) HasPermission(name string) bool { return a.vocabulary.byName[name] != nil }

// NeedsFreshGroups says whether groups in a token are not fresh enough for a permission.
func (a *CompiledAPI) NeedsFreshGroups(name string) bool {
	p := a.vocabulary.byName[name]
	return p != nil && p.privileged
}

// ScopesFor appends to into the delegated scopes that would carry a permission, in order of declaration.
func (a *CompiledAPI) ScopesFor(name string, into []string) []string {
	p := a.vocabulary.byName[name]
	if p == nil {
		return into
	}
	for _, scope := range a.scopeOrder {
		if a.scopes[scope].has(p) {
			into = append(into, scope)
		}
	}
	return into
}

// Match returns the route for a canonical path that answers m (when m has several bits, all of them), or nil. It writes the
// parameters to p, which may be nil; they are parts of path.
func (a *CompiledAPI) Match(m request.Method, path string, p *Params) *CompiledRoute {
	if p == nil {
		var values [maxParams]string
		return a.trie.match(m, path, &values)
	}
	r := a.trie.match(m, path, &p.values)
	if r == nil {
		p.names = nil
		return nil
	}
	p.names = r.params
	return r
}

// Facts is what the route was compiled from.
func (r *CompiledRoute) Facts() *Route { return &r.facts }

// NeedsFreshGroups says whether groups in a token are not fresh enough for one of the route's permissions.
func (r *CompiledRoute) NeedsFreshGroups() bool { return r.freshGroups }

// ID is the id of the route in its api.
func (r *CompiledRoute) ID() string { return r.facts.ID }

// Methods are the methods that the route answers, as bits.
func (r *CompiledRoute) Methods() request.Method { return r.methods }
