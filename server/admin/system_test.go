package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/server/snapshot"
)

type fakeStatus struct {
	policy  snapshot.Status
	stale   bool
	audit   audit.Stats
	keys    []entra.KeyStatus
	revoked revocation.Status
	old     bool
}

type (
	fakePolicy  fakeStatus
	fakeAudit   fakeStatus
	fakeKeys    fakeStatus
	fakeRevoked fakeStatus
)

func (f fakePolicy) Status() snapshot.Status    { return f.policy }
func (f fakePolicy) Stale(time.Time) bool       { return f.stale }
func (f fakeAudit) Stats() audit.Stats          { return f.audit }
func (f fakeKeys) Status() []entra.KeyStatus    { return f.keys }
func (f fakeRevoked) Status() revocation.Status { return f.revoked }
func (f fakeRevoked) Stale(time.Time) bool      { return f.old }

func TestStatus(t *testing.T) {
	t0 := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	good := fakeStatus{
		policy:  snapshot.Status{Revision: 7, CheckedAt: t0},
		audit:   audit.Stats{Queued: 3},
		revoked: revocation.Status{CheckedAt: t0},
		keys:    []entra.KeyStatus{{Tenant: tenant, FetchedAt: t0, Keys: 4}, {Tenant: tenant, V1: true, FetchedAt: t0.Add(time.Second), Keys: 2}},
	}
	for name, tc := range map[string]struct {
		change func(*fakeStatus)
		want   []string // one for each problem
	}{
		"nothing wrong": {func(*fakeStatus) {}, nil},
		"no policy yet": {func(f *fakeStatus) { f.policy = snapshot.Status{}; f.stale = true }, []string{"POLICY_UNAVAILABLE"}},
		"a refused revision": {func(f *fakeStatus) { f.policy.Refused, f.policy.Problem = 8, "revision 8 is refused" },
			[]string{"mend the facts"}},
		"the store away for long": {func(f *fakeStatus) { f.policy.Problem, f.stale = "the store does not answer", true },
			[]string{"check the store", "POLICY_STALE"}},
		"audit that fails": {func(f *fakeStatus) { f.audit.FailingSince, f.audit.LastError, f.audit.Lost = t0, "away", 5 },
			[]string{"3 records wait: away", "5 records are lost"}},
		"no revocations yet": {func(f *fakeStatus) { f.revoked, f.old = revocation.Status{}, true }, []string{"every token is answered with REVOCATION_STALE"}},
		"old revocations": {func(f *fakeStatus) { f.revoked.Problem, f.old = "read revocations: away", true },
			[]string{"read revocations: away; check the store", "strict_revocation"}},
		"a spool that fills up": {func(f *fakeStatus) {
			f.audit.Warn, f.audit.SpoolBytes, f.audit.SpoolMaxBytes, f.audit.OldestAge = true, 80, 100, time.Hour
		}, []string{"80 of 100 bytes, the oldest record has waited 1h0m0s"}},
		"a spool whose disk refuses": {func(f *fakeStatus) { f.audit.Warn, f.audit.SpoolError = true, "input/output error" },
			[]string{"input/output error; check its disk"}},
		"no keys": {func(f *fakeStatus) { f.keys = []entra.KeyStatus{{Tenant: tenant, Problem: "unreachable"}} }, []string{"KEYS_UNAVAILABLE"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := good
			tc.change(&f)
			svc, err := admin.NewSystemService(fakePolicy(f), fakeAudit(f), fakeKeys(f), fakeRevoked(f), admin.SystemConfig{Version: "v0.1.0", StartedAt: t0})
			if err != nil {
				t.Fatal(err)
			}
			got, err := svc.Status(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.GetProblems()) != len(tc.want) {
				t.Fatalf("problems %q, want %q", got.GetProblems(), tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(got.GetProblems()[i], want) {
					t.Errorf("problem %q, want %q", got.GetProblems()[i], want)
				}
			}
			if got.GetVersion() != "v0.1.0" || got.GetStartedAt().AsTime() != t0 || got.GetRevision() != f.policy.Revision ||
				got.GetRefusedRevision() != f.policy.Refused || got.GetAuditQueued() != f.audit.Queued || got.GetAuditLost() != f.audit.Lost {
				t.Errorf("status %v", got)
			}
			if (got.GetPolicyCheckedAt() == nil) != f.policy.CheckedAt.IsZero() {
				t.Errorf("policy checked at %v", got.GetPolicyCheckedAt())
			}
			if (got.GetRevocationsCheckedAt() == nil) != f.revoked.CheckedAt.IsZero() {
				t.Errorf("revocations checked at %v", got.GetRevocationsCheckedAt())
			}
			if len(got.GetIssuers()) != 1 {
				t.Fatalf("issuers %v, want one a tenant", got.GetIssuers())
			}
			if i := got.GetIssuers()[0]; name == "nothing wrong" && (i.GetKeys() != 6 || i.GetFetchedAt().AsTime() != t0.Add(time.Second)) {
				t.Errorf("issuer %v", i)
			}
		})
	}
}
