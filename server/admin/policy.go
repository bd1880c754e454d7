package admin

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// PolicyStore is what PolicyService needs of a store.
type PolicyStore interface {
	store.PolicyReader
	store.PolicyWriter
}

// Snapshots is what PolicyService needs of a snapshot.Follower.
type Snapshots interface {
	// Current returns the newest snapshot at hand, nil: none.
	Current() *policy.Snapshot
	// Kick tells that there is a new revision.
	Kick()
}

// PolicyConfig tunes a PolicyService. The zero value is usable.
type PolicyConfig struct {
	// Actor is who makes the changes, as revisions keep it; "" means "local".
	Actor string
	// Validate checks the proto rules of one fact, as an update leaves it; nil: not checked. An update that names its
	// fields carries only these, so its rules cannot be checked on the request.
	Validate func(proto.Message) error
	// Patience is how long a change is tried again while others commit; 0 means 10s.
	Patience time.Duration
}

// PolicyService is verdict.v1.PolicyService. It is safe for concurrent use.
type PolicyService struct {
	verdictv1.UnimplementedPolicyServiceServer
	store     PolicyStore
	snapshots Snapshots
	compile   policy.ConditionCompiler
	cfg       PolicyConfig

	// writing has one token: writes of this process take turns, so that they do not make each other start again.
	writing chan struct{}
	// made is the snapshot of the revision last made here, which the next write can build on before the follower has it.
	made atomic.Pointer[policy.Snapshot]
}

// NewPolicyService returns the service over a store. Snapshots spare it loading the policy for each change.
func NewPolicyService(s PolicyStore, snapshots Snapshots, compile policy.ConditionCompiler, cfg PolicyConfig) (*PolicyService, error) {
	if s == nil || snapshots == nil || compile == nil {
		return nil, errors.New("policy service: a store, snapshots and a condition compiler are needed")
	}
	cfg.Actor = cmp.Or(cfg.Actor, "local")
	cfg.Patience = cmp.Or(cfg.Patience, defaultPatience)
	if cfg.Validate == nil {
		cfg.Validate = func(proto.Message) error { return nil }
	}
	return &PolicyService{store: s, snapshots: snapshots, compile: compile, cfg: cfg, writing: make(chan struct{}, 1)}, nil
}

// ExportPolicy returns the whole policy as a document.
func (s *PolicyService) ExportPolicy(ctx context.Context, _ *verdictv1.ExportPolicyRequest) (*verdictv1.ExportPolicyResponse, error) {
	facts, err := s.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	return &verdictv1.ExportPolicyResponse{Revision: facts.Revision, Policy: &verdictv1.Policy{
		Apis:   protos(facts.APIs, apiProto),
		Routes: protos(facts.Routes, routeProto),
		Grants: protos(facts.Grants, grantProto),
	}}, nil
}
