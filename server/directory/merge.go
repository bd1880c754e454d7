package directory

import (
	"context"
	"fmt"

	"github.com/verdict-authz/verdict/server/policy"
)

// merged is mode LDAP: the groups of Active Directory added to those of Entra. Both parts must be complete, for either may
// hold the group that a deny names. Applications are in Entra alone.
func (r *Resolver) merged(ctx context.Context, who Caller) (Membership, error) {
	cloud, err := r.cloudPart(ctx, who)
	if err != nil || who.Kind == policy.PrincipalApp {
		return cloud, err
	}
	here, err := r.fresh(ctx, r.source, who)
	if err != nil {
		return Membership{}, err
	}
	both := Membership{Groups: here.Groups, At: here.At, Source: cloud.Source + "+" + here.Source}
	if len(cloud.Groups) > 0 {
		both.Groups = make([]string, 0, len(cloud.Groups)+len(here.Groups))
		both.Groups = Normalize(append(append(both.Groups, cloud.Groups...), here.Groups...))
	}
	if !cloud.At.IsZero() && cloud.At.Before(both.At) {
		both.At = cloud.At
	}
	return both, nil
}

// cloudPart is what Entra says: the token's list when there is one, else the fallback.
func (r *Resolver) cloudPart(ctx context.Context, who Caller) (Membership, error) {
	switch {
	case who.Listed && !who.Overage:
		return r.claimed(who), nil
	case r.fallback != nil:
		return r.fresh(ctx, r.fallback, who)
	case who.Kind == policy.PrincipalApp && !who.Overage:
		return r.claimed(who), nil // an application's token holds no groups unless it is made to
	}
	r.advice.noClaim(who)
	return Membership{}, fmt.Errorf("%w: the token does not list the groups of Entra and no fallback is configured", ErrUnavailable)
}
