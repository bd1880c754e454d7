package policy

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/request"
)

const benchTenant = "11111111-1111-4111-8111-111111111111"

// guid is the n-th of a family of GUIDs.
func guid(family, n int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", family, n)
}

const (
	userFamily  = 0xa
	groupFamily = 0xb
	otherFamily = 0xc // groups without grants
)

func benchPermission(n int) string {
	return fmt.Sprintf("area%02d.thing%02d.%s", n%10, n/10%10, [...]string{"read", "write"}[n/100%2])
}

// benchFacts is one api with grants spread as in a large company: half to groups, ten each; half to users, two each.
func benchFacts(grants, routes int) Facts {
	rng := rand.New(rand.NewPCG(uint64(grants), 1))
	api := API{
		ID: "orders", Audiences: []string{"orders"}, Hosts: []string{"orders.example.com"},
		Scopes: []ScopeRule{{Scope: "Orders.All"}},
	}
	for n := range 200 {
		api.Permissions = append(api.Permissions, benchPermission(n))
	}
	for area := range 10 {
		api.Scopes[0].Permissions = append(api.Scopes[0].Permissions, fmt.Sprintf("area%02d.*", area))
	}
	f := Facts{Revision: 1, APIs: []API{api}}
	for n := range grants {
		subject := "user:" + benchTenant + "/" + guid(userFamily, n/4)
		if n%2 == 0 {
			subject = "group:" + benchTenant + "/" + guid(groupFamily, n/20)
		}
		g := Grant{
			ID: fmt.Sprintf("g-%032x", n), API: "orders", Subject: subject, Effect: Allow,
			Permissions: []string{benchPermission(rng.IntN(200))},
		}
		switch rng.IntN(20) {
		case 0:
			g.Permissions = []string{fmt.Sprintf("area%02d.*", rng.IntN(10))}
		case 1:
			g.ExpiresAt = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		case 2:
			g.Effect = Deny
		}
		f.Grants = append(f.Grants, g)
	}
	for n := range routes {
		f.Routes = append(f.Routes, benchRoute(n))
	}
	return f
}

// benchRoute is the n-th of a family of eight routes for each thing, under ten prefixes.
func benchRoute(n int) Route {
	thing := fmt.Sprintf("/v1/team-%d/resource-%d", n/8%10, n/8)
	template := [...]string{"", "/{id}", "/{id}/items", "/{id}/items/{item:int}", "/search", "/{id}/files/{path...}"}
	r := Route{API: "orders", ID: fmt.Sprintf("r-%d", n), Requirement: RequireAllOf, Methods: []string{"GET"}}
	switch k := n % 8; k {
	case 6:
		r.Methods, r.Template = []string{"POST"}, thing
	case 7:
		r.Methods, r.Template = []string{"PUT", "DELETE"}, thing+"/{id}"
	default:
		r.Template = thing + template[k]
	}
	r.Permissions = []string{benchPermission(n)}
	return r
}

func benchPath(n int) (request.Method, string) {
	thing := fmt.Sprintf("/v1/team-%d/resource-%d", n/8%10, n/8)
	path := [...]string{"", "/4711", "/4711/items", "/4711/items/12", "/search", "/4711/files/a/b/c.txt", "", "/4711"}
	return [...]request.Method{request.GET, request.GET, request.GET, request.GET, request.GET, request.GET, request.POST,
		request.PUT}[n%8], thing + path[n%8]
}

var benchSnapshots = map[int]*Snapshot{}

// benchSnapshot compiles benchFacts with 200 routes, once for all benchmarks.
func benchSnapshot(b *testing.B, grants int) *Snapshot {
	if benchSnapshots[grants] == nil {
		benchSnapshots[grants] = mustCompile(b, benchFacts(grants, 200))
	}
	return benchSnapshots[grants]
}

