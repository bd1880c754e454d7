package execapi_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/modeltest"
)

func tableOf(p *modeltest.Policy, reach execapi.Reach) *execapi.Table {
	t := &execapi.Table{Reach: reach}
	for _, r := range p.Routes {
		route := execapi.Route{Methods: r.Methods, Template: r.Template}
		if r.Permitted {
			t.Permitted = append(t.Permitted, route)
		} else {
			t.Refused = append(t.Refused, route)
		}
	}
	return t
}

// routes reads "GET,POST /a/{id}" lines; those that begin with - are refused.
func routes(lines ...string) *modeltest.Policy {
	p := &modeltest.Policy{}
	for _, l := range lines {
		l, refused := strings.CutPrefix(l, "-")
		methods, template, _ := strings.Cut(l, " ")
		p.Routes = append(p.Routes, modeltest.Route{ID: l, Methods: strings.Split(methods, ","), Template: template, Permitted: !refused})
	}
	return p
}

func TestAll(t *testing.T) {
	for name, tc := range map[string]struct {
		routes   []string
		declared bool
		proven   bool
		allow    string // in order
		deny     string // those that are no guards
	}{
		"literals need nothing": {routes: []string{"GET,POST /orders", "-GET /orders/all"}, proven: true, allow: "GET/orders POST/orders"},
		"a parameter does not take two segments": {
			routes: []string{"GET /orders/{id}"}, proven: true, allow: "GET/orders/*", deny: "GET/orders/*/*",
		},
		"what is refused within a parameter is refused": {
			routes: []string{"GET /users/{id}", "-GET /users/me"}, proven: true, allow: "GET/users/*", deny: "GET/users/*/* GET/users/me",
		},
		"what is refused below a parameter is refused": {
			routes: []string{"GET /users/{id}", "-GET /users/{id}/admin"}, declared: true, proven: true, allow: "GET/users/*", deny: "GET/users/*/admin",
		},
		"of another method it does not matter": {
			routes: []string{"GET /users/{id}", "-POST /users/me"}, proven: true, allow: "GET/users/*", deny: "GET/users/*/*",
		},
		"a refused parameter behind a literal is beaten by it": {
			routes: []string{"GET /users/me", "-GET /users/{id}"}, proven: true, allow: "GET/users/me",
		},
		"a deeper route that is permitted cannot be told from one that nobody knows": {
			routes: []string{"GET /users/{id}", "GET /users/{id}/orders"}, allow: "GET/users/* GET/users/*/orders", deny: "GET/users/*/*/orders",
		},
		"unless the gateway has no other": {
			routes: []string{"GET /users/{id}", "GET /users/{id}/orders"}, declared: true, proven: true, allow: "GET/users/* GET/users/*/orders",
		},
		"a refused parameter cannot be told from a permitted one below": {
			routes: []string{"GET /users/{id}", "GET /users/{id}/orders", "-GET /users/{id}/{what}"}, declared: true, allow: "GET/users/* GET/users/*/orders",
		},
		"a form is no pattern":                      {routes: []string{"GET /users/{id:int}"}, declared: true, allow: "GET/users/*"},
		"a form beside its plain parameter is":      {routes: []string{"GET /users/{id:int}", "GET /users/{id}"}, proven: true, allow: "GET/users/*", deny: "GET/users/*/*"},
		"a form that is refused cannot be left out": {routes: []string{"-GET /users/{id:int}", "GET /users/{id}"}, allow: "GET/users/*", deny: "GET/users/*/*"},
		"a tail takes all that is below":            {routes: []string{"GET /files/{path...}"}, proven: true, allow: "GET/files/*"},
		"but what is refused there": {
			routes: []string{"GET /files/{path...}", "-GET /files/secret", "-GET /files/{name}/delete"}, allow: "GET/files/*", deny: "GET/files/secret",
		},
		"and what is refused there to any depth": {
			routes: []string{"GET /files/{path...}", "-GET /files/secret/{path...}"}, proven: true, allow: "GET/files/*", deny: "GET/files/secret/*",
		},
		"a tail covers a parameter in it":           {routes: []string{"GET /files/{path...}", "GET /files/{name}"}, proven: true, allow: "GET/files/*"},
		"a parameter at the root does not take it":  {routes: []string{"GET /{name}"}, proven: true, allow: "GET/*", deny: "GET/ GET/*/*"},
		"unless it is permitted":                    {routes: []string{"GET /{name}", "GET /"}, proven: true, allow: "GET/ GET/*", deny: "GET/*/*"},
		"a slash at the end contradicts the guards": {routes: []string{"GET /a/", "GET /b/{c}"}, allow: "GET/a/ GET/b/*", deny: "GET/b/*/*"},
		"a star in a template is not written":       {routes: []string{"GET /a*", "GET /b"}, allow: "GET/b"},
		"nothing permitted":                         {routes: []string{"-GET /a"}, proven: true},
	} {
		t.Run(name, func(t *testing.T) {
			reach := execapi.ReachAny
			if tc.declared {
				reach = execapi.ReachDeclared
			}
			set := tableOf(routes(tc.routes...), reach).All()
			var deny []string
			for _, d := range set.Deny {
				if strings.HasPrefix(d, "GET") || strings.HasPrefix(d, "POST") {
					deny = append(deny, d)
				}
			}
			if set.Proven != tc.proven || strings.Join(set.Allow, " ") != tc.allow || strings.Join(deny, " ") != tc.deny {
				t.Errorf("allow %q, deny %q, proven %v", set.Allow, deny, set.Proven)
			}
		})
	}
}

