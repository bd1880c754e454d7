package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

var principalKinds = map[verdictv1.PrincipalKind]policy.PrincipalKind{
	verdictv1.PrincipalKind_PRINCIPAL_KIND_USER: policy.PrincipalUser,
	verdictv1.PrincipalKind_PRINCIPAL_KIND_APP:  policy.PrincipalApp,
}

// GetGroups says which groups the directory finds a principal in.
func (s *DirectoryService) GetGroups(ctx context.Context, req *verdictv1.GetGroupsRequest) (*verdictv1.GetGroupsResponse, error) {
	if s.cfg.Groups == nil {
		return nil, fmt.Errorf("get groups: no directory is configured, groups come from tokens only: %w", status.ErrPrecondition)
	}
	kind, ok := principalKinds[req.GetKind()]
	if !ok {
		return nil, status.Invalid(status.Violation{Field: "kind", Text: "want a user or an application"})
	}
	tenant, object := strings.ToLower(req.GetTenantId()), strings.ToLower(req.GetObjectId())
	groups, source, age, err := s.cfg.Groups.Groups(ctx, tenant, object, kind)
	if err != nil {
		return nil, fmt.Errorf("get groups of %s in tenant %s: %w", object, tenant, directoryError(ctx, err))
	}
	groups = slices.Clone(groups)
	slices.Sort(groups)
	return &verdictv1.GetGroupsResponse{Groups: groups, Source: source, Age: durationpb.New(max(age, 0))}, nil
}

// directoryError keeps what the table of codes knows; the rest is a directory that does not answer, and not a fault of
// verdict. Whoever may ask here is to read why.
func directoryError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrNotFound), errors.Is(err, status.ErrPrecondition):
		return err
	}
	return fmt.Errorf("%w: %w", grpcstatus.Error(codes.Unavailable, "the directory does not answer"), err)
}
