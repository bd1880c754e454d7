package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// maxSummary is how many facts each list of a ChangeSummary names.
const maxSummary = 1000

// ApplyPolicy makes the policy equal to the document.
func (s *PolicyService) ApplyPolicy(ctx context.Context, req *verdictv1.ApplyPolicyRequest) (*verdictv1.ApplyPolicyResponse, error) {
	want, where, err := documentFacts(req.GetPolicy())
	if err != nil {
		return nil, fmt.Errorf("apply policy: %w", err)
	}
	var changes store.Change
	revision, err := s.write(ctx, req.GetNote(), req.GetDryRun(), func(ctx context.Context, head uint64) (*edit, error) {
		if expected := req.GetExpectedRevision(); expected != 0 && expected != head {
			return nil, fmt.Errorf("the policy is at revision %d and not at the expected %d; export it again and repeat the change on that: %w",
				head, expected, store.ErrConflict)
		}
		have, err := s.facts(ctx, head)
		if err != nil {
			return nil, err
		}
		changes = store.Change{}
		changes.PutAPIs, changes.DeleteAPIs = diff(have.APIs, want.APIs, apiKey, strings.Compare, sameAPI)
		changes.PutRoutes, changes.DeleteRoutes = diff(have.Routes, want.Routes, store.Route.Key, store.RouteKey.Compare, sameRoute)
		changes.PutGrants, changes.DeleteGrants = diff(have.Grants, want.Grants, grantKey, strings.Compare, sameGrant)
		return &edit{change: changes, blame: where}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("apply policy: %w", err)
	}
	return &verdictv1.ApplyPolicyResponse{Revision: revision, Changes: summary(changes)}, nil
}

// documentFacts is what a document says, and where each fact stands in it. A fact that stands there twice is refused.
func documentFacts(p *verdictv1.Policy) (store.Facts, blame, error) {
	var f store.Facts
	var vs []status.Violation
	where := blame{root: "policy"}
	once := func(name, path string) {
		if first, again := where.facts[name]; again {
			vs = append(vs, status.Violation{Field: path + ".id", Text: fmt.Sprintf("%s stands at %s already; ids are unique", name, first)})
			return
		}
		where.fact(name, path)
	}
	for i, a := range p.GetApis() {
		api := apiFact(a)
		once(snapshot.APIFact(api.ID), fmt.Sprintf("policy.apis[%d]", i))
		f.APIs = append(f.APIs, api)
	}
	for i, r := range p.GetRoutes() {
		path, route := fmt.Sprintf("policy.routes[%d]", i), routeFact(r)
		name := snapshot.RouteFact(route.Key())
		once(name, path)
		where.route(name, where.facts[name], listOf(route))
		checkRoute(route, path, &vs)
		f.Routes = append(f.Routes, route)
	}
	for i, g := range p.GetGrants() {
		path := fmt.Sprintf("policy.grants[%d]", i)
		grant := grantFact(g, path, &vs)
		if grant.ID == "" {
			vs = append(vs, status.Violation{Field: path + ".id", Text: "required in a document, so that applying it again changes nothing"})
			continue
		}
		once(snapshot.GrantFact(grant.ID), path)
		checkGrant(grant, path, &vs)
		f.Grants = append(f.Grants, grant)
	}
	return f, where, invalidIf(firstViolations(vs))
}

// maxViolations is how many violations an answer names; it has to fit in what clients accept as trailers.
const maxViolations = 100

func firstViolations(vs []status.Violation) []status.Violation {
	if len(vs) <= maxViolations {
		return vs
	}
	more := status.Violation{Field: "policy", Text: fmt.Sprintf("and %d more problems that are not listed", len(vs)-maxViolations)}
	return append(slices.Clip(vs[:maxViolations]), more)
}

// summary counts and names what c does.
func summary(c store.Change) *verdictv1.ChangeSummary {
	sum := &verdictv1.ChangeSummary{}
	put := func(name string, create bool) {
		if create {
			sum.Created = append(sum.Created, name)
		} else {
			sum.Updated = append(sum.Updated, name)
		}
	}
	for _, p := range c.PutAPIs {
		put(snapshot.APIFact(p.Fact.ID), p.Create)
	}
	for _, p := range c.PutRoutes {
		put(snapshot.RouteFact(p.Fact.Key()), p.Create)
	}
	for _, p := range c.PutGrants {
		put(snapshot.GrantFact(p.Fact.ID), p.Create)
	}
	for _, d := range c.DeleteAPIs {
		sum.Deleted = append(sum.Deleted, snapshot.APIFact(d.Key))
	}
	for _, d := range c.DeleteRoutes {
		sum.Deleted = append(sum.Deleted, snapshot.RouteFact(d.Key))
	}
	for _, d := range c.DeleteGrants {
		sum.Deleted = append(sum.Deleted, snapshot.GrantFact(d.Key))
	}
	for _, list := range []*[]string{&sum.Created, &sum.Updated, &sum.Deleted} {
		sum.Total += uint64(len(*list))
		slices.Sort(*list)
		*list = slices.Clone((*list)[:min(len(*list), maxSummary)])
	}
	return sum
}
