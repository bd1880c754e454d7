package store

import (
	"encoding/json"
	"fmt"
)

// Kind of a fact; the text is stored in history.
type Kind string

// The kinds.
const (
	KindAPI   Kind = "api"
	KindRoute Kind = "route"
	KindGrant Kind = "grant"
)

// Present is what a change finds: the newest revision, and those of the facts it names that are there.
type Present struct {
	Revision uint64
	APIs     map[string]API
	Routes   map[RouteKey]Route
	Grants   map[string]Grant
}

// Entry is what a revision did to one fact: put when After is set, deleted when it is nil. Before is nil for a new fact.
// Both hold an API, Route or Grant by Kind.
type Entry struct {
	Kind   Kind
	Key    string // id, or RouteKey.String
	Before any
	After  any
}

// JSON is the entry's facts as history keeps them; "" stands for none.
func (e Entry) JSON() (before, after string, err error) {
	if before, err = factJSON(e.Before); err != nil {
		return "", "", fmt.Errorf("%s %s: %w", e.Kind, e.Key, err)
	}
	if after, err = factJSON(e.After); err != nil {
		return "", "", fmt.Errorf("%s %s: %w", e.Kind, e.Key, err)
	}
	return before, after, nil
}

func factJSON(fact any) (string, error) {
	if fact == nil {
		return "", nil
	}
	b, err := json.Marshal(fact)
	return string(b), err
}

// Resolve says what c does to what is there: the entries of the revision after p.Revision, in an order in which a database
// can carry them out (apis, routes, grants are put; grants, routes, apis are deleted), facts canonical and with their new
// Revision; or which precondition of c does not hold. c has passed Validate.
func (c Change) Resolve(p Present) ([]Entry, error) {
	if c.Expect != nil && *c.Expect != p.Revision {
		return nil, fmt.Errorf("the policy is at revision %d, not %d: %w", p.Revision, *c.Expect, ErrConflict)
	}
	r := resolver{revision: p.Revision + 1, entries: make([]Entry, 0,
		len(c.PutAPIs)+len(c.PutRoutes)+len(c.PutGrants)+len(c.DeleteAPIs)+len(c.DeleteRoutes)+len(c.DeleteGrants))}
	for _, put := range c.PutAPIs {
		a := put.Fact.Canonical()
		a.Revision = r.revision
		old, there := p.APIs[a.ID]
		r.put(KindAPI, a.ID, there, old.Revision, old, a, put.Create, put.IfRevision)
	}
	for _, put := range c.PutRoutes {
		rt := put.Fact.Canonical()
		rt.Revision = r.revision
		old, there := p.Routes[rt.Key()]
		r.put(KindRoute, rt.Key().String(), there, old.Revision, old, rt, put.Create, put.IfRevision)
	}
	for _, put := range c.PutGrants {
		g := put.Fact.Canonical()
		g.Revision = r.revision
		old, there := p.Grants[g.ID]
		r.put(KindGrant, g.ID, there, old.Revision, old, g, put.Create, put.IfRevision)
	}
	for _, d := range c.DeleteGrants {
		old, there := p.Grants[d.Key]
		r.delete(KindGrant, d.Key, there, old.Revision, old, d.IfRevision)
	}
	for _, d := range c.DeleteRoutes {
		old, there := p.Routes[d.Key]
		r.delete(KindRoute, d.Key.String(), there, old.Revision, old, d.IfRevision)
	}
	for _, d := range c.DeleteAPIs {
		old, there := p.APIs[d.Key]
		r.delete(KindAPI, d.Key, there, old.Revision, old, d.IfRevision)
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.entries, nil
}

// resolver collects entries until the first precondition that does not hold.
type resolver struct {
	revision uint64
	entries  []Entry
	err      error
}

func (r *resolver) put(kind Kind, key string, there bool, at uint64, before, after any, create bool, ifRevision uint64) {
	switch {
	case r.err != nil:
	case create && there:
		r.err = fmt.Errorf("%s %s: %w", kind, key, ErrExists)
	case ifRevision != 0 && !there:
		r.err = fmt.Errorf("%s %s: gone, was at revision %d: %w", kind, key, ifRevision, ErrConflict)
	case ifRevision != 0 && at != ifRevision:
		r.err = fmt.Errorf("%s %s: at revision %d, not %d: %w", kind, key, at, ifRevision, ErrConflict)
	case there:
		r.entries = append(r.entries, Entry{Kind: kind, Key: key, Before: before, After: after})
	default:
		r.entries = append(r.entries, Entry{Kind: kind, Key: key, After: after})
	}
}

func (r *resolver) delete(kind Kind, key string, there bool, at uint64, before any, ifRevision uint64) {
	switch {
	case r.err != nil:
	case !there:
		r.err = fmt.Errorf("%s %s: %w", kind, key, ErrNotFound)
	case ifRevision != 0 && at != ifRevision:
		r.err = fmt.Errorf("%s %s: at revision %d, not %d: %w", kind, key, at, ifRevision, ErrConflict)
	default:
		r.entries = append(r.entries, Entry{Kind: kind, Key: key, Before: before})
	}
}
