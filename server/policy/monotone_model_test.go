package policy_test

import (
	"slices"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// What holds of the engine whatever the reference says: less given or more forbidden is never more allowed, and the
// other way round.
func TestChangesOfOneGrantGoOneWay(t *testing.T) {
	for name, tc := range map[string]struct {
		effect policy.Effect // of the grant that comes or goes
		added  bool
		never  policy.Effect // what a question may not turn to
	}{
		"an allow taken away never allows": {effect: policy.Allow, added: false, never: policy.Allow},
		"a deny added never allows":        {effect: policy.Deny, added: true, never: policy.Allow},
		"an allow added never denies":      {effect: policy.Allow, added: true, never: policy.Deny},
		"a deny taken away never denies":   {effect: policy.Deny, added: false, never: policy.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			first, last, replay := seeds(t, 500)
			asked, turned := 0, 0
			for seed := first; seed <= last; seed++ {
				g := newGenerator(seed)
				f := g.facts()
				gr := g.grant(pick(g, f.APIs), "the-one")
				gr.Effect = tc.effect
				with := f
				with.Grants = append(slices.Clone(f.Grants), gr)
				before, after := compiled(t, with), compiled(t, f)
				if tc.added {
					before, after = after, before
				}
				for range 60 {
					q := g.question(f)
					was, _, _, found := before.ask(q, nil)
					if !found {
						continue
					}
					is, _, _, _ := after.ask(q, nil)
					asked++
					if was.Effect == is.Effect {
						continue
					}
					turned++
					if is.Effect == tc.never {
						t.Fatalf("%s=%d: %s\nturned from %v to %v\n%s", envSeed, seed, q, was, is, dump(with))
					}
				}
			}
			t.Logf("%d questions, %d answered otherwise", asked, turned)
			if !replay && (asked < 15_000 || turned < 50) {
				t.Errorf("%d questions of which %d turned are too few to say anything", asked, turned)
			}
		})
	}
}
