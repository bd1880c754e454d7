package policy

// AppendSubjects appends to into the texts of subjects of a, as Resolve returned them.
func (s *Snapshot) AppendSubjects(a *CompiledAPI, refs []SubjectRef, into []string) []string {
	for _, ref := range refs {
		into = append(into, a.grants.subject(ref))
	}
	return into
}

// SubjectOfGrant returns the subject that a grant names, by the id of the grant.
func (s *Snapshot) SubjectOfGrant(id string) (subject string, ok bool) {
	at, ok := s.findGrant(id)
	if !ok {
		return "", false
	}
	return s.apis[at.api].grants.subjectOf(at.subject, id), true
}

// AppendKnownScopes appends to into those of the scopes that a has rules for.
func (a *CompiledAPI) AppendKnownScopes(scopes, into []string) []string {
	for _, scope := range scopes {
		if _, ok := a.scopes[scope]; ok {
			into = append(into, scope)
		}
	}
	return into
}

// subjectOf returns the subject, of that hash, of a grant that the table holds.
func (t *grantTable) subjectOf(hash uint64, grant string) string {
	s, found := t.at(hash), ""
	mask := uint64(len(s.index.slots) - 1) //nolint:gosec // G115: a length is not negative
	for i := hash & mask; s.index.slots[i].start != 0; i = (i + 1) & mask {
		sl := s.index.slots[i]
		if sl.print != fingerprint(hash) {
			continue
		}
		head := s.entries[sl.start-1]
		if found == "" || s.runHolds(sl.start, head.pattern, grant) { // to look is only needed when fingerprints are alike
			found = s.index.subjects[head.grant]
		}
	}
	return found
}

// runHolds says whether a grant is among n entries.
func (s *shard) runHolds(first, n uint32, grant string) bool {
	for _, en := range s.entries[first : first+n] {
		if s.grants[en.grant&entryGrant].id == grant {
			return true
		}
	}
	return false
}
