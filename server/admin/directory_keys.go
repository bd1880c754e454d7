package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// DenyKey refuses a signing key.
func (s *DirectoryService) DenyKey(ctx context.Context, req *verdictv1.DenyKeyRequest) (*verdictv1.DenyKeyResponse, error) {
	kid := req.GetKey().GetKid()
	if err := checkKid(kid, "key.kid"); err != nil {
		return nil, fmt.Errorf("deny key: %w", err)
	}
	kept, err := s.store.DenyKey(ctx, kid, store.Note{Actor: s.cfg.Actor, Reason: req.GetKey().GetReason()})
	if err != nil {
		return nil, err
	}
	s.follow(ctx)
	return &verdictv1.DenyKeyResponse{Key: deniedKeyProto(kept)}, nil
}

// ListDeniedKeys lists the signing keys that are refused.
func (s *DirectoryService) ListDeniedKeys(ctx context.Context, _ *verdictv1.ListDeniedKeysRequest) (*verdictv1.ListDeniedKeysResponse, error) {
	keys, err := s.store.DeniedKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list denied keys: %w", err)
	}
	return &verdictv1.ListDeniedKeysResponse{Keys: protos(keys, deniedKeyProto)}, nil
}

// AllowKey takes a DenyKey back.
func (s *DirectoryService) AllowKey(ctx context.Context, req *verdictv1.AllowKeyRequest) (*verdictv1.AllowKeyResponse, error) {
	if err := checkKid(req.GetKid(), "kid"); err != nil {
		return nil, fmt.Errorf("allow key: %w", err)
	}
	if err := s.store.AllowKey(ctx, req.GetKid(), s.by(req.GetNote())); err != nil {
		return nil, err
	}
	s.follow(ctx)
	return &verdictv1.AllowKeyResponse{}, nil
}

// PurgeKeys orders all replicas to fetch the signing keys of a tenant anew.
func (s *DirectoryService) PurgeKeys(ctx context.Context, req *verdictv1.PurgeKeysRequest) (*verdictv1.PurgeKeysResponse, error) {
	tenant := strings.ToLower(req.GetTenantId())
	if tenant != "" && !s.accepts(ctx, tenant) {
		return nil, fmt.Errorf("purge keys: tenant %s is none of those whose tokens are accepted: %w", tenant, store.ErrNotFound)
	}
	if _, err := s.store.OrderPurge(ctx, tenant, s.by(req.GetNote())); err != nil {
		return nil, err
	}
	s.follow(ctx)
	return &verdictv1.PurgeKeysResponse{}, nil
}

// accepts says whether tokens of a tenant are accepted here, one that was added a moment ago on another replica included.
func (s *DirectoryService) accepts(ctx context.Context, tenant string) bool {
	known := func() bool {
		return slices.ContainsFunc(s.verifier.Status(), func(k entra.KeyStatus) bool { return k.Tenant == tenant })
	}
	return known() || s.follow(ctx) && known()
}

// checkKid tells the field of a key id that could not be stored.
func checkKid(kid, field string) error {
	if store.CheckKid(kid) == nil {
		return nil
	}
	return status.Invalid(status.Violation{Field: field, Text: "want 1 to 256 printable ASCII characters, as the header of a token has them"})
}

func deniedKeyProto(k store.DeniedKey) *verdictv1.DeniedKey {
	return &verdictv1.DeniedKey{Kid: k.Kid, Reason: k.Reason, DeniedAt: instantProto(k.DeniedAt)}
}
