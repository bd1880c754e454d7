package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

func TestAFactFromCreateToDelete(t *testing.T) {
	ctx := t.Context()
	s := openStore(t)
	svc := newService(t, s, admin.PolicyConfig{Actor: "tester"})
	note := &verdictv1.ChangeNote{Reason: "why", Ticket: "T-9"}

	api, err := svc.CreateApi(ctx, &verdictv1.CreateApiRequest{Api: ordersAPI(), Note: note})
	if err != nil {
		t.Fatal(err)
	}
	route, err := svc.CreateRoute(ctx, &verdictv1.CreateRouteRequest{Route: listRoute()})
	if err != nil {
		t.Fatal(err)
	}
	full := readersGrant("")
	full.Condition = `request.method == "GET"`
	full.NotBefore = &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 123_456_789}
	full.ExpiresAt = timestamppb.New(time.Unix(1_900_000_000, 0))
	grant, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: full})
	if err != nil {
		t.Fatal(err)
	}
	id := grant.GetGrant().GetId()
	if len(id) != 36 || id[14] != '7' {
		t.Errorf("made id %q is no UUIDv7", id)
	}
	if n := grant.GetGrant().GetNotBefore().GetNanos(); n != 123_456_000 {
		t.Errorf("not_before has %d ns, want whole microseconds", n)
	}
	if api.GetRevision() != 1 || route.GetRevision() != 2 || grant.GetRevision() != 3 {
		t.Errorf("revisions %d, %d, %d", api.GetRevision(), route.GetRevision(), grant.GetRevision())
	}
	want := proto.CloneOf(ordersAPI())
	want.Etag = api.GetApi().GetEtag()
	wantEqual(t, api.GetApi(), want)
	for _, etag := range []string{api.GetApi().GetEtag(), route.GetRoute().GetEtag(), grant.GetGrant().GetEtag()} {
		if etag == "" {
			t.Error("an etag is empty")
		}
	}

	gotAPI, err := svc.GetApi(ctx, &verdictv1.GetApiRequest{Id: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, gotAPI.GetApi(), api.GetApi())
	gotRoute, err := svc.GetRoute(ctx, &verdictv1.GetRouteRequest{Api: "orders", Id: "list"})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, gotRoute.GetRoute(), route.GetRoute())
	gotGrant, err := svc.GetGrant(ctx, &verdictv1.GetGrantRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, gotGrant.GetGrant(), grant.GetGrant())
	if gotAPI.GetRevision() != 3 {
		t.Errorf("read at revision %d", gotAPI.GetRevision())
	}

	_, err = svc.DeleteApi(ctx, &verdictv1.DeleteApiRequest{Id: "orders"})
	if !errors.Is(err, status.ErrPrecondition) || !strings.Contains(err.Error(), "list") {
		t.Errorf("delete an api with routes: %v", err)
	}
	if _, err := svc.DeleteRoute(ctx, &verdictv1.DeleteRouteRequest{Api: "orders", Id: "list", Etag: route.GetRoute().GetEtag()}); err != nil {
		t.Fatal(err)
	}
	if _, err = svc.DeleteApi(ctx, &verdictv1.DeleteApiRequest{Id: "orders"}); !errors.Is(err, status.ErrPrecondition) {
		t.Errorf("delete an api with grants: %v", err)
	}
	if _, err := svc.DeleteGrant(ctx, &verdictv1.DeleteGrantRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.DeleteApi(ctx, &verdictv1.DeleteApiRequest{Id: "orders"}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.GetApi(ctx, &verdictv1.GetApiRequest{Id: "orders"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get what is gone: %v", err)
	}
	revisions, err := s.Revisions(ctx, 0, 10)
	if err != nil || len(revisions) != 6 {
		t.Fatalf("%d revisions, %v", len(revisions), err)
	}
	if first := revisions[5]; first.Actor != "tester" || first.Reason != "why" || first.Ticket != "T-9" {
		t.Errorf("first revision %+v", first)
	}
}

func TestDeleteApiWithCascade(t *testing.T) {
	svc, s := seeded(t)
	other := ordersAPI()
	other.Id, other.Hosts = "bills", nil
	if _, err := svc.CreateApi(t.Context(), &verdictv1.CreateApiRequest{Api: other}); err != nil {
		t.Fatal(err)
	}
	resp, err := svc.DeleteApi(t.Context(), &verdictv1.DeleteApiRequest{Id: "orders", Cascade: true})
	if err != nil || resp.GetRevision() != 3 {
		t.Fatalf("%v, %v", resp, err)
	}
	left, err := s.Load(t.Context())
	if err != nil || len(left.APIs) != 1 || len(left.Routes)+len(left.Grants) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
}

func TestViolationsAreToldByTheirPlaceInTheRequest(t *testing.T) {
	ctx := context.Background()
	grant := func(change func(*verdictv1.Grant)) *verdictv1.Grant {
		g := readersGrant("g-2")
		change(g)
		return g
	}
	createGrant := func(g *verdictv1.Grant) func(*admin.PolicyService) error {
		return func(s *admin.PolicyService) error {
			_, err := s.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: g})
			return err
		}
	}
	for name, tc := range map[string]struct {
		do   func(*admin.PolicyService) error
		want map[string]string
	}{
		"a malformed subject": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Subject = "group:x" })),
			map[string]string{"grant.subject": "group:x"},
		},
		"an unknown permission names the nearest": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Permissions = []string{"orders.read", "orders.raed"} })),
			map[string]string{"grant.permissions[1]": "orders.read"},
		},
		"several things at once": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Subject, g.Condition = "x", "request.metod" })),
			map[string]string{"grant.subject": "", "grant.condition": "method"},
		},
		"an unknown api": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Api = "nope" })),
			map[string]string{"grant.api": "nope"},
		},
		"no effect": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Effect = 0 })),
			map[string]string{"grant.effect": "GRANT_EFFECT_ALLOW"},
		},
		"instants that are none": {
			createGrant(grant(func(g *verdictv1.Grant) {
				g.NotBefore = &timestamppb.Timestamp{Nanos: -1}
				g.ExpiresAt = timestamppb.New(time.Time{})
			})),
			map[string]string{"grant.not_before": "RFC 3339", "grant.expires_at": "RFC 3339"},
		},
		"a window that never opens": {
			createGrant(grant(func(g *verdictv1.Grant) {
				g.NotBefore = timestamppb.New(time.Unix(10, 0))
				g.ExpiresAt = timestamppb.New(time.Unix(10, 900))
			})),
			map[string]string{"grant.expires_at": "never count"},
		},
		"text that no store takes": {
			createGrant(grant(func(g *verdictv1.Grant) { g.Reason = "a\x00b" })),
			map[string]string{"grant": "NUL"},
		},
		"a permission of a route": {
			func(s *admin.PolicyService) error {
				r := listRoute()
				r.Id, r.Template = "other", "/other"
				r.Requirement = &verdictv1.Route_AnyOf{AnyOf: &verdictv1.PermissionList{Permissions: []string{"orders.reed"}}}
				_, err := s.CreateRoute(ctx, &verdictv1.CreateRouteRequest{Route: r})
				return err
			},
			map[string]string{"route.any_of.permissions[0]": "orders.reed"},
		},
		"a route without requirement": {
			func(s *admin.PolicyService) error {
				r := listRoute()
				r.Requirement = nil
				_, err := s.CreateRoute(ctx, &verdictv1.CreateRouteRequest{Route: r})
				return err
			},
			map[string]string{"route": "public, authenticated, all_of, any_of"},
		},
		"a tie with another route": {
			func(s *admin.PolicyService) error {
				r := listRoute()
				r.Id = "twin"
				_, err := s.CreateRoute(ctx, &verdictv1.CreateRouteRequest{Route: r})
				return err
			},
			map[string]string{"route.template": "ties"},
		},
		"an api without audience": {
			func(s *admin.PolicyService) error {
				a := ordersAPI()
				a.Id, a.Hosts, a.Audiences = "bills", nil, nil
				_, err := s.CreateApi(ctx, &verdictv1.CreateApiRequest{Api: a})
				return err
			},
			map[string]string{"api.audiences": "none given"},
		},
		"an update that breaks other facts": {
			func(s *admin.PolicyService) error {
				_, err := s.UpdateApi(ctx, &verdictv1.UpdateApiRequest{
					Api: &verdictv1.Api{Id: "orders", Permissions: []*verdictv1.Permission{{Name: "orders.write"}},
						Scopes: []*verdictv1.ScopeRule{{Scope: "Orders.Write", Permissions: []string{"orders.write"}}}},
					UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"permissions"}},
				})
				return err
			},
			map[string]string{"api.scopes[0].permissions[0]": "orders.read", "api": "this would break"},
		},
		"a document": {
			func(s *admin.PolicyService) error {
				p := document()
				bad := listRoute()
				bad.Id, bad.Template = "bad", "orders"
				p.Routes = append(p.Routes, bad)
				p.Grants[0].Subject = "nobody"
				_, err := s.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: p, DryRun: true})
				return err
			},
			map[string]string{"policy.routes[1].template": "", "policy.grants[0].subject": "nobody"},
		},
		"a document that names facts twice or not at all": {
			func(s *admin.PolicyService) error {
				p := document()
				p.Apis = append(p.Apis, ordersAPI())
				p.Routes = append(p.Routes, listRoute())
				p.Grants = append(p.Grants, readersGrant("g-1"), readersGrant(""))
				_, err := s.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: p})
				return err
			},
			map[string]string{"policy.apis[1].id": "policy.apis[0]", "policy.routes[1].id": "policy.routes[0]",
				"policy.grants[1].id": "policy.grants[0]", "policy.grants[2].id": "required"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			svc, s := seeded(t)
			err := tc.do(svc)
			if strings.Contains(name, "breaks other") {
				// route list and grant g-1 are both broken
				var invalid *status.InvalidError
				if !errors.As(err, &invalid) || len(invalid.Violations) < 3 {
					t.Fatalf("error %v", err)
				}
				for _, v := range invalid.Violations {
					if text, ok := tc.want[v.Field]; !ok || !strings.Contains(v.Text, text) {
						t.Errorf("violation %+v", v)
					}
				}
			} else {
				wantViolations(t, err, tc.want)
			}
			if n := head(t, s); n != 1 {
				t.Errorf("revision %d was made", n)
			}
		})
	}
}

