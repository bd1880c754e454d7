package admin_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

func TestSignInRulesGoInAndComeOut(t *testing.T) {
	svc, _ := seeded(t)
	ctx := t.Context()
	p := document()
	a, r := p.GetApis()[0], p.GetRoutes()[0]
	a.DenyGuests, a.StrictRevocation, a.Permissions[1].Privileged = true, true, true
	r.MaxTokenAge, r.AuthContext, r.ConfidentialClient = durationpb.New(5*time.Minute), "c3", true
	apply(t, svc, p)
	got, err := svc.ExportPolicy(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range []interface{ GetEtag() string }{got.GetPolicy().GetApis()[0], got.GetPolicy().GetRoutes()[0]} {
		if fact.GetEtag() == "" {
			t.Error("no etag")
		}
	}
	got.GetPolicy().Apis[0].Etag, got.GetPolicy().Routes[0].Etag, got.GetPolicy().Grants[0].Etag = "", "", ""
	wantEqual(t, got.GetPolicy(), p)
	if again := apply(t, svc, p); again.GetChanges().GetTotal() != 0 {
		t.Errorf("applied unchanged it changes %v", again.GetChanges())
	}

	if _, err := svc.UpdateRoute(ctx, &verdictv1.UpdateRouteRequest{
		Route:      &verdictv1.Route{Api: "orders", Id: "list", MaxTokenAge: durationpb.New(time.Minute)},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"max_token_age", "auth_context"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.UpdateApi(ctx, &verdictv1.UpdateApiRequest{
		Api: &verdictv1.Api{Id: "orders", StrictRevocation: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"deny_guests", "strict_revocation"}},
	}); err != nil {
		t.Fatal(err)
	}
	route, err := svc.GetRoute(ctx, &verdictv1.GetRouteRequest{Api: "orders", Id: "list"})
	if err != nil || route.GetRoute().GetMaxTokenAge().AsDuration() != time.Minute || route.GetRoute().GetAuthContext() != "" || !route.GetRoute().GetConfidentialClient() {
		t.Errorf("route %v, %v", route, err)
	}
	api, err := svc.GetApi(ctx, &verdictv1.GetApiRequest{Id: "orders"})
	if err != nil || api.GetApi().GetDenyGuests() || !api.GetApi().GetStrictRevocation() || !api.GetApi().GetPermissions()[1].GetPrivileged() {
		t.Errorf("api %v, %v", api, err)
	}

	_, err = svc.UpdateRoute(ctx, &verdictv1.UpdateRouteRequest{
		Route:      &verdictv1.Route{Api: "orders", Id: "list", MaxTokenAge: durationpb.New(1500 * time.Millisecond), AuthContext: "c0"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"max_token_age", "auth_context"}},
	})
	wantViolations(t, err, map[string]string{"route.max_token_age": "whole number of seconds", "route.auth_context": "c1 to c99"})
}
