package store

import (
	"slices"
	"strings"
)

// Step is one line of history without its facts: whether the fact was there before and after it.
type Step struct {
	Kind          Kind
	Key           string
	Before, After bool
}

// NetDeletes adds to d the facts that were there before the first of the steps and are gone after the last. Steps come in
// the order they happened; a fact that came and went among them is not mentioned. The lists are sorted.
func (d *Delta) NetDeletes(steps []Step) {
	type fact struct {
		kind Kind
		key  string
	}
	type net struct{ before, after bool }
	seen := make(map[fact]net, len(steps))
	for _, s := range steps {
		f := fact{s.Kind, s.Key}
		n, again := seen[f]
		if !again {
			n.before = s.Before
		}
		n.after = s.After
		seen[f] = n
	}
	for f, n := range seen {
		if !n.before || n.after {
			continue
		}
		switch f.kind {
		case KindAPI:
			d.DeleteAPIs = append(d.DeleteAPIs, f.key)
		case KindRoute:
			api, id, _ := strings.Cut(f.key, "/")
			d.DeleteRoutes = append(d.DeleteRoutes, RouteKey{API: api, ID: id})
		case KindGrant:
			d.DeleteGrants = append(d.DeleteGrants, f.key)
		}
	}
	slices.Sort(d.DeleteAPIs)
	slices.SortFunc(d.DeleteRoutes, RouteKey.Compare)
	slices.Sort(d.DeleteGrants)
}

// Compare orders keys as stores do: by api, then id.
func (k RouteKey) Compare(o RouteKey) int {
	if c := strings.Compare(k.API, o.API); c != 0 {
		return c
	}
	return strings.Compare(k.ID, o.ID)
}
