package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var mirrorRounds = map[string]func(*testing.T, MirrorEngine){
	"before the first round there is nothing to read": func(t *testing.T, s MirrorEngine) {
		for range 2 { // and a lease alone does not change that
			_, err := s.MirrorHead(t.Context(), mirrorTenant)
			wantError(t, err, store.ErrNotFound)
			_, err = s.MirrorGroups(t.Context(), mirrorTenant, userID(1))
			wantError(t, err, store.ErrNotFound)
			equal(t, "state", lease(t, s), store.MirrorState{Links: map[store.MirrorResource]string{}})
		}
	},

	"a round moves the head, and Changed only when it changes something": func(t *testing.T, s MirrorEngine) {
		equal(t, "first", apply(t, s, everything, mirrorUser(1)), store.MirrorHead{Round: 1, Changed: 1, SyncedAt: instant})
		second := store.MirrorHead{Round: 2, Changed: 1, SyncedAt: instant.Add(time.Minute)}
		equal(t, "second", apply(t, s, nil), second)
		h, err := s.MirrorHead(t.Context(), mirrorTenant)
		must(t, err)
		equal(t, "head", h, second)
		equal(t, "head beside groups", mirrored(t, s, userID(1)).MirrorHead, second)
		equal(t, "third", apply(t, s, nil, mirrorUser(2)), store.MirrorHead{Round: 3, Changed: 3, SyncedAt: instant.Add(2 * time.Minute)})
	},

	"the next lease tells the links of the newest round and when all was read": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		r := found(1, []store.MirrorResource{store.MirrorResourceUsers}, mirrorUser(1))
		r.Parts[0].Link = "https://graph.example/groups?second"
		_, err := s.ApplyMirror(t.Context(), r)
		must(t, err)
		equal(t, "state", lease(t, s), store.MirrorState{
			MirrorHead: store.MirrorHead{Round: 2, Changed: 1, SyncedAt: instant.Add(time.Minute)}, FullAt: instant,
			Links: map[store.MirrorResource]string{
				"groups": "https://graph.example/groups?second", "users": "https://graph.example/users",
				"service_principals": "https://graph.example/service_principals",
			},
		})
	},

	"what a full part does not name is gone, and what another part holds stays": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), mirrorApp(1), mirrorGroup(1), mirrorGroup(2),
			in(1, userID(1)), in(2, userID(1)), in(1, appID(1)))
		apply(t, s, []store.MirrorResource{"users"}, mirrorUser(1))
		equal(t, "user 2 is unknown", mirrored(t, s, userID(2)).Unknown, true)
		wantGroups(t, s, userID(1), 1, 2)
		wantGroups(t, s, appID(1), 1)
		apply(t, s, []store.MirrorResource{"groups"}, mirrorGroup(2), in(2, userID(1)))
		wantGroups(t, s, userID(1), 2)
		wantGroups(t, s, appID(1))
	},

	"what a part that is not full does not name stays as it was": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), mirrorGroup(1), in(1, userID(1)), in(1, userID(2)))
		apply(t, s, nil, in(2, userID(1)), out(1, userID(2)), store.MirrorPrincipal{ID: userID(2), Kind: store.MirrorUser, Enabled: ptr(false)})
		wantGroups(t, s, userID(1), 1, 2)
		wantGroups(t, s, userID(2))
		equal(t, "user 1 is enabled", mirrored(t, s, userID(1)).Enabled, true)
		equal(t, "user 2 is enabled", mirrored(t, s, userID(2)).Enabled, false)
		apply(t, s, nil, store.MirrorPrincipal{ID: userID(2), Kind: store.MirrorUser, SessionsValidFrom: &instant})
		equal(t, "user 2 is enabled, untold", mirrored(t, s, userID(2)).Enabled, false)
	},

	"a round that is applied again changes nothing": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), mirrorGroup(1), mirrorGroup(2), in(1, userID(1)), in(1, userID(2)), in(2, groupID(1)))
		again := []any{mirrorUser(3), in(1, userID(3)), out(1, userID(2)), store.MirrorGroupChange{ID: groupID(2), Fate: store.FateGone}}
		changed := apply(t, s, nil, again...).Changed
		happened(t, s)
		for range 2 {
			equal(t, "changed", apply(t, s, nil, again...).Changed, changed)
		}
		equal(t, "events", happened(t, s), []store.MirrorEvent(nil))
		wantGroups(t, s, userID(3), 1)
		wantGroups(t, s, userID(2))
	},

	"a round that goes on from another than the newest is ErrConflict and changes nothing": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		for _, after := range []uint64{0, 2, store.MaxRevision - 1} {
			_, err := s.ApplyMirror(t.Context(), found(after%100, nil, mirrorUser(2)))
			wantError(t, err, store.ErrConflict)
		}
		equal(t, "user 2 is unknown", mirrored(t, s, userID(2)).Unknown, true)
	},

	"a round that no store would take is ErrInvalid and changes nothing": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		for name, spoil := range map[string]func(*store.MirrorRound){
			"no tenant":                  func(r *store.MirrorRound) { r.Tenant = store.GUID{} },
			"no holder":                  func(r *store.MirrorRound) { r.Holder = "" },
			"no instant":                 func(r *store.MirrorRound) { r.Began = time.Time{} },
			"a resource is missing":      func(r *store.MirrorRound) { r.Parts = r.Parts[:2] },
			"a resource twice":           func(r *store.MirrorRound) { r.Parts[2] = r.Parts[1] },
			"a resource that is unknown": func(r *store.MirrorRound) { r.Parts[1].Resource = "devices" },
			"no link":                    func(r *store.MirrorRound) { r.Parts[0].Link = "" },
			"a device":                   func(r *store.MirrorRound) { r.Parts[0].Members[0].Kind = 4 },
			"a user among apps":          func(r *store.MirrorRound) { r.Parts[2].Principals = r.Parts[1].Principals },
			"a group among users":        func(r *store.MirrorRound) { r.Parts[1].Groups = r.Parts[0].Groups },
			"out of order":               func(r *store.MirrorRound) { slices.Reverse(r.Parts[0].Members) },
			"a membership twice":         func(r *store.MirrorRound) { r.Parts[0].Members[1] = r.Parts[0].Members[0] },
			"a principal twice": func(r *store.MirrorRound) {
				r.Parts[1].Principals = append(r.Parts[1].Principals, r.Parts[1].Principals[0])
			},
			"a group twice":   func(r *store.MirrorRound) { r.Parts[0].Groups = append(r.Parts[0].Groups, r.Parts[0].Groups[0]) },
			"an unknown fate": func(r *store.MirrorRound) { r.Parts[0].Groups[0].Fate = 3 },
		} {
			t.Run(name, func(t *testing.T) {
				r := found(1, nil, mirrorUser(2), mirrorGroup(1), in(1, userID(1)), in(1, userID(2)))
				spoil(&r)
				_, err := s.ApplyMirror(t.Context(), r)
				wantError(t, err, store.ErrInvalid)
			})
		}
		equal(t, "user 2 is unknown", mirrored(t, s, userID(2)).Unknown, true)
	},

	"a group that is deleted has no members, and its return asks for a full look": func(t *testing.T, s MirrorEngine) {
		for _, fate := range []store.Fate{store.FateDeleted, store.FateGone} {
			apply(t, s, everything, mirrorUser(1), mirrorGroup(1), mirrorGroup(2), in(1, userID(1)), in(2, groupID(1)))
			wantGroups(t, s, userID(1), 1, 2)
			apply(t, s, nil, store.MirrorGroupChange{ID: groupID(1), Fate: fate}, in(1, userID(1)))
			wantGroups(t, s, userID(1))
			equal(t, "resync while it is deleted", lease(t, s).Resync, false)
			apply(t, s, nil, mirrorGroup(1))
			equal(t, "resync after it came back", lease(t, s).Resync, fate == store.FateDeleted)
			apply(t, s, nil)
			equal(t, "resync until it was done", lease(t, s).Resync, fate == store.FateDeleted)
			apply(t, s, []store.MirrorResource{"groups"}, mirrorGroup(1))
			equal(t, "resync once it was done", lease(t, s).Resync, false)
		}
	},

	"a principal that is deleted is known as such, and its return asks for a full look": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), in(1, userID(1)))
		apply(t, s, nil, store.MirrorPrincipal{ID: userID(1), Kind: store.MirrorUser, Fate: store.FateDeleted})
		equal(t, "deleted", mirrored(t, s, userID(1)).Deleted, true)
		apply(t, s, nil, store.MirrorPrincipal{ID: userID(1), Kind: store.MirrorUser})
		m := mirrored(t, s, userID(1))
		equal(t, "deleted, enabled", []bool{m.Deleted, m.Enabled}, []bool{false, true})
		equal(t, "resync", lease(t, s).Resync, true)
		apply(t, s, nil, store.MirrorPrincipal{ID: userID(1), Kind: store.MirrorUser, Fate: store.FateGone})
		equal(t, "unknown", mirrored(t, s, userID(1)).Unknown, true)
	},

	"a part can ask for a full look itself": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything)
		r := found(1, nil)
		r.Parts[0].Resync = true
		_, err := s.ApplyMirror(t.Context(), r)
		must(t, err)
		equal(t, "resync", lease(t, s).Resync, true)
	},

	"tenants are apart": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), in(1, userID(1)))
		other := found(0, everything, mirrorUser(1), in(2, userID(1)))
		other.Tenant = guidOf(1, 2)
		_, err := s.LeaseMirror(t.Context(), other.Tenant, "a", time.Hour)
		must(t, err)
		_, err = s.ApplyMirror(t.Context(), other)
		must(t, err)
		wantGroups(t, s, userID(1), 1)
		m, err := s.MirrorGroups(t.Context(), other.Tenant, userID(1))
		must(t, err)
		equal(t, "groups in the other", m.Groups, []store.GUID{groupID(2)})
		other.After, other.Parts[1].Principals, other.Parts[0].Members = 1, nil, nil
		_, err = s.ApplyMirror(t.Context(), other)
		must(t, err)
		wantGroups(t, s, userID(1), 1)
		equal(t, "events of the first", happened(t, s), []store.MirrorEvent(nil))
	},

	"readers see a round whole or not at all": func(t *testing.T, s MirrorEngine) {
		// In round n the user is in the groups n and n+1, both of 20 others.
		state := func(n int) []any {
			what := []any{mirrorUser(1)}
			for of := range 20 {
				what = append(what, in(1000+of, groupID(n)), in(1000+of, groupID(n+1)))
			}
			return append(what, in(n, userID(1)), in(n+1, userID(1)))
		}
		apply(t, s, everything, state(1)...)
		const last = 15
		done := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			defer close(done)
			for n := 2; n <= last && !t.Failed(); n++ {
				if _, err := s.ApplyMirror(t.Context(), found(uint64(n-1), everything, state(n)...)); err != nil {
					t.Errorf("round %d: %v", n, err)
				}
			}
		})
		for range 3 {
			all.Go(func() {
				for more := true; more && !t.Failed(); {
					select {
					case <-done:
						more = false
					default:
					}
					m, err := s.MirrorGroups(context.WithoutCancel(t.Context()), mirrorTenant, userID(1))
					n := int(m.Round)
					if err != nil || len(m.Groups) != 22 || m.Groups[0] != groupID(n) || m.Groups[1] != groupID(n+1) {
						t.Errorf("round %d: %d groups, %v", m.Round, len(m.Groups), err)
					}
				}
			})
		}
		all.Wait()
		equal(t, "round", mirrored(t, s, userID(1)).Round, uint64(last))
	},
}
