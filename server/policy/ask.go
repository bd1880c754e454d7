package policy

// Question is a question without its request, as records keep it: who, through which subjects, for what.
type Question struct {
	API        *CompiledAPI
	Route      *CompiledRoute // nil: Permission is asked for
	Permission string
}

// ResolveSubjects appends to into those of the subjects, written as in grants, that have grants in a, each once. The result
// is for questions to a of s alone. A text that is no subject has none.
func (s *Snapshot) ResolveSubjects(a *CompiledAPI, subjects []string, into []SubjectRef) []SubjectRef {
	first := len(into)
	for _, text := range subjects {
		subject, wrong := parseSubject(text)
		if wrong != "" {
			continue
		}
		if ref, ok := a.grants.lookup(subject.hash(), subject.Kind, subject.Scope, subject.ID); ok {
			into = append(into, ref)
		}
	}
	return into[:first+dropRepeats(into[first:])]
}

// Ask answers q as far as that goes without its request: the answer with all conditions at their worst for the caller, that
// of the route included, and the one with all of them at their best. A condition took part in one that is Volatile; the two
// are the same when none did. Nothing of the request in in is looked at.
func (s *Snapshot) Ask(q Question, in Input) (worst, best Outcome) {
	return s.ask(q, in, AssumeWorst), s.ask(q, in, AssumeBest)
}

func (s *Snapshot) ask(q Question, in Input, assume Assumption) Outcome {
	in.Assume = assume
	if q.Route == nil {
		return s.EvaluatePermission(q.API, q.Permission, &in, new(Scratch), nil)
	}
	bare := *q.Route
	bare.condition = nil // it would ask for the request
	out := s.EvaluateRoute(q.API, &bare, &in, new(Scratch), nil)
	if q.Route.condition == nil || out.Effect != Allow || q.Route.facts.Requirement == RequirePublic {
		return out
	}
	if assume == AssumeWorst {
		out = Outcome{Reason: ConditionNotMet, Until: out.Until}
	}
	out.Volatile = true
	return out
}
