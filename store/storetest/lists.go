package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/verdict-authz/verdict/store"
)

// oddIDs are in the order of their bytes, which no language's dictionary has.
var oddIDs = []string{"-", ".x", "B", "_", "a", "a-b", "a.b", "aB", "ab", "b", "z", "é", "ö"}

var lists = map[string]func(*testing.T, store.Store){
	"facts are in the order of their keys' bytes": func(t *testing.T, s store.Store) {
		var c store.Change
		for i := range oddIDs {
			id := oddIDs[(i*7+3)%len(oddIDs)]
			c.PutAPIs = append(c.PutAPIs, puts(plainAPI(id)).PutAPIs...)
			c.PutGrants = append(c.PutGrants, puts(plainGrant("a", id)).PutGrants...)
			for _, api := range oddIDs {
				c.PutRoutes = append(c.PutRoutes, puts(plainRoute(api, id)).PutRoutes...)
			}
		}
		commit(t, s, c)
		f := load(t, s)
		d, err := s.ChangesSince(t.Context(), 0)
		must(t, err)
		as, err := s.ListAPIs(t.Context(), "", 1000)
		must(t, err)
		rs, err := s.ListRoutes(t.Context(), "", store.RouteKey{}, 1000)
		must(t, err)
		gs, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 1000)
		must(t, err)
		for _, l := range [][]store.API{f.APIs, d.APIs, as} {
			equal(t, "apis", keys(l, func(a store.API) string { return a.ID }), oddIDs)
		}
		for _, l := range [][]store.Route{f.Routes, d.Routes, rs} {
			ks := keys(l, store.Route.Key)
			if len(ks) != len(oddIDs)*len(oddIDs) || !slices.IsSortedFunc(ks, store.RouteKey.Compare) {
				t.Fatalf("routes: %v", ks)
			}
		}
		for _, l := range [][]store.Grant{f.Grants, d.Grants, gs} {
			equal(t, "grants", keys(l, func(g store.Grant) string { return g.ID }), oddIDs)
		}
	},

	"pages of any size put together are the whole list": func(t *testing.T, s store.Store) {
		var c store.Change
		for _, id := range oddIDs {
			c.PutAPIs = append(c.PutAPIs, puts(plainAPI(id)).PutAPIs...)
			c.PutGrants = append(c.PutGrants, puts(plainGrant("a", id)).PutGrants...)
			c.PutRoutes = append(c.PutRoutes, puts(plainRoute("b", id), plainRoute("a", id)).PutRoutes...)
		}
		commit(t, s, c)
		f := load(t, s)
		ctx := t.Context()
		for _, size := range []int{1, 2, 5, len(oddIDs), 100} {
			equal(t, "apis", paged(t, size, "", func(a store.API) string { return a.ID }, func(after string) ([]store.API, error) {
				return s.ListAPIs(ctx, after, size)
			}), f.APIs)
			equal(t, "routes", paged(t, size, store.RouteKey{}, store.Route.Key, func(after store.RouteKey) ([]store.Route, error) {
				return s.ListRoutes(ctx, "", after, size)
			}), f.Routes)
			equal(t, "routes of b", paged(t, size, store.RouteKey{}, store.Route.Key, func(after store.RouteKey) ([]store.Route, error) {
				return s.ListRoutes(ctx, "b", after, size)
			}), f.Routes[len(oddIDs):])
			equal(t, "grants", paged(t, size, "", func(g store.Grant) string { return g.ID }, func(after string) ([]store.Grant, error) {
				return s.ListGrants(ctx, store.GrantFilter{}, after, size)
			}), f.Grants)
		}
	},

	"grants are filtered by api, by subject and by both": func(t *testing.T, s store.Store) {
		c := puts(plainAPI("a"), plainAPI("b"))
		for i := range 12 {
			g := plainGrant([]string{"a", "b"}[i%2], fmt.Sprintf("g%02d", i))
			g.Subject = fmt.Sprint("user:t/", i%3)
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: g})
		}
		commit(t, s, c)
		all := load(t, s).Grants
		for _, f := range []store.GrantFilter{{}, {API: "a"}, {API: "none"}, {Subject: "user:t/1"}, {Subject: "user:t/"}, {API: "b", Subject: "user:t/2"}} {
			want := slices.DeleteFunc(slices.Clone(all), func(g store.Grant) bool {
				return f.API != "" && g.API != f.API || f.Subject != "" && g.Subject != f.Subject
			})
			if len(want) == 0 {
				want = nil
			}
			got := paged(t, 2, "", func(g store.Grant) string { return g.ID }, func(after string) ([]store.Grant, error) {
				return s.ListGrants(t.Context(), f, after, 2)
			})
			equal(t, fmt.Sprintf("%+v", f), got, want)
		}
	},

	"revisions are listed newest first, page by page": func(t *testing.T, s store.Store) {
		var want []store.Revision
		for range 7 {
			want = append(want, commit(t, s, puts(plainAPI("a"))))
		}
		slices.Reverse(want)
		equal(t, "all", history(t, s), want)
		for _, size := range []int{1, 3, 7} {
			got := paged(t, size, 0, func(r store.Revision) uint64 { return r.Number }, func(before uint64) ([]store.Revision, error) {
				if before == 1 {
					return s.Revisions(t.Context(), 1, size) // 0 would begin again
				}
				return s.Revisions(t.Context(), before, size)
			})
			equal(t, "pages", got, want)
		}
		l, err := s.Revisions(t.Context(), 1<<64-1, 1)
		must(t, err)
		equal(t, "before the largest number", l, want[:1])
		for i := 1; i < len(want); i++ {
			if want[i].At.After(want[i-1].At) {
				t.Fatalf("revision %d is later than %d", want[i].Number, want[i-1].Number)
			}
		}
	},

	"a limit of 0 or less gives nothing": func(t *testing.T, s store.Store) {
		begin(t, s)
		must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(1)}))
		for _, limit := range []int{0, -1} {
			as, errA := s.ListAPIs(t.Context(), "", limit)
			rs, errR := s.ListRoutes(t.Context(), "a", store.RouteKey{}, limit)
			gs, errG := s.ListGrants(t.Context(), store.GrantFilter{}, "", limit)
			vs, errV := s.Revisions(t.Context(), 0, limit)
			ds, errD := s.ListDecisions(t.Context(), store.DecisionFilter{}, store.DecisionCursor{}, limit)
			for _, err := range []error{errA, errR, errG, errV, errD} {
				must(t, err)
			}
			equal(t, "rows", len(as)+len(rs)+len(gs)+len(vs)+len(ds), 0)
		}
	},
}

func keys[T, K any](l []T, key func(T) K) []K {
	ks := make([]K, len(l))
	for i, v := range l {
		ks[i] = key(v)
	}
	return ks
}

// paged puts pages together, each after the last key of the one before.
func paged[T any, K comparable](t testing.TB, size int, first K, key func(T) K, page func(after K) ([]T, error)) (all []T) {
	t.Helper()
	for after := first; ; {
		l, err := page(after)
		must(t, err)
		if len(l) > size {
			t.Fatalf("page of %d, limit %d", len(l), size)
		}
		all = append(all, l...)
		if len(l) < size {
			return all
		}
		after = key(l[len(l)-1])
	}
}
