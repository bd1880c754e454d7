package trail

import (
	"fmt"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// steps says why, a sentence a step, in the order in which it was decided.
func (e *explanation) steps() []string {
	failed := e.failedAt()
	var all []string
	for _, step := range []struct {
		at  stage
		say func(passed bool) []string
	}{
		{stageCall, e.sayCall}, {stageRequest, e.sayRequest}, {stagePolicy, e.sayPolicy}, {stageTarget, e.sayTarget}, {stageToken, e.sayToken},
		{stageRevoked, e.sayRevoked}, {stageSignIn, e.saySignIn}, {stageGroups, e.sayGroups}, {stageGrants, e.sayGrants},
	} {
		if step.at > failed || e.reason == policy.AllowedPublic && step.at > stageTarget {
			break
		}
		all = append(all, step.say(step.at < failed)...)
	}
	return append(all, e.sayEnd()...)
}

// because is the reason with what the record tells beside it.
func (e *explanation) because() string {
	if e.record.Detail == "" {
		return e.reason.String()
	}
	return e.reason.String() + " (" + e.record.Detail + ")"
}

func (e *explanation) sayCall(passed bool) []string {
	if passed {
		return nil
	}
	return one("The caller left too little time to decide: %s.", e.because())
}

func (e *explanation) sayRequest(passed bool) []string {
	d := e.record
	switch {
	case !passed:
		return one("The request could be read in two ways, or in none, and was refused: %s.%s", e.because(), e.path())
	case d.Method == "" && len(d.Permissions) > 0 && d.Resource != "":
		return one("The question was for permission %s on resource %s.", d.Permissions[0], d.Resource)
	case d.Method == "" && len(d.Permissions) > 0:
		return one("The question was for permission %s.", d.Permissions[0])
	case d.Method == "":
		return one("The question was about the caller.")
	case d.Host == "":
		return one("The request, %s, was canonical.%s", d.Method, e.path())
	}
	return one("The request, %s on host %s, was canonical.%s", d.Method, d.Host, e.path())
}

// path is the raw path, when there is one.
func (e *explanation) path() string {
	if e.record.RawPath == "" {
		return ""
	}
	return " Its path was " + e.record.RawPath + "."
}

func (e *explanation) sayPolicy(passed bool) []string {
	switch {
	case !passed:
		return one("There was no policy to decide on: %s.", e.because())
	case e.record.Revision == 0:
		return nil
	}
	return one("It was decided on revision %d of the policy.", e.record.Revision)
}

func (e *explanation) sayTarget(passed bool) []string {
	d := e.record
	var all []string
	if d.API != "" {
		all = one("It was for api %s%s.", d.API, e.still(e.api == nil, e.apiRevision()))
	}
	switch {
	case passed && d.Route != "":
		all = append(all, fmt.Sprintf("Its route was %s, %s%s.", d.Route, d.Template, e.still(e.route == nil, e.routeRevision())))
		if e.reason == policy.AllowedPublic {
			all = append(all, "The route is public: nobody needs to be known.")
		}
	case passed:
	case e.reason == policy.APIUnknown:
		all = append(all, fmt.Sprintf("No api has that host or id: %s.", e.because()))
	case e.reason == policy.RouteUnknown:
		all = append(all, fmt.Sprintf("No route of the api takes it: %s.", e.because()))
	case e.reason == policy.PermissionUnknown:
		all = append(all, fmt.Sprintf("The api does not declare the permission: %s.", e.because()))
	default:
		all = append(all, fmt.Sprintf("It was refused for its form: %s.", e.because()))
	}
	return all
}

func (e *explanation) apiRevision() uint64 {
	if e.api == nil {
		return 0
	}
	return e.api.Revision
}

func (e *explanation) routeRevision() uint64 {
	if e.route == nil {
		return 0
	}
	return e.route.Revision
}

// still says what became of a fact since.
func (e *explanation) still(gone bool, revision uint64) string {
	switch {
	case gone:
		return ", which is gone since"
	case revision > e.record.Revision:
		return fmt.Sprintf(", which was changed since, in revision %d", revision)
	}
	return ""
}

func (e *explanation) sayToken(passed bool) []string {
	d := e.record
	if !passed && !e.proven() {
		if e.reason == policy.Internal {
			return nil
		}
		return one("No caller was proven: %s.", e.because())
	}
	kind := policy.PrincipalKind(d.PrincipalKind).String()                                 //nolint:gosec // a small enumeration
	if policy.PrincipalKind(d.PrincipalKind) == policy.PrincipalUser && d.ClientID != "" { //nolint:gosec // as above
		return one("The token proved %s %s of tenant %s, through client %s.", kind, d.PrincipalID, d.TenantID, d.ClientID)
	}
	return one("The token proved %s %s of tenant %s.", e.kind(), d.PrincipalID, d.TenantID)
}

func (e *explanation) sayRevoked(passed bool) []string {
	switch {
	case passed:
		return one("No revocation named it.")
	case e.reason == policy.RevocationStale:
		return one("Whether it was revoked was not known: %s.", e.because())
	}
	return one("It was revoked: %s.", e.because())
}

func (e *explanation) saySignIn(passed bool) []string {
	if passed {
		return nil
	}
	return one("The sign-in behind it does not do for the route: %s.", e.because())
}

func (e *explanation) sayGroups(passed bool) []string {
	d := e.record
	if !passed {
		return one("The caller's groups could not be found out, and a missing one may be what a deny names: %s.", e.because())
	}
	var all []string
	switch {
	case e.reason == policy.AllowedAuthenticated:
	case len(d.Subjects) == 0:
		all = one("The record names no subject of the caller that had grants in the api.")
	default:
		all = one("Of what the caller is and is in, this had grants in the api: %s.", strings.Join(d.Subjects, ", "))
	}
	if !e.canAsk() {
		return all
	}
	all = append(all, "Of the caller's groups and roles the record names no others: a grant given since to another of the caller's groups is not seen in today's answer.")
	if pseudonymous(d) {
		all = append(all, "The record names the user by a pseudonym: a grant to that user alone is not seen in today's answer either.")
	}
	return all
}

func (e *explanation) sayGrants(passed bool) []string {
	d := e.record
	if !e.canAsk() {
		return nil
	}
	var all []string
	switch {
	case e.reason == policy.AllowedAuthenticated:
		return one("The route needs a proven caller and no permission.")
	case d.Route != "" && len(d.Permissions) > 0:
		all = one("The route needed %s.", strings.Join(d.Permissions, ", "))
	}
	for _, g := range e.grants {
		all = append(all, e.sayGrant(g))
	}
	if more := len(d.Grants) - len(e.grants); more > 0 {
		all = append(all, fmt.Sprintf("So did %d further grants.", more))
	}
	if passed {
		if len(d.Scopes) > 0 {
			all = append(all, fmt.Sprintf("The token's scopes that the api knows, %s, carry it.", strings.Join(d.Scopes, ", ")))
		}
		return all
	}
	return append(all, e.sayLack()...)
}

// sayGrant is what a grant that decided did, to whom, and what became of it.
func (e *explanation) sayGrant(g storedGrant) string {
	did := "allowed it"
	if !e.record.Allowed {
		did = "forbade it"
	}
	subject := ""
	switch {
	case len(e.record.GrantSubjects) == 1:
		subject = " to " + e.record.GrantSubjects[0]
	case pseudonymous(e.record) && g.fact != nil && strings.HasPrefix(g.fact.Subject, "user:"):
		// It has the object id, which is for those who may read the policy, and not for all who may read records.
		subject = " to a single user"
	case g.fact != nil && g.fact.Revision <= e.record.Revision:
		subject = " to " + g.fact.Subject
	}
	if g.fact == nil {
		return fmt.Sprintf("Grant %s%s %s; it was deleted since.", g.id, subject, did)
	}
	if g.fact.Revision > e.record.Revision {
		return fmt.Sprintf("Grant %s%s %s; it was changed since, in revision %d.", g.id, subject, did, g.fact.Revision)
	}
	return fmt.Sprintf("Grant %s%s %s; it still is there.", g.id, subject, did)
}

// sayLack is what the caller lacked.
func (e *explanation) sayLack() []string {
	d := e.record
	missing := "what was asked for"
	if len(d.Missing) > 0 {
		missing = strings.Join(d.Missing, ", ")
	}
	switch e.reason { //nolint:exhaustive // the others are said elsewhere
	case policy.NoGrant:
		return one("No grant gave the caller %s.", missing)
	case policy.ScopeInsufficient:
		if len(d.Scopes) == 0 {
			return one("The caller has a grant, but no scope of its token carries %s.", missing)
		}
		return one("The caller has a grant, but the scopes of its token, %s, do not carry %s.", strings.Join(d.Scopes, ", "), missing)
	case policy.ActorNotPermitted:
		return one("The caller has a grant, but client %s may not use %s for a user.", d.ClientID, missing)
	case policy.ConditionNotMet:
		return one("The caller has a grant, but the condition of the route did not hold.")
	}
	return nil
}

func (e *explanation) sayEnd() []string {
	d := e.record
	end := "So it was denied: "
	if d.Allowed {
		end = "So it was allowed: "
	}
	all := one("%s%s, on %s.", end, e.because(), d.At.Format(time.RFC3339Nano))
	if d.Repeats > 0 {
		all = append(all, fmt.Sprintf("%d further decisions like it, in the second that followed, were counted with it.", d.Repeats))
	}
	return all
}

func one(format string, args ...any) []string { return []string{fmt.Sprintf(format, args...)} }

// pseudonymous says whether the record names its user by a pseudonym.
func pseudonymous(d *store.Decision) bool { return strings.HasPrefix(d.PrincipalID, "p.") }
