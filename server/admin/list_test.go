package admin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

func TestListsInPages(t *testing.T) {
	ctx := t.Context()
	svc, _ := seeded(t)
	p := document()
	for i := range 7 {
		a, r := ordersAPI(), listRoute()
		a.Id, a.Hosts, r.Api = fmt.Sprintf("api-%d", i), nil, fmt.Sprintf("api-%d", i)
		p.Apis, p.Routes = append(p.Apis, a), append(p.Routes, r)
		p.Grants = append(p.Grants, readersGrant(fmt.Sprintf("n-%d", i)))
	}
	apply(t, svc, p)
	for name, one := range map[string]func(size uint32, token string) (ids []string, next string, err error){
		"apis": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListApis(ctx, &verdictv1.ListApisRequest{PageSize: size, PageToken: token})
			for _, a := range resp.GetApis() {
				ids = append(ids, a.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
		"routes": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageSize: size, PageToken: token})
			for _, r := range resp.GetRoutes() {
				ids = append(ids, r.GetApi()+"/"+r.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
		"grants": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{Api: "orders", Subject: group, PageSize: size, PageToken: token})
			for _, g := range resp.GetGrants() {
				ids = append(ids, g.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			all, next, err := one(0, "")
			if err != nil || len(all) != 8 || next != "" || !slices.IsSorted(all) {
				t.Fatalf("all at once: %v, next %q, %v", all, next, err)
			}
			for _, size := range []uint32{1, 3, 4, 8} {
				var got []string
				token := ""
				for range 10 {
					ids, next, err := one(size, token)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, ids...)
					if token = next; token == "" {
						break
					}
				}
				if !slices.Equal(got, all) {
					t.Errorf("in pages of %d: %v", size, got)
				}
			}
		})
	}
}

func TestBadPageTokens(t *testing.T) {
	ctx := t.Context()
	svc, _ := seeded(t)
	p := document()
	p.Grants = append(p.Grants, readersGrant("g-2"))
	apply(t, svc, p)
	first, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{PageSize: 1})
	if err != nil || first.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	token := first.GetNextPageToken()
	for name, call := range map[string]func() error{
		"with another filter": func() error {
			_, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{Api: "orders", PageToken: token})
			return err
		},
		"of another list": func() error {
			_, err := svc.ListApis(ctx, &verdictv1.ListApisRequest{PageToken: token})
			return err
		},
		"that was changed": func() error {
			_, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{PageToken: token[:len(token)-2] + "AA"})
			return err
		},
		"that is none": func() error {
			_, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageToken: "next, please"})
			return err
		},
		"that is too short": func() error {
			_, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageToken: "AAAA"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantViolations(t, call(), map[string]string{"page_token": "not a token of this list"})
		})
	}
}

// decisionID is the n-th of UUIDs that sort by n.
func decisionID(n int) string { return fmt.Sprintf("0190b2c4-0000-7000-8000-%012d", n) }

