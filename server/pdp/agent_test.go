package pdp_test

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

const blueprint = "cccccccc-0001-4000-8000-000000000001"

// agents proves that alice's client is this agent.
type agents struct {
	verifier
	agent entra.Agent
}

func (v *agents) Verify(ctx context.Context, token string, want entra.Expect) (*entra.Token, entra.Refusal) {
	caller, refusal := v.verifier.Verify(ctx, token, want)
	if caller != nil {
		caller.Agent = v.agent
	}
	return caller, refusal
}

// recordOf asks and returns what was recorded.
func recordOf(t *testing.T, agent entra.Agent, q *pdp.Question) store.Decision {
	t.Helper()
	r := &recorder{}
	p, err := pdp.New(&source{snap: compile(t, 5)}, &agents{agent: agent}, &revocations{}, r, slog.New(slog.DiscardHandler), pdp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p.Decide(t.Context(), q)
	if len(r.kept) != 1 {
		t.Fatalf("%d records", len(r.kept))
	}
	return r.kept[0]
}

func TestTheRecordTellsOfAnAgent(t *testing.T) {
	upTo := func(n int) (all []int) {
		for i := range n {
			all = append(all, i)
		}
		return all
	}
	for name, tc := range map[string]struct {
		agent          entra.Agent
		ask            *pdp.Question
		parent, facets string
	}{
		"who is no agent leaves both empty":             {ask: ask("GET /orders/1", good)},
		"an agent for a user":                           {agent: entra.Agent{ActorFacets: []int{11}, Parent: blueprint}, ask: ask("GET /orders/1", good), parent: blueprint, facets: "actor 11"},
		"an agent of its own":                           {agent: entra.Agent{Facets: []int{11}}, ask: ask("GET /orders/1", good), facets: "subject 11"},
		"an agent with an account of its own":           {agent: entra.Agent{ActorFacets: []int{11}, Facets: []int{13}, Parent: blueprint}, ask: ask("GET /orders/1", good), parent: blueprint, facets: "actor 11; subject 13"},
		"a parent alone":                                {agent: entra.Agent{Parent: blueprint}, ask: ask("GET /orders/1", good), parent: blueprint},
		"what Entra documents comes first":              {agent: entra.Agent{ActorFacets: []int{3, 11}, Facets: []int{2, 13, 40}}, ask: ask("GET /orders/1", good), facets: "actor 11 3; subject 13 2 40"},
		"nothing but malformed claims":                  {agent: entra.Agent{Ignored: true}, ask: ask("GET /orders/1", good), facets: "ignored"},
		"one malformed claim beside others":             {agent: entra.Agent{ActorFacets: []int{11}, Parent: blueprint, Ignored: true}, ask: ask("GET /orders/1", good), parent: blueprint, facets: "actor 11; ignored"},
		"what has no room is counted":                   {agent: entra.Agent{Facets: upTo(32)}, ask: ask("GET /orders/1", good), facets: "subject 11 13 0 1 2 3 4 +25"},
		"the longest there is":                          {agent: entra.Agent{ActorFacets: append(upTo(31), math.MaxInt32), Facets: upTo(32), Ignored: true}, ask: ask("GET /orders/1", good), facets: "actor 11 13 0 1 2 3 4 +25; subject 11 13 0 1 2 3 4 +25; ignored"},
		"a deny tells of it too":                        {agent: entra.Agent{ActorFacets: []int{11}, Parent: blueprint}, ask: ask("DELETE /orders/1", good), parent: blueprint, facets: "actor 11"},
		"a permission question tells of it too":         {agent: entra.Agent{Facets: []int{11}, Parent: blueprint}, ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: "good"}, parent: blueprint, facets: "subject 11"},
		"a token that is refused tells nothing":         {agent: entra.Agent{Facets: []int{11}, Parent: blueprint}, ask: ask("GET /orders/1", "authorization: Bearer bad")},
		"a public route does not look at who is asking": {agent: entra.Agent{Facets: []int{11}, Parent: blueprint}, ask: ask("GET /healthz", good)},
	} {
		t.Run(name, func(t *testing.T) {
			d := recordOf(t, tc.agent, tc.ask)
			if d.AgentParent != tc.parent || d.AgentFacets != tc.facets {
				t.Errorf("parent %q, facets %q; want %q, %q", d.AgentParent, d.AgentFacets, tc.parent, tc.facets)
			}
		})
	}
}

