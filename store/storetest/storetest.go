package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Run runs the suite. open gives an empty, migrated store of the subtest's own; Run closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, suite := range []map[string]func(*testing.T, store.Store){facts, commits, lists, following, decisions, tails, counts, changes, seals, days, coordination, revocations, trust, lifecycle, concurrency} {
		for _, sentence := range slices.Sorted(maps.Keys(suite)) {
			t.Run(sentence, func(t *testing.T) {
				s := open(t)
				t.Cleanup(s.Close)
				suite[sentence](t, s)
			})
		}
	}
}

// instant has microseconds that a float or a millisecond column would lose.
var instant = time.Date(2031, 2, 3, 4, 5, 6, 789_123_000, time.UTC)

// fullAPI has every field set, and text that is awkward to quote.
func fullAPI(id string) store.API {
	return store.API{
		ID: id, DisplayName: `Ördérs "&" <b>\ {x,y} 订单`, Audiences: []string{"api://orders", "b", "a", "b"},
		Hosts:          []string{"orders.example.com", `we"ird\,{}`, "", "null", "NULL"},
		Permissions:    []store.Permission{{Name: "orders.read", Description: "read"}, {Name: "orders.write", Privileged: true}},
		Scopes:         []store.ScopeRule{{Scope: "Orders.Read", Permissions: []string{"orders.read"}}, {Scope: "none"}},
		Actors:         []store.ActorRule{{ClientID: "c1", Permissions: []string{"orders.*"}}, {ClientID: "c2"}},
		AllowedClients: []string{"c1", "c2"}, AllowAppsWithoutRoles: true, RequireSNIMatch: true, DenyGuests: true,
		StrictRevocation: true, AuditDurability: store.AuditStrict, OnAuditFailure: store.AuditFailureCount,
	}
}

func fullRoute(api, id string) store.Route {
	return store.Route{
		API: api, ID: id, Methods: []string{"GET", "DELETE"}, Template: "/orders/{id:int}/{rest...}", Requirement: store.AnyOf,
		Permissions: []string{"orders.write", "orders.read"}, Condition: "request.method == 'GET'\n\t&& true", Upgrade: "websocket",
		MaxTokenAge: 5*time.Minute + time.Nanosecond, AuthContext: "c7", ConfidentialClient: true,
	}
}

func fullGrant(api, id string) store.Grant {
	return store.Grant{
		ID: id, API: api, Subject: "group:t/o", SubjectDisplayName: "Leser & \u2028", Permissions: []string{"orders.*", "a.b"},
		Effect: store.Deny, Condition: `resource.id == "1"`, NotBefore: instant, ExpiresAt: instant.Add(time.Hour + time.Microsecond),
		Reason: "because", Ticket: "T-1",
	}
}

// plain facts have no more than they need.
func plainAPI(id string) store.API { return store.API{ID: id} }
func plainRoute(api, id string) store.Route {
	return store.Route{API: api, ID: id, Requirement: store.Authenticated}
}
func plainGrant(api, id string) store.Grant {
	return store.Grant{ID: id, API: api, Subject: "tenant:t", Effect: store.Allow}
}

// puts makes a change that puts facts, which are of any kind.
func puts(facts ...any) (c store.Change) {
	c.Actor = "test"
	for _, f := range facts {
		switch f := f.(type) {
		case store.API:
			c.PutAPIs = append(c.PutAPIs, store.Put[store.API]{Fact: f})
		case store.Route:
			c.PutRoutes = append(c.PutRoutes, store.Put[store.Route]{Fact: f})
		case store.Grant:
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: f})
		default:
			panic(fmt.Sprintf("%T is not a fact", f))
		}
	}
	return c
}

func commit(t testing.TB, s store.Store, c store.Change) store.Revision {
	t.Helper()
	rev, err := s.Commit(t.Context(), c)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return rev
}

// refused checks that c fails with want and leaves everything as it was.
func refused(t testing.TB, s store.Store, c store.Change, want error) {
	t.Helper()
	before, revisions := load(t, s), history(t, s)
	rev, err := s.Commit(t.Context(), c)
	wantError(t, err, want)
	equal(t, "revision returned with an error", rev, store.Revision{})
	equal(t, "facts after a refused change", load(t, s), before)
	equal(t, "revisions after a refused change", history(t, s), revisions)
}

func load(t testing.TB, s store.Store) store.Facts {
	t.Helper()
	f, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return f
}

func head(t testing.TB, s store.Store) uint64 {
	t.Helper()
	h, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

func history(t testing.TB, s store.Store) []store.Revision {
	t.Helper()
	l, err := s.Revisions(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatalf("revisions: %v", err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	// Sentinels exclude each other, or the table that makes codes of them would depend on its order.
	for _, other := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrReferenced, store.ErrInvalid,
		store.ErrUnavailable, store.ErrSchema} {
		if !errors.Is(want, other) && errors.Is(err, other) && !errors.Is(want, context.DeadlineExceeded) {
			t.Fatalf("got error %v, which is %v and %v", err, want, other)
		}
	}
}

func ptr[T any](v T) *T { return &v }
