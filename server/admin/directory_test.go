package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/server/trust"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/sqlite"
)

// Tenants beside the one of the configuration.
const (
	partner   = "22222222-2222-4222-8222-222222222222" // the issuer has it
	secondary = "33333333-3333-4333-8333-333333333333" // the issuer has it too; the second provider's own
	imposter  = "44444444-4444-4444-8444-444444444444" // its discovery names another issuer
	nobody    = "55555555-5555-4555-8555-555555555555" // the issuer does not have it
)

// startAuthority serves the keys of the tenants.
func startAuthority(t *testing.T) string {
	t.Helper()
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(web.Close)
	local, err := issuer.New(issuer.Config{BaseURL: web.URL, Tenants: []string{tenant, partner, secondary}})
	if err != nil {
		t.Fatal(err)
	}
	documents := local.Handler()
	handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/"+imposter+"/") {
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": web.URL + "/" + partner + "/v2.0", "jwks_uri": web.URL + "/" + partner + "/discovery/v2.0/keys",
			})
			return
		}
		documents.ServeHTTP(w, r)
	})
	return web.URL
}

// directory is a DirectoryService with all that it works with.
type directory struct {
	*admin.DirectoryService
	store    *sqlite.Store
	verifier *entra.Verifier
	feed     *trust.Feed
}

