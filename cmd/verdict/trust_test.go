package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// partnerTenant is one that the issuer has and the configuration does not.
const partnerTenant = "99999999-0000-4000-8000-000000000001"

// authority is an issuer of two tenants that several replicas share.
type authority struct {
	url   string
	local *issuer.Issuer

	mu      sync.Mutex
	fetched map[string]int // answers with keys by tenant, not counting "you have it"
}

func startAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{fetched: map[string]int{}}
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if rest == "discovery/v2.0/keys" && r.Header.Get("If-None-Match") == "" {
			a.mu.Lock()
			a.fetched[tenant]++
			a.mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	a.url = web.URL
	var err error
	if a.local, err = issuer.New(issuer.Config{BaseURL: web.URL, Tenants: []string{issuer.DevTenant, partnerTenant}}); err != nil {
		t.Fatal(err)
	}
	handler = a.local.Handler()
	return a
}

func (a *authority) fetches(tenant string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetched[tenant]
}

// startReplica runs verdict serve on free ports for the first tenant of an authority.
func startReplica(t *testing.T, store string, a *authority) *verdict {
	t.Helper()
	v := launch(t, "serve", "--store", store, "--authority", a.url, "--tenant", issuer.DevTenant,
		"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
	v.issuer = a.url
	v.await(t, "listening line", func() bool { return v.addresses() })
	return v
}

func (v *verdict) directory(t *testing.T) verdictv1.DirectoryServiceClient {
	return verdictv1.NewDirectoryServiceClient(v.dial(t, v.admin))
}

// replicas are several that share a store.
type replicas []*verdict

// all waits until every replica answers a token with that reason, and checks that it did not take longer than promised.
func (rs replicas) all(t *testing.T, what, token string, want verdictv1.Reason) {
	t.Helper()
	began := time.Now()
	for _, v := range rs {
		v.await(t, what, func() bool { return v.check(t, get(token, "orders.example.com", "/orders/42")).GetReason() == want })
	}
	took := time.Since(began)
	t.Logf("%s after %s", what, took.Round(time.Millisecond))
	if took > promised {
		t.Errorf("%s took %s", what, took)
	}
}

// Two replicas on one Postgres: what one is told of whom to trust is in force on both within two seconds.
func TestTrustReachesEveryReplica(t *testing.T) {
	url := pgtest.New(t)
	a := startAuthority(t)
	one := startReplica(t, url, a)
	policy := example(t)
	policy.Grants = append(policy.Grants, &verdictv1.Grant{
		Id: "partner-reads", Api: policy.GetApis()[0].GetId(), Subject: "tenant:" + partnerTenant, Permissions: []string{"orders.read"},
		Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
	})
	if _, err := one.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: policy}); err != nil {
		t.Fatal(err)
	}
	both := replicas{one, startReplica(t, url, a)}
	for _, v := range both {
		v.awaitServing(t)
	}
	ours, theirs := one.mint(t, "user", "alice"), one.mint(t, "user", "alice", "tenant", partnerTenant)
	both.all(t, "allow", ours, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
	both.all(t, "refusal of the partner", theirs, verdictv1.Reason_REASON_TENANT_NOT_ALLOWED)

	t.Run("a tenant is added", func(t *testing.T) {
		resp, err := one.directory(t).AddTenant(t.Context(), &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: partnerTenant, DisplayName: "Partner"}})
		if err != nil || resp.GetTenant().GetAddedAt() == nil {
			t.Fatalf("%v, %v", resp, err)
		}
		both.all(t, "the tenant", theirs, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
		list, err := both[1].directory(t).ListTenants(t.Context(), &verdictv1.ListTenantsRequest{})
		if err != nil || len(list.GetTenants()) != 2 {
			t.Errorf("listed %v, %v", list, err)
		}
	})

	t.Run("one that cannot work is refused with its field", func(t *testing.T) {
		_, err := one.directory(t).AddTenant(t.Context(), &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: "99999999-0000-4000-8000-000000000002"}})
		if fields := violations(err); status.Code(err) != codes.InvalidArgument || !slices.Equal(fields, []string{"tenant.tenant_id"}) {
			t.Errorf("%v: fields %v", err, fields)
		}
		_, err = one.directory(t).AddTenant(t.Context(), &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: "common"}})
		if fields := violations(err); !slices.Equal(fields, []string{"tenant.tenant_id"}) {
			t.Errorf("%v: fields %v", err, fields)
		}
	})

	t.Run("a tenant of the configuration stays", func(t *testing.T) {
		_, err := both[1].directory(t).RemoveTenant(t.Context(), &verdictv1.RemoveTenantRequest{TenantId: issuer.DevTenant})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%v", err)
		}
	})

	t.Run("a replica that starts later knows all", func(t *testing.T) {
		third := startReplica(t, url, a)
		third.awaitServing(t)
		replicas{third}.all(t, "the tenant", theirs, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
		third.stop(t)
	})

	t.Run("a purge makes both fetch anew", func(t *testing.T) {
		before, other := a.fetches(issuer.DevTenant), a.fetches(partnerTenant)
		began := time.Now()
		if _, err := both[1].directory(t).PurgeKeys(t.Context(), &verdictv1.PurgeKeysRequest{TenantId: issuer.DevTenant}); err != nil {
			t.Fatal(err)
		}
		one.await(t, "two fetches", func() bool { return a.fetches(issuer.DevTenant) >= before+2 })
		if took := time.Since(began); took > promised {
			t.Errorf("took %s", took)
		}
		both.all(t, "allow", ours, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
		time.Sleep(promised / 2) // were the order carried out at each look, there would be more by now
		if got := a.fetches(issuer.DevTenant); got != before+2 {
			t.Errorf("%d fetches for one order to two replicas", got-before)
		}
		if got := a.fetches(partnerTenant); got != other {
			t.Errorf("%d fetches of another tenant's keys", got-other)
		}
	})

	kids := a.local.Kids()
	t.Run("a key is denied", func(t *testing.T) {
		if _, err := both[1].directory(t).DenyKey(t.Context(), &verdictv1.DenyKeyRequest{Key: &verdictv1.DeniedKey{Kid: kids[0], Reason: "leaked"}}); err != nil {
			t.Fatal(err)
		}
		both.all(t, "the refusal", ours, verdictv1.Reason_REASON_KEY_UNKNOWN)
		both.all(t, "the refusal in the other tenant", theirs, verdictv1.Reason_REASON_KEY_UNKNOWN)
		third := startReplica(t, url, a)
		third.awaitServing(t)
		if got := third.check(t, get(ours, "orders.example.com", "/orders/42")).GetReason(); got != verdictv1.Reason_REASON_KEY_UNKNOWN {
			t.Errorf("the first answer of a new replica: %v", got)
		}
		third.stop(t)
	})

	t.Run("and allowed again", func(t *testing.T) {
		if _, err := one.directory(t).AllowKey(t.Context(), &verdictv1.AllowKeyRequest{Kid: kids[0]}); err != nil {
			t.Fatal(err)
		}
		both.all(t, "allow", ours, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
	})

	t.Run("a tenant is removed", func(t *testing.T) {
		if _, err := both[1].directory(t).RemoveTenant(t.Context(), &verdictv1.RemoveTenantRequest{TenantId: partnerTenant}); err != nil {
			t.Fatal(err)
		}
		both.all(t, "the refusal", theirs, verdictv1.Reason_REASON_TENANT_NOT_ALLOWED)
		both.all(t, "allow of ours", ours, verdictv1.Reason_REASON_ALLOWED_BY_GRANT)
	})

	t.Run("groups come from tokens only", func(t *testing.T) {
		_, err := one.directory(t).GetGroups(t.Context(), &verdictv1.GetGroupsRequest{TenantId: issuer.DevTenant, ObjectId: aliceID, Kind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "tokens only") {
			t.Errorf("%v", err)
		}
	})
}

// What was known stays in force while the database is away, and changes fail clearly.
func TestTrustOutlivesTheDatabase(t *testing.T) {
	server := pgtest.Start(t)
	url := server.New(t)
	a := startAuthority(t)
	v := startReplica(t, url, a)
	if _, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
		t.Fatal(err)
	}
	v.awaitServing(t)
	if _, err := v.directory(t).AddTenant(t.Context(), &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: partnerTenant}}); err != nil {
		t.Fatal(err)
	}
	theirs := v.mint(t, "user", "alice", "tenant", partnerTenant)
	replicas{v}.all(t, "the tenant", theirs, verdictv1.Reason_REASON_NO_GRANT)

	server.Stop()
	_, err := v.directory(t).DenyKey(t.Context(), &verdictv1.DenyKeyRequest{Key: &verdictv1.DeniedKey{Kid: a.local.Kids()[0]}})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a change without the database: %v", err)
	}
	v.await(t, "complaint of the feed", func() bool { return strings.Contains(v.errs.String(), "whom to trust is not followed in full") })
	if got := v.check(t, get(theirs, "orders.example.com", "/orders/42")).GetReason(); got != verdictv1.Reason_REASON_NO_GRANT {
		t.Errorf("without the database: %v", got)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	v.await(t, "end of the complaint", func() bool { return strings.Contains(v.errs.String(), "whom to trust is followed again") })
	if _, err := v.directory(t).DenyKey(t.Context(), &verdictv1.DenyKeyRequest{Key: &verdictv1.DeniedKey{Kid: a.local.Kids()[0]}}); err != nil {
		t.Error(err)
	}
	replicas{v}.all(t, "the refusal", theirs, verdictv1.Reason_REASON_KEY_UNKNOWN)
}
