package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var following = map[string]func(*testing.T, store.Store){
	"changes since the newest revision are none": func(t *testing.T, s store.Store) {
		begin(t, s)
		d, err := s.ChangesSince(t.Context(), 1)
		must(t, err)
		equal(t, "delta", d, store.Delta{From: 1, To: 1})
	},

	"changes since a revision that is not there yet are ErrNotFound": func(t *testing.T, s store.Store) {
		begin(t, s)
		for _, from := range []uint64{2, 1 << 62, 1<<64 - 1} {
			_, err := s.ChangesSince(t.Context(), from)
			wantError(t, err, store.ErrNotFound)
		}
	},

	"changes name a fact once, and not at all when it came and went": func(t *testing.T, s store.Store) {
		begin(t, s)
		gone := store.Change{DeleteGrants: []store.Delete[string]{{Key: "passing"}}}
		commit(t, s, puts(plainGrant("a", "passing"), plainGrant("a", "g")))
		commit(t, s, puts(plainGrant("a", "g")))
		commit(t, s, gone)
		d, err := s.ChangesSince(t.Context(), 1)
		must(t, err)
		g := plainGrant("a", "g")
		g.Revision = 3
		equal(t, "since 1", d, store.Delta{From: 1, To: 4, Grants: []store.Grant{g}})
		d, err = s.ChangesSince(t.Context(), 2)
		must(t, err)
		equal(t, "since 2", d, store.Delta{From: 2, To: 4, Grants: []store.Grant{g}, DeleteGrants: []string{"passing"}})
	},

	"a fact that was deleted and made again is put, not deleted": func(t *testing.T, s store.Store) {
		begin(t, s)
		commit(t, s, store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}}})
		commit(t, s, puts(plainRoute("a", "r")))
		d, err := s.ChangesSince(t.Context(), 1)
		must(t, err)
		r := plainRoute("a", "r")
		r.Revision = 3
		equal(t, "delta", d, store.Delta{From: 1, To: 3, Routes: []store.Route{r}})
	},

	"changes since any revision are the difference of the policies, over random histories": func(t *testing.T, s store.Store) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		h := random{rand.New(rand.NewPCG(seed, 0)), s}
		states := []store.Facts{load(t, s)}
		for range 40 {
			commit(t, s, h.change(states[len(states)-1]))
			states = append(states, load(t, s))
		}
		last := states[len(states)-1]
		for from, was := range states {
			d, err := s.ChangesSince(t.Context(), uint64(from))
			must(t, err)
			equal(t, fmt.Sprintf("changes since %d", from), d, difference(was, last))
		}
	},

	"a hint follows a commit, when there are hints": func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hints := s.Notify(ctx)
		if hints == nil {
			return
		}
		deadline := time.After(30 * time.Second)
		for hinted := 0; hinted < 3; {
			commit(t, s, puts(plainAPI("a")))
			select {
			case <-hints:
				hinted++
			case <-time.After(100 * time.Millisecond): // some commits may be missed
			case <-deadline:
				t.Fatalf("%d hints", hinted)
			}
		}
	},

	"hints end with their context, and the channel is never closed": func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		hints := s.Notify(ctx)
		cancel()
		for i := range 5 {
			commit(t, s, puts(plainAPI("a")))
			select {
			case _, open := <-hints:
				if !open {
					t.Fatal("closed")
				}
				if i == 4 {
					t.Fatal("still hinting")
				}
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	},
}

// random makes changes that a store accepts.
type random struct {
	*rand.Rand
	store store.Store
}

// change puts and deletes some of a few facts, so that the same ones come and go.
func (r random) change(f store.Facts) (c store.Change) {
	apis := map[string]bool{"keep": true} // true: there afterwards
	for _, a := range f.APIs {
		apis[a.ID] = true
	}
	routes, grants := make(map[store.RouteKey]bool), make(map[string]bool)
	for _, rt := range f.Routes {
		routes[rt.Key()] = true
	}
	for _, g := range f.Grants {
		grants[g.ID] = true
	}
	if !slices.ContainsFunc(f.APIs, func(a store.API) bool { return a.ID == "keep" }) {
		c.PutAPIs = append(c.PutAPIs, store.Put[store.API]{Fact: plainAPI("keep")})
	}
	dropped := ""
	if id := fmt.Sprint("a", r.IntN(3)); apis[id] && r.IntN(2) == 0 {
		dropped = id
		c.DeleteAPIs = append(c.DeleteAPIs, store.Delete[string]{Key: id})
	} else {
		a := fullAPI(id)
		a.DisplayName = fmt.Sprint(r.Uint64())
		c.PutAPIs = append(c.PutAPIs, store.Put[store.API]{Fact: a})
		apis[id] = true
	}
	for api, there := range apis {
		for i := range 3 {
			k := store.RouteKey{API: api, ID: fmt.Sprint("r", i)}
			switch {
			case api == dropped && routes[k], api != dropped && routes[k] && r.IntN(4) == 0:
				c.DeleteRoutes = append(c.DeleteRoutes, store.Delete[store.RouteKey]{Key: k})
			case api != dropped && there && r.IntN(3) == 0:
				c.PutRoutes = append(c.PutRoutes, store.Put[store.Route]{Fact: fullRoute(k.API, k.ID)})
			}
		}
	}
	for i := range 8 {
		id := fmt.Sprint("g", i)
		of := ""
		if n := slices.IndexFunc(f.Grants, func(g store.Grant) bool { return g.ID == id }); n >= 0 {
			of = f.Grants[n].API
		}
		switch {
		case grants[id] && (of == dropped || r.IntN(4) == 0):
			c.DeleteGrants = append(c.DeleteGrants, store.Delete[string]{Key: id})
		case r.IntN(3) == 0:
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: fullGrant("keep", id)})
		}
	}
	return c
}

// difference is what ChangesSince has to say between two policies.
func difference(was, is store.Facts) store.Delta {
	d := store.Delta{From: was.Revision, To: is.Revision}
	d.APIs, d.DeleteAPIs = differ(was.APIs, is.APIs, func(a store.API) (string, uint64) { return a.ID, a.Revision })
	d.Routes, d.DeleteRoutes = differ(was.Routes, is.Routes, func(r store.Route) (store.RouteKey, uint64) { return r.Key(), r.Revision })
	d.Grants, d.DeleteGrants = differ(was.Grants, is.Grants, func(g store.Grant) (string, uint64) { return g.ID, g.Revision })
	return d
}

func differ[F any, K comparable](was, is []F, key func(F) (K, uint64)) (put []F, gone []K) {
	old := make(map[K]uint64)
	for _, f := range was {
		k, rev := key(f)
		old[k] = rev
	}
	now := make(map[K]bool)
	for _, f := range is {
		k, rev := key(f)
		now[k] = true
		if old[k] != rev {
			put = append(put, f)
		}
	}
	for _, f := range was { // sorted, as the deletes are
		if k, _ := key(f); !now[k] {
			gone = append(gone, k)
		}
	}
	return put, gone
}
