package pdp_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

// world is a random policy with a caller, whose clock can be moved.
type world struct {
	*rand.Rand
	facts  policy.Facts
	caller entra.Token
	groups *groupsOf
	plain  bool // nothing depends on the request
	at     time.Time
}

func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func pick[T any](w *world, list ...T) T { return list[w.IntN(len(list))] }

// paths has, for each template, two paths that lead to it if no other route stands in the way.
var paths = map[string][]string{
	"/a": {"/a", "/a"}, "/a/{id}": {"/a/7", "/a/zz"}, "/a/me": {"/a/me", "/a/me"}, "/a/{n:int}/b": {"/a/1/b", "/a/22/b"},
	"/a/{id}/b": {"/a/x/b", "/a/y/b"}, "/f/{rest...}": {"/f/1/2/3", "/f/x"}, "/f/x/{id}": {"/f/x/1", "/f/x/2"}, "/": {"/", "/"},
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 8)), at: now, caller: signedIn()} // can be replayed
	w.plain = w.chance(40)
	names := []string{"a.read", "a.write", "b.read"}
	groups := []string{"cccccccc-0001-4000-8000-000000000001", "cccccccc-0002-4000-8000-000000000002"}
	api := policy.API{ID: "orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example.com"}, Permissions: names,
		Scopes: []policy.ScopeRule{{Scope: "All", Permissions: []string{"a.*", "b.*"}}, {Scope: "Some", Permissions: []string{"a.read"}}}}
	if w.chance(30) {
		api.Privileged = []string{pick(w, names...)}
		w.groups = &groupsOf{fresh: groups[:w.IntN(3)]}
	}
	w.facts = policy.Facts{Revision: 5, APIs: []policy.API{api}}
	for i, template := range sortedKeys(paths) {
		for j, methods := range pick(w, [][]string{{"GET", "POST"}}, [][]string{{"GET"}, {"POST", "DELETE"}}) {
			r := policy.Route{API: "orders", ID: fmt.Sprintf("r-%d-%d", i, j), Template: template, Methods: methods}
			switch r.Requirement = pick(w, policy.RequirePublic, policy.RequireAuthenticated, policy.RequireAllOf, policy.RequireAnyOf, policy.RequireAllOf); r.Requirement {
			case policy.RequireAllOf, policy.RequireAnyOf:
				from := w.IntN(len(names))
				r.Permissions = names[from : from+1+w.IntN(len(names)-from)]
				fallthrough
			case policy.RequireAuthenticated:
				w.signIn(&r)
			}
			w.facts.Routes = append(w.facts.Routes, r)
		}
	}
	for i := range w.IntN(8) {
		g := policy.Grant{ID: fmt.Sprintf("g-%d", i), API: "orders", Permissions: []string{pick(w, "a.read", "a.*", "b.read", "a.write")}, Effect: policy.Allow}
		g.Subject = pick(w, "user:"+tid+"/"+alice, "tenant:"+tid, "group:"+tid+"/"+groups[0], "group:"+tid+"/"+groups[1], "user:"+tid+"/"+groups[0])
		if w.chance(25) {
			g.Effect = policy.Deny
		}
		if !w.plain && w.chance(35) {
			g.Condition = w.condition()
		}
		if w.chance(20) {
			g.NotBefore = now.Add(pick(w, -time.Hour, time.Minute, 10*time.Minute))
		}
		if w.chance(20) && g.NotBefore.Before(now) {
			g.ExpiresAt = now.Add(pick(w, -time.Minute, time.Minute, 20*time.Minute))
		}
		w.facts.Grants = append(w.facts.Grants, g)
	}
	w.caller.Principal.Groups = groups[:w.IntN(3)]
	w.caller.Principal.Scopes = pick(w, []string{"All"}, []string{"All"}, []string{"Some"}, []string{"Other"})
	w.caller.ClientAuth = pick(w, "", "0", "2")
	return w
}

