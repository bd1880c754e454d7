package policy_test

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// seen is one answer, kept.
type seen struct {
	question question
	found    bool
	route    policy.RouteKey
	params   []param
	outcome  policy.Outcome
}

// look asks the question and keeps the answer.
func (e *engine) look(q question) seen {
	out, route, params, found := e.ask(q, nil)
	out.Grants, out.Missing = append([]string(nil), out.Grants...), append([]string(nil), out.Missing...)
	out.Until = out.Until.UTC()
	return seen{question: q, found: found, route: route, params: params, outcome: out}
}

// Readers that race with Apply see answers of one revision only: of the newest, and of every older one they still hold.
func TestReadersSeeOneRevisionWhilePolicyChanges(t *testing.T) {
	const revisions, readers, asked = 60, 4, 25
	first, last, _ := seeds(t, 3)
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprintf("%s=%d", envSeed, seed), func(t *testing.T) {
			chain, deltas := history(seed, revisions)
			expected := make([][]seen, len(chain))
			for i, f := range chain {
				g := newGenerator(seed + uint64(i))
				alone := compiled(t, f)
				for range asked {
					expected[i] = append(expected[i], alone.look(g.question(f)))
				}
			}
			index := map[uint64]int{} // revision -> place in chain
			for i, f := range chain {
				index[f.Revision] = i
			}

			compiler := &conditions{}
			snapshot, err := policy.Compile(chain[0], compiler.compile)
			if err != nil {
				t.Fatal(err)
			}
			var answers, met atomic.Int64 // compared in all; revisions that were the newest to some reader, of each reader
			var published atomic.Pointer[policy.Snapshot]
			published.Store(snapshot)
			var done atomic.Bool
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					var held []*policy.Snapshot
					for turn := 0; !t.Failed(); turn++ {
						finished := done.Load()
						s := published.Load()
						if len(held) == 0 || held[len(held)-1] != s {
							held = append(held, s)
							met.Add(1)
						}
						for _, s := range []*policy.Snapshot{s, held[turn%len(held)]} {
							askAgain(t, s, compiler, expected[index[s.Revision()]])
							answers.Add(asked)
						}
						if finished {
							return
						}
					}
				})
			}
			for _, d := range deltas {
				if t.Failed() {
					break
				}
				if snapshot, err = snapshot.Apply(d, compiler.compile); err != nil {
					t.Errorf("delta to revision %d: %v", d.Revision, err)
					break
				}
				before := met.Load()
				published.Store(snapshot)
				for range 2000 { // until some reader has met this revision, so that the next Apply runs beside its questions
					if met.Load() > before || t.Failed() {
						break
					}
					time.Sleep(time.Millisecond)
				}
			}
			done.Store(true)
			wg.Wait()
			t.Logf("%d answers compared, %d meetings of a reader with a new revision", answers.Load(), met.Load())
			if met.Load() < revisions || answers.Load() < 2*revisions*asked {
				t.Errorf("%d answers and %d meetings are too few to say anything", answers.Load(), met.Load())
			}
		})
	}
}

// askAgain puts questions to a snapshot and compares with the answers that its revision gave when it was alone.
func askAgain(t *testing.T, s *policy.Snapshot, c *conditions, expected []seen) {
	t.Helper()
	e := &engine{snapshot: s, conditions: c}
	for _, want := range expected {
		if got := e.look(want.question); !reflect.DeepEqual(got, want) {
			t.Errorf("revision %d: %s\nis answered %+v, was %+v when it was alone", s.Revision(), want.question, got, want)
			return
		}
	}
}

// history is a chain of valid policies, each made of the one before by the delta beside it.
func history(seed uint64, revisions int) (chain []policy.Facts, deltas []policy.Delta) {
	g := newGenerator(seed)
	chain = append(chain, g.facts())
	for range 20 * revisions { // most deltas are valid; the bound is far
		if len(deltas) == revisions {
			break
		}
		f := chain[len(chain)-1]
		d := g.delta(f)
		if after := apply(f, d); len(faultsOf(after)) == 0 {
			chain, deltas = append(chain, after), append(deltas, d)
		}
	}
	return chain, deltas
}
