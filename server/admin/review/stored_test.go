package review_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/admin/review"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/sqlite"
)

type noSnapshots struct{}

func (noSnapshots) Current() *policy.Snapshot { return nil }
func (noSnapshots) Kick()                     {}

func openSQLite(t *testing.T) store.Store {
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

func openPostgres(t *testing.T) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.New(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// What stands in a store is reviewed: grants as the policy service returns them, etag included, with their use and the
// changes that made them.
func TestAReviewOfAStore(t *testing.T) {
	for name, open := range map[string]func(*testing.T) store.Store{
		"sqlite":   openSQLite,
		"postgres": openPostgres,
	} {
		t.Run(name, func(t *testing.T) { reviewStore(t, open(t)) })
	}
}

func reviewStore(t *testing.T, s store.Store) {
	ctx := t.Context()
	policies, err := admin.NewPolicyService(s, noSnapshots{}, condition.Compile, admin.PolicyConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ends := timestamppb.New(time.Now().Add(10 * day).Truncate(time.Microsecond))
	begins := timestamppb.New(time.Now().Add(-10 * day).Truncate(time.Microsecond))
	_, err = policies.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{
		Policy: &verdictv1.Policy{
			Apis: []*verdictv1.Api{{Id: "orders", Audiences: []string{"aud"}, Permissions: []*verdictv1.Permission{{Name: "orders.read"}, {Name: "orders.write"}}}},
			Grants: []*verdictv1.Grant{
				{
					Id: "all", Api: "orders", Subject: group, SubjectDisplayName: "Writers", Permissions: []string{"orders.*"}, Condition: "true",
					Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW, NotBefore: begins, ExpiresAt: ends, Reason: "they write", Ticket: "T-1",
				},
				{Id: "none", Api: "orders", Subject: "tenant:" + tenant, Permissions: []string{"orders.write"}, Effect: verdictv1.GrantEffect_GRANT_EFFECT_DENY},
			},
		},
		Note: &verdictv1.ChangeNote{Reason: "the start", Ticket: "T-0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	used := store.Instant(time.Now().Add(-time.Hour))
	appendDecision(ctx, t, s, used, "all")

	r, err := review.New(s, s, s, review.Config{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.Review(ctx, &verdictv1.AccessReviewRequest{Api: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.GetGrants()) != 2 || resp.GetRevision() != 1 {
		t.Fatalf("%v", resp)
	}
	for _, line := range resp.GetGrants() {
		want, err := policies.GetGrant(ctx, &verdictv1.GetGrantRequest{Id: line.GetGrant().GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.GetGrant(), line.GetGrant(), protocmp.Transform()); d != "" {
			t.Errorf("grant differs from what the policy service says:\n%s", d)
		}
	}
	all, none := resp.GetGrants()[0], resp.GetGrants()[1]
	if all.GetUnused() || !all.GetExpiring() || all.GetExpired() || all.GetPrincipals() != 1 || !all.GetLastUsed().AsTime().Equal(used) {
		t.Errorf("the grant in use: %v", all)
	}
	if d := cmp.Diff([]string{"orders.read", "orders.write"}, all.GetPermissions()); d != "" {
		t.Error(d)
	}
	if !none.GetUnused() || none.LastUsed != nil || none.GetExpiring() {
		t.Errorf("the grant without use: %v", none)
	}
	if len(resp.GetChanges()) != 1 {
		t.Fatalf("%d changes", len(resp.GetChanges()))
	}
	c := resp.GetChanges()[0]
	if c.GetTrail() != verdictv1.Trail_TRAIL_POLICY || c.GetNumber() != 1 || c.GetReason() != "the start" || c.GetTicket() != "T-0" || c.GetTotal() != 3 || len(c.GetFacts()) != 0 {
		t.Errorf("%v", c)
	}
}

func appendDecision(ctx context.Context, t *testing.T, s store.DecisionAppender, at time.Time, grants ...string) {
	t.Helper()
	millis := fmt.Sprintf("%012x", at.UnixMilli())
	err := s.AppendDecisions(ctx, []store.Decision{{
		ID: millis[:8] + "-" + millis[8:] + "-7000-8000-000000000001", At: at, Allowed: true, Reason: 3, Revision: 1, TenantID: tenant, PrincipalID: "p-1", API: "orders", Grants: grants,
	}})
	if err != nil {
		t.Fatal(err)
	}
}
