package storetest

import (
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var facts = map[string]func(*testing.T, store.Store){
	"an empty store is at revision 0 and has nothing": func(t *testing.T, s store.Store) {
		equal(t, "head", head(t, s), uint64(0))
		equal(t, "facts", load(t, s), store.Facts{})
		equal(t, "revisions", history(t, s), []store.Revision(nil))
		d, err := s.ChangesSince(t.Context(), 0)
		must(t, err)
		equal(t, "delta", d, store.Delta{})
	},

	"every field of every fact comes back as it was put, from every method": func(t *testing.T, s store.Store) {
		a, r, g := fullAPI("orders"), fullRoute("orders", "list"), fullGrant("orders", "g-1")
		commit(t, s, puts(a, r, g))
		a.Revision, r.Revision, g.Revision = 1, 1, 1
		sameEverywhere(t, s, a, r, g)
	},

	"empty fields come back empty, and lists nil": func(t *testing.T, s store.Store) {
		a, r, g := plainAPI("orders"), plainRoute("orders", "list"), plainGrant("orders", "g-1")
		a.Audiences, a.Hosts, a.Permissions, a.AllowedClients = []string{}, []string{}, []store.Permission{}, []string{}
		a.Scopes, a.Actors = []store.ScopeRule{}, []store.ActorRule{}
		r.Methods, r.Permissions, g.Permissions = []string{}, []string{}, []string{}
		commit(t, s, puts(a, r, g))
		a, r, g = plainAPI("orders"), plainRoute("orders", "list"), plainGrant("orders", "g-1")
		a.Revision, r.Revision, g.Revision = 1, 1, 1
		sameEverywhere(t, s, a, r, g)
	},

	"empty lists inside lists come back nil": func(t *testing.T, s store.Store) {
		a := plainAPI("orders")
		a.Scopes = []store.ScopeRule{{Scope: "s", Permissions: []string{}}}
		a.Actors = []store.ActorRule{{ClientID: "c", Permissions: []string{}}}
		commit(t, s, puts(a))
		equal(t, "the caller's value", a.Scopes[0].Permissions, []string{})
		got, _, err := s.GetAPI(t.Context(), "orders")
		must(t, err)
		equal(t, "scopes", got.Scopes, []store.ScopeRule{{Scope: "s"}})
		equal(t, "actors", got.Actors, []store.ActorRule{{ClientID: "c"}})
	},

	"a put replaces the whole fact": func(t *testing.T, s store.Store) {
		commit(t, s, puts(fullAPI("orders"), fullRoute("orders", "list"), fullGrant("orders", "g-1")))
		a, r, g := plainAPI("orders"), plainRoute("orders", "list"), plainGrant("orders", "g-1")
		commit(t, s, puts(a, r, g))
		a.Revision, r.Revision, g.Revision = 2, 2, 2
		sameEverywhere(t, s, a, r, g)
	},

	"a put moves a grant to another api": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a"), plainAPI("b"), plainGrant("a", "g")))
		commit(t, s, puts(plainGrant("b", "g")))
		g, _, err := s.GetGrant(t.Context(), "g")
		must(t, err)
		equal(t, "api", g.API, "b")
		commit(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "a"}}})
	},

	"instants are kept in whole microseconds, in UTC, and the zero time is none": func(t *testing.T, s store.Store) {
		g := plainGrant("a", "g")
		g.NotBefore = instant.Add(999 * time.Nanosecond).In(time.FixedZone("", 5400))
		commit(t, s, puts(plainAPI("a"), g))
		got, _, err := s.GetGrant(t.Context(), "g")
		must(t, err)
		equal(t, "not before", got.NotBefore, instant)
		equal(t, "expires", got.ExpiresAt, time.Time{})
	},

	"instants may be as early as year 1 and as late as year 9999": func(t *testing.T, s store.Store) {
		g := plainGrant("a", "g")
		g.NotBefore = time.Time{}.Add(time.Microsecond)
		g.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
		commit(t, s, puts(plainAPI("a"), g))
		got, _, err := s.GetGrant(t.Context(), "g")
		must(t, err)
		equal(t, "not before", got.NotBefore, g.NotBefore)
		equal(t, "expires", got.ExpiresAt, g.ExpiresAt)
	},

	"requirements and effects are all kept": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a")))
		for _, req := range []store.Requirement{store.Public, store.Authenticated, store.AllOf, store.AnyOf} {
			r := plainRoute("a", "r-"+string(req))
			r.Requirement = req
			commit(t, s, puts(r))
			got, _, err := s.GetRoute(t.Context(), "a", r.ID)
			must(t, err)
			equal(t, "requirement", got.Requirement, req)
		}
		for _, effect := range []store.Effect{store.Allow, store.Deny} {
			g := plainGrant("a", "g-"+string(effect))
			g.Effect = effect
			commit(t, s, puts(g))
			got, _, err := s.GetGrant(t.Context(), g.ID)
			must(t, err)
			equal(t, "effect", got.Effect, effect)
		}
	},

	"what an api asks for its records is kept, in all words": func(t *testing.T, s store.Store) {
		for _, durability := range []store.AuditDurability{store.AuditSpool, store.AuditStrict, store.AuditSyncDB, ""} {
			for _, failure := range []store.OnAuditFailure{store.AuditFailureDeny, store.AuditFailureCount, ""} {
				a := plainAPI("a")
				a.AuditDurability, a.OnAuditFailure = durability, failure
				commit(t, s, puts(a))
				got, _, err := s.GetAPI(t.Context(), "a")
				must(t, err)
				equal(t, "durability", got.AuditDurability, durability)
				equal(t, "on failure", got.OnAuditFailure, failure)
			}
		}
	},

	"what is not there is ErrNotFound": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a"), plainAPI("b"), plainRoute("a", "r")))
		_, _, err := s.GetAPI(t.Context(), "c")
		wantError(t, err, store.ErrNotFound)
		_, _, err = s.GetRoute(t.Context(), "b", "r")
		wantError(t, err, store.ErrNotFound)
		_, _, err = s.GetGrant(t.Context(), "")
		wantError(t, err, store.ErrNotFound)
	},

	"a get returns the newest revision beside the fact's own": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a"), plainRoute("a", "r"), plainGrant("a", "g")))
		commit(t, s, puts(plainAPI("b")))
		a, headA, err := s.GetAPI(t.Context(), "a")
		must(t, err)
		r, headR, err := s.GetRoute(t.Context(), "a", "r")
		must(t, err)
		g, headG, err := s.GetGrant(t.Context(), "g")
		must(t, err)
		equal(t, "heads", []uint64{headA, headR, headG}, []uint64{2, 2, 2})
		equal(t, "revisions", []uint64{a.Revision, r.Revision, g.Revision}, []uint64{1, 1, 1})
	},
}

