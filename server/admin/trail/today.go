package trail

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
)

// today is what the policy says now, and what differs from then. There is no outcome when this replica has no policy.
func (e *explanation) today(ctx context.Context, from Store, snap *policy.Snapshot, now time.Time) (*verdictv1.Outcome, []string, error) {
	if snap == nil {
		return nil, []string{"What today's policy would say is not known: this replica has none."}, nil
	}
	worst, best := e.ask(snap, now)
	outcome := &verdictv1.Outcome{
		Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason(worst.Reason), Revision: snap.Revision(),
		Grants: worst.Grants, MissingPermissions: worst.Missing, Conditional: worst.Volatile || best.Volatile,
	}
	if worst.Effect == policy.Allow {
		outcome.Effect = verdictv1.Effect_EFFECT_ALLOW
	}
	fresh, err := e.fresh(ctx, from, worst, best)
	if err != nil {
		return nil, nil, err
	}
	return outcome, e.differences(worst, best, fresh, now), nil
}

// fresh reads the grants that decide today and not then, at most maxGrants.
func (e *explanation) fresh(ctx context.Context, from Store, worst, best policy.Outcome) ([]storedGrant, error) {
	ids := slices.Concat(worst.Grants, best.Grants)
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return slices.Contains(e.record.Grants, id) })
	return grantsOf(ctx, from, ids)
}

// ask asks the question of the record again, with conditions at their worst and at their best for the caller.
func (e *explanation) ask(snap *policy.Snapshot, now time.Time) (worst, best policy.Outcome) {
	d := e.record
	q := policy.Question{API: snap.APIByID(d.API)}
	if q.API == nil {
		return policy.Outcome{Reason: policy.APIUnknown}, policy.Outcome{Reason: policy.APIUnknown}
	}
	if d.Route != "" {
		i := slices.IndexFunc(q.API.Routes(), func(r *policy.CompiledRoute) bool { return r.ID() == d.Route })
		if i < 0 {
			return policy.Outcome{Reason: policy.RouteUnknown}, policy.Outcome{Reason: policy.RouteUnknown}
		}
		q.Route = q.API.Routes()[i]
	} else {
		q.Permission = d.Permissions[0]
	}
	p := policy.Principal{
		Kind: e.kind(), TenantID: d.TenantID, ObjectID: d.PrincipalID, ClientID: d.ClientID, Scopes: d.Scopes,
	}
	// What the caller is by itself is known whether it had grants then or not; of its groups only those that had.
	subjects := snap.ResolveSubjects(q.API, d.Subjects, snap.Resolve(q.API, &p, nil))
	slices.Sort(subjects)
	return snap.Ask(q, policy.Input{Now: now, Principal: &p, Subjects: slices.Compact(subjects)})
}

// differences says what differs between then and now, a sentence each.
func (e *explanation) differences(worst, best policy.Outcome, fresh []storedGrant, now time.Time) []string {
	return slices.Concat(e.answerDiffers(worst, best), e.factsDiffer(), e.grantsDiffer(worst, best, now), e.freshDiffer(worst, best, fresh))
}

// answerDiffers compares effect and reason. An answer that rests on a condition is the same when it can be.
func (e *explanation) answerDiffers(worst, best policy.Outcome) []string {
	same := func(o policy.Outcome) bool {
		return (o.Effect == policy.Allow) == e.record.Allowed && o.Reason == e.reason
	}
	if same(worst) || same(best) {
		return nil
	}
	then := fmt.Sprintf("It was %s with %s", answered(e.record.Allowed), e.reason)
	if worst.Effect == best.Effect && worst.Reason == best.Reason {
		return one("%s; today it would be %s with %s.", then, answered(worst.Effect == policy.Allow), worst.Reason)
	}
	return one("%s; today it would be %s with %s if conditions hold in the caller's favour, and %s with %s if not.",
		then, answered(best.Effect == policy.Allow), best.Reason, answered(worst.Effect == policy.Allow), worst.Reason)
}

func answered(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

// factsDiffer says what became of api and route.
func (e *explanation) factsDiffer() []string {
	d := e.record
	switch {
	case e.api == nil:
		return one("Api %s is gone.", d.API)
	case d.Route != "" && e.route == nil:
		return one("Route %s of api %s is gone.", d.Route, d.API)
	}
	var all []string
	if e.api.Revision > d.Revision {
		all = one("Api %s was changed since, in revision %d.", d.API, e.api.Revision)
	}
	if d.Route == "" || e.route.Revision <= d.Revision {
		return all
	}
	all = append(all, fmt.Sprintf("Route %s was changed since, in revision %d.", d.Route, e.route.Revision))
	if needs := e.route.Permissions; !sameSet(needs, d.Permissions) {
		all = append(all, fmt.Sprintf("The route needed %s and needs %s today.", listed(d.Permissions), listed(needs)))
	}
	return all
}

func sameSet(a, b []string) bool {
	in := func(list []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(list, s) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

func listed(permissions []string) string {
	if len(permissions) == 0 {
		return "no permission"
	}
	return strings.Join(permissions, ", ")
}

// grantsDiffer says what became of the grants that decided.
func (e *explanation) grantsDiffer(worst, best policy.Outcome, now time.Time) []string {
	var all []string
	for _, g := range e.grants {
		switch {
		case g.fact == nil:
			all = append(all, fmt.Sprintf("Grant %s was deleted.", g.id))
		case g.fact.Revision > e.record.Revision:
			all = append(all, fmt.Sprintf("Grant %s was changed since, in revision %d.", g.id, g.fact.Revision))
		case !g.fact.ExpiresAt.IsZero() && !g.fact.ExpiresAt.After(now):
			all = append(all, fmt.Sprintf("Grant %s ended on %s.", g.id, g.fact.ExpiresAt.Format(time.RFC3339)))
		case !slices.Contains(worst.Grants, g.id) && !slices.Contains(best.Grants, g.id):
			all = append(all, fmt.Sprintf("Grant %s is as it was and does not decide today.", g.id))
		}
	}
	return all
}

// freshDiffer says which other grants decide today. One that may, by its condition, is only told when it is new: whether the
// condition of an old one held then is not known.
func (e *explanation) freshDiffer(worst, best policy.Outcome, fresh []storedGrant) []string {
	var all []string
	for _, g := range fresh {
		since := g.fact != nil && g.fact.Revision > e.record.Revision
		certain := worst.Effect == best.Effect && slices.Contains(worst.Grants, g.id) && slices.Contains(best.Grants, g.id)
		switch {
		case certain && since:
			all = append(all, fmt.Sprintf("Grant %s, made or changed in revision %d, decides today.", g.id, g.fact.Revision))
		case certain:
			all = append(all, fmt.Sprintf("Grant %s decides today and did not then.", g.id))
		case since:
			all = append(all, fmt.Sprintf("Grant %s, made or changed in revision %d, may decide today: that depends on a condition.", g.id, g.fact.Revision))
		}
	}
	return all
}
