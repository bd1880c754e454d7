package trail

import (
	"context"
	"errors"
	"fmt"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// ExplainDecision says why a decision was made, and what today's policy would say to the same caller and question.
func (s *Service) ExplainDecision(ctx context.Context, req *verdictv1.ExplainDecisionRequest) (*verdictv1.ExplainDecisionResponse, error) {
	d, err := s.decision(ctx, req.GetId())
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	e := explanation{record: &d, reason: policy.Reason(d.Reason)} //nolint:gosec // the closed list ends far below
	if err := e.look(ctx, s.store); err != nil {
		return nil, fmt.Errorf("explain decision %s: %w", d.ID, err)
	}
	resp := &verdictv1.ExplainDecisionResponse{Decision: shape.Proto(&d), Steps: e.steps()}
	if e.canAsk() {
		if resp.Today, resp.Differences, err = e.today(ctx, s.store, s.policy.Current(), s.cfg.Now()); err != nil {
			return nil, fmt.Errorf("explain decision %s: %w", d.ID, err)
		}
	}
	return resp, nil
}

// maxGrants is how many deciding grants are looked up; a caller in hundreds of groups has as many.
const maxGrants = 100

// explanation is a record and what is there today of what it names.
type explanation struct {
	record *store.Decision
	reason policy.Reason
	api    *store.API    // nil: it is gone, or none is named
	route  *store.Route  // as above
	grants []storedGrant // of the record, at most maxGrants
}

// storedGrant is a grant of the record as it is stored today.
type storedGrant struct {
	id   string
	fact *store.Grant // nil: it is gone
}

// look reads what is there of what the record names.
func (e *explanation) look(ctx context.Context, s Store) error {
	d := e.record
	if d.API != "" {
		api, _, err := s.GetAPI(ctx, d.API)
		if e.api, err = found(api, err); err != nil {
			return err
		}
	}
	if d.Route != "" {
		route, _, err := s.GetRoute(ctx, d.API, d.Route)
		if e.route, err = found(route, err); err != nil {
			return err
		}
	}
	var err error
	e.grants, err = grantsOf(ctx, s, d.Grants)
	return err
}

// grantsOf reads grants, at most maxGrants.
func grantsOf(ctx context.Context, s Store, ids []string) (all []storedGrant, err error) {
	for _, id := range ids[:min(len(ids), maxGrants)] {
		grant, _, err := s.GetGrant(ctx, id)
		fact, err := found(grant, err)
		if err != nil {
			return nil, err
		}
		all = append(all, storedGrant{id, fact})
	}
	return all, nil
}

// found is the fact, nil when it is not there.
func found[F any](fact F, err error) (*F, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil //nolint:nilnil // it is not there, which is no error
	case err != nil:
		return nil, err
	}
	return &fact, nil
}

// stage is how far a decision came; stages are in the order of the decision.
type stage uint8

const (
	stageCall    stage = iota // whether there was time for it
	stageRequest              // whether the request means one thing
	stagePolicy               // whether there was a policy that is current
	stageTarget               // api and route
	stageToken
	stageRevoked
	stageSignIn
	stageGroups
	stageGrants
	stageEnd // nothing failed
)

// failedAt is the stage that a decision with this reason ended at.
func (e *explanation) failedAt() stage {
	switch r := e.reason; {
	case e.record.Allowed:
		return stageEnd
	case r == policy.DeadlineTooShort:
		return stageCall
	case r == policy.RequestMalformed && e.record.API == "":
		return stageRequest
	case r == policy.HeaderAmbiguous && e.record.API == "":
		return stageRequest
	case r == policy.PolicyUnavailable, r == policy.PolicyStale, r == policy.RevisionNotReached:
		return stagePolicy
	case r >= policy.RequestMalformed && r < policy.TokenMissing:
		return stageTarget
	case r == policy.TokenRevoked, r == policy.RevocationStale:
		return stageRevoked
	case r == policy.AuthContextRequired, r == policy.AuthenticationTooOld:
		return stageSignIn
	case r >= policy.TokenMissing && r < policy.NoGrant, r == policy.KeysUnavailable:
		return stageToken
	case r == policy.GroupsUnresolved:
		return stageGroups
	case r >= policy.NoGrant && r < policy.KeysUnavailable:
		return stageGrants
	}
	return e.lastSeen()
}

// lastSeen is the stage that what the record holds speaks of last, for a decision that could have ended anywhere.
func (e *explanation) lastSeen() stage {
	switch {
	case e.proven():
		return stageGrants
	case e.record.API != "":
		return stageToken
	case e.record.Revision != 0:
		return stageTarget
	}
	return stageRequest
}

// proven says whether the caller was.
func (e *explanation) proven() bool { return e.kind() != policy.PrincipalUnknown }

func (e *explanation) kind() policy.PrincipalKind {
	return policy.PrincipalKind(e.record.PrincipalKind) //nolint:gosec // a small enumeration
}

// canAsk says whether the record holds a question that policy answers: a proven caller whose subjects were looked up.
func (e *explanation) canAsk() bool {
	d := e.record
	decided := d.Allowed && e.reason != policy.AllowedPublic || e.failedAt() == stageGrants && e.reason >= policy.NoGrant && e.reason < policy.KeysUnavailable
	return e.proven() && decided && (d.Route != "" || len(d.Permissions) == 1)
}
