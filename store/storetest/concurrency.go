package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/verdict-authz/verdict/store"
)

func ids(n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = fmt.Sprintf("id%06d", i)
	}
	return l
}

var concurrency = map[string]func(*testing.T, store.Store){
	"no update is lost among 64 writers that read, add and write with IfRevision": func(t *testing.T, s store.Store) {
		counting(t, s, func(ctx context.Context) (uint64, store.Change, error) {
			a, _, err := s.GetAPI(ctx, "counter")
			n, _ := strconv.ParseUint(a.DisplayName, 10, 64)
			a.DisplayName = strconv.FormatUint(n+1, 10)
			return n, store.Change{PutAPIs: []store.Put[store.API]{{Fact: a, IfRevision: a.Revision}}}, err
		})
	},

	"no update is lost among 64 writers that read, add and write with Expect": func(t *testing.T, s store.Store) {
		counting(t, s, func(ctx context.Context) (uint64, store.Change, error) {
			a, head, err := s.GetAPI(ctx, "counter")
			n, _ := strconv.ParseUint(a.DisplayName, 10, 64)
			a.DisplayName = strconv.FormatUint(n+1, 10)
			c := puts(a)
			c.Expect = &head
			return n, c, err
		})
	},

	"of 64 writers that create one fact, one succeeds": func(t *testing.T, s store.Store) {
		var created atomic.Int64
		each64(func(int) {
			_, err := s.Commit(t.Context(), store.Change{PutAPIs: []store.Put[store.API]{{Fact: plainAPI("a"), Create: true}}})
			switch {
			case err == nil:
				created.Add(1)
			case !errors.Is(err, store.ErrExists):
				t.Errorf("create: %v", err)
			}
		})
		equal(t, "created", created.Load(), int64(1))
		equal(t, "head", head(t, s), uint64(1))
	},

	"64 writers of different facts all succeed, each with a number of its own": func(t *testing.T, s store.Store) {
		var mu sync.Mutex
		numbers := make(map[uint64]bool)
		each64(func(i int) {
			rev, err := s.Commit(t.Context(), puts(plainAPI(fmt.Sprint("a", i))))
			if err != nil {
				t.Errorf("commit: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			numbers[rev.Number] = true
		})
		for n := uint64(1); n <= 64; n++ {
			if !numbers[n] {
				t.Errorf("nobody has number %d", n)
			}
		}
		equal(t, "facts", len(load(t, s).APIs), 64)
	},

	"an api never goes while a route comes to it": func(t *testing.T, s store.Store) {
		for round := range 20 {
			commit(t, s, puts(plainAPI("a")))
			var put, gone error
			var both sync.WaitGroup
			both.Go(func() { _, put = s.Commit(t.Context(), puts(plainRoute("a", "r"))) })
			both.Go(func() { _, gone = s.Commit(t.Context(), store.Change{DeleteAPIs: []store.Delete[string]{{Key: "a"}}}) })
			both.Wait()
			f := load(t, s)
			switch {
			case put == nil && errors.Is(gone, store.ErrReferenced):
				commit(t, s, store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "a", ID: "r"}}}})
			case gone == nil && errors.Is(put, store.ErrReferenced):
				equal(t, "facts", len(f.APIs)+len(f.Routes), 0)
			default:
				t.Fatalf("round %d: put %v, delete %v", round, put, gone)
			}
		}
	},

	"readers see one state while commits run": func(t *testing.T, s store.Store) {
		// Every commit writes its number, as text, into all facts; a reader that sees two numbers saw two states.
		write := func(n uint64) store.Change {
			text := strconv.FormatUint(n, 10)
			c := puts(plainAPI("a"))
			c.PutAPIs[0].Fact.DisplayName = text
			for _, id := range ids(20) {
				r, g := plainRoute("a", id), plainGrant("a", id)
				r.Template, g.Reason = text, text
				// Some come and go with even and odd numbers, others stay.
				if id < "id000005" && n%2 == 1 {
					c.DeleteRoutes = append(c.DeleteRoutes, store.Delete[store.RouteKey]{Key: r.Key()})
					continue
				}
				c.PutRoutes = append(c.PutRoutes, store.Put[store.Route]{Fact: r})
				c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: g})
			}
			return c
		}
		commit(t, s, puts(plainAPI("a")))
		const last = 40
		done := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			defer close(done)
			for n := uint64(2); n <= last; n++ {
				if _, err := s.Commit(t.Context(), write(n)); err != nil {
					t.Errorf("commit %d: %v", n, err)
					return
				}
			}
		})
		var reads atomic.Int64
		for range 4 {
			all.Go(func() {
				var seen uint64
				for more := true; more && !t.Failed(); {
					select {
					case <-done:
						more = false
					default:
					}
					f, err := s.Load(t.Context())
					if err != nil {
						t.Errorf("load: %v", err)
						return
					}
					oneState(t, f)
					d, err := s.ChangesSince(t.Context(), seen)
					if err != nil {
						t.Errorf("changes since %d: %v", seen, err)
						return
					}
					if d.To < f.Revision {
						t.Errorf("changes up to %d, after revision %d was seen", d.To, f.Revision)
					}
					for _, r := range d.Routes {
						if r.Template != strconv.FormatUint(d.To, 10) && r.API == "a" && r.ID >= "id000005" {
							t.Errorf("changes up to %d have a route of %s", d.To, r.Template)
						}
					}
					seen = f.Revision
					reads.Add(1)
				}
			})
		}
		all.Wait()
		if reads.Load() == 0 && !t.Failed() {
			t.Fatal("nothing was read")
		}
		equal(t, "head", head(t, s), uint64(last))
	},

	"appends that repeat and overlap leave each record once": func(t *testing.T, s store.Store) {
		each64(func(i int) {
			var batch []store.Decision
			for n := i; n < i+20; n++ {
				batch = append(batch, decision((n*13)%64))
			}
			if err := s.AppendDecisions(t.Context(), batch); err != nil {
				t.Errorf("append: %v", err)
			}
		})
		equal(t, "records", len(listAll(t, s, store.DecisionFilter{}, 1000)), 64)
	},
}

