package entra

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DenyKeys replaces the list of key ids that verify nothing, of whichever provider: the switch for a key that leaked
// before its issuer withdrew it. It is not kept over a restart. None takes the list away.
func (v *Verifier) DenyKeys(kids []string) error {
	denied := make(map[string]struct{}, len(kids))
	for _, kid := range kids {
		if !isOIDCKeyID(kid) {
			return fmt.Errorf("kids: %q is not a key id", kid)
		}
		denied[kid] = struct{}{}
	}
	v.denied.Store(&denied)
	return nil
}

// DeniedKeys is that list, sorted.
func (v *Verifier) DeniedKeys() []string {
	if denied := v.denied.Load(); denied != nil {
		return slices.Sorted(maps.Keys(*denied))
	}
	return nil
}

func (v *Verifier) isDenied(kid []byte) bool {
	denied := v.denied.Load()
	if denied == nil || len(*denied) == 0 {
		return false
	}
	_, is := (*denied)[string(kid)]
	return is
}

// Purge forgets the keys of a tenant, by its id or the name of an OIDC provider, in every provider that has it, and
// fetches them anew. Until they are there its tokens are answered with KEYS_UNAVAILABLE.
func (v *Verifier) Purge(tenant string) error {
	found := false
	for _, s := range v.registry.Load().sources {
		if s.tenant == strings.ToLower(tenant) {
			s.purge(v.unknown)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("tenant %q: none of that id is configured", tenant)
	}
	return nil
}

// Probe fetches the documents of a tenant without trusting it, to tell before it is added what SetTenants cannot: that
// the authority knows it and that its discovery names the issuer that is pinned; if not, the error is ErrIssuer. Of an
// OIDC provider the tenant is its name.
func (v *Verifier) Probe(ctx context.Context, name, tenant string) error {
	for _, p := range v.providers {
		if p.Name != name {
			continue
		}
		if p.Kind == OIDC {
			tenant = p.Name
		} else {
			ids, err := canonicalTenants([]string{tenant})
			if err != nil {
				return fmt.Errorf("provider %q: %w", name, err)
			}
			tenant = ids[0]
		}
		quiet := v.cfg
		quiet.CacheDir = ""
		sources := []*source{}
		for _, policy := range p.Policies {
			sources = append(sources, newSource(p, tenant, policy, false, v.clients[p], &quiet, v.log))
		}
		if p.Kind != B2C {
			sources = append(sources, newSource(p, tenant, "", false, v.clients[p], &quiet, v.log))
		}
		if p.AcceptV1 {
			sources = append(sources, newSource(p, tenant, "", true, v.clients[p], &quiet, v.log))
		}
		for _, s := range sources {
			if _, err := s.fetch(ctx, nil); err != nil {
				return fmt.Errorf("provider %q: tenants: %s: %w", name, tenant, err)
			}
		}
		return nil
	}
	return fmt.Errorf("provider %q: none of that name is configured", name)
}