func TestUpdatesWithAMask(t *testing.T) {
	ctx := t.Context()
	svc, s := seeded(t)
	end := timestamppb.New(time.Unix(1_900_000_000, 0))
	got, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{
		Grant:      &verdictv1.Grant{Id: "g-1", ExpiresAt: end, Reason: "not named"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"expires_at"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := readersGrant("g-1")
	want.ExpiresAt, want.Etag = end, got.GetGrant().GetEtag()
	wantEqual(t, got.GetGrant(), want)

	route, err := svc.UpdateRoute(ctx, &verdictv1.UpdateRouteRequest{
		Route:      &verdictv1.Route{Api: "orders", Id: "list", Requirement: &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"public"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := route.GetRoute(); r.GetPublic() == nil || r.GetTemplate() != "/orders" {
		t.Errorf("updated to %v", r)
	}
	api, err := svc.UpdateApi(ctx, &verdictv1.UpdateApiRequest{
		Api: &verdictv1.Api{Id: "orders", DisplayName: "All orders"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	})
	if err != nil || api.GetApi().GetDisplayName() != "All orders" || len(api.GetApi().GetPermissions()) != 2 {
		t.Errorf("updated to %v, %v", api, err)
	}

	// Nothing changed: no revision, and the etag stays.
	before := head(t, s)
	again, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: got.GetGrant()})
	if err != nil || again.GetRevision() != before || head(t, s) != before {
		t.Errorf("an update without change: %v, %v", again, err)
	}
	wantEqual(t, again.GetGrant(), got.GetGrant())

	_, err = svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{
		Grant:      &verdictv1.Grant{Id: "g-1"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"id", "reason", "etag", "permission"}},
	})
	wantViolations(t, err, map[string]string{
		"update_mask.paths[0]": "permissions, reason, subject", "update_mask.paths[2]": "etag", "update_mask.paths[3]": "not a field",
	})
	_, err = svc.UpdateRoute(ctx, &verdictv1.UpdateRouteRequest{
		Route: &verdictv1.Route{Api: "orders", Id: "list"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"any_of"}},
	})
	wantViolations(t, err, map[string]string{"update_mask.paths[0]": "not set"})
	_, err = svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: &verdictv1.Grant{Id: "g-1"}})
	if !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("an update of all fields with nothing: %v", err)
	}
}

