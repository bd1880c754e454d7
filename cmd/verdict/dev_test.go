package main

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// The road of a newcomer with grpcurl and nothing else: list services, apply a policy, check a minted token, see the record.
func TestWithGrpcurlAlone(t *testing.T) {
	v := startDev(t)
	ctx := t.Context()
	for target, want := range map[string][]string{
		v.decision: {"envoy.service.auth.v3.Authorization", "grpc.health.v1.Health", "verdict.v1.DecisionService"},
		v.admin:    {"grpc.health.v1.Health", "verdict.v1.AuditService", "verdict.v1.PolicyService", "verdict.v1.SystemService"},
	} {
		if got := services(t, v, target); !containsAll(got, want) {
			t.Errorf("%s lists %v, want %v", target, got, want)
		}
	}

	current, err := v.policies(t).ExportPolicy(ctx, &verdictv1.ExportPolicyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	doc := current.GetPolicy()
	doc.Grants = append(doc.Grants, &verdictv1.Grant{
		Id: "mallory-writes", Api: "orders", Subject: "user:11111111-1111-4111-8111-111111111111/bbbbbbbb-0003-4000-8000-000000000003",
		Permissions: []string{"orders.write"}, Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
	})
	question := &verdictv1.CheckRequest{
		Token:    v.mint(t, "user", "mallory"),
		Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "POST", Host: "orders.example.com", Path: "/orders"}},
	}
	before, err := v.decisions(t).Check(ctx, question)
	if err != nil || before.GetEffect() != verdictv1.Effect_EFFECT_DENY || before.GetReason() != verdictv1.Reason_REASON_NO_GRANT ||
		!slices.Equal(before.GetMissingPermissions(), []string{"orders.write"}) || before.GetPrincipal().GetDisplayName() != "Mallory Moore" {
		t.Fatalf("before the grant: %v %v", before, err)
	}

	dry, err := v.policies(t).ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: doc, DryRun: true})
	if err != nil || dry.GetRevision() != current.GetRevision() || !slices.Equal(dry.GetChanges().GetCreated(), []string{"grant/mallory-writes"}) {
		t.Fatalf("dry run: %v %v", dry, err)
	}
	applied, err := v.policies(t).ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: doc, ExpectedRevision: current.GetRevision()})
	if err != nil || applied.GetRevision() != current.GetRevision()+1 {
		t.Fatalf("apply: %v %v", applied, err)
	}
	if _, err := v.policies(t).ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{Policy: doc, ExpectedRevision: current.GetRevision()}); status.Code(err) != codes.Aborted {
		t.Errorf("a lost update was not refused: %v", err)
	}

	question.MinRevision = applied.GetRevision()
	after, err := v.decisions(t).Check(ctx, question)
	if err != nil || after.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || !slices.Equal(after.GetGrants(), []string{"mallory-writes"}) || after.GetRevision() != applied.GetRevision() {
		t.Fatalf("after the grant: %v %v", after, err)
	}

	got := v.records(t, &verdictv1.ListDecisionsRequest{PrincipalId: "bbbbbbbb-0003-4000-8000-000000000003"}, 2)
	if got[0].GetId() != after.GetDecisionId() || got[1].GetId() != before.GetDecisionId() {
		t.Errorf("newest first: %v", got)
	}
	allow := got[0]
	if allow.GetEffect() != verdictv1.Effect_EFFECT_ALLOW || allow.GetRoute() != "create" || allow.GetTemplate() != "/orders" || allow.GetMethod() != "POST" ||
		allow.GetDoor() != "check" || !slices.Equal(allow.GetGrants(), []string{"mallory-writes"}) || allow.GetRawPath() != "" || allow.GetTokenId() == "" {
		t.Errorf("record %v", allow)
	}
	for _, filter := range []*verdictv1.ListDecisionsRequest{
		{Effect: verdictv1.Effect_EFFECT_DENY, PrincipalId: "bbbbbbbb-0003-4000-8000-000000000003"},
		{Reason: verdictv1.Reason_REASON_NO_GRANT},
		{To: got[0].GetTime()},
	} {
		if list := v.records(t, filter, 1); list[0].GetId() != before.GetDecisionId() {
			t.Errorf("%v found %v", filter, list)
		}
	}
}

