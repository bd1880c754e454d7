package trail

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// Store is what the service asks of a store.
type Store interface {
	store.DecisionReader
	store.DecisionFollower
	store.ChangeReader
	Summarize(ctx context.Context, f store.DecisionFilter, by store.Dimension, bucket time.Duration, limit int) (counts []store.Count, more bool, err error)
	GetAPI(ctx context.Context, id string) (store.API, uint64, error)
	GetRoute(ctx context.Context, api, id string) (store.Route, uint64, error)
	GetGrant(ctx context.Context, id string) (store.Grant, uint64, error)
}

// Policy is the policy that decisions are made on now; a snapshot.Follower. Current is nil while there is none.
type Policy interface{ Current() *policy.Snapshot }

// Reviewer makes access reviews.
type Reviewer interface {
	Review(ctx context.Context, req *verdictv1.AccessReviewRequest) (*verdictv1.AccessReviewResponse, error)
}

// Pseudonyms yields the months from that of `from` up to that of `to`, as 2026-11, oldest first, each with what stands for the
// principal in its records.
type Pseudonyms func(tenant, principal string, from, to time.Time) iter.Seq2[string, string]

// Config tunes a Service. The zero value is usable.
type Config struct {
	Poll      time.Duration    // how often a tail looks for records, about; 0 means 500ms
	Heartbeat time.Duration    // longest silence of a tail; 0 means 15s
	MaxTails  int              // tails at once; 0 means 64
	Now       func() time.Time // nil means time.Now
}

// Service is verdict.v1.AuditService. It is safe for concurrent use.
type Service struct {
	verdictv1.UnimplementedAuditServiceServer
	store      Store
	policy     Policy
	reviewer   Reviewer
	pseudonyms Pseudonyms // nil: records have none
	tails      chan struct{}
	cfg        Config
}

// New returns the service. Without pseudonyms, FindPseudonyms says that there are none.
func New(s Store, p Policy, r Reviewer, pseudonyms Pseudonyms, cfg Config) (*Service, error) {
	switch {
	case s == nil || p == nil || r == nil:
		return nil, errors.New("audit service: a store, a policy and a reviewer are needed")
	case cfg.Poll < 0 || cfg.Heartbeat < 0 || cfg.MaxTails < 0:
		return nil, errors.New("audit service: poll, heartbeat and the number of tails cannot be negative")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.MaxTails == 0 {
		cfg.MaxTails = 64
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{store: s, policy: p, reviewer: r, pseudonyms: pseudonyms, tails: make(chan struct{}, cfg.MaxTails), cfg: cfg}, nil
}

// AccessReview says who can do what and through which grant.
func (s *Service) AccessReview(ctx context.Context, req *verdictv1.AccessReviewRequest) (*verdictv1.AccessReviewResponse, error) {
	return s.reviewer.Review(ctx, req)
}

// maxPseudonyms is how many months are told at once.
const maxPseudonyms = 120

// FindPseudonyms says under which pseudonyms a principal stands in the records.
func (s *Service) FindPseudonyms(_ context.Context, req *verdictv1.FindPseudonymsRequest) (*verdictv1.FindPseudonymsResponse, error) {
	if s.pseudonyms == nil {
		return nil, fmt.Errorf("%w: records name principals by their object ids; pseudonyms are made with --audit-pseudonym-key", status.ErrPrecondition)
	}
	var vs []status.Violation
	now := s.cfg.Now().UTC()
	from, to := instant(req.GetFrom(), "from", &vs), instant(req.GetTo(), "to", &vs)
	if len(vs) > 0 {
		return nil, status.Invalid(vs...)
	}
	if from.IsZero() {
		from = now
	}
	if to.IsZero() {
		to = now
	}
	switch months := monthOf(to) - monthOf(from) + 1; {
	case months < 1:
		return nil, status.Invalid(status.Violation{Field: "to", Text: "in a month before that of from; without from, this month is meant"})
	case months > maxPseudonyms:
		return nil, status.Invalid(status.Violation{Field: "from", Text: fmt.Sprintf("more than %d months; ask for part of them", maxPseudonyms)})
	}
	resp := &verdictv1.FindPseudonymsResponse{}
	for month, pseudonym := range s.pseudonyms(req.GetTenantId(), req.GetPrincipalId(), from, to) {
		resp.Pseudonyms = append(resp.Pseudonyms, &verdictv1.Pseudonym{Month: month, Pseudonym: pseudonym})
	}
	return resp, nil
}

// monthOf counts months.
func monthOf(t time.Time) int { return t.Year()*12 + int(t.Month()) }
