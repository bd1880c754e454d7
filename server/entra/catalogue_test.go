package entra

import (
	"fmt"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// entry is one number of the token catalogue. Without run, it asks a verifier whose clock stands at start, or start
// plus at: want lists the reasons that are right, none means that the token passes.
type entry struct {
	name   string
	token  func() string // given to Verify
	header func() string // given to Credential first
	at     time.Duration
	want   []policy.Reason
	check  func(t *testing.T, tok *Token)
	run    func(t *testing.T)
	// door names the test of a door that shows the rest: what only a request with its headers can show.
	door string
}

// catalogue has every number from 1 to 184 once.
var catalogue = func() map[int]entry {
	all := map[int]entry{}
	for _, part := range []map[int]entry{
		transportCases, shapeCases, headerCases, structureCases, timeCases, issuerCases, issuerRunCases,
	} {
		for n, e := range part {
			if _, twice := all[n]; twice {
				panic(fmt.Sprintf("case %d is there twice", n))
			}
			all[n] = e
		}
	}
	return all
}()

func is(reasons ...policy.Reason) []policy.Reason { return reasons }

func TestCatalogue(t *testing.T) {
	w := warm(t, nil)
	for n := 1; n <= 184; n++ {
		e, ok := catalogue[n]
		if !ok {
			t.Errorf("case %d is missing", n)
			continue
		}
		t.Run(fmt.Sprintf("%03d %s", n, e.name), func(t *testing.T) {
			switch {
			case e.run != nil:
				e.run(t)
				return
			case e.token == nil && e.header == nil:
				if e.door == "" {
					t.Fatal("tests nothing and names no door that does")
				}
				return
			}
			w.at(e.at)
			before := w.fetches()
			var tok *Token
			var r Refusal
			if e.header != nil {
				tok, r = w.present(e.header())
			} else {
				tok, r = w.ask(e.token())
			}
			if len(e.want) > 0 {
				refusedFor(t, tok, r, e.want...)
			} else if !r.OK() {
				t.Fatalf("refused for %v (%s)", r.Reason, r.Detail)
			}
			if e.check != nil {
				e.check(t, tok)
			}
			if got := w.fetches() - before; got > 0 && !(len(e.want) == 1 && e.want[0] == policy.KeyUnknown) {
				t.Errorf("it cost %d fetches", got)
			}
		})
	}
	if len(catalogue) != 184 {
		t.Errorf("%d cases, want 184", len(catalogue))
	}
}