func services(t *testing.T, v *verdict, target string) []string {
	t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(v.dial(t, target)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

func containsAll(got, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(got, w) })
}

func TestOtherQuestionsOfTheCheckDoor(t *testing.T) {
	v := startDev(t)
	ctx := t.Context()
	http := func(method, path string) *verdictv1.CheckRequest_Http {
		return &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: method, Host: "orders.example.com", Path: path}}
	}
	permission := func(name string) *verdictv1.CheckRequest_Permission {
		return &verdictv1.CheckRequest_Permission{Permission: &verdictv1.PermissionRequest{Name: name, Resource: "r-1"}}
	}
	alice := v.mint(t, "user", "alice")

	for name, tc := range map[string]struct {
		ask  *verdictv1.CheckRequest
		want verdictv1.Reason
	}{
		"a permission that a role carries":      {&verdictv1.CheckRequest{Token: v.mint(t, "app", "nightly"), Api: "orders", Question: permission("reports.run")}, verdictv1.Reason_REASON_ALLOWED_BY_GRANT},
		"a permission nobody granted":           {&verdictv1.CheckRequest{Token: alice, Api: "orders", Question: permission("reports.run")}, verdictv1.Reason_REASON_NO_GRANT},
		"a permission nobody declared":          {&verdictv1.CheckRequest{Token: alice, Api: "orders", Question: permission("orders.fly")}, verdictv1.Reason_REASON_PERMISSION_UNKNOWN},
		"a permission question without an api":  {&verdictv1.CheckRequest{Token: alice, Question: permission("orders.read")}, verdictv1.Reason_REASON_API_UNKNOWN},
		"a deny beats the allow":                {&verdictv1.CheckRequest{Token: alice, Question: http("DELETE", "/orders/42")}, verdictv1.Reason_REASON_DENIED_BY_GRANT},
		"any proven caller":                     {&verdictv1.CheckRequest{Token: alice, Question: http("GET", "/me")}, verdictv1.Reason_REASON_ALLOWED_AUTHENTICATED},
		"a public route needs no token":         {&verdictv1.CheckRequest{Question: http("GET", "/healthz")}, verdictv1.Reason_REASON_ALLOWED_PUBLIC},
		"GET does not imply HEAD":               {&verdictv1.CheckRequest{Token: alice, Question: http("HEAD", "/orders")}, verdictv1.Reason_REASON_ROUTE_UNKNOWN},
		"a typed parameter is typed":            {&verdictv1.CheckRequest{Token: alice, Question: http("GET", "/orders/abc")}, verdictv1.Reason_REASON_ROUTE_UNKNOWN},
		"a trailing slash is not canonical":     {&verdictv1.CheckRequest{Token: alice, Question: http("GET", "/orders/")}, verdictv1.Reason_REASON_REQUEST_MALFORMED},
		"groups that do not fit are unresolved": {&verdictv1.CheckRequest{Token: v.mint(t, "user", "alice", "overage", "claim_names"), Question: http("GET", "/orders")}, verdictv1.Reason_REASON_GROUPS_UNRESOLVED},
		"a token in two places is ambiguous": {&verdictv1.CheckRequest{Token: alice, Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{
			Method: "GET", Host: "orders.example.com", Path: "/orders", Headers: []*verdictv1.Header{{Name: "Authorization", Value: []byte("Bearer " + alice)}},
		}}}, verdictv1.Reason_REASON_HEADER_AMBIGUOUS},
		"a revision that is not there in time": {&verdictv1.CheckRequest{Token: alice, MinRevision: 1 << 40, Question: http("GET", "/orders")}, verdictv1.Reason_REASON_REVISION_NOT_REACHED},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := contextWithTimeout(t)
			defer cancel()
			resp, err := v.decisions(t).Check(ctx, tc.ask)
			if err != nil {
				t.Fatalf("a refusal is a normal response: %v", err)
			}
			if resp.GetReason() != tc.want {
				t.Errorf("%s (%s), want %s", resp.GetReason(), resp.GetDetail(), tc.want)
			}
			allow := strings.HasPrefix(tc.want.String(), "REASON_ALLOWED")
			if (resp.GetEffect() == verdictv1.Effect_EFFECT_ALLOW) != allow {
				t.Errorf("effect %s", resp.GetEffect())
			}
		})
	}

	batch, err := v.decisions(t).BatchCheck(ctx, &verdictv1.BatchCheckRequest{Token: alice, Checks: []*verdictv1.CheckRequest{
		{Question: http("GET", "/orders/1")}, {Question: http("DELETE", "/orders/1")}, {Question: http("GET", "/orders/1"), Token: "not.a.token"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, c := range batch.GetChecks() {
		reasons = append(reasons, c.GetReason().String())
	}
	if !slices.Equal(reasons, []string{"REASON_ALLOWED_BY_GRANT", "REASON_DENIED_BY_GRANT", "REASON_TOKEN_MALFORMED"}) {
		t.Errorf("batch %v", reasons)
	}

	held, err := v.decisions(t).ListPermissions(ctx, &verdictv1.ListPermissionsRequest{Token: alice, Api: "orders"})
	if err != nil || !slices.Equal(held.GetPermissions(), []string{"orders.read", "orders.write"}) || len(held.GetConditionalPermissions()) > 0 {
		t.Errorf("alice holds %v %v", held, err)
	}
	refused, err := v.decisions(t).ListPermissions(ctx, &verdictv1.ListPermissionsRequest{Token: "x", Api: "orders"})
	if err != nil || refused.GetDecision().GetReason() != verdictv1.Reason_REASON_TOKEN_MALFORMED || len(refused.GetPermissions()) > 0 {
		t.Errorf("without a token: %v %v", refused, err)
	}
}

func TestInvalidRequestsNameTheField(t *testing.T) {
	v := startDev(t)
	current, err := v.policies(t).ExportPolicy(t.Context(), &verdictv1.ExportPolicyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(p *verdictv1.Policy)
		field  string
	}{
		"a catch-all that lets everyone in": {func(p *verdictv1.Policy) {
			p.Routes = append(p.Routes, &verdictv1.Route{Api: "orders", Id: "all", Methods: []string{"GET"}, Template: "/{rest...}", Requirement: &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}}})
		}, "policy.routes[7].template"},
		"routes that tie": {func(p *verdictv1.Policy) {
			other := proto.CloneOf(p.GetRoutes()[0])
			other.Id = "twin"
			p.Routes = append(p.Routes, other)
		}, "policy.routes["},
		"a permission nobody declared": {func(p *verdictv1.Policy) { p.Grants[0].Permissions = []string{"orders.raed"} }, "policy.grants[0].permissions[0]"},
		"a malformed subject":          {func(p *verdictv1.Policy) { p.Grants[0].Subject = "group:Contoso/Admins" }, "policy.grants[0].subject"},
		"an api without audience":      {func(p *verdictv1.Policy) { p.Apis[0].Audiences = nil }, "policy.apis[0].audiences"},
		"a route without requirement":  {func(p *verdictv1.Policy) { p.Routes[0].Requirement = nil }, "policy.routes[0].requirement"},
		"a condition that is no CEL":   {func(p *verdictv1.Policy) { p.Grants[0].Condition = "principal.tennant_id == 'x'" }, "policy.grants[0].condition"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := proto.CloneOf(current.GetPolicy())
			tc.change(doc)
			_, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: doc})
			if status.Code(err) != codes.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			if fields := violations(err); !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, tc.field) }) {
				t.Errorf("violations %v, want one of %s", fields, tc.field)
			}
			after, err := v.policies(t).ExportPolicy(t.Context(), &verdictv1.ExportPolicyRequest{})
			if err != nil || after.GetRevision() != current.GetRevision() || !proto.Equal(after.GetPolicy(), current.GetPolicy()) {
				t.Errorf("something was applied: %v %v", after, err)
			}
		})
	}
}
