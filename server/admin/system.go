package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/server/snapshot"
)

// What SystemService asks for status: a snapshot.Follower, an audit.Recorder, an entra.Verifier and a revocation.Feed.
type (
	// PolicyStatus tells how the policy is.
	PolicyStatus interface {
		Status() snapshot.Status
		Stale(now time.Time) bool
	}
	// AuditStatus tells how recording is.
	AuditStatus interface{ Stats() audit.Stats }
	// RevocationStatus tells how the revocations are.
	RevocationStatus interface {
		Status() revocation.Status
		Stale(now time.Time) bool
	}
	// KeyStatus tells how the keys of the issuers are.
	KeyStatus interface{ Status() []entra.KeyStatus }
)

// SystemConfig describes the process to a SystemService.
type SystemConfig struct {
	Version   string           // of the binary
	StartedAt time.Time        // zero means the time of NewSystemService
	Now       func() time.Time // nil means time.Now
	// Directories tells how the sources of groups are; nil: there are none.
	Directories func() []DirectoryState
	// Problems are further ones, one sentence each, with what to do; nil: none.
	Problems func() []string
}

// DirectoryState is how one source of groups is. Fields are those of verdict.v1.DirectoryStatus.
type DirectoryState struct {
	Source      string
	TenantID    string
	SucceededAt time.Time
	Failures    uint64
	Problem     string
}

// SystemService is verdict.v1.SystemService.
type SystemService struct {
	verdictv1.UnimplementedSystemServiceServer
	policy  PolicyStatus
	audit   AuditStatus
	keys    KeyStatus
	revoked RevocationStatus
	cfg     SystemConfig
}

// NewSystemService returns the service.
func NewSystemService(p PolicyStatus, a AuditStatus, k KeyStatus, r RevocationStatus, cfg SystemConfig) (*SystemService, error) {
	if p == nil || a == nil || k == nil || r == nil {
		return nil, errors.New("system service: policy, audit, key and revocation status are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.StartedAt.IsZero() {
		cfg.StartedAt = cfg.Now()
	}
	return &SystemService{policy: p, audit: a, keys: k, revoked: r, cfg: cfg}, nil
}

// Status reports version, policy revision and what is wrong, if anything.
func (s *SystemService) Status(context.Context, *verdictv1.StatusRequest) (*verdictv1.StatusResponse, error) {
	p, a, r := s.policy.Status(), s.audit.Stats(), s.revoked.Status()
	resp := &verdictv1.StatusResponse{
		Version: s.cfg.Version, StartedAt: timestamppb.New(s.cfg.StartedAt),
		Revision: p.Revision, PolicyCheckedAt: instantProto(p.CheckedAt), RefusedRevision: p.Refused,
		AuditQueued: a.Queued, AuditLost: a.Lost, RevocationsCheckedAt: instantProto(r.CheckedAt),
	}
	resp.Problems = append(s.policyProblems(p), auditProblems(a)...)
	resp.Problems = append(resp.Problems, s.revocationProblems(r)...)
	s.addDirectories(resp)
	if s.cfg.Problems != nil {
		resp.Problems = append(resp.Problems, s.cfg.Problems()...)
	}
	resp.Issuers = issuers(s.keys.Status())
	for _, i := range resp.GetIssuers() {
		if i.GetKeys() == 0 {
			resp.Problems = append(resp.Problems, fmt.Sprintf("keys: none that can be used of tenant %s, whose tokens are answered with "+
				"KEYS_UNAVAILABLE; check that this host reaches the issuer", i.GetTenantId()))
		}
	}
	for i, text := range resp.GetProblems() { // causes may have lines of their own
		resp.Problems[i] = strings.Join(strings.Fields(text), " ")
	}
	return resp, nil
}

func (s *SystemService) addDirectories(resp *verdictv1.StatusResponse) {
	if s.cfg.Directories == nil {
		return
	}
	for _, d := range s.cfg.Directories() {
		resp.Directories = append(resp.Directories, &verdictv1.DirectoryStatus{
			Source: d.Source, TenantId: d.TenantID, SucceededAt: instantProto(d.SucceededAt), Failures: d.Failures, Problem: d.Problem,
		})
		if d.Problem != "" {
			resp.Problems = append(resp.Problems, fmt.Sprintf("groups: %s; callers whose groups it must tell are answered with "+
				"GROUPS_UNRESOLVED once what is kept is too old", d.Problem))
		}
	}
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

func (s *SystemService) revocationProblems(r revocation.Status) []string {
	var texts []string
	if r.Problem != "" {
		texts = append(texts, fmt.Sprintf("revocations: %s; check the store", r.Problem))
	}
	switch {
	case r.CheckedAt.IsZero():
		texts = append(texts, "revocations: none were ever loaded, every token is answered with REVOCATION_STALE; wait, or see the problem above")
	case s.revoked.Stale(s.cfg.Now()):
		texts = append(texts, fmt.Sprintf("revocations: not known to be current since %s, apis with strict_revocation answer REVOCATION_STALE; "+
			"bring back what keeps this replica from following", r.CheckedAt.Format(time.RFC3339)))
	}
	return texts
}

func auditProblems(a audit.Stats) []string {
	var texts []string
	if !a.FailingSince.IsZero() {
		texts = append(texts, fmt.Sprintf("audit: writes fail since %s, %d records wait: %s; check the store",
			a.FailingSince.Format(time.RFC3339), a.Queued, a.LastError))
	}
	switch {
	case a.SpoolError != "":
		texts = append(texts, fmt.Sprintf("audit: the spool takes no records: %s; check its disk", a.SpoolError))
	case a.Warn:
		texts = append(texts, fmt.Sprintf("audit: the spool is nearly full, %d of %d bytes, the oldest record has waited %s; "+
			"bring back the store, or give --spool-size more", a.SpoolBytes, a.SpoolMaxBytes, a.OldestAge.Round(time.Second)))
	}
	if a.Lost > 0 {
		texts = append(texts, fmt.Sprintf("audit: %d records are lost since the start; the log says when and why", a.Lost))
	}
	return texts
}

// issuers has one entry a tenant; a tenant may publish keys in several documents.
func issuers(keys []entra.KeyStatus) []*verdictv1.IssuerStatus {
	var all []*verdictv1.IssuerStatus
	type issuer struct{ provider, tenant string }
	known := map[issuer]*verdictv1.IssuerStatus{}
	for _, k := range keys {
		key := issuer{k.Provider, k.Tenant}
		i := known[key]
		if i == nil {
			i = &verdictv1.IssuerStatus{Provider: k.Provider, TenantId: k.Tenant}
			known[key] = i
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