// benchPrincipals are n users, each in 40 groups of which four have grants. Users and groups are drawn from the whole
// policy; altogether their groups with grants are at most the given number.
func benchPrincipals(grants, n, groups int) []*Principal {
	rng := rand.New(rand.NewPCG(uint64(grants), 2))
	pool := rng.Perm(grants / 20)
	pool = pool[:min(groups, len(pool))]
	var all []*Principal
	for range n {
		p := &Principal{
			Kind: PrincipalUser, TenantID: benchTenant, ObjectID: guid(userFamily, rng.IntN(grants/4)),
			ClientID: guid(otherFamily, 0), Scopes: []string{"openid", "Orders.All"},
		}
		for i := range 40 {
			if i%10 == 0 {
				p.Groups = append(p.Groups, guid(groupFamily, pool[rng.IntN(len(pool))]))
			} else {
				p.Groups = append(p.Groups, guid(otherFamily, rng.IntN(1000)))
			}
		}
		all = append(all, p)
	}
	return all
}

// BenchmarkEvaluate puts the same traffic to a small and a large policy: 1024 users in 500 groups ask for 200 routes. The
// cost must not grow with the grants. With "spread", the users of the large policy share hardly a group, so that what is
// read no longer fits the caches near the processor.
func BenchmarkEvaluate(b *testing.B) {
	for _, bc := range []struct {
		name           string
		grants, groups int
	}{
		{"grants=10000", 10_000, 500},
		{"grants=1000000", 1_000_000, 500},
		{"grants=1000000/spread", 1_000_000, 50_000},
	} {
		b.Run(bc.name, func(b *testing.B) {
			s := benchSnapshot(b, bc.grants)
			api := s.APIByID("orders")
			routes := api.Routes()
			inputs := make([]Input, 0, 1024)
			now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			for _, p := range benchPrincipals(bc.grants, 1024, bc.groups) {
				inputs = append(inputs, Input{Now: now, Principal: p, Subjects: s.Resolve(api, p, nil)})
			}
			runtime.GC()
			var sc Scratch
			allowed := 0
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				if s.EvaluateRoute(api, routes[n*7%len(routes)], &inputs[n%len(inputs)], &sc, nil).Effect == Allow {
					allowed++
				}
			}
			b.ReportMetric(float64(allowed)/float64(b.N), "allowed/op")
		})
	}
}

// BenchmarkMatch finds 4096 paths in turn, of as many routes as there are.
func BenchmarkMatch(b *testing.B) {
	for _, routes := range []int{200, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			api := mustCompile(b, benchFacts(0, routes)).APIByID("orders")
			rng := rand.New(rand.NewPCG(1, 3))
			type question struct {
				method request.Method
				path   string
			}
			var questions []question
			for range 4096 {
				m, path := benchPath(rng.IntN(routes))
				questions = append(questions, question{m, path})
			}
			var p Params
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				q := &questions[n%len(questions)]
				if api.Match(q.method, q.path, &p) == nil {
					b.Fatal(q.path, " has no route")
				}
			}
		})
	}
}

// BenchmarkResolve turns users with 40 groups into subjects.
func BenchmarkResolve(b *testing.B) {
	for _, grants := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			s := benchSnapshot(b, grants)
			api := s.APIByID("orders")
			principals := benchPrincipals(grants, 1024, 500)
			var refs []SubjectRef
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				refs = s.Resolve(api, principals[n%len(principals)], refs[:0])
			}
		})
	}
}

// BenchmarkApply adds one grant to many.
func BenchmarkApply(b *testing.B) {
	for _, grants := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			f := benchFacts(grants, 200)
			s := mustCompile(b, f)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				g := f.Grants[n*7919%len(f.Grants)]
				g.ID = fmt.Sprintf("new-%d", n)
				next, err := s.Apply(Delta{Revision: s.Revision() + 1, PutGrants: []Grant{g}}, compileFake)
				if err != nil {
					b.Fatal(err)
				}
				s = next
			}
		})
	}
}

// BenchmarkCompile makes a snapshot of everything and says how much memory it keeps, the texts of the facts not counted.
func BenchmarkCompile(b *testing.B) {
	for _, grants := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			f := benchFacts(grants, 200)
			var s *Snapshot
			before, after := heap(), uint64(0)
			b.ResetTimer()
			for range b.N {
				s = mustCompile(b, f)
			}
			b.StopTimer()
			after = heap()
			b.ReportMetric(float64(after-before)/float64(grants), "B/grant")
			runtime.KeepAlive(f.Grants)
			runtime.KeepAlive(s)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