func TestWhatAnUpdateLeadsToIsValidated(t *testing.T) {
	s := openStore(t)
	svc := newService(t, s, admin.PolicyConfig{Validate: func(m proto.Message) error {
		if a, ok := m.(*verdictv1.Api); ok && len(a.GetDisplayName()) > 20 {
			return status.Invalid(status.Violation{Field: "display_name", Text: "too long"})
		}
		return nil
	}})
	apply(t, svc, document())
	_, err := svc.UpdateApi(t.Context(), &verdictv1.UpdateApiRequest{
		Api: &verdictv1.Api{Id: "orders", DisplayName: strings.Repeat("x", 21)}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	})
	wantViolations(t, err, map[string]string{"api.display_name": "too long"})
}

func TestPreconditions(t *testing.T) {
	ctx := t.Context()
	svc, _ := seeded(t)
	old, err := svc.GetGrant(ctx, &verdictv1.GetGrantRequest{Id: "g-1"})
	if err != nil {
		t.Fatal(err)
	}
	first, second := proto.CloneOf(old.GetGrant()), proto.CloneOf(old.GetGrant())
	first.Reason, second.Reason = "first", "second"
	if _, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: first}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		do   func() error
		want error
	}{
		"an old etag on update": {func() error {
			_, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: second})
			return err
		}, store.ErrConflict},
		"an old etag on delete": {func() error {
			_, err := svc.DeleteGrant(ctx, &verdictv1.DeleteGrantRequest{Id: "g-1", Etag: old.GetGrant().GetEtag()})
			return err
		}, store.ErrConflict},
		"an etag that never was": {func() error {
			_, err := svc.DeleteApi(ctx, &verdictv1.DeleteApiRequest{Id: "orders", Etag: "x", Cascade: true})
			return err
		}, store.ErrConflict},
		"an old expected revision": {func() error {
			_, err := svc.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: document(), ExpectedRevision: 1})
			return err
		}, store.ErrConflict},
		"a taken id": {func() error {
			_, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: readersGrant("g-1")})
			return err
		}, store.ErrExists},
		"an update of what is not there": {func() error {
			_, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: readersGrant("g-9")})
			return err
		}, store.ErrNotFound},
		"a delete of what is not there": {func() error {
			_, err := svc.DeleteRoute(ctx, &verdictv1.DeleteRouteRequest{Api: "orders", Id: "nope"})
			return err
		}, store.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.do(); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

func TestApplyPolicy(t *testing.T) {
	ctx := t.Context()
	svc, s := seeded(t)
	p := document()
	p.Apis[0].DisplayName = "New name"
	p.Routes = append(p.Routes, &verdictv1.Route{Api: "orders", Id: "health", Methods: []string{"GET"}, Template: "/health",
		Requirement: &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}}})
	p.Grants = []*verdictv1.Grant{readersGrant("g-2"), readersGrant("a-1")}
	want := &verdictv1.ChangeSummary{
		Created: []string{"grant/a-1", "grant/g-2", "route/orders/health"}, Updated: []string{"api/orders"}, Deleted: []string{"grant/g-1"}, Total: 5,
	}
	dry, err := svc.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: p, DryRun: true, ExpectedRevision: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, dry, &verdictv1.ApplyPolicyResponse{Revision: 1, Changes: want})
	if n := head(t, s); n != 1 {
		t.Errorf("a dry run made revision %d", n)
	}
	wantEqual(t, apply(t, svc, p), &verdictv1.ApplyPolicyResponse{Revision: 2, Changes: want})
	wantEqual(t, apply(t, svc, p), &verdictv1.ApplyPolicyResponse{Revision: 2, Changes: &verdictv1.ChangeSummary{}})

	exported, err := svc.ExportPolicy(ctx, &verdictv1.ExportPolicyRequest{})
	if err != nil || exported.GetRevision() != 2 {
		t.Fatalf("%v, %v", exported, err)
	}
	if g := exported.GetPolicy().GetGrants(); len(g) != 2 || g[0].GetId() != "a-1" {
		t.Errorf("exported grants %v", g)
	}
	wantEqual(t, apply(t, svc, exported.GetPolicy()), &verdictv1.ApplyPolicyResponse{Revision: 2, Changes: &verdictv1.ChangeSummary{}})

	gone := apply(t, svc, &verdictv1.Policy{})
	if gone.GetRevision() != 3 || gone.GetChanges().GetTotal() != 5 || len(gone.GetChanges().GetDeleted()) != 5 {
		t.Errorf("the empty document: %v", gone)
	}
}

