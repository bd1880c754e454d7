package pdp

import (
	"context"

	"github.com/verdict-authz/verdict/server/policy"
)

// Permissions says what the caller of q's token may do in q's api: held in any case, and conditional on the request or
// resource, both sorted. The answer is about the token: allow when it was accepted, even when it may do nothing.
func (p *PDP) Permissions(ctx context.Context, q *Question) (held, conditional []string, a Answer) {
	a = p.answer(ctx, q, func(ctx context.Context, s *scratch, a *Answer) {
		held, conditional = p.list(ctx, q, s, a)
	})
	if !a.Allowed() {
		return nil, nil, a
	}
	return held, conditional, a
}

// list proves the token and asks for every permission of the api twice: with conditions at their worst and at their best
// for the caller.
func (p *PDP) list(ctx context.Context, q *Question, s *scratch, a *Answer) (held, conditional []string) {
	snap, reason := p.snapshot(ctx, q.MinRevision, a.At)
	if snap == nil {
		a.deny(reason, "")
		return nil, nil
	}
	a.Revision = snap.Revision()
	api := snap.APIByID(q.API)
	if api == nil {
		a.deny(policy.APIUnknown, "")
		return nil, nil
	}
	a.API, s.basis.api = q.API, api
	token, ok := p.known(ctx, q, s, &target{api: api}, a)
	if !ok {
		return nil, nil
	}
	in := policy.Input{Now: a.At, Principal: &token.Principal, Subjects: s.resolve(snap, api, &token.Principal)}
	for _, name := range api.Permissions() {
		in.Assume = policy.AssumeWorst
		if snap.EvaluatePermission(api, name, &in, &s.eval, nil).Effect == policy.Allow {
			held = append(held, name)
			continue
		}
		in.Assume = policy.AssumeBest
		if snap.EvaluatePermission(api, name, &in, &s.eval, nil).Effect == policy.Allow {
			conditional = append(conditional, name)
		}
	}
	a.Effect, a.Reason = policy.Allow, policy.AllowedAuthenticated
	return held, conditional
}
