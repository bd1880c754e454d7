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

// CreateRoute adds a route to an api.
func (s *PolicyService) CreateRoute(ctx context.Context, req *verdictv1.CreateRouteRequest) (*verdictv1.CreateRouteResponse, error) {
	route := routeFact(req.GetRoute())
	var vs []status.Violation
	if checkRoute(route, "route", &vs); len(vs) > 0 {
		return nil, invalidIf(vs)
	}
	e := putRoute(route, store.Put[store.Route]{Fact: route, Create: true})
	revision, err := s.write(ctx, req.GetNote(), false, func(context.Context, uint64) (*edit, error) { return e, nil })
	if err != nil {
		return nil, fmt.Errorf("create route %s: %w", route.Key(), err)
	}
	route.Revision = revision
	return &verdictv1.CreateRouteResponse{Route: routeProto(route), Revision: revision}, nil
}

// putRoute is the edit that writes one route.
func putRoute(r store.Route, put store.Put[store.Route]) *edit {
	e := &edit{change: store.Change{PutRoutes: []store.Put[store.Route]{put}}, blame: blame{root: "route"}}
	e.blame.route(snapshot.RouteFact(r.Key()), "route", listOf(r))
	return e
}

// listOf is the member of a route that holds its permissions; "" for none.
func listOf(r store.Route) string {
	if r.Requirement == store.AllOf || r.Requirement == store.AnyOf {
		return string(r.Requirement)
	}
	return ""
}

// GetRoute reads a route.
func (s *PolicyService) GetRoute(ctx context.Context, req *verdictv1.GetRouteRequest) (*verdictv1.GetRouteResponse, error) {
	route, revision, err := s.store.GetRoute(ctx, req.GetApi(), req.GetId())
	if err != nil {
		return nil, err
	}
	return &verdictv1.GetRouteResponse{Route: routeProto(route), Revision: revision}, nil
}

// ListRoutes lists the routes of an api, or of all, by api and id.
func (s *PolicyService) ListRoutes(ctx context.Context, req *verdictv1.ListRoutesRequest) (*verdictv1.ListRoutesResponse, error) {
	list, size := page.List{"routes", req.GetApi()}, page.Size(req.GetPageSize())
	after, err := list.After(req.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	routes, err := s.store.ListRoutes(ctx, req.GetApi(), store.RouteKey{API: after[0], ID: after[1]}, size+1)
	if err != nil {
		return nil, err
	}
	routes, more := page.Cut(routes, size)
	resp := &verdictv1.ListRoutesResponse{Routes: protos(routes, routeProto)}
	if more {
		last := routes[size-1]
		resp.NextPageToken = list.Token(last.API, last.ID)
	}
	return resp, nil
}

// UpdateRoute replaces the named fields of a route.
func (s *PolicyService) UpdateRoute(ctx context.Context, req *verdictv1.UpdateRouteRequest) (*verdictv1.UpdateRouteResponse, error) {
	update := routeFact(req.GetRoute())
	var next store.Route
	var changed bool
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetRoute(ctx, update.API, update.ID)
		if err := current(err, at, head, now.Revision, req.GetRoute().GetEtag()); err != nil {
			return nil, err
		}
		if next, err = masked(now, update, req.GetUpdateMask(), routeFields, "route"); err != nil {
			return nil, err
		}
		next.Revision = now.Revision
		if changed = !sameRoute(now, next); !changed {
			return &edit{}, nil
		}
		var vs []status.Violation
		if checkRoute(next, "route", &vs); len(vs) > 0 {
			return nil, invalidIf(vs)
		}
		if err := s.valid(routeProto(next), "route"); err != nil {
			return nil, err
		}
		return putRoute(next, store.Put[store.Route]{Fact: next, IfRevision: now.Revision}), nil
	})
	if err != nil {
		return nil, fmt.Errorf("update route %s: %w", update.Key(), err)
	}
	if changed {
		next.Revision = revision
	}
	return &verdictv1.UpdateRouteResponse{Route: routeProto(next), Revision: revision}, nil
}

// DeleteRoute deletes a route.
func (s *PolicyService) DeleteRoute(ctx context.Context, req *verdictv1.DeleteRouteRequest) (*verdictv1.DeleteRouteResponse, error) {
	key := store.RouteKey{API: req.GetApi(), ID: req.GetId()}
	revision, err := s.write(ctx, req.GetNote(), false, func(ctx context.Context, head uint64) (*edit, error) {
		now, at, err := s.store.GetRoute(ctx, key.API, key.ID)
		if err := current(err, at, head, now.Revision, req.GetEtag()); err != nil {
			return nil, err
		}
		return &edit{
			change: store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: key, IfRevision: now.Revision}}},
			blame:  blame{root: "id"},
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("delete route %s: %w", key, err)
	}
	return &verdictv1.DeleteRouteResponse{Revision: revision}, nil
}

func sameRoute(a, b store.Route) bool {
	a, b = a.Canonical(), b.Canonical()
	a.Revision, b.Revision = 0, 0
	return reflect.DeepEqual(a, b)
}
