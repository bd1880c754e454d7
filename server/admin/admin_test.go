package admin_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	group  = "group:" + tenant + "/22222222-2222-4222-8222-222222222222"
)

// noSnapshots is a follower that has nothing yet.
type noSnapshots struct{}

func (noSnapshots) Current() *policy.Snapshot { return nil }
func (noSnapshots) Kick()                     {}

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newService(t *testing.T, s admin.PolicyStore, cfg admin.PolicyConfig) *admin.PolicyService {
	t.Helper()
	svc, err := admin.NewPolicyService(s, noSnapshots{}, condition.Compile, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func ordersAPI() *verdictv1.Api {
	return &verdictv1.Api{
		Id: "orders", DisplayName: "Orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example"},
		Permissions: []*verdictv1.Permission{{Name: "orders.read", Description: "Read"}, {Name: "orders.write"}},
		Scopes:      []*verdictv1.ScopeRule{{Scope: "Orders.Read", Permissions: []string{"orders.read"}}},
		Actors:      []*verdictv1.ActorRule{{ClientId: "33333333-3333-4333-8333-333333333333", Permissions: []string{"orders.*"}}},
	}
}

func listRoute() *verdictv1.Route {
	return &verdictv1.Route{
		Api: "orders", Id: "list", Methods: []string{"GET"}, Template: "/orders",
		Requirement: &verdictv1.Route_AllOf{AllOf: &verdictv1.PermissionList{Permissions: []string{"orders.read"}}},
	}
}

func readersGrant(id string) *verdictv1.Grant {
	return &verdictv1.Grant{
		Id: id, Api: "orders", Subject: group, SubjectDisplayName: "Readers", Permissions: []string{"orders.read"},
		Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW, Reason: "reads", Ticket: "T-1",
	}
}

func document() *verdictv1.Policy {
	return &verdictv1.Policy{
		Apis: []*verdictv1.Api{ordersAPI()}, Routes: []*verdictv1.Route{listRoute()}, Grants: []*verdictv1.Grant{readersGrant("g-1")},
	}
}

// seeded is a service over the document, at revision 1.
func seeded(t *testing.T) (*admin.PolicyService, *sqlite.Store) {
	t.Helper()
	s := openStore(t)
	svc := newService(t, s, admin.PolicyConfig{})
	apply(t, svc, document())
	return svc, s
}

func apply(t *testing.T, svc *admin.PolicyService, p *verdictv1.Policy) *verdictv1.ApplyPolicyResponse {
	t.Helper()
	resp, err := svc.ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func head(t *testing.T, s store.PolicyReader) uint64 {
	t.Helper()
	n, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantViolations checks that err is of exactly these fields, each with a text that holds the given one.
func wantViolations(t *testing.T, err error, want map[string]string) {
	t.Helper()
	var invalid *status.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want violations of %v", err, want)
	}
	for _, v := range invalid.Violations {
		text, ok := want[v.Field]
		if !ok || !strings.Contains(v.Text, text) {
			t.Errorf("violation %s: %q; want %v", v.Field, v.Text, want)
		}
	}
	if len(invalid.Violations) != len(want) {
		t.Errorf("%d violations, want %d: %v", len(invalid.Violations), len(want), err)
	}
}

func wantEqual(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// hooked is a store that does something before each commit.
type hooked struct {
	*sqlite.Store
	before func(ctx context.Context)
}

func (h hooked) Commit(ctx context.Context, c store.Change) (store.Revision, error) {
	h.before(ctx)
	return h.Store.Commit(ctx, c)
}

// behind commits without any check of what it means.
func behind(t *testing.T, s store.PolicyWriter, g store.Grant) {
	t.Helper()
	if _, err := s.Commit(context.WithoutCancel(t.Context()), store.Change{Actor: "psql", PutGrants: []store.Put[store.Grant]{{Fact: g}}}); err != nil {
		t.Fatal(err)
	}
}