// shapes says whether a path is of the shape of some template of the policy with its method, which is all that a gateway lets
// through that has each template for a resource.
func shapes(p *modeltest.Policy, method, path string) bool {
	have := strings.Split(path, "/")
	return slices.ContainsFunc(p.Routes, func(r modeltest.Route) bool {
		want := strings.Split(r.Template, "/")
		for i, w := range want {
			if strings.HasSuffix(w, "...}") {
				return len(have) > i && slices.Contains(r.Methods, method)
			}
			if i >= len(have) || w != have[i] && (!strings.HasPrefix(w, "{") || have[i] == "") {
				return false
			}
		}
		return len(want) == len(have) && slices.Contains(r.Methods, method)
	})
}

// A proven set lets nothing pass that verdict would not. All paths of up to four segments out of a few words and of what
// breaks stars are tried on random policies.
func TestProvenSetsAreSound(t *testing.T) {
	segments := []string{"a", "me", "7", "zz", ""}
	paths := []string{"/"}
	for level := []string{""}; len(paths) < 700; {
		var next []string
		for _, before := range level {
			for _, s := range segments {
				next = append(next, before+"/"+s)
			}
		}
		paths, level = append(paths, next...), next
	}
	for _, odd := range []string{"..", ".", "a%2Fme", "%61", "me;x", "*", "a\\b", "{p}", "%40", "a%40b", "a|b"} {
		paths = append(paths, "/"+odd, "/a/"+odd, "/a/"+odd+"/me", "/"+odd+"/me", "/a/me/"+odd)
	}
	proven := [2]int{}
	total := 0
	rng := rand.New(rand.NewPCG(20261121, 6))
	for range 1500 {
		p := modeltest.Random(rng)
		for reach := range execapi.Reach(2) {
			table := tableOf(p, reach)
			sets := []execapi.Set{table.All()}
			if len(table.Permitted) > 0 {
				r := table.Permitted[rng.IntN(len(table.Permitted))]
				sets = append(sets, table.Only(r, r.Methods[0]))
			}
			for i, set := range sets {
				total++
				if !set.Proven {
					continue
				}
				proven[i]++
				for _, m := range []string{"GET", "POST"} {
					for _, path := range paths {
						if !set.Passes(m + path) {
							continue
						}
						if route, ok := p.Decide(m, path, false); (!ok || !route.Permitted) && (i == 1 || reach == execapi.ReachAny || shapes(p, m, path)) {
							t.Fatalf("%s %s passes and verdict denies it\nroutes %+v\nreach %d\nset %+v", m, path, p.Routes, reach, set)
						}
					}
				}
			}
		}
	}
	t.Logf("%d sets: %d of all routes and %d of one are proven", total, proven[0], proven[1])
	if proven[0] < 500 || proven[1] < 500 {
		t.Error("too few sets are proven to tell anything")
	}
}

// No Deny of a set meets a route that the set allows: whoever is permitted a route passes on each of its plain paths.
func TestDenialsTouchNothingPermitted(t *testing.T) {
	rng := rand.New(rand.NewPCG(20261121, 7))
	passed := 0
	for range 20000 {
		p := modeltest.Random(rng)
		set := tableOf(p, execapi.ReachAny).All()
		for range 4 {
			path := p.Path(rng)
			if strings.ContainsAny(path, "%*") { // escapes are not told apart; a star in a path is one in a pattern
				continue
			}
			for _, m := range []string{"GET", "POST"} {
				if route, ok := p.Decide(m, path, false); ok && route.Permitted {
					passed++
					if !set.Passes(m + path) {
						t.Fatalf("%s %s is permitted and does not pass\nroutes %+v\nset %+v", m, path, p.Routes, set)
					}
				}
			}
		}
	}
	if passed < 5000 {
		t.Errorf("only %d paths were permitted", passed)
	}
}

// An escape in one request let every path below its route pass, wherever the gateway kept the answer after all.
func TestSpareLetsOneRequestPass(t *testing.T) {
	for name, tc := range map[string]struct {
		spared string
		passes []string
		denied []string
	}{
		"without an escape nothing changes":  {"GET/users/7", []string{"GET/users/8"}, []string{"GET/users/7/admin", "GET/users/a%20b", "GET/users/7%2Fadmin"}},
		"an escape lets escapes pass":        {"GET/users/a%20b", []string{"GET/users/7", "GET/users/c%40d"}, []string{"GET/users/7/admin", "GET/users/..", "GET/users/me"}},
		"but none that a separator hides in": {"GET/users/a%20b", nil, []string{"GET/users/7%2Fadmin", "GET/users/7%2fadmin", "GET/users/%2E%2E", "GET/users/%252F", "GET/users/a%5Cb", "GET/users/%C0%AF", "GET/users/%00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := tableOf(routes("GET /users/{id}", "-GET /users/me"), execapi.ReachAny).Only(execapi.Route{Methods: []string{"GET"}, Template: "/users/{id}"}, "GET")
			s.Spare(tc.spared)
			for _, request := range append(tc.passes, tc.spared) {
				if !s.Passes(request) {
					t.Errorf("%s does not pass", request)
				}
			}
			for _, request := range tc.denied {
				if s.Passes(request) {
					t.Errorf("%s passes", request)
				}
			}
		})
	}
}
