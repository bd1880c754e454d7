package admin

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// CreateGrant adds a grant and names it when it has no id.
func (s *PolicyService) CreateGrant(ctx context.Context, req *verdictv1.CreateGrantRequest) (*verdictv1.CreateGrantResponse, error) {
	var vs []status.Violation
	grant := grantFact(req.GetGrant(), "grant", &vs)
	if checkGrant(grant, "grant", &vs); len(vs) > 0 {
		return nil, invalidIf(vs)
	}
	if grant.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make a grant id: %w", err)
		}
		grant.ID = id.String()
	}
	e := putGrant(store.Put[store.Grant]{Fact: grant, Create: true})
	revision, err := s.write(ctx, req.GetNote(), false, func(context.Context, uint64) (*edit, error) { return e, nil })
	if err != nil {
		return nil, fmt.Errorf("create grant %s: %w", grant.ID, err)
	}
	grant.Revision = revision
	return &verdictv1.CreateGrantResponse{Grant: grantProto(grant), Revision: revision}, nil
}

// putGrant is the edit that writes one grant.
func putGrant(put store.Put[store.Grant]) *edit {
	e := &edit{change: store.Change{PutGrants: []store.Put[store.Grant]{put}}, blame: blame{root: "grant"}}
	e.blame.fact(snapshot.GrantFact(put.Fact.ID), "grant")
	return e
}

// GetGrant reads a grant.
func (s *PolicyService) GetGrant(ctx context.Context, req *verdictv1.GetGrantRequest) (*verdictv1.GetGrantResponse, error) {
	grant, revision, err := s.store.GetGrant(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &verdictv1.GetGrantResponse{Grant: grantProto(grant), Revision: revision}, nil
}

// ListGrants lists grants by id, optionally of one api or subject.
func (s *PolicyService) ListGrants(ctx context.Context, req *verdictv1.ListGrantsRequest) (*verdictv1.ListGrantsResponse, error) {
	list, size := page.List{"grants", req.GetApi(), req.GetSubject()}, page.Size(req.GetPageSize())
	after, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	grants, err := s.store.ListGrants(ctx, store.GrantFilter{API: req.GetApi(), Subject: req.GetSubject()}, after[0], size+1)
	if err != nil {
		return nil, err
	}
	grants, more := page.Cut(grants, size)
	resp := &verdictv1.ListGrantsResponse{Grants: protos(grants, grantProto)}
	if more {
		resp.NextPageToken = list.Token(grants[size-1].ID)
	}
	return resp, nil
}

// UpdateGrant replaces the named fields of a grant.
func (s *PolicyService) UpdateGrant(ctx context.Context, req *verdictv1.UpdateGrantRequest) (*verdictv1.UpdateGrantResponse, error) {
	var vs []status.Violation
	update := grantFact(req.GetGrant(), "grant", &vs)
	if len(vs) > 0 {
		return nil, invalidIf(vs)
	}
	var next store.Grant
	var changed bool
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetGrant(ctx, update.ID)
		if err := current(err, at, head, now.Revision, req.GetGrant().GetEtag()); err != nil {
			return nil, err
		}
		if next, err = masked(now, update, req.GetUpdateMask(), grantFields, "grant"); err != nil {
			return nil, err
		}
		next.Revision = now.Revision
		if changed = !sameGrant(now, next); !changed {
			return &edit{}, nil
		}
		var vs []status.Violation
		if checkGrant(next, "grant", &vs); len(vs) > 0 {
			return nil, invalidIf(vs)
		}
		if err := s.valid(grantProto(next), "grant"); err != nil {
			return nil, err
		}
		return putGrant(store.Put[store.Grant]{Fact: next, IfRevision: now.Revision}), nil
	})
	if err != nil {
		return nil, fmt.Errorf("update grant %s: %w", update.ID, err)
	}
	if changed {
		next.Revision = revision
	}
	return &verdictv1.UpdateGrantResponse{Grant: grantProto(next), Revision: revision}, nil
}

// DeleteGrant deletes a grant.
func (s *PolicyService) DeleteGrant(ctx context.Context, req *verdictv1.DeleteGrantRequest) (*verdictv1.DeleteGrantResponse, error) {
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetGrant(ctx, req.GetId())
		if err := current(err, at, head, now.Revision, req.GetEtag()); err != nil {
			return nil, err
		}
		return &edit{
			change: store.Change{DeleteGrants: []store.Delete[string]{{Key: now.ID, IfRevision: now.Revision}}},
			blame:  blame{root: "id"},
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("delete grant %s: %w", req.GetId(), err)
	}
	return &verdictv1.DeleteGrantResponse{Revision: revision}, nil
}

// sameGrant compares by hand: documents hold up to millions of grants.
func sameGrant(a, b store.Grant) bool {
	return a.ID == b.ID && a.API == b.API && a.Subject == b.Subject && a.SubjectDisplayName == b.SubjectDisplayName &&
		slices.Equal(a.Permissions, b.Permissions) && a.Effect == b.Effect && a.Condition == b.Condition &&
		a.NotBefore.Equal(b.NotBefore) && a.ExpiresAt.Equal(b.ExpiresAt) && a.Reason == b.Reason && a.Ticket == b.Ticket
}
