package policy_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
)

// VERDICT_TEST_SEED replays the one policy of that seed, VERDICT_TEST_TIMES makes so many times the usual number.
const (
	envSeed  = "VERDICT_TEST_SEED"
	envTimes = "VERDICT_TEST_TIMES"
)

// seeds are those of the policies that a test makes: n, unless the environment says otherwise; replay: it names one.
func seeds(t *testing.T, n uint64) (first, last uint64, replay bool) {
	t.Helper()
	if v := os.Getenv(envSeed); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", envSeed, err)
		}
		return seed, seed, true
	}
	if v := os.Getenv(envTimes); v != "" {
		times, err := strconv.ParseUint(v, 10, 16)
		if err != nil || times == 0 {
			t.Fatalf("%s=%s: a number from 1 is needed", envTimes, v)
		}
		n *= times
	}
	return 1, n, false
}

// engine is a snapshot together with what one goroutine needs to ask it.
type engine struct {
	snapshot   *policy.Snapshot
	conditions *conditions
	subjects   []policy.SubjectRef
	scratch    policy.Scratch
	params     policy.Params
}

// ask puts the question as the decision does, first the route, then the rest. What it returns of the outcome lives
// until the next question. found is false when no route matches; then nothing was evaluated.
func (e *engine) ask(q question, tr *policy.Trace) (out policy.Outcome, route policy.RouteKey, params []param, found bool) {
	a := e.snapshot.APIByID(q.api)
	in := q.input()
	if in.Principal != nil {
		e.subjects = e.snapshot.Resolve(a, in.Principal, e.subjects[:0])
		in.Subjects = e.subjects
	}
	if q.permission != "" {
		return e.snapshot.EvaluatePermission(a, q.permission, &in, &e.scratch, tr), route, nil, true
	}
	m, ok := request.ParseMethod(q.method)
	if !ok {
		panic("no method: " + q.method)
	}
	e.params.Reset()
	r := a.Match(m, q.path, &e.params)
	if r == nil {
		return out, route, nil, false
	}
	for i := range e.params.Len() {
		params = append(params, param{e.params.Name(i), e.params.Value(i)})
	}
	in.Params = &e.params
	route = policy.RouteKey{API: r.Facts().API, ID: r.Facts().ID}
	return e.snapshot.EvaluateRoute(a, r, &in, &e.scratch, tr), route, params, true
}

// expect is what the reference says to the question.
func (m *reference) expect(q question) (out answer, route policy.RouteKey, params []param, found bool) {
	i := slices.IndexFunc(m.facts.APIs, func(a policy.API) bool { return a.ID == q.api })
	in := q.input()
	if q.permission != "" {
		return m.named(m.facts.APIs[i], q.permission, &in), route, nil, true
	}
	r, params := m.match(q.api, q.method, q.path)
	if r == nil {
		return out, route, nil, false
	}
	return m.route(m.facts.APIs[i], *r, &in), policy.RouteKey{API: r.API, ID: r.ID}, params, true
}

// differ says in what engine and reference disagree about the question; "" is nothing.
func differ(e *engine, m *reference, q question, tr *policy.Trace) string {
	want, wantRoute, wantParams, wantFound := m.expect(q)
	before := e.conditions.reads.Load()
	got, route, params, found := e.ask(q, tr)
	read := e.conditions.reads.Load() > before

	var all []string
	check := func(same bool, what string, got, want any) {
		if !same {
			all = append(all, fmt.Sprintf("%s is %v, must be %v", what, got, want))
		}
	}
	check(found == wantFound && route == wantRoute, "route", route, wantRoute)
	check(slices.Equal(params, wantParams), "params", params, wantParams)
	check(got.Effect == want.Effect, "effect", got.Effect, want.Effect)
	check(got.Reason == want.Reason || !wantFound, "reason", got.Reason, want.Reason)
	check(slices.Equal(got.Grants, want.Grants), "grants", got.Grants, want.Grants)
	check(slices.Equal(got.Missing, want.Missing), "missing", got.Missing, want.Missing)
	check(got.Until.Equal(want.Until), "until", got.Until, want.Until)
	// Which conditions need to be read to know the answer is the engine's affair, as long as it reads no other and says so.
	check(got.Volatile == read, "volatile", got.Volatile, read)
	check(!read || want.Volatile, "a condition was read", read, want.Volatile)
	return strings.Join(all, "; ")
}

// compiled makes an engine of facts that have to be valid.
func compiled(t *testing.T, f policy.Facts) *engine {
	t.Helper()
	c := &conditions{}
	s, err := policy.Compile(f, c.compile)
	if err != nil {
		t.Fatalf("a valid policy is refused: %v\n%s", err, dump(f))
	}
	return &engine{snapshot: s, conditions: c}
}

// problemsOf is what an error of Compile or Apply reports; none: it is no such error.
func problemsOf(err error) []policy.Problem {
	var invalid *policy.InvalidError
	if !errors.Is(err, policy.ErrInvalid) || !errors.As(err, &invalid) {
		return nil
	}
	return invalid.Problems
}

// smallest takes grants and routes out of the facts as long as engine and reference still disagree about the question.
func smallest(f policy.Facts, q question) (policy.Facts, string) {
	differs := func(f policy.Facts) string {
		c := &conditions{}
		s, err := policy.Compile(f, c.compile)
		if err != nil {
			return ""
		}
		return differ(&engine{snapshot: s, conditions: c}, &reference{f, &conditions{}}, q, nil)
	}
	said := differs(f)
	for i := len(f.Grants) - 1; i >= 0; i-- {
		less := f
		less.Grants = slices.Delete(slices.Clone(f.Grants), i, i+1)
		if s := differs(less); s != "" {
			f, said = less, s
		}
	}
	for i := len(f.Routes) - 1; i >= 0; i-- {
		less := f
		less.Routes = slices.Delete(slices.Clone(f.Routes), i, i+1)
		if s := differs(less); s != "" {
			f, said = less, s
		}
	}
	return f, said
}

// dump writes facts for a person, one a line.
func dump(f policy.Facts) string {
	var b strings.Builder
	for _, a := range f.APIs {
		fmt.Fprintf(&b, "  api %+v\n", a)
	}
	for _, r := range f.Routes {
		fmt.Fprintf(&b, "  route %+v\n", r)
	}
	for _, g := range f.Grants {
		fmt.Fprintf(&b, "  grant %+v\n", g)
	}
	return b.String()
}