func TestAgentsAndOthersAreDecidedAlike(t *testing.T) {
	agent := entra.Agent{ActorFacets: []int{11}, Facets: []int{13}, Parent: blueprint, Ignored: true}
	for _, line := range []string{"GET /orders/1", "POST /orders/1", "DELETE /orders/1"} {
		with, without := recordOf(t, agent, ask(line, good)), recordOf(t, entra.Agent{}, ask(line, good))
		if with.Reason != without.Reason || with.Allowed != without.Allowed || !slices.Equal(with.Grants, without.Grants) {
			t.Errorf("%s: %s for an agent, %s for others", line, policy.Reason(with.Reason), policy.Reason(without.Reason))
		}
	}
}

// facetsForm is what verdict.v1.DecisionRecord says of agent_facets.
var facetsForm = regexp.MustCompile(`^(actor( \d+)+( \+\d+)?)?(; )?(subject( \d+)+( \+\d+)?)?(; )?(ignored)?$`)

func TestFacetsOfAnyTokenStayInTheirForm(t *testing.T) {
	const seed = 214 // the same facets on every run
	random := rand.New(rand.NewPCG(seed, seed))
	list := func() (facets []int) {
		for range random.IntN(33) { // a token has at most 32
			facets = append(facets, random.IntN(1<<(1+random.IntN(31))))
		}
		if len(facets) > 1 && random.IntN(2) == 0 {
			facets[0], facets[1] = 11, 13
		}
		slices.Sort(facets)
		return slices.Compact(facets)
	}
	question, longest := ask("GET /orders/1", good), 0
	for range 2000 {
		agent := entra.Agent{Facets: list(), ActorFacets: list(), Ignored: random.IntN(2) == 0}
		text := recordOf(t, agent, question).AgentFacets
		longest = max(longest, len(text))
		if len(text) > 64 || !facetsForm.MatchString(text) {
			t.Fatalf("%+v is kept as %q, %d bytes", agent, text, len(text))
		}
		for part := range strings.SplitSeq(text, "; ") {
			name, numbers, _ := strings.Cut(part, " ")
			facets, ok := map[string][]int{"actor": agent.ActorFacets, "subject": agent.Facets}[name]
			if !ok {
				continue
			}
			wantNumbers(t, facets, strings.Fields(numbers))
		}
	}
	if longest < 60 {
		t.Errorf("the longest has %d bytes: the limit was not reached for", longest)
	}
}

// wantNumbers checks that words are facets, the documented ones among them, and account for all.
func wantNumbers(t *testing.T, facets []int, words []string) {
	t.Helper()
	accounted := 0
	for _, word := range words {
		if left, cut := strings.CutPrefix(word, "+"); cut {
			n, _ := strconv.Atoi(left)
			accounted += n
			continue
		}
		accounted++
		if n, err := strconv.Atoi(word); err != nil || !slices.Contains(facets, n) {
			t.Fatalf("%q is none of %v", word, facets)
		}
	}
	if accounted != len(facets) {
		t.Fatalf("%v accounts for %d of %v", words, accounted, facets)
	}
	for _, documented := range []int{entra.FacetAgentIdentity, entra.FacetAgentUser} {
		if slices.Contains(facets, documented) && !slices.Contains(words, strconv.Itoa(documented)) {
			t.Fatalf("%v does not show %d", words, documented)
		}
	}
}
