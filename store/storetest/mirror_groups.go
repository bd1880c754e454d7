package storetest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var mirrorGroups = map[string]func(*testing.T, MirrorEngine){
	"a principal that is not there is Unknown, whatever group names it": func(t *testing.T, s MirrorEngine) {
		head := apply(t, s, everything, in(1, userID(1)), mirrorGroup(1))
		equal(t, "user", mirrored(t, s, userID(1)), store.MirrorGroups{MirrorHead: head, Unknown: true})
		equal(t, "a group", mirrored(t, s, groupID(1)), store.MirrorGroups{MirrorHead: head, Unknown: true})
	},

	"users and service principals are told apart": func(t *testing.T, s MirrorEngine) {
		head := apply(t, s, everything, mirrorUser(1), mirrorApp(1), in(1, userID(1)), in(2, appID(1)))
		equal(t, "user", mirrored(t, s, userID(1)), store.MirrorGroups{
			MirrorHead: head, Kind: store.MirrorUser, Enabled: true, Groups: []store.GUID{groupID(1)}})
		equal(t, "app", mirrored(t, s, appID(1)), store.MirrorGroups{
			MirrorHead: head, Kind: store.MirrorServicePrincipal, Enabled: true, Groups: []store.GUID{groupID(2)}})
	},

	"groups of groups are found, five deep and by several paths, each once": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), in(1, userID(1)), in(2, groupID(1)), in(3, groupID(2)), in(4, groupID(3)),
			in(5, groupID(4)), in(5, groupID(1)), in(5, userID(1)), in(9, userID(2)))
		wantGroups(t, s, userID(1), 1, 2, 3, 4, 5)
		wantGroups(t, s, userID(2), 9)
	},

	"groups that contain each other are each other's": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), in(1, userID(1)), in(2, groupID(1)), in(1, groupID(2)), in(3, groupID(3)),
			in(3, userID(2)), in(2, groupID(3)))
		wantGroups(t, s, userID(1), 1, 2)
		wantGroups(t, s, userID(2), 1, 2, 3)
		apply(t, s, nil, out(2, groupID(3)))
		wantGroups(t, s, userID(2), 3)
	},

	"a user in 5,000 groups among 10,000, nested and in circles, has them all": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, manyGroups(5000, 10_000)...)
		groups := mirrored(t, s, userID(1)).Groups
		equal(t, "groups", len(groups), 10_000)
		for i, g := range groups {
			if g != groupID(i+1) {
				t.Fatalf("group %d is %v", i, g)
			}
		}
		wantGroups(t, s, userID(2), 1, 2001, 4001, 6001, 8001)
	},
}

// manyGroups is a user in the first n of all groups, and another in the first one. Each group is nested in one that is
// all/5 further on, so five deep, and every tenth of the last ones in the first ones again.
func manyGroups(n, all int) []any {
	what := []any{mirrorUser(1), mirrorUser(2), in(1, userID(2))}
	step := all / 5
	for g := 1; g <= all; g++ {
		what = append(what, mirrorGroup(g))
		if g <= n {
			what = append(what, in(g, userID(1)))
		}
		switch {
		case g+step <= all:
			what = append(what, in(g+step, groupID(g)))
		case g%10 == 2:
			what = append(what, in(g-4*step, groupID(g)))
		}
	}
	return what
}

