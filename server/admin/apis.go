package admin

import (
	"context"
	"fmt"
	"reflect"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// CreateApi adds an api.
func (s *PolicyService) CreateApi(ctx context.Context, req *verdictv1.CreateApiRequest) (*verdictv1.CreateApiResponse, error) {
	api := apiFact(req.GetApi())
	e := &edit{change: store.Change{PutAPIs: []store.Put[store.API]{{Fact: api, Create: true}}}, blame: blame{root: "api"}}
	e.blame.fact(snapshot.APIFact(api.ID), "api")
	revision, err := s.write(ctx, req.GetNote(), false, func(context.Context, uint64) (*edit, error) { return e, nil })
	if err != nil {
		return nil, fmt.Errorf("create api %s: %w", api.ID, err)
	}
	api.Revision = revision
	return &verdictv1.CreateApiResponse{Api: apiProto(api), Revision: revision}, nil
}

// GetApi reads an api.
func (s *PolicyService) GetApi(ctx context.Context, req *verdictv1.GetApiRequest) (*verdictv1.GetApiResponse, error) {
	api, revision, err := s.store.GetAPI(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &verdictv1.GetApiResponse{Api: apiProto(api), Revision: revision}, nil
}

// ListApis lists apis by id.
func (s *PolicyService) ListApis(ctx context.Context, req *verdictv1.ListApisRequest) (*verdictv1.ListApisResponse, error) {
	list, size := page.List{"apis"}, page.Size(req.GetPageSize())
	after, err := list.After(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	apis, err := s.store.ListAPIs(ctx, after[0], size+1)
	if err != nil {
		return nil, err
	}
	apis, more := page.Cut(apis, size)
	resp := &verdictv1.ListApisResponse{Apis: protos(apis, apiProto)}
	if more {
		resp.NextPageToken = list.Token(apis[size-1].ID)
	}
	return resp, nil
}

// UpdateApi replaces the named fields of an api.
func (s *PolicyService) UpdateApi(ctx context.Context, req *verdictv1.UpdateApiRequest) (*verdictv1.UpdateApiResponse, error) {
	update := apiFact(req.GetApi())
	var next store.API
	var changed bool
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetAPI(ctx, update.ID)
		if err := current(err, at, head, now.Revision, req.GetApi().GetEtag()); err != nil {
			return nil, err
		}
		if next, err = masked(now, update, req.GetUpdateMask(), apiFields, "api"); err != nil {
			return nil, err
		}
		next.Revision = now.Revision
		if changed = !sameAPI(now, next); !changed {
			return &edit{}, nil
		}
		if err := s.valid(apiProto(next), "api"); err != nil {
			return nil, err
		}
		e := &edit{change: store.Change{PutAPIs: []store.Put[store.API]{{Fact: next, IfRevision: now.Revision}}}, blame: blame{root: "api"}}
		e.blame.fact(snapshot.APIFact(next.ID), "api")
		return e, nil
	})
	if err != nil {
		return nil, fmt.Errorf("update api %s: %w", update.ID, err)
	}
	if changed {
		next.Revision = revision
	}
	return &verdictv1.UpdateApiResponse{Api: apiProto(next), Revision: revision}, nil
}

// DeleteApi deletes an api, with cascade its routes and grants too.
func (s *PolicyService) DeleteApi(ctx context.Context, req *verdictv1.DeleteApiRequest) (*verdictv1.DeleteApiResponse, error) {
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetAPI(ctx, req.GetId())
		if err := current(err, at, head, now.Revision, req.GetEtag()); err != nil {
			return nil, err
		}
		e := &edit{blame: blame{root: "id"}}
		e.blame.fact(snapshot.APIFact(now.ID), "id")
		e.change.DeleteAPIs = []store.Delete[string]{{Key: now.ID, IfRevision: now.Revision}}
		return e, s.deleteParts(ctx, req, &e.change)
	})
	if err != nil {
		return nil, fmt.Errorf("delete api %s: %w", req.GetId(), err)
	}
	return &verdictv1.DeleteApiResponse{Revision: revision}, nil
}

// deleteParts adds the deletion of the api's routes and grants to c, or refuses when there are some and no cascade.
func (s *PolicyService) deleteParts(ctx context.Context, req *verdictv1.DeleteApiRequest, c *store.Change) error {
	refuse := func(what, id string) error {
		return fmt.Errorf("it still has %s, %s for one; delete these first, or set cascade: %w", what, id, status.ErrPrecondition)
	}
	var lastRoute store.RouteKey
	for {
		routes, err := s.store.ListRoutes(ctx, req.GetId(), lastRoute, page.Max)
		if err != nil {
			return err
		}
		if len(routes) > 0 && !req.GetCascade() {
			return refuse("routes", routes[0].ID)
		}
		for _, r := range routes {
			c.DeleteRoutes = append(c.DeleteRoutes, store.Delete[store.RouteKey]{Key: r.Key()})
			lastRoute = r.Key()
		}
		if len(routes) < page.Max {
			break
		}
	}
	lastGrant := ""
	for {
		grants, err := s.store.ListGrants(ctx, store.GrantFilter{API: req.GetId()}, lastGrant, page.Max)
		if err != nil {
			return err
		}
		if len(grants) > 0 && !req.GetCascade() {
			return refuse("grants", grants[0].ID)
		}
		for _, g := range grants {
			c.DeleteGrants = append(c.DeleteGrants, store.Delete[string]{Key: g.ID})
			lastGrant = g.ID
		}
		if len(grants) < page.Max {
			return nil
		}
	}
}

func sameAPI(a, b store.API) bool {
	a, b = a.Canonical(), b.Canonical()
	a.Revision, b.Revision = 0, 0
	return reflect.DeepEqual(a, b)
}
