package storetest

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// MirrorEngine is an engine as far as the suite of mirrors needs it.
type MirrorEngine interface {
	store.MirrorStore
	Close()
}

// RunMirror runs the suite of store.MirrorStore. open gives an empty, migrated store of the subtest's own; RunMirror
// closes it.
func RunMirror(t *testing.T, open func(t *testing.T) MirrorEngine) {
	for _, suite := range []map[string]func(*testing.T, MirrorEngine){mirrorRounds, mirrorGroups, mirrorEvents, mirrorLeases, mirrorLifecycle} {
		for _, sentence := range slices.Sorted(maps.Keys(suite)) {
			t.Run(sentence, func(t *testing.T) {
				s := open(t)
				t.Cleanup(s.Close)
				suite[sentence](t, s)
			})
		}
	}
}

// mirrorTenant is the tenant of these tests.
var mirrorTenant = guidOf(1, 1)

// guidOf is the n-th id of a family.
func guidOf(family byte, n int) (g store.GUID) {
	g[0] = family
	binary.BigEndian.PutUint64(g[8:], uint64(n))
	return g
}

func groupID(n int) store.GUID { return guidOf(0xa0, n) }
func userID(n int) store.GUID  { return guidOf(0xb0, n) }
func appID(n int) store.GUID   { return guidOf(0xc0, n) }

// found makes a round out of what was found, which is of any kind. It is full in the resources of full.
func found(after uint64, full []store.MirrorResource, what ...any) store.MirrorRound {
	parts := make(map[store.MirrorResource]*store.MirrorPart)
	for _, r := range everything {
		parts[r] = &store.MirrorPart{Resource: r, Full: slices.Contains(full, r), Link: "https://graph.example/" + string(r)}
	}
	for _, one := range what {
		switch one := one.(type) {
		case store.MirrorPrincipal:
			p := parts[store.MirrorResourceUsers]
			if one.Kind == store.MirrorServicePrincipal {
				p = parts[store.MirrorResourceServicePrincipals]
			}
			p.Principals = append(p.Principals, one)
		case store.MirrorGroupChange:
			p := parts[store.MirrorResourceGroups]
			p.Groups = append(p.Groups, one)
		case store.MirrorMember:
			p := parts[store.MirrorResourceGroups]
			p.Members = append(p.Members, one)
		}
	}
	r := store.MirrorRound{
		Tenant: mirrorTenant, Holder: "a", After: after,
		Began: instant.Add(time.Duration(after) * time.Minute), Applied: instant.Add(time.Duration(after)*time.Minute + 10*time.Second),
	}
	for _, resource := range everything {
		p := parts[resource]
		slices.SortFunc(p.Principals, func(a, b store.MirrorPrincipal) int { return a.ID.Compare(b.ID) })
		slices.SortFunc(p.Groups, func(a, b store.MirrorGroupChange) int { return a.ID.Compare(b.ID) })
		slices.SortFunc(p.Members, store.MirrorMember.Compare)
		r.Parts = append(r.Parts, *p)
	}
	return r
}

var everything = []store.MirrorResource{store.MirrorResourceGroups, store.MirrorResourceUsers, store.MirrorResourceServicePrincipals}

func mirrorUser(n int) store.MirrorPrincipal {
	return store.MirrorPrincipal{ID: userID(n), Kind: store.MirrorUser, Enabled: ptr(true)}
}

func mirrorApp(n int) store.MirrorPrincipal {
	return store.MirrorPrincipal{ID: appID(n), Kind: store.MirrorServicePrincipal, Enabled: ptr(true)}
}

func mirrorGroup(n int) store.MirrorGroupChange { return store.MirrorGroupChange{ID: groupID(n)} }

// in says that a member is in the group n.
func in(n int, member store.GUID) store.MirrorMember {
	m := store.MirrorMember{Group: groupID(n), Member: member, Kind: store.MirrorUser}
	switch member[0] {
	case 0xa0:
		m.Kind = store.MirrorGroup
	case 0xc0:
		m.Kind = store.MirrorServicePrincipal
	}
	return m
}

// out says that it is no longer.
func out(n int, member store.GUID) store.MirrorMember {
	return store.MirrorMember{Group: groupID(n), Member: member, Removed: true}
}

