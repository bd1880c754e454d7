package mirror

import (
	"fmt"
	"maps"
	"slices"

	"github.com/verdict-authz/verdict/store"
)

// fold puts the pages of one resource together. Graph repeats objects, within a page and between pages, and spreads the
// members of a large group over several; what came last counts.
type fold struct {
	resource   store.MirrorResource
	most       int // objects and memberships
	principals map[store.GUID]store.MirrorPrincipal
	groups     map[store.GUID]store.Fate
	members    []store.MirrorMember // in the order they came
	resync     bool
}

func newFold(resource store.MirrorResource, most int) *fold {
	return &fold{
		resource: resource, most: most,
		principals: make(map[store.GUID]store.MirrorPrincipal), groups: make(map[store.GUID]store.Fate),
	}
}

// add takes the objects of a page.
func (f *fold) add(objects []object) error {
	for i := range objects {
		if f.resource.PrincipalKind() != 0 {
			f.principal(&objects[i])
		} else {
			f.group(&objects[i])
		}
	}
	if n := len(f.principals) + len(f.groups) + len(f.members); n > f.most {
		return fmt.Errorf("more than %d objects and memberships in a round", f.most)
	}
	return nil
}

func (f *fold) principal(o *object) {
	p := f.principals[o.ID]
	p.ID, p.Kind, p.Fate = o.ID, f.resource.PrincipalKind(), o.Removed.fate()
	if o.AccountEnabled != nil {
		p.Enabled = o.AccountEnabled
	}
	if o.SessionsValidFrom != nil && !o.SessionsValidFrom.IsZero() {
		p.SessionsValidFrom = o.SessionsValidFrom
	}
	f.principals[o.ID] = p
}

func (f *fold) group(o *object) {
	fate := o.Removed.fate()
	if before, again := f.groups[o.ID]; again && before != store.FateThere && fate == store.FateThere {
		f.resync = true // which memberships survived that, nobody says
	}
	f.groups[o.ID] = fate
	for i := range o.Members {
		m := &o.Members[i]
		next := store.MirrorMember{Group: o.ID, Member: m.ID, Kind: m.kindOf(), Removed: m.Removed != nil}
		if next.Kind == 0 && !next.Removed {
			continue
		}
		f.members = append(f.members, next)
	}
}

// part is what the pages say in the end.
func (f *fold) part(full bool, link string) store.MirrorPart {
	part := store.MirrorPart{Resource: f.resource, Full: full, Resync: f.resync, Link: link}
	part.Principals = slices.SortedFunc(maps.Values(f.principals), func(a, b store.MirrorPrincipal) int { return a.ID.Compare(b.ID) })
	for id, fate := range f.groups {
		part.Groups = append(part.Groups, store.MirrorGroupChange{ID: id, Fate: fate})
	}
	slices.SortFunc(part.Groups, func(a, b store.MirrorGroupChange) int { return a.ID.Compare(b.ID) })
	slices.SortStableFunc(f.members, store.MirrorMember.Compare)
	for i, m := range f.members {
		if i+1 < len(f.members) && m.Compare(f.members[i+1]) == 0 {
			continue // a later one counts
		}
		part.Members = append(part.Members, m)
	}
	return part
}
