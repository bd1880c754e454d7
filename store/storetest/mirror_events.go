package storetest

import (
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// secondRound is when what happens in round 2 is dated.
var secondRound = instant.Add(time.Minute + 10*time.Second)

func event(id store.GUID, kind store.MirrorEventKind, at time.Time) store.MirrorEvent {
	return store.MirrorEvent{Object: id, Kind: kind, At: at}
}

var mirrorEvents = map[string]func(*testing.T, MirrorEngine){
	"in the first round nothing happened": func(t *testing.T, s MirrorEngine) {
		off := mirrorUser(1)
		off.Enabled, off.SessionsValidFrom = ptr(false), &instant
		apply(t, s, everything, off, store.MirrorPrincipal{ID: userID(2), Kind: store.MirrorUser, Fate: store.FateDeleted})
		equal(t, "events", happened(t, s), []store.MirrorEvent(nil))
	},

	"disabled, deleted and signed out principals are told of, once": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), mirrorUser(3), mirrorUser(4), mirrorApp(1), mirrorUser(6))
		since := secondRound.Add(-time.Hour)
		ago := secondRound.Add(-31 * time.Hour)
		what := []any{
			store.MirrorPrincipal{ID: userID(1), Kind: store.MirrorUser, Enabled: ptr(false)},
			store.MirrorPrincipal{ID: userID(2), Kind: store.MirrorUser, Fate: store.FateDeleted},
			store.MirrorPrincipal{ID: userID(3), Kind: store.MirrorUser, Fate: store.FateGone},
			store.MirrorPrincipal{ID: userID(4), Kind: store.MirrorUser, SessionsValidFrom: &since},
			store.MirrorPrincipal{ID: userID(5), Kind: store.MirrorUser, Enabled: ptr(false), SessionsValidFrom: &since}, // new
			store.MirrorPrincipal{ID: userID(6), Kind: store.MirrorUser, SessionsValidFrom: &ago},                        // no token lives that long
			store.MirrorPrincipal{ID: appID(1), Kind: store.MirrorServicePrincipal, Enabled: ptr(false)},
		}
		apply(t, s, nil, what...)
		equal(t, "events", happened(t, s), []store.MirrorEvent{
			event(userID(1), store.MirrorDisabled, secondRound), event(userID(2), store.MirrorDeleted, secondRound),
			event(userID(3), store.MirrorDeleted, secondRound), event(userID(4), store.MirrorSessionsInvalid, since),
			event(appID(1), store.MirrorDisabled, secondRound),
		})
		apply(t, s, nil, what...)
		equal(t, "events of the same again", happened(t, s), []store.MirrorEvent(nil))
	},

	"a full round tells who is not there any more": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1), mirrorUser(2), mirrorApp(1))
		apply(t, s, everything, mirrorUser(1), mirrorApp(1))
		equal(t, "events", happened(t, s), []store.MirrorEvent{event(userID(2), store.MirrorDeleted, secondRound)})
	},

	"who loses a membership is told of once, and whoever is below a group that does": func(t *testing.T, s MirrorEngine) {
		before := []any{mirrorUser(1), mirrorUser(2), mirrorUser(3), mirrorUser(4), mirrorApp(1), mirrorGroup(7),
			in(1, userID(1)), in(2, userID(1)), in(3, groupID(4)), in(4, groupID(5)), in(5, groupID(4)), in(5, userID(2)), in(4, appID(1)),
			in(6, userID(3)), in(7, userID(4))}
		removed := event(userID(1), store.MirrorGroupRemoved, secondRound)
		for name, tc := range map[string]struct {
			change []any
			full   []store.MirrorResource
			want   []store.MirrorEvent
		}{
			"own memberships": {change: []any{out(1, userID(1)), out(2, userID(1))}, want: []store.MirrorEvent{removed}},
			"a nested group": {change: []any{out(3, groupID(4))}, want: []store.MirrorEvent{
				event(userID(2), store.MirrorGroupRemoved, secondRound), event(appID(1), store.MirrorGroupRemoved, secondRound)}},
			"a deleted group": {change: []any{store.MirrorGroupChange{ID: groupID(7), Fate: store.FateDeleted}}, want: []store.MirrorEvent{
				event(userID(4), store.MirrorGroupRemoved, secondRound)}},
			"what was not there":            {change: []any{out(1, userID(2)), out(8, userID(1))}},
			"a membership that came":        {change: []any{in(8, userID(1))}},
			"a principal that goes with it": {change: []any{out(6, userID(3)), store.MirrorPrincipal{ID: userID(3), Kind: store.MirrorUser, Fate: store.FateGone}}, want: []store.MirrorEvent{event(userID(3), store.MirrorDeleted, secondRound)}},
			"all of them, by a full look": {full: []store.MirrorResource{"groups"}, want: []store.MirrorEvent{
				removed, event(userID(2), store.MirrorGroupRemoved, secondRound), event(userID(3), store.MirrorGroupRemoved, secondRound),
				event(userID(4), store.MirrorGroupRemoved, secondRound), event(appID(1), store.MirrorGroupRemoved, secondRound)}},
		} {
			t.Run(name, func(t *testing.T) {
				apply(t, s, everything, before...)
				happened(t, s)
				r := found(lease(t, s).Round, tc.full, tc.change...)
				r.Applied = secondRound
				_, err := s.ApplyMirror(t.Context(), r)
				must(t, err)
				equal(t, "events", happened(t, s), tc.want)
			})
		}
	},

	"events come in the order they came up, as many as asked for, until they are dropped": func(t *testing.T, s MirrorEngine) {
		var what []any
		for n := range 10 {
			what = append(what, mirrorUser(n))
		}
		apply(t, s, everything, what...)
		for n := range 10 {
			apply(t, s, nil, store.MirrorPrincipal{ID: userID(n), Kind: store.MirrorUser, Enabled: ptr(false)})
		}
		for from := 0; from < 10; {
			limit := min(3, 10-from)
			some, err := s.MirrorEvents(t.Context(), mirrorTenant, 3)
			must(t, err)
			equal(t, "events", len(some), limit)
			for i, e := range some {
				equal(t, "object", e.Object, userID(from+i))
			}
			must(t, s.DropMirrorEvents(t.Context(), mirrorTenant, some[0].Seq))
			must(t, s.DropMirrorEvents(t.Context(), mirrorTenant, some[limit-1].Seq))
			from += limit
		}
		some, err := s.MirrorEvents(t.Context(), mirrorTenant, 0)
		must(t, err)
		equal(t, "events of a limit of 0", len(some), 0)
	},
}
