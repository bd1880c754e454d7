package policy

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// describe writes down everything a snapshot answers from; what it does not show are numbers that may differ.
func describe(s *Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", s.Counts())
	for _, host := range slices.Sorted(maps.Keys(s.byHost)) {
		fmt.Fprintf(&b, "host %s %s\n", host, s.APIByHost(host).ID())
	}
	for _, a := range s.APIs() {
		fmt.Fprintf(&b, "api %+v\n", a.facts)
		for _, name := range a.Permissions() {
			p := a.vocabulary.byName[name]
			fmt.Fprintf(&b, "permission %s, scopes %v", name, a.ScopesFor(name, nil))
			for _, client := range slices.Sorted(maps.Keys(a.actors)) {
				fmt.Fprintf(&b, ", %s %v", client, a.actorMay(client, p))
			}
			b.WriteByte('\n')
		}
		for _, r := range a.routes {
			fmt.Fprintf(&b, "route %+v %v", r.facts, r.condition != nil)
			for _, p := range r.permissions {
				if a.vocabulary.byName[p.name] != p {
					fmt.Fprintf(&b, " (stale %s)", p.name)
				}
			}
			b.WriteByte('\n')
		}
		b.WriteString(strings.Join(describeGrants(s, a), ""))
	}
	return b.String()
}

func describeGrants(s *Snapshot, a *CompiledAPI) []string {
	var grants []string
	a.grants.each(func(sh *shard) {
		for _, r := range sh.rows() {
			var texts []string
			for _, p := range r.patterns {
				texts = append(texts, a.vocabulary.texts[p])
			}
			slices.Sort(texts)
			line := fmt.Sprintf("grant %s %s %v deny=%v", r.id, r.subject, texts, r.deny)
			if r.limits != nil {
				line += fmt.Sprintf(" %v %v %v", r.limits.notBefore, r.limits.expiresAt, r.limits.condition)
			}
			if at, ok := s.ids.find(r.id); !ok || at.subject != r.hash || s.apis[at.api] != a {
				line += " (not found by id)"
			}
			subject, _ := parseSubject(r.subject)
			if _, ok := a.grants.lookup(r.hash, subject.Kind, subject.Scope, subject.ID); !ok {
				line += " (not found by subject)"
			}
			grants = append(grants, line+"\n")
		}
	})
	slices.Sort(grants)
	return grants
}

// randomPolicy changes a policy step by step; its facts are always without a fault.
type randomPolicy struct {
	rng    *rand.Rand
	apis   map[string]API
	routes map[RouteKey]Route
	grants map[string]Grant
}

func (p *randomPolicy) facts() Facts {
	return Facts{
		APIs: slices.Collect(maps.Values(p.apis)), Routes: slices.Collect(maps.Values(p.routes)),
		Grants: slices.Collect(maps.Values(p.grants)),
	}
}

// step changes the policy a little, or with many a lot.
func (p *randomPolicy) step(many int) Delta {
	var d Delta
	for range p.rng.IntN(3) {
		p.changeAPI(&d, fmt.Sprintf("api-%d", p.rng.IntN(4)))
	}
	ids := slices.Sorted(maps.Keys(p.apis))
	if len(ids) == 0 {
		return d
	}
	for range p.rng.IntN(4) {
		key := RouteKey{ids[p.rng.IntN(len(ids))], fmt.Sprintf("r-%d", p.rng.IntN(10))}
		p.changeRoute(&d, key)
	}
	for range p.rng.IntN(1 + many) {
		p.changeGrant(&d, ids[p.rng.IntN(len(ids))], fmt.Sprintf("g-%d", p.rng.IntN(3*many)))
	}
	return d
}

// changeAPI puts an api, or deletes it with all it has; words.x are permissions that come and go unless they are in use.
func (p *randomPolicy) changeAPI(d *Delta, id string) {
	if slices.ContainsFunc(d.PutAPIs, func(a API) bool { return a.ID == id }) || slices.Contains(d.DeleteAPIs, id) {
		return
	}
	if _, ok := p.apis[id]; ok && p.rng.IntN(8) == 0 {
		delete(p.apis, id)
		d.DeleteAPIs = append(d.DeleteAPIs, id)
		for key := range p.routes {
			if key.API == id {
				delete(p.routes, key)
				d.DeleteRoutes = append(d.DeleteRoutes, key)
			}
		}
		for key, g := range p.grants {
			if g.API == id {
				delete(p.grants, key)
				d.DeleteGrants = append(d.DeleteGrants, key)
			}
		}
		return
	}
	a := API{
		ID: id, Audiences: []string{id}, Permissions: []string{"a.read", "a.write", "b.items.read"},
		Scopes: []ScopeRule{{Scope: "A", Permissions: []string{"a.*"}}},
	}
	if p.rng.IntN(2) == 0 {
		a.Hosts = []string{id + ".example.com"}
	}
	for i := range p.rng.IntN(5) {
		a.Permissions = append(a.Permissions, fmt.Sprintf("a.more%d", i+p.rng.IntN(2)*10))
	}
	if p.rng.IntN(2) == 0 {
		a.Actors = []ActorRule{{ClientID: guid(1, 1), Permissions: []string{"b.*"}}}
	}
	p.apis[id] = a
	d.PutAPIs = append(d.PutAPIs, a)
}