func TestListDecisions(t *testing.T) {
	ctx := context.Background()
	s := openStore(t)
	svc, err := admin.NewAuditService(s)
	if err != nil {
		t.Fatal(err)
	}
	t0 := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	var ds []store.Decision
	for i := range 20 {
		d := store.Decision{
			ID: decisionID(i), At: t0.Add(time.Duration(i/4) * time.Second), // four share an instant
			Allowed: i%2 == 0, Reason: int16(policy.NoGrant), TenantID: tenant, PrincipalID: "p-1", API: "orders", Took: 42 * time.Microsecond,
		}
		if d.Allowed {
			d.Reason = int16(policy.AllowedByGrant)
		}
		ds = append(ds, d)
	}
	ds[3].PrincipalID, ds[5].API = "p-2", "bills"
	ds[19] = store.Decision{
		ID: decisionID(19), At: t0.Add(time.Hour), Allowed: true, Reason: int16(policy.AllowedByGrant), Detail: "d", Revision: 7,
		PrincipalKind: int16(policy.PrincipalUser), TenantID: tenant, PrincipalID: "p-3", ClientID: "c", TokenID: "t", API: "orders", Route: "list",
		Template: "/orders", Method: "GET", Host: "orders.example", RawPath: "/x", Permissions: []string{"orders.read"}, Resource: "42",
		Grants: []string{"g-1"}, Door: "check", PEP: "envoy", Took: 1500 * time.Microsecond, RequestID: "r-1",
		AgentParent: "a-1", AgentFacets: "actor 11; subject 13",
	}
	if err := s.AppendDecisions(ctx, ds); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		req  *verdictv1.ListDecisionsRequest
		want int
	}{
		"all":            {&verdictv1.ListDecisionsRequest{}, 20},
		"from":           {&verdictv1.ListDecisionsRequest{From: timestamppb.New(t0.Add(4 * time.Second))}, 4},
		"to":             {&verdictv1.ListDecisionsRequest{To: timestamppb.New(t0.Add(time.Second))}, 4},
		"allowed":        {&verdictv1.ListDecisionsRequest{Effect: verdictv1.Effect_EFFECT_ALLOW}, 11},
		"denied":         {&verdictv1.ListDecisionsRequest{Effect: verdictv1.Effect_EFFECT_DENY}, 9},
		"by reason":      {&verdictv1.ListDecisionsRequest{Reason: verdictv1.Reason(policy.NoGrant)}, 9},
		"by principal":   {&verdictv1.ListDecisionsRequest{TenantId: tenant, PrincipalId: "p-2"}, 1},
		"by api":         {&verdictv1.ListDecisionsRequest{Api: "bills"}, 1},
		"by two filters": {&verdictv1.ListDecisionsRequest{Api: "bills", Effect: verdictv1.Effect_EFFECT_ALLOW}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := svc.ListDecisions(ctx, tc.req)
			if err != nil || len(whole.GetDecisions()) != tc.want || whole.GetNextPageToken() != "" {
				t.Fatalf("%d decisions, %v; want %d", len(whole.GetDecisions()), err, tc.want)
			}
			var paged []*verdictv1.DecisionRecord
			tc.req.PageSize = 3
			for range 10 {
				resp, err := svc.ListDecisions(ctx, tc.req)
				if err != nil {
					t.Fatal(err)
				}
				paged = append(paged, resp.GetDecisions()...)
				if tc.req.PageToken = resp.GetNextPageToken(); tc.req.GetPageToken() == "" {
					break
				}
			}
			wantEqual(t, &verdictv1.ListDecisionsResponse{Decisions: paged}, whole)
		})
	}
	newest, err := svc.ListDecisions(ctx, &verdictv1.ListDecisionsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	got := newest.GetDecisions()[0]
	if got.GetId() != decisionID(19) || got.GetTime().AsTime() != t0.Add(time.Hour) || got.GetReason() != verdictv1.Reason(policy.AllowedByGrant) ||
		got.GetDetail() != "d" || got.GetRevision() != 7 || got.GetPrincipalKind() != verdictv1.PrincipalKind(policy.PrincipalUser) ||
		got.GetClientId() != "c" || got.GetTokenId() != "t" || got.GetRoute() != "list" || got.GetTemplate() != "/orders" || got.GetMethod() != "GET" ||
		got.GetHost() != "orders.example" || got.GetRawPath() != "/x" || !slices.Equal(got.GetPermissions(), []string{"orders.read"}) ||
		got.GetResource() != "42" || !slices.Equal(got.GetGrants(), []string{"g-1"}) || got.GetDoor() != "check" || got.GetPep() != "envoy" ||
		got.GetTook().AsDuration() != 1500*time.Microsecond || got.GetRequestId() != "r-1" || got.GetTenantId() != tenant || got.GetPrincipalId() != "p-3" ||
		got.GetApi() != "orders" || got.GetAgentParent() != "a-1" || got.GetAgentFacets() != "actor 11; subject 13" || got.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Errorf("record %v", got)
	}

	for name, tc := range map[string]struct {
		req  *verdictv1.ListDecisionsRequest
		want map[string]string
	}{
		"an empty time range": {
			&verdictv1.ListDecisionsRequest{From: timestamppb.New(t0), To: timestamppb.New(t0)}, map[string]string{"to": "no record could match"},
		},
		"an instant that is none": {
			&verdictv1.ListDecisionsRequest{From: &timestamppb.Timestamp{Nanos: -1}}, map[string]string{"from": "RFC 3339"},
		},
		"a token of other filters": {
			&verdictv1.ListDecisionsRequest{Api: "orders", PageToken: newest.GetNextPageToken()}, map[string]string{"page_token": "repeat the filters"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := svc.ListDecisions(ctx, tc.req)
			wantViolations(t, err, tc.want)
		})
	}
}
