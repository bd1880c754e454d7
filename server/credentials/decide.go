package credentials

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

// This door's names in decision records. An auditor can tell what was asked for from what was only asked about.
const (
	doorIssue = "credentials"
	doorAsk   = "credentials-explain"
)

// decide asks whether the caller may use an alias.
func (s *Server) decide(ctx context.Context, door, token, alias string) pdp.Answer {
	c := call.From(ctx)
	q := s.question(door, c.PEP, token, alias)
	a := s.decider.Decide(ctx, &q)
	c.Note(a.LogAttrs()...)
	if a.Reason == policy.PermissionUnknown {
		a = s.unknown(ctx, &q, a)
	}
	if a.Reason == policy.DeniedByGrant { // only an alias that there is can be denied: this too is said by the record alone
		a.Reason, a.Missing, a.Grants = policy.NoGrant, []string{q.Permission}, nil
	}
	if a.Allowed() && !proven(&a) {
		a.Effect, a.Reason = policy.Deny, policy.Internal
	}
	return a
}

func (s *Server) question(door, pep, token, alias string) pdp.Question {
	q := pdp.Question{Door: door, PEP: pep, API: s.roles.api, Permission: permissionPrefix + alias, Token: token}
	if r := s.roles.byAlias[alias]; r != nil {
		q.Resource = r.arn
	}
	return q
}

// unknown answers for an alias that nobody declared as for one without a grant. Otherwise callers, and even those without a
// token, since a permission is looked up before the token is proven, would learn which aliases there are. The record keeps
// the exact reason.
func (s *Server) unknown(ctx context.Context, q *pdp.Question, a pdp.Answer) pdp.Answer {
	_, _, proof := s.decider.Permissions(ctx, &pdp.Question{Door: doorAsk, PEP: q.PEP, API: q.API, Token: q.Token})
	if !proof.Allowed() {
		return proof
	}
	a.Reason, a.Missing, a.Caller = policy.NoGrant, []string{q.Permission}, proof.Caller
	return a
}

// decision translates an answer. None may be kept: credentials are asked for anew.
func (s *Server) decision(a *pdp.Answer) *verdictv1.CheckResponse {
	resp := s.respond(a)
	resp.Ttl = nil
	return resp
}

// ListTargets returns the aliases that the caller may use now.
func (s *Server) ListTargets(ctx context.Context, req *verdictv1.ListTargetsRequest) (*verdictv1.ListTargetsResponse, error) {
	c := call.From(ctx)
	held, conditional, a := s.decider.Permissions(ctx, &pdp.Question{Door: doorAsk, PEP: c.PEP, API: s.roles.api, Token: req.GetToken()})
	c.Note(a.LogAttrs()...)
	resp := &verdictv1.ListTargetsResponse{Decision: s.decision(&a)}
	usable := s.known(held)
	if open := s.known(conditional); len(open) > 0 { // conditions may read the role: each is a question of its own
		qs := make([]pdp.Question, len(open))
		for i, alias := range open {
			qs[i] = s.question(doorAsk, c.PEP, req.GetToken(), alias)
		}
		answers := s.decider.DecideAll(ctx, qs)
		for i := range answers {
			if answers[i].Allowed() {
				usable = append(usable, open[i])
			}
		}
	}
	slices.Sort(usable)
	for _, alias := range usable {
		r := s.roles.byAlias[alias]
		resp.Targets = append(resp.Targets, &verdictv1.Target{Alias: alias, Description: r.description, MaxDuration: durationpb.New(r.longest)})
	}
	return resp, nil
}

// known are the aliases of the file among permissions.
func (s *Server) known(permissions []string) (aliases []string) {
	for _, p := range permissions {
		if alias, ok := strings.CutPrefix(p, permissionPrefix); ok && s.roles.byAlias[alias] != nil {
			aliases = append(aliases, alias)
		}
	}
	return aliases
}