func (p *randomPolicy) changeRoute(d *Delta, key RouteKey) {
	if slices.Contains(d.DeleteRoutes, key) || slices.ContainsFunc(d.PutRoutes, func(r Route) bool { return r.API == key.API && r.ID == key.ID }) {
		return
	}
	if _, ok := p.routes[key]; ok && p.rng.IntN(3) == 0 {
		delete(p.routes, key)
		d.DeleteRoutes = append(d.DeleteRoutes, key)
		return
	}
	r := Route{
		API: key.API, ID: key.ID, Methods: []string{"GET"}, Template: fmt.Sprintf("/%s/{x%d}", key.ID, p.rng.IntN(3)),
		Requirement: RequireAnyOf, Permissions: []string{"a.read", "b.items.read"}, Condition: [...]string{"", "true"}[p.rng.IntN(2)],
	}
	p.routes[key] = r
	d.PutRoutes = append(d.PutRoutes, r)
}

func (p *randomPolicy) changeGrant(d *Delta, api, id string) {
	if slices.Contains(d.DeleteGrants, id) || slices.ContainsFunc(d.PutGrants, func(g Grant) bool { return g.ID == id }) {
		return
	}
	if _, ok := p.grants[id]; ok && p.rng.IntN(2) == 0 {
		delete(p.grants, id)
		d.DeleteGrants = append(d.DeleteGrants, id)
		return
	}
	g := Grant{
		ID: id, API: api, Subject: "group:" + tid + "/" + guid(groupFamily, p.rng.IntN(3000)), Effect: Effect(p.rng.IntN(2)),
		Permissions: [][]string{{"a.*"}, {"a.read", "b.items.*"}, {"b.*", "a.write", "b.items.read"}}[p.rng.IntN(3)],
		Condition:   [...]string{"", "", "false"}[p.rng.IntN(3)],
	}
	if p.rng.IntN(4) == 0 {
		g.ExpiresAt = time.Unix(int64(p.rng.IntN(1000)), 0).UTC()
	}
	p.grants[id] = g
	d.PutGrants = append(d.PutGrants, g)
}

func TestChangesLeadWhereCompileDoes(t *testing.T) {
	for name, tc := range map[string]struct{ steps, many int }{
		"many small changes": {400, 3},
		"some large changes": {12, 4000},
	} {
		t.Run(name, func(t *testing.T) {
			p := randomPolicy{rand.New(rand.NewPCG(5, uint64(tc.many))), map[string]API{}, map[RouteKey]Route{}, map[string]Grant{}}
			s := new(Snapshot)
			var texts []string
			var snapshots []*Snapshot
			for range tc.steps {
				next, err := s.Apply(p.step(tc.many), compileFake)
				if err != nil {
					t.Fatal(err)
				}
				got, want := describe(next), describe(mustCompile(t, p.facts()))
				if got != want {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
				if strings.Contains(got, "(") && strings.Contains(got, "(not") || strings.Contains(got, "(stale") {
					t.Fatal(got)
				}
				snapshots, texts = append(snapshots, next), append(texts, got)
				s = next
			}
			for i, old := range snapshots {
				if describe(old) != texts[i] {
					t.Fatalf("snapshot %d has changed since", i)
				}
			}
		})
	}
}

func TestApplySaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		delta Delta
		want  []string
	}{
		"an api goes and its routes and grants stay": {Delta{DeleteAPIs: []string{"stock"}}, []string{
			"api/stock: cannot be deleted while it has routes (1) or grants (1); delete them in the same change",
			"route/stock/list: api: api stock is deleted; delete the route in the same change",
			"grant/g-2: api: api stock is deleted; delete the grant in the same change",
		}},
		"a grant names what is no longer declared": {
			Delta{PutAPIs: []API{{ID: "stock", Audiences: []string{"stock"}, Permissions: []string{"stock.write"}}}},
			[]string{"grant/g-2: permissions: stock.read is no longer declared by api stock; keep it declared, or change or delete the grant"},
		},
		"a host is taken": {
			Delta{PutAPIs: []API{{ID: "a", Audiences: []string{"a"}, Hosts: []string{"orders.example.com"}}}},
			[]string{"api/a: hosts[0]: orders.example.com belongs to api orders already; a host belongs to one api"},
		},
		"the new route is blamed for a tie": {
			Delta{PutRoutes: []Route{{API: "orders", ID: "zero", Methods: []string{"GET", "PUT"}, Template: "/health", Requirement: RequirePublic}}},
			[]string{"route/orders/zero: template: /health ties with route health (/health) for GET; change a template or the methods"},
		},
		"a grant twice": {
			Delta{PutGrants: []Grant{
				{ID: "n", API: "stock", Subject: "tenant:" + tid, Permissions: []string{"stock.*"}, Effect: Allow},
				{ID: "n", API: "stock", Subject: "tenant:" + tid, Permissions: []string{"stock.*"}, Effect: Allow},
			}},
			[]string{"grant/n: id: another grant has this id; ids are unique"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustCompile(t, shop())
			before := describe(s)
			next, err := s.Apply(tc.delta, compileFake)
			var invalid *InvalidError
			if next != nil || !errors.As(err, &invalid) {
				t.Fatalf("%v, %v", next, err)
			}
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if describe(s) != before {
				t.Error("the snapshot has changed")
			}
		})
	}
}