// oneState checks that all facts carry the number of the revision.
func oneState(t *testing.T, f store.Facts) {
	if f.Revision < 2 {
		return
	}
	want := strconv.FormatUint(f.Revision, 10)
	routes := 20
	if f.Revision%2 == 1 {
		routes = 15
	}
	if f.APIs[0].DisplayName != want || len(f.Routes) != routes {
		t.Errorf("revision %s has an api of %s and %d routes", want, f.APIs[0].DisplayName, len(f.Routes))
	}
	for _, r := range f.Routes {
		if r.Template != want {
			t.Errorf("revision %s has a route of %s", want, r.Template)
		}
	}
	for _, g := range f.Grants {
		if g.Reason != want && g.ID >= "id000005" {
			t.Errorf("revision %s has a grant of %s", want, g.Reason)
		}
	}
}

// counting lets 64 writers count up with what next proposes; each succeeds twice.
func counting(t *testing.T, s store.Store, next func(context.Context) (uint64, store.Change, error)) {
	t.Helper()
	commit(t, s, puts(plainAPI("counter")))
	const times = 2
	var succeeded, conflicts atomic.Int64
	each64(func(int) {
		for won := 0; won < times && !t.Failed(); {
			_, c, err := next(t.Context())
			if err == nil {
				_, err = s.Commit(t.Context(), c)
			}
			switch {
			case err == nil:
				won++
				succeeded.Add(1)
			case errors.Is(err, store.ErrConflict):
				conflicts.Add(1)
			default:
				t.Errorf("count: %v", err)
				return
			}
		}
	})
	t.Logf("%d conflicts", conflicts.Load())
	a, head, err := s.GetAPI(t.Context(), "counter")
	must(t, err)
	equal(t, "successes", succeeded.Load(), int64(64*times))
	equal(t, "count", a.DisplayName, strconv.Itoa(64*times))
	equal(t, "revisions", head, uint64(64*times+1))
}

// each64 runs f 64 times at once.
func each64(f func(i int)) {
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() { f(i) })
	}
	all.Wait()
}
