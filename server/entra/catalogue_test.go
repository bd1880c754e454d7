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

// catalogue has every number that this package owns once.
var catalogue = func() map[int]entry {
	all := map[int]entry{}
	for _, part := range []map[int]entry{
		transportCases, shapeCases, headerCases, structureCases, timeCases, issuerCases, issuerRunCases, audienceCases,
		groupCases, keyCases,
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
	for n := 1; n <= lastCase; n++ {
		e, ok := catalogue[n]
		if owner := ownerOf(n); ok == (owner != "") {
			t.Errorf("case %d: ours %v, of another package %q", n, ok, owner)
		}
		if !ok {
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
}

const lastCase = 280

// owners are the packages that the other numbers belong to.
var owners = []struct {
	first, last int
	folder      string
}{
	{225, 233, "server/directory"},
	{234, 239, "server/directory/mirror"},
	{240, 242, "server/directory"}, // 240: that a privileged permission asks anew is shown in server/pdp
	{243, 245, "server/directory/mirror"},
	{268, 272, "server/revocation"}, // the answers: server/pdp, server/status
	{273, 278, "server/pdp"},        // the headers: server/status
	{279, 279, "server/status"},
	{280, 280, "cmd/verdict"}, // through every door; here it is TestNothingOfATokenIsTold
}

// ownerOf is the folder of the package that has case n; "": this one.
func ownerOf(n int) string {
	for _, o := range owners {
		if o.first <= n && n <= o.last {
			return o.folder
		}
	}
	return ""
}