var mirrorLeases = map[string]func(*testing.T, MirrorEngine){
	"one holder at a time has the lease, and may renew it": func(t *testing.T, s MirrorEngine) {
		lease(t, s)
		_, err := s.LeaseMirror(t.Context(), mirrorTenant, "b", time.Hour)
		wantError(t, err, store.ErrConflict)
		lease(t, s)
		_, err = s.LeaseMirror(t.Context(), guidOf(1, 2), "b", time.Hour)
		must(t, err)
	},

	"who released it, or let it end, is followed by another, and cannot apply any more": func(t *testing.T, s MirrorEngine) {
		for name, end := range map[string]func(){
			"release": func() {
				lease(t, s)
				must(t, s.ReleaseMirror(t.Context(), mirrorTenant, "b")) // not b's
				_, err := s.LeaseMirror(t.Context(), mirrorTenant, "b", time.Hour)
				wantError(t, err, store.ErrConflict)
				must(t, s.ReleaseMirror(t.Context(), mirrorTenant, "a"))
			},
			"end": func() {
				_, err := s.LeaseMirror(t.Context(), mirrorTenant, "a", 20*time.Millisecond)
				must(t, err)
				time.Sleep(50 * time.Millisecond)
			},
		} {
			t.Run(name, func(t *testing.T) {
				end()
				_, err := s.ApplyMirror(t.Context(), found(0, everything, mirrorUser(1)))
				wantError(t, err, store.ErrConflict)
				_, err = s.LeaseMirror(t.Context(), mirrorTenant, "b", time.Hour)
				must(t, err)
				_, err = s.ApplyMirror(t.Context(), found(0, everything, mirrorUser(1)))
				wantError(t, err, store.ErrConflict)
				must(t, s.ReleaseMirror(t.Context(), mirrorTenant, "b"))
			})
		}
		_, err := s.MirrorHead(t.Context(), mirrorTenant)
		wantError(t, err, store.ErrNotFound)
	},

	"without any lease nothing is applied": func(t *testing.T, s MirrorEngine) {
		_, err := s.ApplyMirror(t.Context(), found(0, everything, mirrorUser(1)))
		wantError(t, err, store.ErrConflict)
	},

	"of 64 who want the lease one gets it": func(t *testing.T, s MirrorEngine) {
		var got, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				switch _, err := s.LeaseMirror(t.Context(), mirrorTenant, ids(64)[i], time.Hour); {
				case err == nil:
					got.Add(1)
				default:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		equal(t, "got, refused", []int64{got.Load(), refused.Load()}, []int64{1, 63})
	},

	"a lease without a holder or a life is ErrInvalid": func(t *testing.T, s MirrorEngine) {
		for _, holder := range []string{"", "\x00", string(slices.Repeat([]byte("x"), store.MaxMirrorHolder+1))} {
			_, err := s.LeaseMirror(t.Context(), mirrorTenant, holder, time.Hour)
			wantError(t, err, store.ErrInvalid)
		}
		_, err := s.LeaseMirror(t.Context(), mirrorTenant, "a", time.Microsecond)
		wantError(t, err, store.ErrInvalid)
	},
}

// BenchMirror measures lookups in, and rounds over, a tenant of 20,000 users with 20 groups each among 10,000, one of whom
// is in 5,000.
func BenchMirror(b *testing.B, open func(b *testing.B) MirrorEngine) {
	s := open(b)
	b.Cleanup(s.Close)
	what := []any{mirrorUser(1)}
	for g := 1; g <= 10_000; g++ {
		what = append(what, mirrorGroup(g))
		if g <= 5000 {
			what = append(what, in(g, userID(1)))
		}
		if g%10 < 5 && g > 10 { // a tenth of the groups begin a chain of five
			what = append(what, in(g+1, groupID(g)))
		}
	}
	for u := 2; u <= 20_000; u++ {
		what = append(what, mirrorUser(u))
		for k := range 20 {
			what = append(what, in((u*7+k*311)%10_000+1, userID(u)))
		}
	}
	b.Run("first round", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			r := found(0, everything, what...)
			r.Tenant = guidOf(1, n+10)
			_, err := s.LeaseMirror(b.Context(), r.Tenant, "a", time.Hour)
			must(b, err)
			_, err = s.ApplyMirror(b.Context(), r)
			must(b, err)
		}
	})
	apply(b, s, everything, what...)
	for name, user := range map[string]int{"user in 5,000 groups": 1, "user in 20 groups": 77} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(len(mirrored(b, s, userID(user)).Groups)), "groups")
			}
		})
	}
	b.Run("full round without changes", func(b *testing.B) {
		for b.Loop() {
			apply(b, s, everything, what...)
		}
	})
	b.Run("small round", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			apply(b, s, nil, mirrorUser(30_000+n), in(n%10_000+1, userID(30_000+n)), out(n%5000+1, userID(1)))
		}
	})
}
