package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/server/trust"
	"github.com/verdict-authz/verdict/store"
)

// AddTenant accepts the tokens of a tenant, once its documents were seen to be what the provider pins.
func (s *DirectoryService) AddTenant(ctx context.Context, req *verdictv1.AddTenantRequest) (*verdictv1.AddTenantResponse, error) {
	p, err := s.provider(req.GetTenant().GetProvider(), "tenant.provider")
	if err != nil {
		return nil, fmt.Errorf("add tenant: %w", err)
	}
	t := store.TrustedTenant{
		Provider: p.Name, ID: strings.ToLower(req.GetTenant().GetTenantId()), DisplayName: req.GetTenant().GetDisplayName(),
	}
	if slices.Contains(p.Tenants, t.ID) {
		return &verdictv1.AddTenantResponse{Tenant: configuredProto(p, t.ID)}, nil
	}
	there, err := s.added(ctx, t.Provider, t.ID)
	if err != nil {
		return nil, fmt.Errorf("add tenant %s: %w", t.ID, err)
	}
	if !there {
		if err := s.probe(ctx, t); err != nil {
			return nil, fmt.Errorf("add tenant %s: %w", t.ID, err)
		}
	}
	kept, err := s.store.AddTenant(ctx, t, s.by(req.GetNote()))
	if err != nil {
		return nil, fmt.Errorf("add tenant %s: %w", t.ID, err)
	}
	if s.follow(ctx) && !there {
		if err := s.takeBack(ctx, kept); err != nil {
			return nil, fmt.Errorf("add tenant %s: %w", t.ID, err)
		}
	}
	return &verdictv1.AddTenantResponse{Tenant: tenantProto(kept)}, nil
}

// added says whether a tenant was added before.
func (s *DirectoryService) added(ctx context.Context, provider, id string) (bool, error) {
	tenants, err := s.store.Tenants(ctx)
	return slices.ContainsFunc(tenants, func(t store.TrustedTenant) bool { return t.Provider == provider && t.ID == id }), err
}

// probe refuses a tenant whose documents cannot be had or are not of the issuer that is pinned.
func (s *DirectoryService) probe(ctx context.Context, t store.TrustedTenant) error {
	within, cancel := context.WithTimeout(ctx, s.cfg.Probe)
	defer cancel()
	err := s.verifier.Probe(within, t.Provider, t.ID)
	text := "its OpenID configuration or its signing keys cannot be had; check the id, and that this host reaches the authority"
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, entra.ErrIssuer):
		text = "it does not belong to this provider"
	}
	return status.Invalid(status.Violation{Field: "tenant.tenant_id", Text: fmt.Sprintf("%s: %v", text, err)})
}

// takeBack undoes the adding of a tenant that the verifier of this replica refuses, which only shows when it is told, such
// as one whose issuer belongs to another provider.
func (s *DirectoryService) takeBack(ctx context.Context, t store.TrustedTenant) error {
	why := s.feed.Refused(t.Provider, t.ID)
	if why == "" {
		return nil
	}
	err := s.store.RemoveTenant(ctx, t.Provider, t.ID, store.Note{Actor: s.cfg.Actor, Reason: "taken back, it cannot work: " + why})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("take it back, since it cannot work (%s): %w", why, err)
	}
	s.follow(ctx)
	return status.Invalid(status.Violation{Field: "tenant.tenant_id", Text: why})
}

// ListTenants lists the tenants of the configuration and those that were added.
func (s *DirectoryService) ListTenants(ctx context.Context, _ *verdictv1.ListTenantsRequest) (*verdictv1.ListTenantsResponse, error) {
	added, err := s.store.Tenants(ctx)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	resp := &verdictv1.ListTenantsResponse{}
	for _, p := range s.feed.Configured() {
		for _, id := range p.Tenants {
			resp.Tenants = append(resp.Tenants, configuredProto(p, id))
		}
		for _, t := range added {
			if t.Provider == p.Name && !slices.Contains(p.Tenants, t.ID) {
				resp.Tenants = append(resp.Tenants, tenantProto(t))
			}
		}
	}
	slices.SortFunc(resp.Tenants, func(a, b *verdictv1.Tenant) int {
		return strings.Compare(a.GetProvider()+"\x00"+a.GetTenantId(), b.GetProvider()+"\x00"+b.GetTenantId())
	})
	return resp, nil
}

// RemoveTenant removes one that was added, also of a provider that the configuration does not have any more.
func (s *DirectoryService) RemoveTenant(ctx context.Context, req *verdictv1.RemoveTenantRequest) (*verdictv1.RemoveTenantResponse, error) {
	id, provider := strings.ToLower(req.GetTenantId()), req.GetProvider()
	p, err := s.provider(provider, "provider")
	switch {
	case err == nil:
		provider = p.Name
	case provider == "":
		return nil, fmt.Errorf("remove tenant %s: %w", id, err)
	}
	if slices.Contains(p.Tenants, id) {
		return nil, fmt.Errorf("remove tenant %s: the configuration names it; take it out there and restart: %w", id, status.ErrPrecondition)
	}
	if err := s.store.RemoveTenant(ctx, provider, id, s.by(req.GetNote())); err != nil {
		return nil, err
	}
	s.follow(ctx)
	return &verdictv1.RemoveTenantResponse{}, nil
}

// provider finds a provider of the configuration by its name, the only one there is by none; field is where the name stands.
func (s *DirectoryService) provider(name, field string) (trust.Provider, error) {
	all := s.feed.Configured()
	var names []string
	for _, p := range all {
		if p.Name == name || name == "" && len(all) == 1 {
			return p, nil
		}
		names = append(names, p.Name)
	}
	text := fmt.Sprintf("none of that name is configured; there are: %s", strings.Join(names, ", "))
	switch {
	case len(all) == 0:
		text = "the configuration has no provider with tenants"
	case name == "":
		text = fmt.Sprintf("several are configured, name one of: %s", strings.Join(names, ", "))
	}
	return trust.Provider{}, status.Invalid(status.Violation{Field: field, Text: text})
}

func tenantProto(t store.TrustedTenant) *verdictv1.Tenant {
	return &verdictv1.Tenant{TenantId: t.ID, Provider: t.Provider, DisplayName: t.DisplayName, AddedAt: instantProto(t.AddedAt)}
}

func configuredProto(p trust.Provider, id string) *verdictv1.Tenant {
	return &verdictv1.Tenant{TenantId: id, Provider: p.Name, Configured: true}
}
