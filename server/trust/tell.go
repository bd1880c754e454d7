package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// clockSlack is how far the clocks of the store and of this machine may be apart: keys that were fetched less than that
// after an order to purge them are purged too.
const clockSlack = time.Minute

// state is what the store says.
type state struct {
	tenants []store.TrustedTenant
	denied  []store.DeniedKey
	purges  []store.KeyPurge // by Seq
}

// told is what came of telling the verifier.
type told struct {
	version uint64
	tenants int // that were added and taken
	denied  int
	purged  []string // tenants whose keys were purged
	refused map[member]string
}

// providers finds those that have tenants, and their tenants, in what the verifier has. Those that it does not let be
// changed, since they have no tenants or share a name, are left out.
func providers(v Verifier) []Provider {
	var all []Provider
	for _, doc := range v.Status() { // by provider
		if len(all) > 0 && all[len(all)-1].Name == doc.Provider {
			continue
		}
		if tenants, err := v.Tenants(doc.Provider); err == nil {
			all = append(all, Provider{Name: doc.Provider, Tenants: tenants})
		}
	}
	return all
}

// tell makes the verifier do what the store says. Keys come first: what is refused is refused whatever else goes wrong.
func (f *Feed) tell(now state, begin bool) *told {
	t := &told{refused: map[member]string{}}
	t.denied = f.deny(now.denied)
	fresh := f.setTenants(now.tenants, t)
	f.purge(now.purges, begin, fresh, t)
	return t
}

// deny refuses the keys. One whose id the verifier does not take can verify nothing anyway, and must not keep the others
// from being refused.
func (f *Feed) deny(keys []store.DeniedKey) int {
	var kids []string
	for _, k := range keys {
		kids = append(kids, k.Kid)
	}
	if f.verifier.DenyKeys(kids) == nil {
		return len(kids)
	}
	was := f.verifier.DeniedKeys()
	taken := slices.DeleteFunc(slices.Clone(kids), func(kid string) bool { return !slices.Contains(was, kid) })
	for _, kid := range kids {
		if more := append(slices.Clone(taken), kid); !slices.Contains(taken, kid) && f.verifier.DenyKeys(more) == nil {
			taken = more
		}
	}
	_ = f.verifier.DenyKeys(taken) // each was taken before
	return len(kids)
}

// setTenants gives each provider its tenants, those of the configuration and those that were added, and returns the ones
// that were not there before. What one provider loses goes before another may gain it, since no two may have the same
// issuer.
func (f *Feed) setTenants(added []store.TrustedTenant, t *told) (fresh []string) {
	wanted := f.wanted(added, t)
	have := make(map[string][]string, len(f.configured))
	for _, p := range f.configured {
		was, err := f.verifier.Tenants(p.Name)
		if err != nil { // it answered in NewFeed, and providers do not go
			was = p.Tenants
		}
		keep := slices.DeleteFunc(slices.Clone(was), func(id string) bool { return !slices.Contains(wanted[p.Name], id) })
		if len(keep) < len(was) && f.verifier.SetTenants(p.Name, keep) == nil {
			was = keep
		}
		have[p.Name] = was
	}
	for _, p := range f.configured {
		fresh = append(fresh, f.extend(p, have[p.Name], wanted[p.Name], t)...)
	}
	return fresh
}

// wanted is the tenants that each provider is to have; those that belong to no provider are refused.
func (f *Feed) wanted(added []store.TrustedTenant, t *told) map[string][]string {
	wanted := make(map[string][]string, len(f.configured))
	for _, p := range f.configured {
		wanted[p.Name] = slices.Clone(p.Tenants)
	}
	for _, a := range added {
		ids, known := wanted[a.Provider]
		switch {
		case !known:
			t.refused[member{a.Provider, a.ID}] = "the configuration has no such provider with tenants"
		case slices.Contains(ids, a.ID): // the configuration names it by now
		default:
			wanted[a.Provider] = append(ids, a.ID)
		}
	}
	return wanted
}

// extend gives p the tenants that it does not have yet: all at once, and when that is refused, each that can be had.
func (f *Feed) extend(p Provider, have, wanted []string, t *told) (fresh []string) {
	for _, id := range wanted {
		if !slices.Contains(have, id) {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) == 0 || f.verifier.SetTenants(p.Name, slices.Concat(have, fresh)) == nil {
		t.tenants += len(wanted) - len(p.Tenants)
		return fresh
	}
	var taken []string
	for _, id := range fresh {
		if err := f.verifier.SetTenants(p.Name, append(slices.Concat(have, taken), id)); err != nil {
			t.refused[member{p.Name, id}] = err.Error()
			continue
		}
		taken = append(taken, id)
	}
	t.tenants += len(have) + len(taken) - len(p.Tenants)
	return taken
}

// purge carries out the orders that are new. Of older ones it looks at the tenants that this process had no keys of yet:
// fresh ones, and at the beginning all. Their keys, which an earlier process kept, go when they are older than the order.
func (f *Feed) purge(orders []store.KeyPurge, begin bool, fresh []string, t *told) {
	doomed := map[string]bool{}
	for _, order := range orders {
		for _, doc := range f.verifier.Status() {
			if order.Tenant != "" && !strings.EqualFold(order.Tenant, doc.Tenant) {
				continue
			}
			restored := (begin || slices.Contains(fresh, doc.Tenant)) && !doc.FetchedAt.IsZero() &&
				doc.FetchedAt.Before(order.At.Add(clockSlack))
			if restored || !begin && order.Seq > f.purged {
				doomed[doc.Tenant] = true
			}
		}
	}
	for tenant := range doomed {
		if f.verifier.Purge(tenant) == nil { // else its tokens are not accepted here
			t.purged = append(t.purged, tenant)
		}
	}
	slices.Sort(t.purged)
	if begin {
		f.purged = 0
	}
	if len(orders) > 0 {
		f.purged = max(f.purged, orders[len(orders)-1].Seq)
	}
}

// problemOf tells what was refused, in one order.
func problemOf(refused map[member]string) string {
	var texts []string
	for m, why := range refused {
		texts = append(texts, fmt.Sprintf("tenant %s, added to provider %q, is not accepted here: %s", m.tenant, m.provider, why))
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}
