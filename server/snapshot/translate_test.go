package snapshot_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/store"
)

func TestEveryFieldIsTranslated(t *testing.T) {
	at := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	from := store.Delta{
		From: 6, To: 7,
		APIs: []store.API{{
			ID: "orders", DisplayName: "Orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example"},
			Permissions:    []store.Permission{{Name: "orders.read", Description: "Read"}, {Name: "orders.purge", Privileged: true}},
			Scopes:         []store.ScopeRule{{Scope: "Orders.Read", Permissions: []string{"orders.*"}}},
			Actors:         []store.ActorRule{{ClientID: "c", Permissions: []string{"orders.read"}}},
			AllowedClients: []string{"c"}, AllowAppsWithoutRoles: true, RequireSNIMatch: true, DenyGuests: true, StrictRevocation: true,
			AuditDurability: store.AuditStrict, OnAuditFailure: store.AuditFailureCount, Revision: 7,
		}},
		Routes: []store.Route{
			{API: "orders", ID: "list", Methods: []string{"GET"}, Template: "/orders", Requirement: store.AnyOf,
				Permissions: []string{"orders.read"}, Condition: "true", Upgrade: "websocket",
				MaxTokenAge: time.Minute, AuthContext: "c7", ConfidentialClient: true, Revision: 7},
			{API: "orders", ID: "health", Requirement: store.Public},
			{API: "orders", ID: "me", Requirement: store.Authenticated},
			{API: "orders", ID: "all", Requirement: store.AllOf},
		},
		Grants: []store.Grant{
			{ID: "g-1", API: "orders", Subject: "tenant:t", SubjectDisplayName: "T", Permissions: []string{"orders.read"},
				Effect: store.Allow, Condition: "true", NotBefore: at, ExpiresAt: at.Add(time.Hour), Reason: "r", Ticket: "T-1", Revision: 7},
			{ID: "g-2", Effect: store.Deny},
		},
		DeleteAPIs: []string{"old"}, DeleteRoutes: []store.RouteKey{{API: "old", ID: "r"}}, DeleteGrants: []string{"g-0"},
	}
	want := policy.Delta{
		Revision: 7,
		PutAPIs: []policy.API{{
			ID: "orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example"}, Permissions: []string{"orders.read", "orders.purge"},
			Privileged:     []string{"orders.purge"},
			Scopes:         []policy.ScopeRule{{Scope: "Orders.Read", Permissions: []string{"orders.*"}}},
			Actors:         []policy.ActorRule{{ClientID: "c", Permissions: []string{"orders.read"}}},
			AllowedClients: []string{"c"}, AllowAppsWithoutRoles: true, RequireSNIMatch: true, DenyGuests: true, StrictRevocation: true,
			Keeping: policy.Keeping{Durability: policy.DurabilityStrict, OnFailure: policy.OnAuditFailureCount},
		}},
		PutRoutes: []policy.Route{
			{API: "orders", ID: "list", Methods: []string{"GET"}, Template: "/orders", Requirement: policy.RequireAnyOf,
				Permissions: []string{"orders.read"}, Condition: "true", Upgrade: "websocket",
				MaxTokenAge: time.Minute, AuthContext: "c7", ConfidentialClient: true},
			{API: "orders", ID: "health", Requirement: policy.RequirePublic},
			{API: "orders", ID: "me", Requirement: policy.RequireAuthenticated},
			{API: "orders", ID: "all", Requirement: policy.RequireAllOf},
		},
		PutGrants: []policy.Grant{
			{ID: "g-1", API: "orders", Subject: "tenant:t", Permissions: []string{"orders.read"}, Effect: policy.Allow,
				Condition: "true", NotBefore: at, ExpiresAt: at.Add(time.Hour)},
			{ID: "g-2", Effect: policy.Deny},
		},
		DeleteAPIs: []string{"old"}, DeleteRoutes: []policy.RouteKey{{API: "old", ID: "r"}}, DeleteGrants: []string{"g-0"},
	}
	got, err := snapshot.Delta(from)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("delta: %v\n got %+v\nwant %+v", err, got, want)
	}
	facts, err := snapshot.Facts(store.Facts{Revision: 7, APIs: from.APIs, Routes: from.Routes, Grants: from.Grants})
	if whole := (policy.Facts{Revision: 7, APIs: want.PutAPIs, Routes: want.PutRoutes, Grants: want.PutGrants}); err != nil || !reflect.DeepEqual(facts, whole) {
		t.Errorf("facts: %v\n got %+v\nwant %+v", err, facts, whole)
	}
}

func TestWhatHasNoMeaningIsAProblem(t *testing.T) {
	_, err := snapshot.Facts(store.Facts{
		APIs: []store.API{
			{ID: "a", AuditDurability: "eternal", OnAuditFailure: "allow"}, {ID: "b"},
			{ID: "c", AuditDurability: store.AuditSyncDB, OnAuditFailure: store.AuditFailureDeny}, {ID: "d", AuditDurability: store.AuditSpool},
		},
		Routes: []store.Route{{API: "orders", ID: "list", Requirement: "anyone"}},
		Grants: []store.Grant{{ID: "g-1", Effect: "ALLOW"}, {ID: "g-2", Effect: store.Allow}, {ID: "g-3"}},
	})
	var invalid *policy.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v", err)
	}
	var got []string
	for _, p := range invalid.Problems {
		got = append(got, p.Fact+" "+p.Field)
	}
	if want := []string{"api/a audit_durability", "api/a on_audit_failure", "route/orders/list requirement", "grant/g-1 effect", "grant/g-3 effect"}; !reflect.DeepEqual(got, want) {
		t.Errorf("problems of %q, want %q", got, want)
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	var invalid *policy.InvalidError
	if _, err := snapshot.Facts(store.Facts{Grants: make([]store.Grant, 150)}); !errors.As(err, &invalid) {
		t.Fatalf("error %v", err)
	}
	if len(invalid.Problems) != 100 || invalid.Omitted != 50 {
		t.Errorf("%d problems listed, %d omitted", len(invalid.Problems), invalid.Omitted)
	}
}