func sortedKeys(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (w *world) condition() string { return pick(w, "true", "false", "error", "inside", "GET") }

// signIn makes a route ask for more than who somebody is.
func (w *world) signIn(r *policy.Route) {
	if w.chance(15) {
		r.AuthContext = pick(w, "c1", "c7")
	}
	if w.chance(15) {
		r.MaxTokenAge = pick(w, time.Minute, 12*time.Minute, time.Hour)
	}
	r.ConfidentialClient = w.chance(15)
	if !w.plain && w.chance(20) {
		r.Condition = w.condition()
	}
	if !w.plain && w.chance(10) {
		r.Upgrade = "websocket"
	}
}

// ask makes a request with what nobody knows beforehand: address and headers.
func (w *world) ask(method, path string) *pdp.Question {
	q := ask(method+" "+path, good)
	if w.chance(50) {
		q = ask(method+" "+path+"?q=%2e%2e&x=1", good, "content-type: text/plain", "x-forwarded-for: 10.1.1.1", "cookie: a=b", "accept: */*")
	}
	q.SourceIP = pick(w, netip.Addr{}, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::1"))
	return q
}

// TestPermittedRoutesAreThoseThatDecideAllows holds the list against the decisions that it stands for: whatever a request to a
// permitted route says, and up to the instant that the list names, it is allowed; and where nothing depends on the request, one
// to a refused route is denied.
func TestPermittedRoutesAreThoseThatDecideAllows(t *testing.T) {
	permitted, refused := 0, 0
	for seed := range uint64(1500) {
		w := newWorld(seed)
		snap, err := policy.Compile(w.facts, conditions)
		if err != nil {
			t.Fatal(err)
		}
		cfg := pdp.Config{Now: func() time.Time { return w.at }}
		if w.groups != nil {
			cfg.Groups = w.groups
		}
		p, err := pdp.New(&source{snap: snap}, &prover{w.caller}, &revocations{}, &recorder{}, slog.New(slog.DiscardHandler), cfg)
		if err != nil {
			t.Fatal(err)
		}
		about := pick(w, w.facts.Routes...)
		q := w.ask(pick(w, about.Methods...), pick(w, paths[about.Template]...))
		q.Permitted = true
		a := p.Decide(t.Context(), q)
		if a.Permitted == nil {
			t.Fatalf("seed %d: no list: %s %s", seed, a.Reason, a.Detail)
		}
		fetched := w.groups != nil && w.groups.fetching > 0
		all := slices.Concat(a.Permitted.Routes, a.Permitted.Refused)
		if slices.SortFunc(all, func(x, y *policy.CompiledRoute) int { return strings.Compare(x.ID(), y.ID()) }); !slices.Equal(all, snap.APIs()[0].Routes()) {
			t.Fatalf("seed %d: the lists are not all routes, each once: %s", seed, routeIDs(all))
		}
		each := func(routes []*policy.CompiledRoute, at time.Time, want func(r *policy.CompiledRoute, a *pdp.Answer) bool) (n int) {
			w.at = at
			for _, r := range routes {
				for _, method := range r.Facts().Methods {
					for _, path := range paths[r.Facts().Template] {
						got := p.Decide(t.Context(), w.ask(method, path))
						if got.Route != r.ID() {
							continue // another route is nearer
						}
						if n++; !want(r, &got) {
							t.Errorf("seed %d: route %s of %q: %s %s is %s %s at %s", seed, r.ID(), routeIDs(routes), method, path, got.Reason, got.Detail, at.Sub(now))
						}
					}
				}
			}
			return n
		}
		allowed := func(_ *policy.CompiledRoute, a *pdp.Answer) bool { return a.Allowed() }
		permitted += each(a.Permitted.Routes, now, allowed)
		if !a.Permitted.Until.After(now) {
			t.Errorf("seed %d: the list has ended before it was made", seed)
		}
		each(a.Permitted.Routes, a.Permitted.Until.Add(-time.Nanosecond), allowed)
		if w.plain {
			refused += each(a.Permitted.Refused, now, func(r *policy.CompiledRoute, a *pdp.Answer) bool {
				return !a.Allowed() || r.NeedsFreshGroups() && !fetched
			})
		}
	}
	if permitted < 1000 || refused < 1000 {
		t.Errorf("%d permitted and %d refused questions are too few to say anything", permitted, refused)
	}
}