func TestApplyTakesWhatLooksWrong(t *testing.T) {
	for name, tc := range map[string]Delta{
		"deleting what is not there": {DeleteAPIs: []string{"x"}, DeleteRoutes: []RouteKey{{"x", "y"}, {"stock", "y"}}, DeleteGrants: []string{"z", "z"}},
		"an api with all it has": {
			DeleteAPIs: []string{"stock"}, DeleteRoutes: []RouteKey{{"stock", "list"}}, DeleteGrants: []string{"g-2"},
		},
		"a permission with its grant": {
			PutAPIs:      []API{{ID: "stock", Audiences: []string{"stock"}, Permissions: []string{"stock.write"}}},
			DeleteGrants: []string{"g-2"},
		},
		"a host changes hands": {
			PutAPIs: []API{
				{ID: "stock", Audiences: []string{"stock"}, Permissions: []string{"stock.read"}, Hosts: []string{"orders.example.com"}},
				{ID: "orders", Audiences: []string{"orders"}, Permissions: []string{"orders.read"}},
			},
		},
		"a grant moves to another api": {
			PutGrants: []Grant{{ID: "g-2", API: "orders", Subject: "tenant:" + tid, Permissions: []string{"audit.*"}, Effect: Allow}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := mustCompile(t, shop()).Apply(tc, compileFake); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestConditionsAreCompiledOnce(t *testing.T) {
	compiled := 0
	cc := func(source string) (Condition, error) {
		compiled++
		return fakeCondition(source), nil
	}
	s, err := Compile(shop(), cc)
	if err != nil {
		t.Fatal(err)
	}
	d := Delta{PutGrants: []Grant{shop().Grants[1]}}
	d.PutGrants[0].ID = "another"
	if _, err := s.Apply(d, cc); err != nil || compiled != 1 {
		t.Fatalf("compiled %d times, %v", compiled, err)
	}
	d.PutGrants[0].Condition = "false"
	if _, err := s.Apply(d, cc); err != nil || compiled != 2 {
		t.Fatalf("compiled %d times, %v", compiled, err)
	}
}

// Readers of a snapshot go on while others are made from it; with -race this finds any write to what is shared.
func TestReadersGoOnWhileSnapshotsAreMade(t *testing.T) {
	f := benchFacts(5000, 50)
	s := mustCompile(t, f)
	api := s.APIByID("orders")
	var readers sync.WaitGroup
	for _, p := range benchPrincipals(5000, 4, 100) {
		readers.Go(func() {
			in := Input{Now: time.Unix(0, 0), Principal: p, Subjects: s.Resolve(api, p, nil)}
			var sc Scratch
			want := make([]Outcome, 0, len(api.routes))
			for _, r := range api.routes {
				want = append(want, s.EvaluateRoute(api, r, &in, &sc, nil))
			}
			for range 200 {
				for i, r := range api.routes {
					if got := s.EvaluateRoute(api, r, &in, &sc, nil); got.Effect != want[i].Effect || got.Reason != want[i].Reason {
						t.Errorf("%s: %v %v, was %v %v", r.ID(), got.Effect, got.Reason, want[i].Effect, want[i].Reason)
					}
				}
			}
		})
	}
	for n := range 50 {
		d := Delta{Revision: uint64(n), PutGrants: slices.Clone(f.Grants[n*50 : n*50+40]), DeleteGrants: []string{f.Grants[n*50+45].ID}}
		for i := range d.PutGrants {
			d.PutGrants[i].Effect = Deny
		}
		next, err := s.Apply(d, compileFake)
		if err != nil {
			t.Fatal(err)
		}
		if next.Counts().Grants != 4999 {
			t.Fatalf("%d grants", next.Counts().Grants)
		}
	}
	readers.Wait()
}