// lease takes the lease for "a", for longer than any test.
func lease(t testing.TB, s store.MirrorStore) store.MirrorState {
	t.Helper()
	st, err := s.LeaseMirror(t.Context(), mirrorTenant, "a", time.Hour)
	must(t, err)
	return st
}

// apply applies a round of what was found, after the newest.
func apply(t testing.TB, s store.MirrorStore, full []store.MirrorResource, what ...any) store.MirrorHead {
	t.Helper()
	h, err := s.ApplyMirror(t.Context(), found(lease(t, s).Round, full, what...))
	must(t, err)
	return h
}

// mirrored is what s has of a principal.
func mirrored(t testing.TB, s store.MirrorStore, principal store.GUID) store.MirrorGroups {
	t.Helper()
	m, err := s.MirrorGroups(t.Context(), mirrorTenant, principal)
	must(t, err)
	return m
}

// wantGroups checks the groups of a principal, by their numbers.
func wantGroups(t testing.TB, s store.MirrorStore, principal store.GUID, numbers ...int) {
	t.Helper()
	var want []store.GUID
	for _, n := range numbers {
		want = append(want, groupID(n))
	}
	equal(t, "groups of "+principal.String(), mirrored(t, s, principal).Groups, want)
}

// happened returns all events and drops them.
func happened(t testing.TB, s store.MirrorStore) (events []store.MirrorEvent) {
	t.Helper()
	events, err := s.MirrorEvents(t.Context(), mirrorTenant, 1_000_000)
	must(t, err)
	if len(events) == 0 {
		return nil
	}
	for i := range events {
		if i > 0 && events[i].Seq <= events[i-1].Seq {
			t.Fatalf("events are not in order: %+v", events)
		}
	}
	must(t, s.DropMirrorEvents(t.Context(), mirrorTenant, events[len(events)-1].Seq))
	for i := range events {
		events[i].Seq = 0
	}
	slices.SortFunc(events, func(a, b store.MirrorEvent) int {
		return cmp.Or(a.Object.Compare(b.Object), cmp.Compare(a.Kind, b.Kind))
	})
	return events
}

var mirrorCalls = map[string]func(context.Context, store.MirrorStore) error{
	"MirrorHead": func(ctx context.Context, s store.MirrorStore) error {
		_, err := s.MirrorHead(ctx, mirrorTenant)
		return err
	},
	"MirrorGroups": func(ctx context.Context, s store.MirrorStore) error {
		_, err := s.MirrorGroups(ctx, mirrorTenant, userID(1))
		return err
	},
	"LeaseMirror": func(ctx context.Context, s store.MirrorStore) error {
		_, err := s.LeaseMirror(ctx, mirrorTenant, "a", time.Hour)
		return err
	},
	"ReleaseMirror": func(ctx context.Context, s store.MirrorStore) error { return s.ReleaseMirror(ctx, mirrorTenant, "b") },
	"ApplyMirror": func(ctx context.Context, s store.MirrorStore) error {
		_, err := s.ApplyMirror(ctx, found(1, nil, mirrorUser(2)))
		return err
	},
	"MirrorEvents": func(ctx context.Context, s store.MirrorStore) error {
		_, err := s.MirrorEvents(ctx, mirrorTenant, 1)
		return err
	},
	"DropMirrorEvents": func(ctx context.Context, s store.MirrorStore) error { return s.DropMirrorEvents(ctx, mirrorTenant, 1) },
}

var mirrorLifecycle = map[string]func(*testing.T, MirrorEngine){
	"after Close every call of a mirror is ErrUnavailable": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		s.Close()
		for name, call := range mirrorCalls {
			t.Run(name, func(t *testing.T) { wantError(t, call(t.Context(), s), store.ErrUnavailable) })
		}
	},

	"a cancelled call of a mirror is context.Canceled and changes nothing": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range mirrorCalls {
			t.Run(name, func(t *testing.T) { wantError(t, call(ctx, s), context.Canceled) })
		}
		equal(t, "user 2 is unknown", mirrored(t, s, userID(2)).Unknown, true)
	},

	"a call of a mirror past its deadline is context.DeadlineExceeded and ErrUnavailable": func(t *testing.T, s MirrorEngine) {
		apply(t, s, everything, mirrorUser(1))
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for name, call := range mirrorCalls {
			t.Run(name, func(t *testing.T) {
				err := call(ctx, s)
				wantError(t, err, context.DeadlineExceeded)
				wantError(t, err, store.ErrUnavailable)
			})
		}
	},
}
