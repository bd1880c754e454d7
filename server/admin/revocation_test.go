package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/store"
)

const alice = "33333333-3333-4333-8333-333333333333"

// kicks counts.
type kicks int

func (k *kicks) Kick() { *k++ }

// revoking is a service over an empty store, whose clock stands a little after a second began.
func revoking(t *testing.T) (*admin.RevocationService, store.Store, *kicks, time.Time) {
	t.Helper()
	s, k := openStore(t), new(kicks)
	now := time.Now().UTC().Truncate(time.Second).Add(700 * time.Millisecond)
	svc, err := admin.NewRevocationService(s, k, admin.RevocationConfig{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return svc, s, k, now
}

func ofAlice() *verdictv1.Revocation {
	return &verdictv1.Revocation{
		TenantId: tenant, Kind: verdictv1.RevocationKind_REVOCATION_KIND_PRINCIPAL, Value: alice, Reason: "stolen", Ticket: "T-1",
	}
}

func TestARevocationIsMadeListedAndTakenBack(t *testing.T) {
	svc, _, kicked, now := revoking(t)
	ctx := t.Context()
	ask := ofAlice()
	ask.Id, ask.Actor, ask.CreatedAt = "mine", "me", timestamppb.New(now.Add(-time.Hour)) // output only
	made, err := svc.CreateRevocation(ctx, &verdictv1.CreateRevocationRequest{Revocation: ask})
	if err != nil {
		t.Fatal(err)
	}
	got := made.GetRevocation()
	want := ofAlice()
	want.Id, want.CreatedAt, want.Actor = got.GetId(), got.GetCreatedAt(), "local"
	want.NotBefore, want.ExpiresAt = timestamppb.New(now.Truncate(time.Second)), timestamppb.New(now.Truncate(time.Second).Add(28*time.Hour+10*time.Minute))
	wantEqual(t, got, want)
	if len(got.GetId()) != 36 || got.GetId()[14] != '7' || now.Sub(got.GetCreatedAt().AsTime()).Abs() > time.Minute || *kicked != 1 {
		t.Errorf("id %s, created at %v, %d kicks", got.GetId(), got.GetCreatedAt().AsTime(), *kicked)
	}
	again, err := svc.CreateRevocation(ctx, &verdictv1.CreateRevocationRequest{Revocation: ofAlice()})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, again.GetRevocation(), want)
	list, err := svc.ListRevocations(ctx, &verdictv1.ListRevocationsRequest{})
	if err != nil || len(list.GetRevocations()) != 1 || list.GetNextPageToken() != "" {
		t.Fatalf("%v, %v", list, err)
	}
	wantEqual(t, list.GetRevocations()[0], want)
	if _, err := svc.DeleteRevocation(ctx, &verdictv1.DeleteRevocationRequest{Id: got.GetId(), Note: &verdictv1.ChangeNote{Reason: "found"}}); err != nil {
		t.Fatal(err)
	}
	if list, err = svc.ListRevocations(ctx, &verdictv1.ListRevocationsRequest{}); err != nil || len(list.GetRevocations()) != 0 || *kicked != 3 {
		t.Errorf("after the delete: %v, %v, %d kicks", list, err, *kicked)
	}
	if _, err := svc.DeleteRevocation(ctx, &verdictv1.DeleteRevocationRequest{Id: got.GetId()}); !errors.Is(err, store.ErrNotFound) || *kicked != 3 {
		t.Errorf("a second delete: %v, %d kicks", err, *kicked)
	}
}

func TestEveryKindCanBeRevoked(t *testing.T) {
	svc, s, _, _ := revoking(t)
	for number, name := range verdictv1.RevocationKind_name {
		kind := verdictv1.RevocationKind(number)
		if kind == verdictv1.RevocationKind_REVOCATION_KIND_UNSPECIFIED {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := &verdictv1.Revocation{TenantId: tenant, Kind: kind, Value: alice}
			if kind == verdictv1.RevocationKind_REVOCATION_KIND_TENANT {
				r.Value = ""
			}
			made, err := svc.CreateRevocation(t.Context(), &verdictv1.CreateRevocationRequest{Revocation: r})
			if err != nil || made.GetRevocation().GetKind() != kind {
				t.Fatalf("%v, %v", made, err)
			}
			list, err := svc.ListRevocations(t.Context(), &verdictv1.ListRevocationsRequest{Kind: kind, TenantId: tenant, Value: r.GetValue()})
			if err != nil || len(list.GetRevocations()) != 1 || list.GetRevocations()[0].GetId() != made.GetRevocation().GetId() {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	if d, err := s.RevocationsSince(t.Context(), 0); err != nil || len(d.Changed) != len(store.RevocationKinds()) {
		t.Errorf("%d revocations of %d kinds, %v", len(d.Changed), len(store.RevocationKinds()), err)
	}
}

func TestWhatIsNoRevocationIsToldByItsPlace(t *testing.T) {
	svc, s, kicked, now := revoking(t)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(d)) }
	for name, tc := range map[string]struct {
		change func(*verdictv1.Revocation)
		want   map[string]string // none: taken
	}{
		"nothing wrong":              {func(*verdictv1.Revocation) {}, nil},
		"a provider without tenants": {func(r *verdictv1.Revocation) { r.TenantId, r.Value = "okta", "00u1" }, nil},
		"a session that is no GUID": {func(r *verdictv1.Revocation) {
			r.Kind, r.Value = verdictv1.RevocationKind_REVOCATION_KIND_SESSION, "aB-c_"
		}, nil},
		"clocks that differ a little": {func(r *verdictv1.Revocation) { r.NotBefore = at(4 * time.Minute) }, nil},
		"a shorter life":              {func(r *verdictv1.Revocation) { r.ExpiresAt = at(time.Hour) }, nil},
		"no kind":                     {func(r *verdictv1.Revocation) { r.Kind = 0 }, map[string]string{"revocation.kind": "set what is named"}},
		"no value":                    {func(r *verdictv1.Revocation) { r.Value = "" }, map[string]string{"revocation.value": "required"}},
		"a value of a tenant":         {func(r *verdictv1.Revocation) { r.Kind = verdictv1.RevocationKind_REVOCATION_KIND_TENANT }, map[string]string{"revocation.value": "must be empty"}},
		"a name in place of an id":    {func(r *verdictv1.Revocation) { r.Value = "alice@contoso.com" }, map[string]string{"revocation.value": "not a GUID"}},
		"a client that is no GUID": {func(r *verdictv1.Revocation) {
			r.Kind, r.Value = verdictv1.RevocationKind_REVOCATION_KIND_CLIENT, "portal"
		}, map[string]string{"revocation.value": "not a GUID"}},
		"an id that would never match":  {func(r *verdictv1.Revocation) { r.Value = "ABCDEF33-3333-4333-8333-333333333333" }, map[string]string{"revocation.value": "lower case"}},
		"an id in braces":               {func(r *verdictv1.Revocation) { r.Value = "{" + alice + "}" }, map[string]string{"revocation.value": "lower case"}},
		"a tenant that would not match": {func(r *verdictv1.Revocation) { r.TenantId = "AAAAAAAA-1111-4111-8111-111111111111" }, map[string]string{"revocation.tenant_id": "lower case"}},
		"a line break in a value":       {func(r *verdictv1.Revocation) { r.Kind, r.Value = verdictv1.RevocationKind_REVOCATION_KIND_TOKEN, "a\n" }, map[string]string{"revocation.value": "no token has"}},
		"the future":                    {func(r *verdictv1.Revocation) { r.NotBefore = at(6 * time.Minute) }, map[string]string{"revocation.not_before": "deny grant"}},
		"long ago":                      {func(r *verdictv1.Revocation) { r.NotBefore = at(-29 * time.Hour) }, map[string]string{"revocation.not_before": "so long ago"}},
		"over already":                  {func(r *verdictv1.Revocation) { r.ExpiresAt = at(-time.Second) }, map[string]string{"revocation.expires_at": "in the past"}},
		"without end":                   {func(r *verdictv1.Revocation) { r.ExpiresAt = at(31 * 24 * time.Hour) }, map[string]string{"revocation.expires_at": "more than 30 days"}},
		"no instant":                    {func(r *verdictv1.Revocation) { r.ExpiresAt = &timestamppb.Timestamp{Nanos: -1} }, map[string]string{"revocation.expires_at": "not an instant"}},
		"several things at once": {func(r *verdictv1.Revocation) { r.Value, r.NotBefore = "x", at(time.Hour) },
			map[string]string{"revocation.value": "not a GUID", "revocation.not_before": "future"}},
	} {
		t.Run(name, func(t *testing.T) {
			before, had := *kicked, len(all(t, s))
			r := ofAlice()
			r.Value = "44444444-4444-4444-8444-" + fmt.Sprintf("%012d", had)
			tc.change(r)
			_, err := svc.CreateRevocation(t.Context(), &verdictv1.CreateRevocationRequest{Revocation: r})
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantViolations(t, err, tc.want)
			if *kicked != before || len(all(t, s)) != had {
				t.Error("something was made")
			}
		})
	}
	_, err := svc.DeleteRevocation(t.Context(), &verdictv1.DeleteRevocationRequest{Id: "r-1"})
	wantViolations(t, err, map[string]string{"id": "ListRevocations"})
}

func all(t *testing.T, s store.Store) []store.Revocation {
	t.Helper()
	rs, err := s.ListRevocations(t.Context(), store.RevocationFilter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestRevocationsAreListedInPages(t *testing.T) {
	svc, _, _, _ := revoking(t)
	ctx := context.Background()
	var want []string
	for i := range 7 {
		r := ofAlice()
		r.Value = fmt.Sprintf("44444444-4444-4444-8444-%012d", i)
		made, err := svc.CreateRevocation(ctx, &verdictv1.CreateRevocationRequest{Revocation: r})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, made.GetRevocation().GetId())
	}
	slices.Reverse(want)
	for _, size := range []uint32{1, 3, 7, 0} {
		var got []string
		token := ""
		for range 10 {
			resp, err := svc.ListRevocations(ctx, &verdictv1.ListRevocationsRequest{TenantId: tenant, PageSize: size, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range resp.GetRevocations() {
				got = append(got, r.GetId())
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", size, got, want)
		}
	}
	first, err := svc.ListRevocations(ctx, &verdictv1.ListRevocationsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = svc.ListRevocations(ctx, &verdictv1.ListRevocationsRequest{TenantId: tenant, PageToken: first.GetNextPageToken()})
	wantViolations(t, err, map[string]string{"page_token": "not a token of this list"})
}

func TestNewRevocationServiceRefuses(t *testing.T) {
	if _, err := admin.NewRevocationService(nil, new(kicks), admin.RevocationConfig{}); err == nil {
		t.Error("no store was taken")
	}
	if _, err := admin.NewRevocationService(openStore(t), nil, admin.RevocationConfig{}); err == nil {
		t.Error("no feed was taken")
	}
}
