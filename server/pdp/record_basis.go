package pdp

import (
	"net/netip"
	"slices"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// subjectsLimit is the promise of verdict.v1.DecisionRecord.
const subjectsLimit = 256

// basis is what a decision was made on, as far as its record tells of it. The zero value tells nothing. Its lists are used
// again by the next decision, since who keeps a record copies it.
type basis struct {
	api  *policy.CompiledAPI // nil: none was found
	snap *policy.Snapshot    // of the subjects; nil: the question did not come to the grants

	subjects, scopes, grantSubjects []string
}

// resolve turns a caller into its subjects in api, and keeps in mind that these are asked about.
func (s *scratch) resolve(snap *policy.Snapshot, api *policy.CompiledAPI, who *policy.Principal) []policy.SubjectRef {
	s.subjects = snap.Resolve(api, who, s.subjects[:0])
	s.basis.api, s.basis.snap = api, snap
	return s.subjects
}

// tell adds to d what a was decided on, and returns what the api asks for its records.
func (b *basis) tell(refs []policy.SubjectRef, a *Answer, d *store.Decision) policy.Keeping {
	if b.api == nil {
		return policy.Keeping{}
	}
	if c := a.Caller; c != nil && c.Principal.Kind == policy.PrincipalUser {
		b.scopes = sortedOnce(b.api.AppendKnownScopes(c.Principal.Scopes, b.scopes))
		d.Scopes = b.scopes
	}
	if b.snap != nil {
		b.subjects = sortedOnce(b.snap.AppendSubjects(b.api, refs, b.subjects))
		d.Subjects = b.subjects[:min(len(b.subjects), subjectsLimit)]
		for _, id := range a.Grants {
			if subject, ok := b.snap.SubjectOfGrant(id); ok {
				b.grantSubjects = append(b.grantSubjects, subject)
			}
		}
		b.grantSubjects = sortedOnce(b.grantSubjects)
		d.GrantSubjects = b.grantSubjects
	}
	return b.api.Facts().Keeping
}

// forget lets go of everything but the room of the lists, which must not hold a policy in memory that is no longer in use.
func (b *basis) forget() {
	for _, list := range []*[]string{&b.subjects, &b.scopes, &b.grantSubjects} {
		clear(*list)
		*list = (*list)[:0]
	}
	b.api, b.snap = nil, nil
}

func sortedOnce(texts []string) []string {
	if len(texts) < 2 {
		return texts
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// addressOf is the text of an address, in the one spelling that it has; empty for none. A zone means something to one machine
// only.
func addressOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}