func TestASummaryIsCut(t *testing.T) {
	svc, _ := seeded(t)
	p := document()
	for i := range 1200 {
		p.Grants = append(p.Grants, readersGrant(fmt.Sprintf("n-%04d", i)))
	}
	c := apply(t, svc, p).GetChanges()
	if len(c.GetCreated()) != 1000 || c.GetTotal() != 1200 || c.GetCreated()[999] != "grant/n-0999" {
		t.Errorf("%d of %d named", len(c.GetCreated()), c.GetTotal())
	}
}

func TestOthersCommitMeanwhile(t *testing.T) {
	s := openStore(t)
	n := 0
	limit := 3
	meddled := hooked{s, func(context.Context) {
		if n++; n <= limit && head(t, s) > 0 {
			behind(t, s, store.Grant{ID: fmt.Sprintf("other-%d", n), API: "orders", Subject: group, Permissions: []string{"orders.read"}, Effect: store.Allow})
		}
	}}
	svc := newService(t, meddled, admin.PolicyConfig{Patience: time.Second})
	apply(t, svc, document())
	n = 0
	resp, err := svc.CreateGrant(t.Context(), &verdictv1.CreateGrantRequest{Grant: readersGrant("g-2")})
	if err != nil || resp.GetRevision() != 5 {
		t.Errorf("after three commits of others: %v, %v", resp, err)
	}
	n, limit = 100, 1_000_000
	if _, err := svc.CreateGrant(t.Context(), &verdictv1.CreateGrantRequest{Grant: readersGrant("g-3")}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("when others never stop: %v", err)
	}
	if n > 1100 {
		t.Errorf("%d tries in a second", n-100)
	}
}

