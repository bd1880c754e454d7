package policy

import "slices"

// Resolve appends to into those subjects of p that have grants in a, each once. The result is for questions to a of s
// alone. A principal of unknown kind has no subjects.
func (s *Snapshot) Resolve(a *CompiledAPI, p *Principal, into []SubjectRef) []SubjectRef {
	t := a.grants
	if t.n == 0 || p == nil || p.Kind != PrincipalUser && p.Kind != PrincipalApp {
		return into
	}
	first := len(into)
	tenant := scopeHash(p.TenantID)
	add := func(kind SubjectKind, scope uint64, scopeText, id string) {
		if ref, ok := t.lookup(subjectHash(kind, scope, id), kind, scopeText, id); ok {
			into = append(into, ref)
		}
	}
	if p.Kind == PrincipalUser {
		add(User, tenant, p.TenantID, p.ObjectID)
	} else {
		add(App, tenant, p.TenantID, p.ObjectID)
		add(App, tenant, p.TenantID, p.ClientID)
	}
	for _, g := range p.Groups {
		add(Group, tenant, p.TenantID, g)
	}
	if len(p.Roles) > 0 {
		api := scopeHash(a.facts.ID)
		for _, r := range p.Roles {
			add(AppRole, api, a.facts.ID, r)
		}
	}
	none := scopeHash("")
	for _, w := range p.WIDs {
		add(WID, none, "", w)
	}
	add(Tenant, none, "", p.TenantID)
	return into[:first+dropRepeats(into[first:])]
}

// dropRepeats moves each ref once to the front and returns how many there are. It sorts: runs that lie side by side are
// then read in that order.
func dropRepeats(refs []SubjectRef) int {
	slices.Sort(refs)
	return len(slices.Compact(refs))
}
