package admin

import (
	"slices"

	"github.com/verdict-authz/verdict/store"
)

// deltaOf is what c does to the policy at head.
func deltaOf(c store.Change, head uint64) store.Delta {
	return store.Delta{
		From: head, To: head + 1,
		APIs: facts(c.PutAPIs), Routes: facts(c.PutRoutes), Grants: facts(c.PutGrants),
		DeleteAPIs: keys(c.DeleteAPIs), DeleteRoutes: keys(c.DeleteRoutes), DeleteGrants: keys(c.DeleteGrants),
	}
}

func facts[F any](puts []store.Put[F]) []F {
	var fs []F
	for _, p := range puts {
		fs = append(fs, p.Fact)
	}
	return fs
}

func keys[K any](deletes []store.Delete[K]) []K {
	var ks []K
	for _, d := range deletes {
		ks = append(ks, d.Key)
	}
	return ks
}

// overlay is the policy that c makes of f.
func overlay(f store.Facts, c store.Change) store.Facts {
	return store.Facts{
		Revision: f.Revision + 1,
		APIs:     overlaid(f.APIs, apiKey, c.PutAPIs, c.DeleteAPIs),
		Routes:   overlaid(f.Routes, store.Route.Key, c.PutRoutes, c.DeleteRoutes),
		Grants:   overlaid(f.Grants, grantKey, c.PutGrants, c.DeleteGrants),
	}
}

func apiKey(a store.API) string     { return a.ID }
func grantKey(g store.Grant) string { return g.ID }

func overlaid[F any, K comparable](have []F, key func(F) K, puts []store.Put[F], deletes []store.Delete[K]) []F {
	gone := map[K]bool{}
	for _, d := range deletes {
		gone[d.Key] = true
	}
	for _, p := range puts {
		gone[key(p.Fact)] = true
	}
	left := slices.DeleteFunc(slices.Clone(have), func(f F) bool { return gone[key(f)] })
	return append(left, facts(puts)...)
}

// diff is the operations that make want out of have. same compares what a fact says, not its Revision. Both results
// are in the order of the keys.
func diff[F any, K comparable](
	have, want []F, key func(F) K, compare func(a, b K) int, same func(a, b F) bool,
) (puts []store.Put[F], deletes []store.Delete[K]) {
	old := make(map[K]F, len(have))
	for _, f := range have {
		old[key(f)] = f
	}
	for _, f := range want {
		k := key(f)
		was, there := old[k]
		if !there || !same(was, f) {
			puts = append(puts, store.Put[F]{Fact: f, Create: !there})
		}
		delete(old, k)
	}
	for k := range old {
		deletes = append(deletes, store.Delete[K]{Key: k})
	}
	slices.SortFunc(puts, func(a, b store.Put[F]) int { return compare(key(a.Fact), key(b.Fact)) })
	slices.SortFunc(deletes, func(a, b store.Delete[K]) int { return compare(a.Key, b.Key) })
	return puts, deletes
}
