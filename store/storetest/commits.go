package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// The facts that most of these begin with, all of revision 1.
func begin(t *testing.T, s store.Store) {
	t.Helper()
	commit(t, s, puts(plainAPI("a"), plainAPI("b"), plainRoute("a", "r"), plainGrant("a", "g")))
}

var commits = map[string]func(*testing.T, store.Store){
	"revisions are numbered from 1 without gaps, also over refused changes": func(t *testing.T, s store.Store) {
		for i := uint64(1); i <= 5; i++ {
			equal(t, "number", commit(t, s, puts(plainAPI(fmt.Sprint("a", i)))).Number, i)
			refused(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "none"}}}, store.ErrNotFound)
			equal(t, "head", head(t, s), i)
		}
	},

	"a revision tells who, when and why": func(t *testing.T, s store.Store) {
		c := puts(plainAPI("a"))
		c.Actor, c.Reason, c.Ticket = "user:t/o", "on\nrequest 'of' \"x\"", "T-1"
		start := time.Now()
		rev := commit(t, s, c)
		equal(t, "revision", rev, store.Revision{Number: 1, At: rev.At, Actor: c.Actor, Reason: c.Reason, Ticket: c.Ticket})
		if rev.At.Before(start.Add(-time.Minute)) || rev.At.After(time.Now().Add(time.Minute)) || !rev.At.Equal(store.Instant(rev.At)) || rev.At.Location() != time.UTC {
			t.Fatalf("at %v, begun at %v", rev.At, start)
		}
		equal(t, "history", history(t, s), []store.Revision{rev})
	},

	"the stored revision of a fact is that of the change, whatever it says": func(t *testing.T, s store.Store) {
		a := plainAPI("a")
		a.Revision = 77
		commit(t, s, puts(a))
		got, _, err := s.GetAPI(t.Context(), "a")
		must(t, err)
		equal(t, "revision", got.Revision, uint64(1))
	},

	"a change without operations is ErrInvalid": func(t *testing.T, s store.Store) {
		refused(t, s, store.Change{Actor: "x"}, store.ErrInvalid)
	},

	"operations that name one fact twice are ErrInvalid": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, puts(plainAPI("x"), plainAPI("x")), store.ErrInvalid)
		refused(t, s, puts(plainRoute("a", "r"), plainRoute("a", "r")), store.ErrInvalid)
		c := puts(plainGrant("a", "g"))
		c.DeleteGrants = []store.Delete[string]{{Key: "g"}}
		refused(t, s, c, store.ErrInvalid)
	},

	"what no database takes is ErrInvalid": func(t *testing.T, s store.Store) {
		begin(t, s)
		for name, spoil := range map[string]func(*store.Grant){
			"NUL":     func(g *store.Grant) { g.Reason = "a\x00b" },
			"UTF-8":   func(g *store.Grant) { g.Permissions = []string{"\xff"} },
			"effect":  func(g *store.Grant) { g.Effect = "" },
			"no id":   func(g *store.Grant) { g.ID = "" },
			"instant": func(g *store.Grant) { g.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		} {
			t.Run(name, func(t *testing.T) {
				g := plainGrant("a", "new")
				spoil(&g)
				refused(t, s, puts(g), store.ErrInvalid)
			})
		}
		r := plainRoute("a", "new")
		r.Requirement = "anyone"
		refused(t, s, puts(r), store.ErrInvalid)
		refused(t, s, puts(plainAPI("a/b")), store.ErrInvalid)
		a := plainAPI("b")
		a.AuditDurability = "sync-db"
		refused(t, s, puts(a), store.ErrInvalid)
		a.AuditDurability, a.OnAuditFailure = "", "allow"
		refused(t, s, puts(a), store.ErrInvalid)
		c := puts(plainAPI("c"))
		c.Reason = "\xff"
		refused(t, s, c, store.ErrInvalid)
	},

	"a create of what is there is ErrExists": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, store.Change{PutAPIs: []store.Put[store.API]{{Fact: plainAPI("a"), Create: true}}}, store.ErrExists)
		refused(t, s, store.Change{PutRoutes: []store.Put[store.Route]{{Fact: plainRoute("a", "r"), Create: true}}}, store.ErrExists)
		refused(t, s, store.Change{PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("b", "g"), Create: true}}}, store.ErrExists)
	},

	"a create of what is not there creates, a route id once an api": func(t *testing.T, s store.Store) {
		begin(t, s)
		commit(t, s, store.Change{
			PutAPIs:   []store.Put[store.API]{{Fact: plainAPI("c"), Create: true}},
			PutRoutes: []store.Put[store.Route]{{Fact: plainRoute("b", "r"), Create: true}},
			PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("b", "g2"), Create: true}},
		})
		f := load(t, s)
		equal(t, "counts", []int{len(f.APIs), len(f.Routes), len(f.Grants)}, []int{3, 2, 2})
	},

	"a fact can be created again after it was deleted": func(t *testing.T, s store.Store) {
		begin(t, s)
		commit(t, s, store.Change{DeleteGrants: []store.Delete[string]{{Key: "g"}}})
		commit(t, s, store.Change{PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("a", "g"), Create: true}}})
	},

	"a put with IfRevision holds when the fact is there with it, else ErrConflict": func(t *testing.T, s store.Store) {
		begin(t, s)
		commit(t, s, puts(plainAPI("a"), plainRoute("a", "r"), plainGrant("a", "g"))) // now of revision 2
		for _, wrong := range []uint64{1, 3, 1 << 63, 1<<64 - 1} {
			refused(t, s, store.Change{PutAPIs: []store.Put[store.API]{{Fact: plainAPI("a"), IfRevision: wrong}}}, store.ErrConflict)
			refused(t, s, store.Change{PutRoutes: []store.Put[store.Route]{{Fact: plainRoute("a", "r"), IfRevision: wrong}}}, store.ErrConflict)
			refused(t, s, store.Change{PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("a", "g"), IfRevision: wrong}}}, store.ErrConflict)
		}
		refused(t, s, store.Change{PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("a", "none"), IfRevision: 2}}}, store.ErrConflict)
		commit(t, s, store.Change{
			PutAPIs:   []store.Put[store.API]{{Fact: plainAPI("a"), IfRevision: 2}},
			PutRoutes: []store.Put[store.Route]{{Fact: plainRoute("a", "r"), IfRevision: 2}},
			PutGrants: []store.Put[store.Grant]{{Fact: plainGrant("a", "g"), IfRevision: 2}},
		})
	},

	"a delete with IfRevision holds when the fact is there with it, else ErrConflict": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "b", IfRevision: 2}}}, store.ErrConflict)
		refused(t, s, store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}, IfRevision: 2}}}, store.ErrConflict)
		refused(t, s, store.Change{DeleteGrants: []store.Delete[string]{{Key: "g", IfRevision: 2}}}, store.ErrConflict)
		commit(t, s, store.Change{
			DeleteAPIs:   []store.Delete[string]{{Key: "b", IfRevision: 1}},
			DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}, IfRevision: 1}},
			DeleteGrants: []store.Delete[string]{{Key: "g", IfRevision: 1}},
		})
		equal(t, "facts", load(t, s), store.Facts{Revision: 2, APIs: []store.API{{ID: "a", Revision: 1}}})
	},

	"a delete of what is not there is ErrNotFound": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "c"}}}, store.ErrNotFound)
		refused(t, s, store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "b", ID: "r"}}}}, store.ErrNotFound)
		refused(t, s, store.Change{DeleteGrants: []store.Delete[string]{{Key: "none", IfRevision: 1}}}, store.ErrNotFound)
	},

	"a change with Expect holds at that revision, else ErrConflict": func(t *testing.T, s store.Store) {
		c := puts(plainAPI("a"))
		c.Expect = ptr(uint64(1))
		refused(t, s, c, store.ErrConflict)
		c.Expect = ptr(uint64(0))
		commit(t, s, c)
		refused(t, s, c, store.ErrConflict)
		c.Expect = ptr(uint64(1<<64 - 1))
		refused(t, s, c, store.ErrConflict)
		c.Expect = ptr(uint64(1))
		commit(t, s, c)
	},

	"a route or grant of an api that is not there is ErrReferenced": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, puts(plainRoute("none", "r")), store.ErrReferenced)
		refused(t, s, puts(plainGrant("none", "g2")), store.ErrReferenced)
		refused(t, s, puts(plainGrant("none", "g")), store.ErrReferenced)
	},

	"deleting an api that keeps a route or grant is ErrReferenced": func(t *testing.T, s store.Store) {
		begin(t, s)
		refused(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "a"}}}, store.ErrReferenced)
		refused(t, s, store.Change{
			DeleteAPIs:   []store.Delete[string]{{Key: "a"}},
			DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}},
		}, store.ErrReferenced)
		c := puts(plainGrant("b", "new"))
		c.DeleteAPIs = []store.Delete[string]{{Key: "b"}}
		refused(t, s, c, store.ErrReferenced)
	},

	"an api goes together with all that is its own": func(t *testing.T, s store.Store) {
		begin(t, s)
		commit(t, s, store.Change{
			DeleteAPIs:   []store.Delete[string]{{Key: "a"}},
			DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}},
			DeleteGrants: []store.Delete[string]{{Key: "g"}},
		})
		equal(t, "facts", load(t, s), store.Facts{Revision: 2, APIs: []store.API{{ID: "b", Revision: 1}}})
	},

	"a grant may move away from an api in the change that deletes it": func(t *testing.T, s store.Store) {
		begin(t, s)
		c := puts(plainGrant("b", "g"))
		c.DeleteAPIs = []store.Delete[string]{{Key: "a"}}
		c.DeleteRoutes = []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}}
		commit(t, s, c)
	},

	"a change happens whole or not at all, wherever in it the fault is": func(t *testing.T, s store.Store) {
		begin(t, s)
		for _, last := range []func(*store.Change){
			func(c *store.Change) { c.DeleteAPIs = []store.Delete[string]{{Key: "none"}} },
			func(c *store.Change) { c.DeleteAPIs = []store.Delete[string]{{Key: "a"}} },
			func(c *store.Change) {
				c.PutGrants = append(c.PutGrants, puts(plainGrant("none", "last")).PutGrants...)
			},
			func(c *store.Change) { c.PutGrants[1500].Create, c.PutGrants[1500].Fact.ID = true, "g" },
		} {
			c := puts(plainAPI("x"), plainRoute("x", "r"))
			for i := range 2500 {
				c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: plainGrant("x", fmt.Sprint("g", i))})
			}
			last(&c)
			before := load(t, s)
			if _, err := s.Commit(t.Context(), c); err == nil {
				t.Fatal("committed")
			}
			equal(t, "facts", load(t, s), before)
			equal(t, "revisions", len(history(t, s)), 1)
		}
	},

	"a change may be of thousands of facts, put and deleted": func(t *testing.T, s store.Store) {
		const n = 3001
		c, gone := puts(plainAPI("a")), store.Change{}
		for i := range n {
			c.PutRoutes = append(c.PutRoutes, store.Put[store.Route]{Fact: fullRoute("a", fmt.Sprintf("r%05d/x", i)), Create: true})
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: fullGrant("a", fmt.Sprintf("g%05d", i))})
			gone.DeleteRoutes = append(gone.DeleteRoutes, store.Delete[store.RouteKey]{Key: store.RouteKey{API: "a", ID: fmt.Sprintf("r%05d/x", i)}})
			gone.DeleteGrants = append(gone.DeleteGrants, store.Delete[string]{Key: fmt.Sprintf("g%05d", i), IfRevision: 1})
		}
		commit(t, s, c)
		f := load(t, s)
		want := fullGrant("a", "g03000")
		want.Revision = 1
		equal(t, "counts", []int{len(f.Routes), len(f.Grants)}, []int{n, n})
		equal(t, "last grant", f.Grants[n-1], want)
		commit(t, s, gone)
		equal(t, "facts", load(t, s), store.Facts{Revision: 2, APIs: []store.API{{ID: "a", Revision: 1}}})
		d, err := s.ChangesSince(t.Context(), 1)
		must(t, err)
		equal(t, "deletes", []int{len(d.DeleteRoutes), len(d.DeleteGrants)}, []int{n, n})
	},

	"errors name the fact": func(t *testing.T, s store.Store) {
		begin(t, s)
		_, err := s.Commit(t.Context(), store.Change{DeleteGrants: []store.Delete[string]{{Key: "gone-grant"}}})
		if err == nil || !strings.Contains(err.Error(), "gone-grant") {
			t.Fatalf("got %v", err)
		}
		_, err = s.Commit(t.Context(), puts(plainRoute("none", "route-of-none")))
		if err == nil || !strings.Contains(err.Error(), "none/route-of-none") {
			t.Fatalf("got %v", err)
		}
	},
}
