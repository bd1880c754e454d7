package trail_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// twenty records, four to a second, every other allowed; the last has every field.
func twenty(t *testing.T, s store.DecisionAppender) {
	t.Helper()
	var ds []store.Decision
	for i := range 20 {
		d := store.Decision{
			ID: decisionID(i), At: t0.Add(time.Duration(i/4) * time.Second), Allowed: i%2 == 0, Reason: int16(policy.NoGrant),
			TenantID: tenant, PrincipalID: "p-1", API: "orders", Took: 42 * time.Microsecond,
		}
		if d.Allowed {
			d.Reason = int16(policy.AllowedByGrant)
		}
		ds = append(ds, d)
	}
	ds[3].PrincipalID, ds[5].API = "p-2", "bills"
	ds[19] = full()
	appended(t, s, ds...)
}

func full() store.Decision {
	return store.Decision{
		ID: decisionID(19), At: t0.Add(10 * time.Second), Allowed: true, Reason: int16(policy.AllowedByGrant), Detail: "d", Revision: 7,
		PrincipalKind: int16(policy.PrincipalUser), TenantID: tenant, PrincipalID: "p-3", ClientID: "c", TokenID: "t", API: "orders", Route: "list",
		Template: "/orders", Method: "GET", Host: "orders.example", RawPath: "/x", Permissions: []string{"orders.read"}, Resource: "42",
		Grants: []string{"g-1"}, Door: "check", PEP: "envoy", Took: 1500 * time.Microsecond, RequestID: "r-1", Subjects: []string{readers},
		Scopes: []string{"Orders.Read"}, Missing: []string{"orders.write"}, GrantSubjects: []string{readers}, SourceIP: "192.0.2.0/24",
		Instance: "i", Epoch: 2, Seq: 3, Repeats: 4, AgentParent: "a-1", AgentFacets: "actor 11; subject 13",
	}
}

func TestListDecisions(t *testing.T) {
	ctx, s := t.Context(), openSQLite(t)
	twenty(t, s)
	c := ask(t, s)
	for name, tc := range map[string]struct {
		req  *verdictv1.ListDecisionsRequest
		want int
	}{
		"all":            {&verdictv1.ListDecisionsRequest{}, 20},
		"from":           {&verdictv1.ListDecisionsRequest{From: timestamppb.New(t0.Add(4 * time.Second))}, 4},
		"to":             {&verdictv1.ListDecisionsRequest{To: timestamppb.New(t0.Add(time.Second))}, 4},
		"allowed":        {&verdictv1.ListDecisionsRequest{Effect: verdictv1.Effect_EFFECT_ALLOW}, 11},
		"denied":         {&verdictv1.ListDecisionsRequest{Effect: verdictv1.Effect_EFFECT_DENY}, 9},
		"by reason":      {&verdictv1.ListDecisionsRequest{Reason: verdictv1.Reason_REASON_NO_GRANT}, 9},
		"by principal":   {&verdictv1.ListDecisionsRequest{TenantId: tenant, PrincipalId: "p-2"}, 1},
		"by client":      {&verdictv1.ListDecisionsRequest{ClientId: "c"}, 1},
		"by subject":     {&verdictv1.ListDecisionsRequest{Subject: readers}, 1},
		"by permission":  {&verdictv1.ListDecisionsRequest{Permission: "orders.read"}, 1},
		"by api":         {&verdictv1.ListDecisionsRequest{Api: "bills"}, 1},
		"by route":       {&verdictv1.ListDecisionsRequest{Route: "list"}, 1},
		"by revision":    {&verdictv1.ListDecisionsRequest{Revision: 7}, 1},
		"by two filters": {&verdictv1.ListDecisionsRequest{Api: "bills", Effect: verdictv1.Effect_EFFECT_ALLOW}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := c.ListDecisions(ctx, tc.req)
			if err != nil || len(whole.GetDecisions()) != tc.want || whole.GetNextPageToken() != "" {
				t.Fatalf("%d decisions, %v; want %d", len(whole.GetDecisions()), err, tc.want)
			}
			var paged []*verdictv1.DecisionRecord
			tc.req.PageSize = 3
			for range 10 {
				resp, err := c.ListDecisions(ctx, tc.req)
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

	newest, err := c.ListDecisions(ctx, &verdictv1.ListDecisionsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
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
			&verdictv1.ListDecisionsRequest{Route: "list", PageToken: newest.GetNextPageToken()}, map[string]string{"page_token": "repeat the filters"},
		},
		"a token that is none": {&verdictv1.ListDecisionsRequest{PageToken: "next, please"}, map[string]string{"page_token": "not a token"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListDecisions(ctx, tc.req)
			wantInvalid(t, err, tc.want)
		})
	}
}

func TestGetDecision(t *testing.T) {
	s := openSQLite(t)
	twenty(t, s)
	c := ask(t, s)
	want := &verdictv1.DecisionRecord{
		Id: decisionID(19), Time: timestamppb.New(t0.Add(10 * time.Second)), Effect: verdictv1.Effect_EFFECT_ALLOW,
		Reason: verdictv1.Reason_REASON_ALLOWED_BY_GRANT, Detail: "d", Revision: 7, PrincipalKind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER,
		TenantId: tenant, PrincipalId: "p-3", ClientId: "c", TokenId: "t", Api: "orders", Route: "list", Template: "/orders", Method: "GET",
		Host: "orders.example", RawPath: "/x", Permissions: []string{"orders.read"}, Resource: "42", Grants: []string{"g-1"}, Door: "check",
		Pep: "envoy", Took: durationpb.New(1500 * time.Microsecond), RequestId: "r-1", AgentParent: "a-1", AgentFacets: "actor 11; subject 13",
		Subjects: []string{readers}, Scopes: []string{"Orders.Read"}, MissingPermissions: []string{"orders.write"}, SourceIp: "192.0.2.0/24",
		Instance: "i", Epoch: 2, Sequence: 3, Repeats: 4, GrantSubjects: []string{readers},
	}
	for name, id := range map[string]string{"as it is written": decisionID(19), "in upper case": strings.ToUpper(decisionID(19))} {
		t.Run(name, func(t *testing.T) {
			got, err := c.GetDecision(t.Context(), &verdictv1.GetDecisionRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, got.GetDecision(), want)
		})
	}
	for name, id := range map[string]string{"unknown": decisionID(20), "of another version": alice} {
		t.Run(name, func(t *testing.T) {
			_, err := c.GetDecision(t.Context(), &verdictv1.GetDecisionRequest{Id: id})
			wantCode(t, err, codes.NotFound, "get decision "+id)
			_, err = c.ExplainDecision(t.Context(), &verdictv1.ExplainDecisionRequest{Id: id})
			wantCode(t, err, codes.NotFound, "explain: get decision "+id)
		})
	}
}