// sameEverywhere checks that a store with these three facts alone returns them from Get, List, Load and ChangesSince.
func sameEverywhere(t *testing.T, s store.Store, a store.API, r store.Route, g store.Grant) {
	t.Helper()
	ctx := t.Context()
	gotA, _, err := s.GetAPI(ctx, a.ID)
	must(t, err)
	equal(t, "GetAPI", gotA, a)
	gotR, _, err := s.GetRoute(ctx, r.API, r.ID)
	must(t, err)
	equal(t, "GetRoute", gotR, r)
	gotG, _, err := s.GetGrant(ctx, g.ID)
	must(t, err)
	equal(t, "GetGrant", gotG, g)
	as, err := s.ListAPIs(ctx, "", 10)
	must(t, err)
	equal(t, "ListAPIs", as, []store.API{a})
	rs, err := s.ListRoutes(ctx, "", store.RouteKey{}, 10)
	must(t, err)
	equal(t, "ListRoutes", rs, []store.Route{r})
	gs, err := s.ListGrants(ctx, store.GrantFilter{}, "", 10)
	must(t, err)
	equal(t, "ListGrants", gs, []store.Grant{g})
	rev := head(t, s)
	equal(t, "Load", load(t, s), store.Facts{Revision: rev, APIs: as, Routes: rs, Grants: gs})
	d, err := s.ChangesSince(ctx, 0)
	must(t, err)
	equal(t, "ChangesSince", d, store.Delta{To: rev, APIs: as, Routes: rs, Grants: gs})
}
