package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/snapshot"
)

// What SystemService asks for status: a snapshot.Follower, an audit.Recorder and an entra.Verifier.
type (
	// PolicyStatus tells how the policy is.
	PolicyStatus interface {
		Status() snapshot.Status
		Stale(now time.Time) bool
	}
	// AuditStatus tells how recording is.
	AuditStatus interface{ Stats() audit.Stats }
	// KeyStatus tells how the keys of the issuers are.
	KeyStatus interface{ Status() []entra.KeyStatus }
)

// SystemConfig describes the process to a SystemService.
type SystemConfig struct {
	Version   string           // of the binary
	StartedAt time.Time        // zero means the time of NewSystemService
	Now       func() time.Time // nil means time.Now
}

// SystemService is verdict.v1.SystemService.
type SystemService struct {
	verdictv1.UnimplementedSystemServiceServer
	policy PolicyStatus
	audit  AuditStatus
	keys   KeyStatus
	cfg    SystemConfig
}

// NewSystemService returns the service.
func NewSystemService(p PolicyStatus, a AuditStatus, k KeyStatus, cfg SystemConfig) (*SystemService, error) {
	if p == nil || a == nil || k == nil {
		return nil, errors.New("system service: policy, audit and key status are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.StartedAt.IsZero() {
		cfg.StartedAt = cfg.Now()
	}
	return &SystemService{policy: p, audit: a, keys: k, cfg: cfg}, nil
}

// Status reports version, policy revision and what is wrong, if anything.
func (s *SystemService) Status(context.Context, *verdictv1.StatusRequest) (*verdictv1.StatusResponse, error) {
	p, a := s.policy.Status(), s.audit.Stats()
	resp := &verdictv1.StatusResponse{
		Version: s.cfg.Version, StartedAt: timestamppb.New(s.cfg.StartedAt),
		Revision: p.Revision, PolicyCheckedAt: instantProto(p.CheckedAt), RefusedRevision: p.Refused,
		AuditQueued: a.Queued, AuditLost: a.Lost,
	}
	resp.Problems = append(s.policyProblems(p), auditProblems(a)...)
	resp.Issuers = issuers(s.keys.Status())
	for _, i := range resp.GetIssuers() {
		if i.GetKeys() == 0 {
			resp.Problems = append(resp.Problems, fmt.Sprintf("keys: none that can be used of tenant %s, whose tokens are answered with "+
				"KEYS_UNAVAILABLE; check that this host reaches the issuer", i.GetTenantId()))
		}
	}
	return resp, nil
}

func (s *SystemService) policyProblems(p snapshot.Status) []string {
	var texts []string
	if p.Refused != 0 {
		texts = append(texts, fmt.Sprintf("policy: %s; mend the facts it names, all in one ApplyPolicy", p.Problem))
	} else if p.Problem != "" {
		texts = append(texts, fmt.Sprintf("policy: %s; check the store", p.Problem))
	}
	switch {
	case p.CheckedAt.IsZero():
		texts = append(texts, "policy: none is loaded yet, every decision is denied with POLICY_UNAVAILABLE; wait, or see the problem above")
	case s.policy.Stale(s.cfg.Now()):
		texts = append(texts, fmt.Sprintf("policy: not known to be current since %s, every decision is denied with POLICY_STALE; "+
			"bring back what keeps this replica from following", p.CheckedAt.Format(time.RFC3339)))
	}
	return texts
}

func auditProblems(a audit.Stats) []string {
	var texts []string
	if !a.FailingSince.IsZero() {
		texts = append(texts, fmt.Sprintf("audit: writes fail since %s, %d records wait: %s; check the store",
			a.FailingSince.Format(time.RFC3339), a.Queued, a.LastError))
	}
	if a.Lost > 0 {
		texts = append(texts, fmt.Sprintf("audit: %d records are lost since the start; the log says when and why", a.Lost))
	}
	return texts
}

// issuers has one entry a tenant; a tenant may publish keys in several documents.
func issuers(keys []entra.KeyStatus) []*verdictv1.IssuerStatus {
	var all []*verdictv1.IssuerStatus
	byTenant := map[string]*verdictv1.IssuerStatus{}
	for _, k := range keys {
		i := byTenant[k.Tenant]
		if i == nil {
			i = &verdictv1.IssuerStatus{TenantId: k.Tenant}
			byTenant[k.Tenant] = i
			all = append(all, i)
		}
		i.Keys += uint32(max(k.Keys, 0)) //nolint:gosec // a few
		if i.GetFetchedAt() == nil || k.FetchedAt.After(i.GetFetchedAt().AsTime()) {
			i.FetchedAt = instantProto(k.FetchedAt)
		}
		i.Problem = cmp.Or(i.GetProblem(), k.Problem)
	}
	return all
}
