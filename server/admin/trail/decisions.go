package trail

import (
	"context"
	"fmt"
	"strings"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// ListDecisions returns decision records, newest first.
func (s *Service) ListDecisions(ctx context.Context, req *verdictv1.ListDecisionsRequest) (*verdictv1.ListDecisionsResponse, error) {
	var vs []status.Violation
	filter := filterOf(req, "", &vs)
	if err := invalidIf(vs); err != nil {
		return nil, err
	}
	list := listOf("decisions", filter)
	after, err := list.After(req.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	cursor := store.DecisionCursor{ID: after[1]}
	if after[0] != "" {
		if cursor.At, err = positioned(after[0]); err != nil {
			return nil, err
		}
	}
	size := page.Size(req.GetPageSize())
	decisions, err := s.store.ListDecisions(ctx, filter, cursor, size+1)
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	decisions, more := page.Cut(decisions, size)
	resp := &verdictv1.ListDecisionsResponse{Decisions: make([]*verdictv1.DecisionRecord, len(decisions))}
	for i := range decisions {
		resp.Decisions[i] = shape.Proto(&decisions[i])
	}
	if more {
		last := decisions[size-1]
		resp.NextPageToken = list.Token(position(last.At), last.ID)
	}
	return resp, nil
}

// GetDecision returns one decision record.
func (s *Service) GetDecision(ctx context.Context, req *verdictv1.GetDecisionRequest) (*verdictv1.GetDecisionResponse, error) {
	d, err := s.decision(ctx, req.GetId())
	if err != nil {
		return nil, err // which says what was being done
	}
	return &verdictv1.GetDecisionResponse{Decision: shape.Proto(&d)}, nil
}

// decision is the record of that id, which may be written in upper case.
func (s *Service) decision(ctx context.Context, id string) (store.Decision, error) {
	return s.store.GetDecision(ctx, strings.ToLower(id))
}