func TestAStoredPolicyThatDoesNotCompile(t *testing.T) {
	ctx := t.Context()
	svc, s := seeded(t)
	behind(t, s, store.Grant{ID: "g-bad", API: "orders", Subject: "nonsense", Permissions: []string{"orders.read"}, Effect: store.Allow})

	_, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: readersGrant("g-2")})
	if !errors.Is(err, status.ErrPrecondition) || errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "grant/g-bad") {
		t.Errorf("a good change on a bad policy: %v", err)
	}
	bad := readersGrant("g-2")
	bad.Subject = "also nonsense"
	_, err = svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: bad})
	wantViolations(t, err, map[string]string{"grant.subject": "also nonsense"})

	mended := readersGrant("g-bad")
	if _, err := svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: mended}); err != nil {
		t.Fatalf("a change that mends it: %v", err)
	}
	if _, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: readersGrant("g-2")}); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	behind(t, s, store.Grant{ID: "g-bad", API: "orders", Subject: "nonsense", Permissions: []string{"orders.read"}, Effect: store.Allow})
	if _, err := svc.DeleteGrant(ctx, &verdictv1.DeleteGrantRequest{Id: "g-bad"}); err != nil {
		t.Errorf("deleting what is bad: %v", err)
	}
}

func TestWritersOfOneGrantLoseNothing(t *testing.T) {
	const writers = 16
	ctx := t.Context()
	s := openStore(t)
	follower, err := snapshot.NewFollower(s, condition.Compile, slog.New(slog.DiscardHandler), snapshot.Config{})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = follower.Run(run); close(ended) }()
	defer func() { stop(); <-ended }()
	// Two services over one store, as on two replicas.
	var services [2]*admin.PolicyService
	for i := range services {
		if services[i], err = admin.NewPolicyService(s, follower, condition.Compile, admin.PolicyConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, services[0], document())
	var wg sync.WaitGroup
	for w := range writers {
		svc := services[w%2]
		wg.Go(func() {
			if _, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: readersGrant(fmt.Sprintf("w-%d", w))}); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
			for try := 0; ; try++ { // append one letter, as read, modify, write
				got, err := svc.GetGrant(ctx, &verdictv1.GetGrantRequest{Id: "g-1"})
				if err != nil {
					t.Error(err)
					return
				}
				g := got.GetGrant()
				g.Reason += string(rune('a' + w))
				_, err = svc.UpdateGrant(ctx, &verdictv1.UpdateGrantRequest{Grant: g})
				if err == nil {
					return
				}
				if !errors.Is(err, store.ErrConflict) || try > 1000 {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := services[0].GetGrant(ctx, &verdictv1.GetGrantRequest{Id: "g-1"})
	if err != nil {
		t.Fatal(err)
	}
	for w := range writers {
		if strings.Count(strings.TrimPrefix(got.GetGrant().GetReason(), "reads"), string(rune('a'+w))) != 1 {
			t.Errorf("update of writer %d is lost or doubled in %q", w, got.GetGrant().GetReason())
		}
	}
	if n := head(t, s); n != 1+2*writers {
		t.Errorf("%d revisions, want %d", n, 1+2*writers)
	}
	waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := follower.WaitFor(waiting, 1+2*writers); err != nil {
		t.Error(err)
	}
}

func TestAWriteWaitsForOthersNoLongerThanItsContext(t *testing.T) {
	s := openStore(t)
	inCommit, release := make(chan struct{}), make(chan struct{})
	svc := newService(t, hooked{s, func(context.Context) { close(inCommit); <-release }}, admin.PolicyConfig{})
	done := make(chan error)
	go func() {
		_, err := svc.CreateApi(context.Background(), &verdictv1.CreateApiRequest{Api: ordersAPI()})
		done <- err
	}()
	<-inCommit
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := svc.CreateGrant(ctx, &verdictv1.CreateGrantRequest{Grant: readersGrant("g-1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
