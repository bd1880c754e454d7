package store

import (
	"fmt"
	"time"
)

// MaxMirrorHolder is how long the name of a holder may be.
const MaxMirrorHolder = 200

// CheckMirrorLease returns ErrInvalid for what no store takes as a lease.
func CheckMirrorLease(holder string, life time.Duration) error {
	if holder == "" || len(holder) > MaxMirrorHolder || !storable(holder) {
		return fmt.Errorf("mirror lease: holder %.40q: %w", holder, ErrInvalid)
	}
	if life < time.Millisecond {
		return fmt.Errorf("mirror lease: life of %v: %w", life, ErrInvalid)
	}
	return nil
}

// Validate returns ErrInvalid when no store would take r: no holder, a resource that is missing or twice, a part without
// a link, a list that is not sorted or names something twice, a kind that has no place in its list, an instant outside the
// years 1 to 9999.
func (r MirrorRound) Validate() error {
	if err := CheckMirrorLease(r.Holder, time.Second); err != nil {
		return err
	}
	if r.Tenant.IsZero() || r.After >= MaxRevision || !dated(r.Began) || !dated(r.Applied) {
		return fmt.Errorf("mirror round: tenant %s, after %d, %v to %v: %w", r.Tenant, r.After, r.Began, r.Applied, ErrInvalid)
	}
	seen := make(map[MirrorResource]bool, len(mirrorResources))
	for _, p := range r.Parts {
		if seen[p.Resource] {
			return fmt.Errorf("mirror round: %s twice: %w", p.Resource, ErrInvalid)
		}
		seen[p.Resource] = true
		if err := p.validate(); err != nil {
			return fmt.Errorf("mirror round: %s: %w", p.Resource, err)
		}
	}
	for _, must := range mirrorResources {
		if !seen[must] {
			return fmt.Errorf("mirror round: no %s: %w", must, ErrInvalid)
		}
	}
	return nil
}

var mirrorResources = []MirrorResource{MirrorResourceUsers, MirrorResourceServicePrincipals, MirrorResourceGroups}

// PrincipalKind is the kind of what a resource holds; 0 for groups and for what is no resource.
func (r MirrorResource) PrincipalKind() MirrorKind {
	switch r {
	case MirrorResourceUsers:
		return MirrorUser
	case MirrorResourceServicePrincipals:
		return MirrorServicePrincipal
	}
	return 0
}

func (p MirrorPart) validate() error {
	kind := p.Resource.PrincipalKind()
	switch {
	case kind == 0 && p.Resource != MirrorResourceGroups:
		return fmt.Errorf("no such resource: %w", ErrInvalid)
	case p.Link == "" || !storable(p.Link):
		return fmt.Errorf("link %.40q: %w", p.Link, ErrInvalid)
	case kind == 0 && len(p.Principals) > 0 || kind != 0 && len(p.Groups)+len(p.Members) > 0:
		return fmt.Errorf("a list of another resource: %w", ErrInvalid)
	}
	for i, c := range p.Principals {
		if c.Kind != kind || c.Fate > FateGone || c.SessionsValidFrom != nil && !dated(*c.SessionsValidFrom) {
			return fmt.Errorf("principal %s: kind %d, fate %d, sessions %v: %w", c.ID, c.Kind, c.Fate, c.SessionsValidFrom, ErrInvalid)
		}
		if i > 0 && p.Principals[i-1].ID.Compare(c.ID) >= 0 {
			return fmt.Errorf("principal %s: out of order: %w", c.ID, ErrInvalid)
		}
	}
	for i, g := range p.Groups {
		if g.Fate > FateGone {
			return fmt.Errorf("group %s: fate %d: %w", g.ID, g.Fate, ErrInvalid)
		}
		if i > 0 && p.Groups[i-1].ID.Compare(g.ID) >= 0 {
			return fmt.Errorf("group %s: out of order: %w", g.ID, ErrInvalid)
		}
	}
	for i, m := range p.Members {
		if !m.Removed && m.Kind != MirrorUser && m.Kind != MirrorServicePrincipal && m.Kind != MirrorGroup {
			return fmt.Errorf("member %s of %s: kind %d: %w", m.Member, m.Group, m.Kind, ErrInvalid)
		}
		if i > 0 && p.Members[i-1].Compare(m) >= 0 {
			return fmt.Errorf("member %s of %s: out of order: %w", m.Member, m.Group, ErrInvalid)
		}
	}
	return nil
}

// dated says whether stores can keep t.
func dated(t time.Time) bool {
	y := t.UTC().Year()
	return !t.IsZero() && y >= 1 && y <= 9999
}

// Compare orders memberships by group, then member.
func (m MirrorMember) Compare(o MirrorMember) int {
	if c := m.Group.Compare(o.Group); c != 0 {
		return c
	}
	return m.Member.Compare(o.Member)
}
