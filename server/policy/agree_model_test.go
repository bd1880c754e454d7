package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// atLeast is how many decisions a run must compare to count.
const atLeast = 100_000

// The engine answers every question as the reference does: compiled whole, and reached through deltas.
func TestEngineAgreesWithReference(t *testing.T) {
	first, last, replay := seeds(t, 1600)
	var tally tally
	for seed := first; seed <= last && !t.Failed(); seed++ {
		tally.add(agree(t, seed))
	}
	tally.log(t)
	if !replay {
		tally.require(t)
	}
}

// agree compares on the policy of a seed, and then on each of a chain of changes to it.
func agree(t *testing.T, seed uint64) tally {
	t.Helper()
	g := newGenerator(seed)
	m := &reference{g.facts(), &conditions{}}
	if found := faultsOf(m.facts); len(found) > 0 {
		t.Fatalf("seed %d: the generator made an invalid policy: %v", seed, found)
	}
	e := compiled(t, m.facts)
	n := tally{answers: map[string]int{}}
	n.ask(t, g, seed, e, m, 50)
	for range 6 {
		d := g.delta(m.facts)
		after := apply(m.facts, d)
		found := faultsOf(after)
		s, err := e.snapshot.Apply(d, e.conditions.compile)
		if (err != nil) != (len(found) > 0) {
			t.Fatalf("%s=%d: Apply says %v, the reference finds %v\n%s  delta %+v", envSeed, seed, err, found, dump(m.facts), d)
		}
		if err != nil {
			checkInvalid(t, seed, err, after, found)
			n.refused++
		} else {
			m.facts, e.snapshot = after, s
			n.applied++
			checkLists(t, seed, e.snapshot, m)
		}
		n.ask(t, g, seed, e, m, 8) // after a refusal, too: nothing may have changed
		if t.Failed() {
			t.Logf("the last delta, refused: %v, was %+v", err != nil, d)
			return n
		}
	}
	return n
}

// checkInvalid asks that a refusal is one that callers can tell, and that it names every fact that is at fault.
func checkInvalid(t *testing.T, seed uint64, err error, facts policy.Facts, found faults) {
	t.Helper()
	problems := problemsOf(err)
	if len(problems) == 0 {
		t.Fatalf("%s=%d: %T is no InvalidError that reports something: %v", envSeed, seed, err, err)
	}
	named := map[string]bool{}
	for _, p := range problems {
		named[p.Fact] = true
		if p.Fact == "" || p.Text == "" {
			t.Fatalf("%s=%d: a problem lacks fact or text: %+v", envSeed, seed, p)
		}
	}
	for fact, why := range found {
		if !named[fact] && !withAnother(why) && !(becauseOfAPI(why) && named["api/"+apiOf(facts, fact)]) {
			t.Fatalf("%s=%d: %s is at fault (%v) and not among the problems: %v", envSeed, seed, fact, why, problems)
		}
	}
}

// withAnother says that the fact is at fault only together with another, and so may go unnamed where that one is named.
func withAnother(why []string) bool {
	return !slices.ContainsFunc(why, func(w string) bool {
		return !strings.HasPrefix(w, faultTie) && w != faultHostTaken && w != faultIDTaken
	})
}

// becauseOfAPI says that nothing may be wrong with the fact once its api is in order.
func becauseOfAPI(why []string) bool {
	return !slices.ContainsFunc(why, func(w string) bool { return w != faultNoAPI && w != faultUndeclared && w != faultPattern })
}

// apiOf is the api of a route or grant.
func apiOf(facts policy.Facts, fact string) string {
	for _, r := range facts.Routes {
		if fact == "route/"+r.API+"/"+r.ID {
			return r.API
		}
	}
	for _, g := range facts.Grants {
		if fact == "grant/"+g.ID {
			return g.API
		}
	}
	return ""
}