// newDirectory has one provider, or two of the same authority.
func newDirectory(t *testing.T, providers int, cfg admin.DirectoryConfig) directory {
	t.Helper()
	authority := startAuthority(t)
	var config entra.Config
	for i, id := range []string{tenant, secondary}[:providers] {
		config.Providers = append(config.Providers, entra.Provider{
			Name: []string{"main", "second"}[i], Kind: entra.Entra, Authority: authority, Tenants: []string{id}, AllowLoopbackHTTP: true,
		})
	}
	log := slog.New(slog.DiscardHandler)
	v, err := entra.NewVerifier(config, log)
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	f, err := trust.NewFeed(s, v, log, trust.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := admin.NewDirectoryService(s, f, v, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return directory{d, s, v, f}
}

func (d directory) add(t *testing.T, want *verdictv1.Tenant) (*verdictv1.Tenant, error) {
	t.Helper()
	resp, err := d.AddTenant(t.Context(), &verdictv1.AddTenantRequest{Tenant: want, Note: &verdictv1.ChangeNote{Reason: "joins", Ticket: "T-1"}})
	return resp.GetTenant(), err
}

func (d directory) list(t *testing.T) []*verdictv1.Tenant {
	t.Helper()
	resp, err := d.ListTenants(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetTenants()
}

func (d directory) version(t *testing.T) uint64 {
	t.Helper()
	v, err := d.store.TrustVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantCode checks the code that the caller reads.
func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := grpcstatus.Code(status.FromError(err)); got != want {
		t.Errorf("code %v of %v, want %v", got, err, want)
	}
}

func TestATenantIsAddedListedAndRemoved(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	got, err := d.add(t, &verdictv1.Tenant{TenantId: strings.ToUpper(partner), DisplayName: "Partner", Configured: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetAddedAt() == nil {
		t.Error("it does not say when it was added")
	}
	wantEqual(t, got, &verdictv1.Tenant{TenantId: partner, Provider: "main", DisplayName: "Partner", AddedAt: got.GetAddedAt()})
	if ids, err := d.verifier.Tenants("main"); err != nil || len(ids) != 2 {
		t.Errorf("the verifier has %v, %v", ids, err)
	}
	again, err := d.add(t, &verdictv1.Tenant{TenantId: partner, Provider: "main", DisplayName: "Partner"})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, again, got)
	if v := d.version(t); v != 1 {
		t.Errorf("two calls made %d changes", v)
	}
	list := d.list(t)
	if len(list) != 2 {
		t.Fatalf("listed %v", list)
	}
	wantEqual(t, list[0], &verdictv1.Tenant{TenantId: tenant, Provider: "main", Configured: true})
	wantEqual(t, list[1], got)

	remove := &verdictv1.RemoveTenantRequest{TenantId: strings.ToUpper(partner), Note: &verdictv1.ChangeNote{Reason: "leaves"}}
	if _, err := d.RemoveTenant(t.Context(), remove); err != nil {
		t.Fatal(err)
	}
	if ids, _ := d.verifier.Tenants("main"); len(ids) != 1 || len(d.list(t)) != 1 {
		t.Errorf("the verifier has %v, listed %v", ids, d.list(t))
	}
	_, err = d.RemoveTenant(t.Context(), remove)
	wantCode(t, err, codes.NotFound)
}

func TestTenantsOfTheConfigurationStay(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	got, err := d.add(t, &verdictv1.Tenant{TenantId: tenant, DisplayName: "Mine"})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, got, &verdictv1.Tenant{TenantId: tenant, Provider: "main", Configured: true})
	_, err = d.RemoveTenant(t.Context(), &verdictv1.RemoveTenantRequest{TenantId: tenant})
	wantCode(t, err, codes.FailedPrecondition)
	if v := d.version(t); v != 0 {
		t.Errorf("%d changes", v)
	}
}

func TestATenantThatCannotWorkIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		providers int
		add       *verdictv1.Tenant
		want      map[string]string
	}{
		"the authority does not know it":      {1, &verdictv1.Tenant{TenantId: nobody}, map[string]string{"tenant.tenant_id": "cannot be had"}},
		"its discovery is of another issuer":  {1, &verdictv1.Tenant{TenantId: imposter}, map[string]string{"tenant.tenant_id": "does not belong to this provider"}},
		"an unknown provider":                 {1, &verdictv1.Tenant{TenantId: partner, Provider: "other"}, map[string]string{"tenant.provider": "there are: main"}},
		"no provider, where there are two":    {2, &verdictv1.Tenant{TenantId: partner}, map[string]string{"tenant.provider": "name one of: main, second"}},
		"its issuer is that of another's too": {2, &verdictv1.Tenant{TenantId: tenant, Provider: "second"}, map[string]string{"tenant.tenant_id": "same issuer"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory(t, tc.providers, admin.DirectoryConfig{})
			before := len(d.list(t))
			_, err := d.add(t, tc.add)
			wantViolations(t, err, tc.want)
			if after := d.list(t); len(after) != before {
				t.Errorf("listed %v", after)
			}
			if st := d.feed.Status(); st.Problem != "" || st.Tenants != 0 {
				t.Errorf("feed %+v", st)
			}
		})
	}
}

func TestATenantThatIsThereNeedsNoAuthority(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	if _, err := d.store.AddTenant(t.Context(), store.TrustedTenant{Provider: "main", ID: nobody, DisplayName: "Old"}, store.Note{}); err != nil {
		t.Fatal(err)
	}
	got, err := d.add(t, &verdictv1.Tenant{TenantId: nobody, DisplayName: "New"})
	if err != nil || got.GetDisplayName() != "New" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestATenantOfAProviderThatIsGoneCanBeRemoved(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	if _, err := d.store.AddTenant(t.Context(), store.TrustedTenant{Provider: "gone", ID: partner}, store.Note{}); err != nil {
		t.Fatal(err)
	}
	if l := d.list(t); len(l) != 1 {
		t.Errorf("its tokens are not accepted, and it is listed: %v", l)
	}
	if _, err := d.RemoveTenant(t.Context(), &verdictv1.RemoveTenantRequest{TenantId: partner, Provider: "gone"}); err != nil {
		t.Error(err)
	}
	if v := d.version(t); v != 2 {
		t.Errorf("%d changes", v)
	}
}

func TestAProbeDoesNotWaitForEver(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{Probe: time.Nanosecond})
	_, err := d.add(t, &verdictv1.Tenant{TenantId: partner})
	wantViolations(t, err, map[string]string{"tenant.tenant_id": "cannot be had"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.AddTenant(ctx, &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: partner}})
	wantCode(t, err, codes.Canceled)
}

func TestAKeyIsDeniedListedAndAllowed(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	deny := func(kid, reason string) *verdictv1.DeniedKey {
		t.Helper()
		resp, err := d.DenyKey(t.Context(), &verdictv1.DenyKeyRequest{Key: &verdictv1.DeniedKey{Kid: kid, Reason: reason}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetKey()
	}
	second, first := deny("kid-2", "leaked"), deny("kid-1", "")
	wantEqual(t, second, &verdictv1.DeniedKey{Kid: "kid-2", Reason: "leaked", DeniedAt: second.GetDeniedAt()})
	wantEqual(t, deny("kid-2", "leaked"), second)
	if got := d.verifier.DeniedKeys(); len(got) != 2 {
		t.Errorf("the verifier denies %v", got)
	}
	list, err := d.ListDeniedKeys(t.Context(), nil)
	if err != nil || len(list.GetKeys()) != 2 {
		t.Fatalf("listed %v, %v", list, err)
	}
	wantEqual(t, list.GetKeys()[0], first)
	wantEqual(t, list.GetKeys()[1], second)

	if _, err := d.AllowKey(t.Context(), &verdictv1.AllowKeyRequest{Kid: "kid-2"}); err != nil {
		t.Fatal(err)
	}
	if got := d.verifier.DeniedKeys(); len(got) != 1 || got[0] != "kid-1" {
		t.Errorf("the verifier denies %v", got)
	}
	_, err = d.AllowKey(t.Context(), &verdictv1.AllowKeyRequest{Kid: "kid-2"})
	wantCode(t, err, codes.NotFound)
	for _, kid := range []string{"", "a\nb", "schlüssel", strings.Repeat("k", 257)} {
		_, err := d.DenyKey(t.Context(), &verdictv1.DenyKeyRequest{Key: &verdictv1.DeniedKey{Kid: kid}})
		wantViolations(t, err, map[string]string{"key.kid": "printable ASCII"})
		_, err = d.AllowKey(t.Context(), &verdictv1.AllowKeyRequest{Kid: kid})
		wantViolations(t, err, map[string]string{"kid": "printable ASCII"})
	}
}

func TestKeysArePurgedOfTenantsThatAreAccepted(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{})
	_, err := d.PurgeKeys(t.Context(), &verdictv1.PurgeKeysRequest{TenantId: partner})
	wantCode(t, err, codes.NotFound)
	if _, err := d.store.AddTenant(t.Context(), store.TrustedTenant{Provider: "main", ID: partner}, store.Note{}); err != nil { // as by another replica
		t.Fatal(err)
	}
	for _, id := range []string{partner, strings.ToUpper(tenant), ""} {
		if _, err := d.PurgeKeys(t.Context(), &verdictv1.PurgeKeysRequest{TenantId: id}); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	orders, err := d.store.Purges(t.Context())
	if err != nil || len(orders) != 3 || orders[0].Tenant != partner || orders[1].Tenant != tenant || orders[2].Tenant != "" {
		t.Errorf("orders %v, %v", orders, err)
	}
}

// fakeGroups answers for one principal.
type fakeGroups struct{ err error }

func (f fakeGroups) Groups(_ context.Context, tid, oid string, kind policy.PrincipalKind) ([]string, string, time.Duration, error) {
	if tid != tenant || oid != partner || kind != policy.PrincipalUser {
		return nil, "", 0, store.ErrNotFound
	}
	return []string{"b", "a"}, "graph", 90 * time.Second, f.err
}

func TestGetGroups(t *testing.T) {
	alice := &verdictv1.GetGroupsRequest{
		TenantId: tenant, ObjectId: strings.ToUpper(partner), Kind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER,
	}
	for name, tc := range map[string]struct {
		groups admin.Groups
		ask    *verdictv1.GetGroupsRequest
		code   codes.Code
		text   string
	}{
		"the directory answers":            {fakeGroups{}, alice, codes.OK, ""},
		"there is no directory":            {nil, alice, codes.FailedPrecondition, "groups come from tokens only"},
		"there is no such principal":       {fakeGroups{}, &verdictv1.GetGroupsRequest{TenantId: tenant, ObjectId: nobody, Kind: alice.GetKind()}, codes.NotFound, nobody},
		"its account is disabled":          {fakeGroups{status.ErrPrecondition}, alice, codes.FailedPrecondition, ""},
		"the directory does not answer":    {fakeGroups{errors.New("graph says 503")}, alice, codes.Unavailable, "graph says 503"},
		"neither user nor application":     {fakeGroups{}, &verdictv1.GetGroupsRequest{TenantId: tenant, ObjectId: partner}, codes.InvalidArgument, "kind"},
		"the directory's own time is over": {fakeGroups{context.DeadlineExceeded}, alice, codes.Unavailable, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDirectory(t, 1, admin.DirectoryConfig{Groups: tc.groups})
			got, err := d.GetGroups(t.Context(), tc.ask)
			wantCode(t, err, tc.code)
			if err != nil {
				if !strings.Contains(status.FromError(err).Error(), tc.text) {
					t.Errorf("says %v", status.FromError(err))
				}
				return
			}
			if strings.Join(got.GetGroups(), " ") != "a b" || got.GetSource() != "graph" || got.GetAge().AsDuration() != 90*time.Second {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestWhoChangesTrustAndWhyIsKept(t *testing.T) {
	d := newDirectory(t, 1, admin.DirectoryConfig{Actor: "anna"})
	noted := &notes{TrustStore: d.store}
	svc, err := admin.NewDirectoryService(noted, d.feed, d.verifier, admin.DirectoryConfig{Actor: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	note := &verdictv1.ChangeNote{Reason: "why", Ticket: "T-1"}
	ctx := t.Context()
	for _, call := range []func() error{
		func() error {
			_, err := svc.AddTenant(ctx, &verdictv1.AddTenantRequest{Tenant: &verdictv1.Tenant{TenantId: partner}, Note: note})
			return err
		},
		func() error {
			_, err := svc.PurgeKeys(ctx, &verdictv1.PurgeKeysRequest{TenantId: partner, Note: note})
			return err
		},
		func() error {
			_, err := svc.RemoveTenant(ctx, &verdictv1.RemoveTenantRequest{TenantId: partner, Note: note})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if len(noted.all) != 3 {
		t.Errorf("noted %v", noted.all)
	}
	for _, n := range noted.all {
		if n != (store.Note{Actor: "anna", Reason: "why", Ticket: "T-1"}) {
			t.Errorf("noted %+v", n)
		}
	}
}

// notes is a store that remembers what changes say of themselves.
type notes struct {
	store.TrustStore
	all []store.Note
}

func (n *notes) AddTenant(ctx context.Context, t store.TrustedTenant, by store.Note) (store.TrustedTenant, error) {
	n.all = append(n.all, by)
	return n.TrustStore.AddTenant(ctx, t, by)
}

func (n *notes) RemoveTenant(ctx context.Context, provider, id string, by store.Note) error {
	n.all = append(n.all, by)
	return n.TrustStore.RemoveTenant(ctx, provider, id, by)
}

func (n *notes) OrderPurge(ctx context.Context, id string, by store.Note) (store.KeyPurge, error) {
	n.all = append(n.all, by)
	return n.TrustStore.OrderPurge(ctx, id, by)
}
