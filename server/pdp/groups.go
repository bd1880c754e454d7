package pdp

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
)

// Groups finds the groups of a proven caller; *directory.Resolver is one.
type Groups interface {
	Resolve(ctx context.Context, who directory.Caller, privileged bool) (directory.Membership, error)
}

// expand returns the token with the groups that decide, or denies: groups that are not known are never none. With fresh
// the directory is asked whatever the token lists.
func (p *PDP) expand(ctx context.Context, token *entra.Token, fresh bool, a *Answer) (*entra.Token, bool) {
	if !directory.IsGUID(token.Principal.TenantID) { // of a provider without a directory of ours: its tokens hold all groups
		return token, true
	}
	if p.groups == nil {
		if token.Overage { // the claim is a pointer, never followed
			a.deny(policy.GroupsUnresolved, "groups: not in the token")
			return nil, false
		}
		return token, true
	}
	m, err := p.groups.Resolve(ctx, caller(token), fresh)
	switch {
	case errors.Is(err, directory.ErrPrincipalDisabled):
		a.deny(policy.TokenRevoked, "directory: the account is disabled")
	case errors.Is(err, directory.ErrUnknownPrincipal):
		a.deny(policy.GroupsUnresolved, "groups: the directory does not know the principal")
	case err != nil:
		a.deny(policy.GroupsUnresolved, "groups: the directory does not answer")
	default:
		known := *token
		known.Principal.Groups = asGranted(m.Groups)
		return &known, true
	}
	return nil, false
}

// asGranted writes group ids as grants do. Directories give all in lower case; of a security identifier of Active Directory
// the first letter is a capital.
func asGranted(ids []string) []string {
	const lower, upper = "s-1-", "S-1-"
	isSID := func(id string) bool { return strings.HasPrefix(id, lower) }
	if !slices.ContainsFunc(ids, isSID) {
		return ids
	}
	ids = slices.Clone(ids) // shared with others
	for i, id := range ids {
		if isSID(id) {
			ids[i] = upper + id[len(lower):]
		}
	}
	return ids
}

func caller(t *entra.Token) directory.Caller {
	return directory.Caller{
		Kind: t.Principal.Kind, TenantID: t.Principal.TenantID, ObjectID: t.Principal.ObjectID, ClientID: t.Principal.ClientID,
		OnPremSID: t.OnPremSID, Username: t.Username,
		Groups: t.Principal.Groups, Listed: t.GroupsPresent, Overage: t.Overage,
	}
}

// needsFreshGroups says whether groups in a token are not fresh enough for what is asked.
func (t *target) needsFreshGroups(permission string) bool {
	if !t.http {
		return permission != "" && t.api.NeedsFreshGroups(permission)
	}
	for _, r := range t.routes {
		if r != nil && r.NeedsFreshGroups() {
			return true
		}
	}
	return false
}
