package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// AuditService is verdict.v1.AuditService.
type AuditService struct {
	verdictv1.UnimplementedAuditServiceServer
	store store.DecisionReader
}

// NewAuditService returns the service over a store.
func NewAuditService(s store.DecisionReader) (*AuditService, error) {
	if s == nil {
		return nil, errors.New("audit service: a store is needed")
	}
	return &AuditService{store: s}, nil
}

// ListDecisions returns decision records, newest first.
func (s *AuditService) ListDecisions(ctx context.Context, req *verdictv1.ListDecisionsRequest) (*verdictv1.ListDecisionsResponse, error) {
	filter, err := decisionFilter(req)
	if err != nil {
		return nil, err
	}
	list := listing{
		"decisions", filter.From.Format(time.RFC3339Nano), filter.To.Format(time.RFC3339Nano), filter.TenantID, filter.PrincipalID,
		req.GetEffect().String(), strconv.Itoa(int(filter.Reason)), filter.API,
	}
	after, err := list.after(req.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	cursor := store.DecisionCursor{ID: after[1]}
	if after[0] != "" {
		micros, err := strconv.ParseInt(after[0], 10, 64)
		if err != nil {
			return nil, errPageToken()
		}
		cursor.At = time.UnixMicro(micros).UTC()
	}
	size := pageSize(req.GetPageSize())
	decisions, err := s.store.ListDecisions(ctx, filter, cursor, size+1)
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	decisions, more := page(decisions, size)
	resp := &verdictv1.ListDecisionsResponse{Decisions: protos(decisions, decisionProto)}
	if more {
		last := decisions[size-1]
		resp.NextPageToken = list.token(strconv.FormatInt(last.At.UnixMicro(), 10), last.ID)
	}
	return resp, nil
}

func decisionFilter(req *verdictv1.ListDecisionsRequest) (store.DecisionFilter, error) {
	var vs []status.Violation
	f := store.DecisionFilter{
		From: instantFact(req.GetFrom(), "from", &vs), To: instantFact(req.GetTo(), "to", &vs),
		TenantID: req.GetTenantId(), PrincipalID: req.GetPrincipalId(), API: req.GetApi(),
		Reason: int16(req.GetReason()), //nolint:gosec // the closed list ends far below
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		vs = append(vs, status.Violation{Field: "to", Text: "not after from, so no record could match"})
	}
	if e := req.GetEffect(); e != verdictv1.Effect_EFFECT_UNSPECIFIED {
		allowed := e == verdictv1.Effect_EFFECT_ALLOW
		f.Allowed = &allowed
	}
	return f, invalidIf(vs)
}

func decisionProto(d store.Decision) *verdictv1.DecisionRecord {
	effect := verdictv1.Effect_EFFECT_DENY
	if d.Allowed {
		effect = verdictv1.Effect_EFFECT_ALLOW
	}
	return &verdictv1.DecisionRecord{
		Id: d.ID, Time: timestamppb.New(d.At), Effect: effect, Reason: verdictv1.Reason(d.Reason), Detail: d.Detail, Revision: d.Revision,
		PrincipalKind: verdictv1.PrincipalKind(d.PrincipalKind), TenantId: d.TenantID, PrincipalId: d.PrincipalID, ClientId: d.ClientID,
		TokenId: d.TokenID, Api: d.API, Route: d.Route, Template: d.Template, Method: d.Method, Host: d.Host, RawPath: d.RawPath,
		Permissions: d.Permissions, Resource: d.Resource, Grants: d.Grants, Door: d.Door, Pep: d.PEP, Took: durationpb.New(d.Took),
		RequestId: d.RequestID, AgentParent: d.AgentParent, AgentFacets: d.AgentFacets,
	}
}
