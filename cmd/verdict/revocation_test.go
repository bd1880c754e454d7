package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// aliceID is the object id of the issuer's alice.
const aliceID = "bbbbbbbb-0001-4000-8000-000000000001"

// promised is how soon a revocation is in force on every replica.
const promised = 2 * time.Second

// withVault is the example policy, and beside it an api that is strict about revocations.
func withVault(t *testing.T) *verdictv1.Policy {
	t.Helper()
	p := example(t)
	p.Apis = append(p.Apis, &verdictv1.Api{Id: "vault", Audiences: p.GetApis()[0].GetAudiences(), Hosts: []string{"vault.example.com"}, StrictRevocation: true})
	p.Routes = append(p.Routes, &verdictv1.Route{
		Api: "vault", Id: "me", Methods: []string{"GET"}, Template: "/me", Requirement: &verdictv1.Route_Authenticated{Authenticated: &verdictv1.AuthenticatedRequirement{}},
	})
	return p
}

// get is the question for GET of a path, with a token of the replica's own issuer.
func get(token, host, path string) *verdictv1.CheckRequest {
	return &verdictv1.CheckRequest{Token: token, Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: host, Path: path}}}
}

func (v *verdict) check(t *testing.T, ask *verdictv1.CheckRequest) *verdictv1.CheckResponse {
	t.Helper()
	resp, err := v.decisions(t).Check(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func (v *verdict) revocations(t *testing.T) verdictv1.RevocationServiceClient {
	return verdictv1.NewRevocationServiceClient(v.dial(t, v.admin))
}

// revocationHealth is what the health service says of revocations.
func (v *verdict) revocationHealth(t *testing.T) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	resp, err := healthv1.NewHealthClient(v.dial(t, v.decision)).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "verdict.revocation"})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetStatus()
}

