package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// RevocationFeed is what RevocationService needs of a revocation.Feed.
type RevocationFeed interface {
	// Kick tells that there is a new revocation, or one less.
	Kick()
}

// RevocationConfig tunes a RevocationService. The zero value is usable.
type RevocationConfig struct {
	Actor string           // who makes the revocations, as they keep it; "" means "local"
	Now   func() time.Time // nil means time.Now
}

// RevocationService is verdict.v1.RevocationService. It is safe for concurrent use.
type RevocationService struct {
	verdictv1.UnimplementedRevocationServiceServer
	store store.RevocationStore
	feed  RevocationFeed
	cfg   RevocationConfig
}

// NewRevocationService returns the service over a store; the feed of this process learns of changes at once.
func NewRevocationService(s store.RevocationStore, feed RevocationFeed, cfg RevocationConfig) (*RevocationService, error) {
	if s == nil || feed == nil {
		return nil, errors.New("revocation service: a store and a feed are needed")
	}
	cfg.Actor = cmp.Or(cfg.Actor, "local")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &RevocationService{store: s, feed: feed, cfg: cfg}, nil
}

// CreateRevocation refuses what it names from now on.
func (s *RevocationService) CreateRevocation(ctx context.Context, req *verdictv1.CreateRevocationRequest) (*verdictv1.CreateRevocationResponse, error) {
	r, err := s.revocationFact(req.GetRevocation())
	if err != nil {
		return nil, fmt.Errorf("create revocation: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a revocation id: %w", err)
	}
	r.ID, r.Actor = id.String(), s.cfg.Actor
	kept, err := s.store.CreateRevocation(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("create revocation of %s: %w", r.Kind, err)
	}
	s.feed.Kick()
	return &verdictv1.CreateRevocationResponse{Revocation: revocationProto(kept)}, nil
}

// ListRevocations lists revocations that are in force, newest first.
func (s *RevocationService) ListRevocations(ctx context.Context, req *verdictv1.ListRevocationsRequest) (*verdictv1.ListRevocationsResponse, error) {
	f := store.RevocationFilter{TenantID: req.GetTenantId(), Kind: revocationKinds[req.GetKind()], Value: req.GetValue()}
	list, size := page.List{"revocations", f.TenantID, string(f.Kind), f.Value}, page.Size(req.GetPageSize())
	before, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	if before[0] != "" && store.CheckRevocationID(before[0]) != nil {
		return nil, page.BadToken()
	}
	rs, err := s.store.ListRevocations(ctx, f, before[0], size+1)
	if err != nil {
		return nil, err
	}
	rs, more := page.Cut(rs, size)
	resp := &verdictv1.ListRevocationsResponse{Revocations: protos(rs, revocationProto)}
	if more {
		resp.NextPageToken = list.Token(rs[size-1].ID)
	}
	return resp, nil
}

// DeleteRevocation takes a revocation back.
func (s *RevocationService) DeleteRevocation(ctx context.Context, req *verdictv1.DeleteRevocationRequest) (*verdictv1.DeleteRevocationResponse, error) {
	if store.CheckRevocationID(req.GetId()) != nil {
		return nil, fmt.Errorf("delete revocation: %w", status.Invalid(status.Violation{Field: "id",
			Text: "not the id of a revocation, a UUID in lower case; ListRevocations shows them"}))
	}
	by := store.Note{Actor: s.cfg.Actor, Reason: req.GetNote().GetReason(), Ticket: req.GetNote().GetTicket()}
	if _, err := s.store.DeleteRevocation(ctx, req.GetId(), by); err != nil {
		return nil, err
	}
	s.feed.Kick()
	return &verdictv1.DeleteRevocationResponse{}, nil
}
