package pdp

import (
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
	"github.com/verdict-authz/verdict/store"
)

// rawPathLimit is how much of a path that could not be matched is kept, escaped.
const rawPathLimit = 512

// keep records a; when that fails, a becomes a deny, since a decision without a record is not given.
func (p *PDP) keep(q *Question, s *scratch, a *Answer, took time.Duration) {
	d := store.Decision{
		ID: a.ID, At: a.At.Truncate(time.Microsecond), Allowed: a.Allowed(), Reason: int16(a.Reason), Detail: a.Detail,
		Revision: a.Revision, API: a.API, Route: a.Route, Template: a.Template, Permissions: a.Permissions,
		Missing: a.Missing, Resource: q.Resource, Grants: a.Grants, Door: q.Door, PEP: q.PEP, Took: took,
		SourceIP: addressOf(q.SourceIP),
	}
	if c := a.Caller; c != nil {
		d.PrincipalKind = int16(c.Principal.Kind)
		d.TenantID, d.PrincipalID, d.ClientID = c.Principal.TenantID, c.Principal.ObjectID, c.Principal.ClientID
		d.TokenID = c.TokenID
		d.AgentParent, d.AgentFacets = c.Agent.Parent, agentFacets(&c.Agent)
	}
	if q.HTTP != nil {
		describe(q.HTTP, s, a, &d)
	}
	if err := p.recorder.Record(d, s.basis.tell(s.subjects, a, &d)); err != nil {
		*a = Answer{ID: a.ID, At: a.At, Revision: a.Revision, API: a.API, Route: a.Route, Caller: a.Caller, anonymous: p.anonymous}
		a.deny(policy.AuditUnavailable, "")
	}
}

// describe adds what is kept of a request: canonical fields when it has them; the raw path, escaped and cut, only when it
// was malformed or no route tells its shape.
func describe(raw *request.Raw, s *scratch, a *Answer, d *store.Decision) {
	if !malformed(a.Reason) {
		d.Method, d.Host, d.RequestID = s.canonical.Method.String(), s.canonical.Host, s.canonical.RequestID
	}
	if a.Route == "" {
		d.RawPath = request.EscapeRaw(pathOf(raw.Target), rawPathLimit)
	}
}

// malformed says whether the canonical form may be half made or of an earlier request.
func malformed(r policy.Reason) bool {
	switch r { //nolint:exhaustive // only these come before or out of the canonical form
	case policy.RequestMalformed, policy.HeaderAmbiguous, policy.DeadlineTooShort, policy.Internal:
		return true
	}
	return false
}

// pathOf is what may be kept of a target. What may hold secrets is cut: the query, which begins at the first '?', the name and
// password before the host of an absolute form, and the parameters of segments, such as ;jsessionid=….
func pathOf(target string) string {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	target = withoutUserinfo(target)
	if strings.IndexByte(target, ';') < 0 {
		return target
	}
	target = target[:min(len(target), 8*rawPathLimit)] // more than is kept, whatever is cut
	segments := strings.SplitAfter(target, "/")
	for i, segment := range segments {
		name, _, found := strings.Cut(segment, ";")
		if !found {
			continue
		}
		segments[i] = name + ";" // that there were some is worth knowing
		if strings.HasSuffix(segment, "/") {
			segments[i] += "/"
		}
	}
	return strings.Join(segments, "")
}

// withoutUserinfo cuts what stands before the last '@' of an authority, which begins behind two slashes: those at the start
// or those of a scheme.
func withoutUserinfo(target string) string {
	before, rest, found := strings.Cut(target, "//")
	if !found || strings.IndexByte(before, '/') >= 0 {
		return target
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return target
	}
	return before + "//" + rest[at+1:]
}