// Two replicas on one Postgres: what one revokes both refuse within two seconds, and without the database strict apis deny.
func TestRevocationsReachEveryReplica(t *testing.T) {
	server := pgtest.Start(t)
	url := server.New(t)
	one := startServe(t, url, "--revocation-max-age=2s")
	if _, err := one.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: withVault(t)}); err != nil {
		t.Fatal(err)
	}
	two := startServe(t, url, "--revocation-max-age=2s")
	replicas := []*verdict{one, two}
	tokens := map[*verdict]string{}
	everywhere := func(what string, within time.Duration, host, path string, want verdictv1.Reason) {
		t.Helper()
		began := time.Now()
		for _, v := range replicas {
			v.await(t, what, func() bool { return v.check(t, get(tokens[v], host, path)).GetReason() == want })
		}
		took := time.Since(began)
		t.Logf("%s after %s", what, took.Round(time.Millisecond))
		if took > within {
			t.Errorf("%s took %s", what, took)
		}
	}
	for _, v := range replicas {
		v.awaitServing(t)
		tokens[v] = v.mint(t, "user", "alice", "xms_cc", "cp1")
	}
	everywhere("allow", startTimeout, "orders.example.com", "/orders/42", verdictv1.Reason_REASON_ALLOWED_BY_GRANT)

	made, err := one.revocations(t).CreateRevocation(t.Context(), &verdictv1.CreateRevocationRequest{Revocation: &verdictv1.Revocation{
		TenantId: issuer.DevTenant, Kind: verdictv1.RevocationKind_REVOCATION_KIND_PRINCIPAL, Value: aliceID, Reason: "laptop stolen",
	}})
	if err != nil {
		t.Fatal(err)
	}
	everywhere("refusal", promised, "orders.example.com", "/orders/42", verdictv1.Reason_REASON_TOKEN_REVOKED)
	refused := two.check(t, get(tokens[two], "orders.example.com", "/orders/42"))
	if refused.GetHttpStatus() != 401 || len(refused.GetWwwAuthenticate()) != 1 || !strings.Contains(refused.GetWwwAuthenticate()[0], `error="insufficient_claims"`) ||
		!strings.Contains(refused.GetWwwAuthenticate()[0], `authorization_uri="`+two.issuer+"/"+issuer.DevTenant+`/oauth2/v2.0/authorize"`) {
		t.Errorf("challenged by %d %v", refused.GetHttpStatus(), refused.GetWwwAuthenticate())
	}
	if bob := two.check(t, get(two.mint(t, "user", "bob"), "orders.example.com", "/orders/42")); bob.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Errorf("bob: %v", bob)
	}
	two.await(t, "sign-in that helps", func() bool { // from the next second on
		return two.check(t, get(two.mint(t, "user", "alice"), "orders.example.com", "/orders/42")).GetEffect() == verdictv1.Effect_EFFECT_ALLOW
	})

	if _, err := two.revocations(t).DeleteRevocation(t.Context(), &verdictv1.DeleteRevocationRequest{Id: made.GetRevocation().GetId()}); err != nil {
		t.Fatal(err)
	}
	everywhere("allow again", promised, "orders.example.com", "/orders/42", verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
	records := one.records(t, &verdictv1.ListDecisionsRequest{Reason: verdictv1.Reason_REASON_TOKEN_REVOKED, PageSize: 1}, 1)
	if d := records[0]; d.GetPrincipalId() != aliceID || d.GetDetail() != "revoked: principal, revocation "+made.GetRevocation().GetId() {
		t.Errorf("the record says %v", d)
	}

	everywhere("allow by the strict api", startTimeout, "vault.example.com", "/me", verdictv1.Reason_REASON_ALLOWED_AUTHENTICATED)
	server.Stop()
	everywhere("503 of the strict api", startTimeout, "vault.example.com", "/me", verdictv1.Reason_REASON_REVOCATION_STALE)
	everywhere("allow by the other api", time.Second, "orders.example.com", "/orders/42", verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
	one.await(t, "NOT_SERVING of revocations", func() bool { return one.revocationHealth(t) == healthv1.HealthCheckResponse_NOT_SERVING })
	told, err := verdictv1.NewSystemServiceClient(one.dial(t, one.admin)).Status(t.Context(), &verdictv1.StatusRequest{})
	if err != nil || !slices.ContainsFunc(told.GetProblems(), func(p string) bool { return strings.Contains(p, "REVOCATION_STALE") }) ||
		told.GetRevocationsCheckedAt() == nil {
		t.Errorf("status %v, %v", told, err)
	}
	one.awaitServing(t) // decisions themselves go on
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	everywhere("recovery", startTimeout, "vault.example.com", "/me", verdictv1.Reason_REASON_ALLOWED_AUTHENTICATED)
	one.await(t, "SERVING of revocations", func() bool { return one.revocationHealth(t) == healthv1.HealthCheckResponse_SERVING })
}

// What Envoy answers a caller whose sign-in is not what a route asks for; rows 273 to 278 of the token catalogue.
func TestStepUpThroughTheEnvoyDoor(t *testing.T) {
	v := startDev(t)
	for id, change := range map[string]func(*verdictv1.Route){
		"stronger": func(r *verdictv1.Route) { r.AuthContext = "c3" },
		"fresher":  func(r *verdictv1.Route) { r.MaxTokenAge = durationpb.New(5 * time.Minute) },
		"secret":   func(r *verdictv1.Route) { r.ConfidentialClient = true },
	} {
		r := &verdictv1.Route{Api: "orders", Id: id, Methods: []string{"GET"}, Template: "/" + id,
			Requirement: &verdictv1.Route_Authenticated{Authenticated: &verdictv1.AuthenticatedRequirement{}}}
		change(r)
		made, err := v.policies(t).CreateRoute(t.Context(), &verdictv1.CreateRouteRequest{Route: r})
		if err != nil {
			t.Fatal(err)
		}
		ask := get("", "orders.example.com", "/"+id)
		ask.MinRevision = made.GetRevision()
		v.check(t, ask)
	}
	for name, tc := range map[string]struct {
		path       string
		token      []string
		status     int32
		challenges []string // what each must hold
	}{
		"273 the context is met":                         {"/stronger", []string{"user", "alice", "acrs", "c1 c3"}, 200, nil},
		"274 it is not, and the client knows challenges": {"/stronger", []string{"user", "alice", "acrs", "c1", "xms_cc", "CP1"}, 401, []string{"insufficient_claims", `acr_values="c3"`}},
		"275 it is not, and the client does not":         {"/stronger", []string{"user", "alice"}, 403, nil},
		"276 an application":                             {"/stronger", []string{"app", "nightly", "acrs", "c3", "xms_cc", "cp1"}, 403, nil},
		"277 a context that is no list":                  {"/stronger", []string{"user", "alice", "claims", `{"acrs":"c3"}`, "xms_cc", "cp1"}, 401, []string{"insufficient_claims", `acr_values="c3"`}},
		"278 a fresh sign-in":                            {"/fresher", []string{"user", "alice", "auth_age", "4m"}, 200, nil},
		"278 an old sign-in":                             {"/fresher", []string{"user", "alice", "auth_age", "6m"}, 401, []string{`max_age="300"`}},
		"278 a sign-in at an unknown time":               {"/fresher", []string{"user", "alice", "xms_cc", "cp1"}, 401, []string{`max_age="300"`}},
		"276 an application does not sign in":            {"/fresher", []string{"app", "nightly"}, 403, nil},
		"a confidential client":                          {"/secret", []string{"user", "alice", "claims", `{"azpacr":"1"}`}, 200, nil},
		"a public client where a secret is asked for":    {"/secret", []string{"user", "alice"}, 403, nil},
		"a public client where no secret is asked for":   {"/me", []string{"user", "alice"}, 200, nil},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := v.envoyDoor(t).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
				Http: &authv3.AttributeContext_HttpRequest{
					Method: "GET", Host: "orders.example.com", Path: tc.path, Headers: map[string]string{"authorization": "Bearer " + v.mint(t, tc.token...)},
				},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			got := int32(200)
			if denied := resp.GetDeniedResponse(); denied != nil {
				got = int32(denied.GetStatus().GetCode())
			}
			if got != tc.status {
				t.Errorf("HTTP %d, want %d: %v", got, tc.status, resp)
			}
			var challenges []string
			for _, h := range resp.GetDeniedResponse().GetHeaders() {
				if h.GetHeader().GetKey() == "www-authenticate" {
					challenges = append(challenges, h.GetHeader().GetValue())
				}
			}
			if len(challenges) != len(tc.challenges) {
				t.Fatalf("challenges %q, want %d", challenges, len(tc.challenges))
			}
			for i, want := range tc.challenges {
				if !strings.Contains(challenges[i], want) {
					t.Errorf("challenge %q, want %q", challenges[i], want)
				}
			}
		})
	}
}
