package store

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Validate returns ErrInvalid when no store would take c: no operation, a fact named twice, a key that is empty or (of an
// api) has a slash, an unknown requirement, effect or word for the records of an api, an instant outside the years 1 to 9999, text that is not UTF-8 or has
// a NUL. What the policy means is not its business.
func (c Change) Validate() error {
	if len(c.PutAPIs)+len(c.PutRoutes)+len(c.PutGrants)+len(c.DeleteAPIs)+len(c.DeleteRoutes)+len(c.DeleteGrants) == 0 {
		return fmt.Errorf("change without operations: %w", ErrInvalid)
	}
	if !storable(c.Actor) || !storable(c.Reason) || !storable(c.Ticket) {
		return fmt.Errorf("actor, reason and ticket: text that is not UTF-8 or has a NUL: %w", ErrInvalid)
	}
	apis := make(map[string]struct{}, len(c.PutAPIs)+len(c.DeleteAPIs))
	for _, p := range c.PutAPIs {
		if err := once(apis, p.Fact.ID, "api "+p.Fact.ID, p.Fact.ID != "" && !strings.Contains(p.Fact.ID, "/"), p.Fact.texts()); err != nil {
			return err
		}
		if err := p.Fact.validateKeeping(); err != nil {
			return err
		}
	}
	for _, d := range c.DeleteAPIs {
		if err := once(apis, d.Key, "api "+d.Key, d.Key != "", slices.Values([]string{d.Key})); err != nil {
			return err
		}
	}
	routes := make(map[RouteKey]struct{}, len(c.PutRoutes)+len(c.DeleteRoutes))
	for _, p := range c.PutRoutes {
		r, name := p.Fact, "route "+p.Fact.Key().String()
		if err := once(routes, r.Key(), name, r.API != "" && r.ID != "", r.texts()); err != nil {
			return err
		}
		switch r.Requirement {
		case Public, Authenticated, AllOf, AnyOf:
		default:
			return fmt.Errorf("%s: requirement %q: %w", name, r.Requirement, ErrInvalid)
		}
	}
	for _, d := range c.DeleteRoutes {
		if err := once(routes, d.Key, "route "+d.Key.String(), d.Key.API != "" && d.Key.ID != "",
			slices.Values([]string{d.Key.API, d.Key.ID})); err != nil {
			return err
		}
	}
	return c.validateGrants()
}

// validateKeeping checks the words that say what becomes of the api's records.
func (a API) validateKeeping() error {
	switch a.AuditDurability {
	case "", AuditSpool, AuditStrict, AuditSyncDB:
	default:
		return fmt.Errorf("api %s: audit durability %q: %w", a.ID, a.AuditDurability, ErrInvalid)
	}
	switch a.OnAuditFailure {
	case "", AuditFailureDeny, AuditFailureCount:
	default:
		return fmt.Errorf("api %s: on audit failure %q: %w", a.ID, a.OnAuditFailure, ErrInvalid)
	}
	return nil
}

func (c Change) validateGrants() error {
	grants := make(map[string]struct{}, len(c.PutGrants)+len(c.DeleteGrants))
	for i := range c.PutGrants {
		g, name := &c.PutGrants[i].Fact, "grant "+c.PutGrants[i].Fact.ID
		if err := once(grants, g.ID, name, g.ID != "", g.texts()); err != nil {
			return err
		}
		if g.Effect != Allow && g.Effect != Deny {
			return fmt.Errorf("%s: effect %q: %w", name, g.Effect, ErrInvalid)
		}
		for _, t := range []time.Time{g.NotBefore, g.ExpiresAt} {
			if y := t.UTC().Year(); y < 1 || y > 9999 {
				return fmt.Errorf("%s: instant in year %d: %w", name, y, ErrInvalid)
			}
		}
	}
	for _, d := range c.DeleteGrants {
		if err := once(grants, d.Key, "grant "+d.Key, d.Key != "", slices.Values([]string{d.Key})); err != nil {
			return err
		}
	}
	return nil
}

// once notes that the fact was named, and checks its key and texts.
func once[K comparable](seen map[K]struct{}, key K, name string, keyOK bool, texts iter.Seq[string]) error {
	for s := range texts {
		if !storable(s) {
			return fmt.Errorf("%q: text that is not UTF-8 or has a NUL: %w", name, ErrInvalid)
		}
	}
	if !keyOK {
		return fmt.Errorf("%q: the key is empty or has a slash: %w", name, ErrInvalid)
	}
	if _, again := seen[key]; again {
		return fmt.Errorf("%s: named twice: %w", name, ErrInvalid)
	}
	seen[key] = struct{}{}
	return nil
}
