package entra

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// KeyStatus is the state of one document, for operators.
type KeyStatus struct {
	Provider  string
	Tenant    string    // of OIDC the provider's name
	Policy    string    // B2C
	V1        bool      // the document of v1 tokens
	FetchedAt time.Time // last success, be it of an earlier process; zero: never
	Keys      int       // usable ones; 0 when there are none or they are too old
	Problem   string    // of the last refresh; "": it succeeded, or none ended yet
	Cache     string    // why the keys could not be kept on disk; "": they were, or need not be
}

// Status reports every document, sorted by provider, tenant, policy and version.
func (v *Verifier) Status() []KeyStatus {
	sources := v.registry.Load().sources
	all := make([]KeyStatus, 0, len(sources))
	now := v.cfg.Now()
	for _, s := range sources {
		st := KeyStatus{Provider: s.provider.Name, Tenant: s.tenant, Policy: s.policy, V1: s.v1}
		if set := s.current.Load(); set != nil {
			st.FetchedAt = set.fetchedAt.UTC()
		}
		if set := s.usable(now); set != nil {
			st.Keys = set.count(now, s.cfg.MaxStale)
		}
		if p := s.problem.Load(); p != nil {
			st.Problem = *p
		}
		if p := s.cacheProblem.Load(); p != nil {
			st.Cache = *p
		}
		all = append(all, st)
	}
	slices.SortStableFunc(all, func(a, b KeyStatus) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Policy, b.Policy))
	})
	return all
}

// KeyStats counts what happened to the documents of one tenant of one provider since the start, for metrics.
type KeyStats struct {
	Provider string
	Tenant   string // of OIDC the provider's name

	AgeSeconds   float64 // since the oldest of its documents was fetched; -1 when one never was
	Refreshes    uint64  // that succeeded
	Failures     uint64  // refreshes that did not
	UnknownKids  uint64  // tokens that named a key which was not in a set that could be used
	NegativeHits uint64  // those of them that were answered from memory
}

// Stats counts, sorted by provider and tenant.
func (v *Verifier) Stats() []KeyStats {
	var all []KeyStats
	now := v.cfg.Now()
	for _, s := range v.registry.Load().sources {
		i := slices.IndexFunc(all, func(st KeyStats) bool { return st.Provider == s.provider.Name && st.Tenant == s.tenant })
		if i < 0 {
			i = len(all)
			all = append(all, KeyStats{Provider: s.provider.Name, Tenant: s.tenant})
		}
		st := &all[i]
		st.Refreshes += s.refreshes.Load()
		st.Failures += s.failures.Load()
		st.UnknownKids += s.unknownKids.Load()
		st.NegativeHits += s.negativeHits.Load()
		switch set := s.current.Load(); {
		case set == nil:
			st.AgeSeconds = -1
		case st.AgeSeconds >= 0:
			st.AgeSeconds = max(st.AgeSeconds, now.Sub(set.fetchedAt).Seconds())
		}
	}
	slices.SortFunc(all, func(a, b KeyStats) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Tenant, b.Tenant))
	})
	return all
}