// checkLists compares what is looked up rather than decided.
func checkLists(t *testing.T, seed uint64, s *policy.Snapshot, m *reference) {
	t.Helper()
	if s.Revision() != m.facts.Revision {
		t.Fatalf("%s=%d: revision is %d, must be %d", envSeed, seed, s.Revision(), m.facts.Revision)
	}
	for _, id := range apis {
		known := slices.ContainsFunc(m.facts.APIs, func(a policy.API) bool { return a.ID == id })
		if got := s.APIByID(id); (got != nil) != known {
			t.Fatalf("%s=%d: api %s is found: %v, must be %v", envSeed, seed, id, got != nil, known)
		}
	}
	for _, host := range allHosts {
		owner := ""
		for _, a := range m.facts.APIs {
			if slices.Contains(a.Hosts, host) {
				owner = a.ID
			}
		}
		got := ""
		if a := s.APIByHost(host); a != nil {
			got = a.Facts().ID
		}
		if got != owner {
			t.Fatalf("%s=%d: host %s is of api %q, must be of %q", envSeed, seed, host, got, owner)
		}
	}
	for _, a := range m.facts.APIs {
		for _, p := range declarers {
			if got, want := s.APIByID(a.ID).HasPermission(p), slices.Contains(a.Permissions, p); got != want {
				t.Fatalf("%s=%d: api %s has %s: %v, must be %v", envSeed, seed, a.ID, p, got, want)
			}
		}
		for _, p := range a.Permissions {
			var want []string
			for _, rule := range a.Scopes {
				if anyPattern(rule.Permissions, p) {
					want = append(want, rule.Scope)
				}
			}
			if got := s.APIByID(a.ID).ScopesFor(p, nil); !slices.Equal(got, want) {
				t.Fatalf("%s=%d: scopes that carry %s in %s are %v, must be %v", envSeed, seed, p, a.ID, got, want)
			}
		}
	}
}

// tally counts what was compared, so that a run that saw only one kind of answer does not pass for a good one.
type tally struct {
	compared, decided int // decided: a route was found, or a permission asked for
	applied, refused  int
	answers           map[string]int // by reason, and what else an answer can have
}

// ask compares n questions and stops at the first difference, with the smallest policy that shows it.
func (n *tally) ask(t *testing.T, g generator, seed uint64, e *engine, m *reference, count int) {
	t.Helper()
	for i := range count {
		q := g.question(m.facts)
		var tr *policy.Trace
		if i%8 == 7 {
			tr = new(policy.Trace) // an explanation changes nothing
		}
		said := differ(e, m, q, tr)
		if said == "" {
			n.count(m, q)
			continue
		}
		f, least := smallest(m.facts, q)
		if least == "" {
			least = "nothing when compiled whole: it takes the deltas, or the trace"
			f = m.facts
		}
		t.Errorf("%s=%d\n  %s\n%s\nleast policy that differs:\n%s  in: %s", envSeed, seed, q, said, dump(f), least)
		return
	}
}

func (n *tally) count(m *reference, q question) {
	n.compared++
	want, _, params, found := m.expect(q)
	if found {
		n.decided++
		n.answers[want.Reason.String()]++
	}
	for what, is := range map[string]bool{
		"no route": !found, "with params": len(params) > 0, "with until": !want.Until.IsZero(), "with a condition": want.Volatile,
		"with missing": len(want.Missing) > 0, "with two grants": len(want.Grants) > 1,
	} {
		if is {
			n.answers[what]++
		}
	}
}

func (n *tally) add(other tally) {
	n.compared, n.decided = n.compared+other.compared, n.decided+other.decided
	n.applied, n.refused = n.applied+other.applied, n.refused+other.refused
	if n.answers == nil {
		n.answers = map[string]int{}
	}
	for what, count := range other.answers {
		n.answers[what] += count
	}
}

func (n *tally) log(t *testing.T) {
	t.Helper()
	t.Logf("%d comparisons, %d of them of decisions; %d deltas applied, %d refused; answers: %v", n.compared, n.decided, n.applied, n.refused, n.answers)
}

// require fails a run that compared too little, or never met some kind of answer.
func (n *tally) require(t *testing.T) {
	t.Helper()
	if n.decided < atLeast {
		t.Errorf("%d comparisons of decisions, need %d", n.decided, atLeast)
	}
	for _, what := range []string{
		"ALLOWED_PUBLIC", "ALLOWED_AUTHENTICATED", "ALLOWED_BY_GRANT", "PERMISSION_UNKNOWN", "NO_GRANT", "DENIED_BY_GRANT",
		"SCOPE_INSUFFICIENT", "ACTOR_NOT_PERMITTED", "CONDITION_NOT_MET",
		"no route", "with params", "with until", "with a condition", "with missing", "with two grants",
	} {
		if n.answers[what] < n.compared/200 {
			t.Errorf("%s: %d of %d answers are too few to say anything", what, n.answers[what], n.compared)
		}
	}
	if n.applied < 1000 || n.refused < 100 {
		t.Errorf("%d deltas applied and %d refused are too few to say anything", n.applied, n.refused)
	}
}
