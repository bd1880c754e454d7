package entra

import (
	"fmt"
	"slices"
)

// registry is who is trusted. It is immutable; a change makes a new one that shares the tenants that stay, with their
// keys.
type registry struct {
	tenants map[string][]*tenant
	b2c     map[string]*tenant // by issuer, since its tokens carry no tid
	oidc    map[string]*tenant // by issuer
	sources []*source
	of      map[*provider][]*tenant
}

// tenant is one tenant of one provider, or an OIDC provider: what its tokens must say, and where their keys are.
type tenant struct {
	provider *provider
	id       string             // GUID; of OIDC the provider's name
	issuerV2 string             // of OIDC what iss says
	issuerV1 string             // "" when the cloud has none
	v2       *source            // nil for B2C
	v1       *source            // nil unless v1 tokens are accepted
	policies map[string]*source // B2C by policy
}

// register makes the registry of the providers with the tenants that each has. Tenants of old are taken over.
func (v *Verifier) register(tenants map[*provider][]string, old *registry) (*registry, error) {
	g := &registry{
		tenants: make(map[string][]*tenant), b2c: make(map[string]*tenant), oidc: make(map[string]*tenant),
		of: make(map[*provider][]*tenant, len(v.providers)),
	}
	pinned := make(map[string]*tenant)
	for _, p := range v.providers {
		ids := tenants[p]
		if p.Kind == OIDC {
			ids = []string{p.Name}
		}
		for _, id := range ids {
			t := old.tenant(p, id)
			if t == nil {
				t = v.newTenant(p, id)
			}
			if other := pinned[t.issuerV2]; other != nil {
				return nil, fmt.Errorf("provider %q: tenants: %s: provider %q has the same issuer", p.Name, id, other.provider.Name)
			}
			pinned[t.issuerV2] = t
			g.add(t)
		}
	}
	return g, nil
}

func (g *registry) add(t *tenant) {
	g.of[t.provider] = append(g.of[t.provider], t)
	switch t.provider.Kind {
	case OIDC:
		g.oidc[t.issuerV2] = t
	case B2C:
		g.b2c[t.issuerV2] = t
		g.tenants[t.id] = append(g.tenants[t.id], t)
	default:
		g.tenants[t.id] = append(g.tenants[t.id], t)
	}
	g.sources = append(g.sources, t.sources()...)
}

// tenant is the one with that id; g may be nil.
func (g *registry) tenant(p *provider, id string) *tenant {
	if g == nil {
		return nil
	}
	for _, t := range g.of[p] {
		if t.id == id {
			return t
		}
	}
	return nil
}

// sources are the documents of t, those of B2C sorted by policy.
func (t *tenant) sources() []*source {
	var all []*source
	for _, s := range []*source{t.v2, t.v1} {
		if s != nil {
			all = append(all, s)
		}
	}
	for _, policy := range t.provider.Policies {
		if s := t.policies[policy]; s != nil {
			all = append(all, s)
		}
	}
	return all
}

func (v *Verifier) newTenant(p *provider, id string) *tenant {
	t := &tenant{provider: p, id: id, issuerV2: expand(p.issuerV2, id), issuerV1: expand(p.issuerV1, id)}
	add := func(policy string, v1 bool) *source {
		s := newSource(p, id, policy, v1, v.clients[p], &v.cfg, v.log)
		s.restore()
		return s
	}
	if p.Kind == B2C {
		t.policies = make(map[string]*source, len(p.Policies))
		for _, policy := range p.Policies {
			t.policies[policy] = add(policy, false)
		}
		return t
	}
	t.v2 = add("", false)
	if p.AcceptV1 {
		t.v1 = add("", true)
	}
	return t
}

// SetTenants replaces the tenants of a provider, by the provider's name. Tokens of a new tenant are accepted as soon as
// its keys are there, which a running Run fetches at once; those of one that is left out are refused from now on. Either
// all of it is done or, with an error that names the field, nothing. It fetches nothing itself: Probe does, before.
func (v *Verifier) SetTenants(name string, tenants []string) error {
	v.change.Lock()
	defer v.change.Unlock()
	p, err := v.tenanted(name)
	if err != nil {
		return err
	}
	ids, err := canonicalTenants(tenants)
	if err != nil {
		return fmt.Errorf("provider %q: %w", name, err)
	}
	old := v.registry.Load()
	wanted := make(map[*provider][]string, len(v.providers))
	for _, q := range v.providers {
		for _, t := range old.of[q] {
			wanted[q] = append(wanted[q], t.id)
		}
	}
	wanted[p] = ids
	next, err := v.register(wanted, old)
	if err != nil {
		return err
	}
	v.registry.Store(next)
	for _, s := range old.sources {
		if !slices.Contains(next.sources, s) {
			s.close(v.unknown)
		}
	}
	select {
	case v.changed <- struct{}{}:
	default: // Run has not looked since the last change, and will
	}
	return nil
}

// Tenants are the tenants of a provider, sorted.
func (v *Verifier) Tenants(name string) ([]string, error) {
	p, err := v.tenanted(name)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range v.registry.Load().of[p] {
		ids = append(ids, t.id)
	}
	slices.Sort(ids)
	return ids, nil
}

// tenanted finds a provider that has tenants.
func (v *Verifier) tenanted(name string) (*provider, error) {
	var found *provider
	for _, p := range v.providers {
		switch {
		case p.Name != name:
		case found != nil:
			return nil, fmt.Errorf("provider %q: name: several have it; give each its own", name)
		default:
			found = p
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("provider %q: none of that name is configured", name)
	case found.Kind == OIDC:
		return nil, fmt.Errorf("provider %q: tenants: an OIDC provider has none", name)
	}
	return found, nil
}
