package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/request"
)

var update = flag.Bool("update", false, "rewrite golden files")

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// desk is an api whose permissions are p.a to p.d and q.a, with a scope for all of p but d, and a capped client.
func desk(routes []Route, grants ...Grant) Facts {
	f := Facts{APIs: []API{{
		ID: "desk", Audiences: []string{"desk"}, Permissions: []string{"p.a", "p.b", "p.c", "p.d", "q.a"},
		Scopes: []ScopeRule{{Scope: "P", Permissions: []string{"p.a", "p.b", "p.c"}}, {Scope: "Q", Permissions: []string{"q.*"}}},
		Actors: []ActorRule{{ClientID: guid(9, 1), Permissions: []string{"p.a"}}},
	}}}
	for i, r := range routes {
		r.API, r.ID = "desk", fmt.Sprintf("r%d", i)
		if r.Methods == nil {
			r.Methods = []string{"GET"}
		}
		if r.Template == "" {
			r.Template = fmt.Sprintf("/r%d", i)
		}
		f.Routes = append(f.Routes, r)
	}
	for i, g := range grants {
		g.API, g.ID = "desk", fmt.Sprintf("g%d", i)
		if g.Subject == "" {
			g.Subject = "tenant:" + tid
		}
		f.Grants = append(f.Grants, g)
	}
	return f
}

func allow(permissions ...string) Grant { return Grant{Effect: Allow, Permissions: permissions} }
func deny(permissions ...string) Grant  { return Grant{Effect: Deny, Permissions: permissions} }

func (g Grant) when(condition string) Grant { g.Condition = condition; return g }
func (g Grant) to(subject string) Grant     { g.Subject = subject; return g }
func (g Grant) from(t time.Time) Grant      { g.NotBefore = t; return g }
func (g Grant) until(t time.Time) Grant     { g.ExpiresAt = t; return g }

func allOf(permissions ...string) Route {
	return Route{Requirement: RequireAllOf, Permissions: permissions}
}

func anyOf(permissions ...string) Route {
	return Route{Requirement: RequireAnyOf, Permissions: permissions}
}

func (r Route) when(condition string) Route { r.Condition = condition; return r }

// user is in two groups and has the scope P.
func user() *Principal {
	return &Principal{
		Kind: PrincipalUser, TenantID: tid, ObjectID: oid, ClientID: guid(9, 2), Scopes: []string{"openid", "P"},
		Groups: []string{guid(8, 1), guid(8, 2), guid(8, 1)}, Roles: []string{"Reader"}, WIDs: []string{guid(7, 1)},
	}
}

func app() *Principal {
	return &Principal{Kind: PrincipalApp, TenantID: tid, ObjectID: oid, ClientID: guid(9, 1), Roles: []string{"Worker"}}
}

func (o Outcome) text() string {
	s := o.Effect.String() + " " + o.Reason.String()
	if len(o.Grants) > 0 {
		s += " by " + strings.Join(o.Grants, ",")
	}
	if len(o.Missing) > 0 {
		s += " missing " + strings.Join(o.Missing, ",")
	}
	if !o.Until.IsZero() {
		s += " until " + o.Until.Sub(noon).String()
	}
	if o.Volatile {
		s += " volatile"
	}
	return s
}

func TestEvaluateRoute(t *testing.T) {
	capped := user()
	capped.ClientID = guid(9, 1)
	scopeless := user()
	scopeless.Scopes = nil
	for name, tc := range map[string]struct {
		route  Route
		grants []Grant
		who    *Principal // nil: user()
		want   string
	}{
		"public":                          {route: Route{Requirement: RequirePublic}, want: "allow ALLOWED_PUBLIC"},
		"authenticated":                   {route: Route{Requirement: RequireAuthenticated}, want: "allow ALLOWED_AUTHENTICATED"},
		"authenticated, condition holds":  {route: Route{Requirement: RequireAuthenticated, Condition: "true"}, want: "allow ALLOWED_AUTHENTICATED volatile"},
		"authenticated, condition errs":   {route: Route{Requirement: RequireAuthenticated, Condition: "error"}, want: "deny CONDITION_NOT_MET volatile"},
		"no grant":                        {route: allOf("p.a", "p.b"), want: "deny NO_GRANT missing p.a,p.b"},
		"a grant":                         {route: allOf("p.a"), grants: []Grant{allow("p.a")}, want: "allow ALLOWED_BY_GRANT by g0"},
		"a grant of another permission":   {route: allOf("p.a"), grants: []Grant{allow("p.b", "q.*")}, want: "deny NO_GRANT missing p.a"},
		"a grant to someone else":         {route: allOf("p.a"), grants: []Grant{allow("p.*").to("user:" + tid + "/" + guid(1, 1))}, want: "deny NO_GRANT missing p.a"},
		"a grant to another tenant":       {route: allOf("p.a"), grants: []Grant{allow("p.*").to("user:" + oid + "/" + oid)}, want: "deny NO_GRANT missing p.a"},
		"by the name of an app":           {route: allOf("p.a"), grants: []Grant{allow("p.*").to("app:" + tid + "/" + oid)}, want: "deny NO_GRANT missing p.a"},
		"by every subject of a user":      {route: allOf("p.a"), grants: []Grant{allow("p.a"), allow("p.*").to("user:" + tid + "/" + oid), allow("p.*").to("group:" + tid + "/" + guid(8, 2)), allow("p.a", "p.*").to("group:" + tid + "/" + guid(8, 1)), allow("p.a").to("approle:desk/Reader"), allow("p.a").to("wid:" + guid(7, 1))}, want: "allow ALLOWED_BY_GRANT by g0,g1,g2,g3,g4,g5"},
		"an app by object and client id":  {who: app(), route: allOf("p.d"), grants: []Grant{allow("p.*").to("app:" + tid + "/" + oid), allow("p.*").to("app:" + tid + "/" + guid(9, 1)), allow("p.*").to("user:" + tid + "/" + oid)}, want: "allow ALLOWED_BY_GRANT by g0,g1"},
		"a caller of unknown kind":        {who: &Principal{TenantID: tid, Scopes: []string{"P"}}, route: allOf("p.a"), grants: []Grant{allow("p.*")}, want: "deny NO_GRANT missing p.a"},
		"a deny beats allows":             {route: allOf("p.a"), grants: []Grant{allow("p.a"), deny("p.*"), deny("p.a")}, want: "deny DENIED_BY_GRANT by g1,g2"},
		"no scope":                        {who: scopeless, route: allOf("p.a"), grants: []Grant{allow("p.*")}, want: "deny SCOPE_INSUFFICIENT missing p.a"},
		"a scope that does not carry it":  {route: allOf("p.a", "p.d"), grants: []Grant{allow("p.*")}, want: "deny SCOPE_INSUFFICIENT missing p.d"},
		"an actor that may":               {who: capped, route: allOf("p.a"), grants: []Grant{allow("p.*")}, want: "allow ALLOWED_BY_GRANT by g0"},
		"an actor that may not":           {who: capped, route: allOf("p.a", "p.b"), grants: []Grant{allow("p.*")}, want: "deny ACTOR_NOT_PERMITTED missing p.b"},
		"all of: a deny first":            {who: capped, route: allOf("q.a", "p.b", "p.c"), grants: []Grant{allow("p.*"), deny("p.c")}, want: "deny DENIED_BY_GRANT by g1"},
		"all of: then a grant":            {who: capped, route: allOf("p.b", "p.d", "q.a"), grants: []Grant{allow("p.*")}, want: "deny NO_GRANT missing p.b,p.d,q.a"},
		"all of: then the scope":          {who: capped, route: allOf("p.b", "p.d", "p.a"), grants: []Grant{allow("p.*")}, want: "deny SCOPE_INSUFFICIENT missing p.b,p.d"},
		"all of: the first denied counts": {route: allOf("p.b", "p.a"), grants: []Grant{deny("p.a"), deny("p.b")}, want: "deny DENIED_BY_GRANT by g1"},
		"all of: grants of every one":     {route: allOf("p.b", "p.a"), grants: []Grant{allow("p.a"), allow("p.b"), allow("p.*"), allow("q.a")}, want: "allow ALLOWED_BY_GRANT by g0,g1,g2"},
		"any of: the first that passes":   {route: anyOf("p.d", "p.b", "p.a"), grants: []Grant{allow("p.b"), allow("p.a"), allow("p.d")}, want: "allow ALLOWED_BY_GRANT by g0"},
		"any of: a deny of another":       {route: anyOf("p.a", "p.b"), grants: []Grant{deny("p.a"), allow("p.b")}, want: "allow ALLOWED_BY_GRANT by g1"},
		"any of: a deny first":            {who: capped, route: anyOf("p.b", "p.c", "p.d"), grants: []Grant{allow("p.*"), deny("p.c"), deny("p.d")}, want: "deny DENIED_BY_GRANT by g1"},
		"any of: then the actor":          {who: capped, route: anyOf("q.a", "p.d", "p.b"), grants: []Grant{allow("p.*")}, want: "deny ACTOR_NOT_PERMITTED missing q.a,p.d,p.b"},
		"any of: then the scope":          {route: anyOf("q.a", "p.d"), grants: []Grant{allow("p.*")}, want: "deny SCOPE_INSUFFICIENT missing q.a,p.d"},
		"the route's condition fails":     {route: allOf("p.a").when("false"), grants: []Grant{allow("p.a")}, want: "deny CONDITION_NOT_MET volatile"},
		"the route's condition unread":    {route: allOf("p.a").when("true"), want: "deny NO_GRANT missing p.a"},
		"conditions of allows":            {route: allOf("p.a"), grants: []Grant{allow("p.a").when("true"), allow("p.a").when("false"), allow("p.a").when("error")}, want: "allow ALLOWED_BY_GRANT by g0 volatile"},
		"conditions of denies":            {route: allOf("p.a"), grants: []Grant{deny("p.a").when("true"), deny("p.a").when("false"), deny("p.a").when("error")}, want: "deny DENIED_BY_GRANT by g0,g2 volatile"},
		"a condition elsewhere is unread": {route: allOf("p.a"), grants: []Grant{allow("p.a"), deny("p.b").when("true")}, want: "allow ALLOWED_BY_GRANT by g0"},
		"begins now":                      {route: allOf("p.a"), grants: []Grant{allow("p.a").from(noon)}, want: "allow ALLOWED_BY_GRANT by g0"},
		"begins later":                    {route: allOf("p.a"), grants: []Grant{allow("p.a").from(noon.Add(1))}, want: "deny NO_GRANT missing p.a until 1ns"},
		"ends now":                        {route: allOf("p.a"), grants: []Grant{allow("p.a").until(noon)}, want: "deny NO_GRANT missing p.a"},
		"ends later":                      {route: allOf("p.a"), grants: []Grant{allow("p.a").until(noon.Add(1))}, want: "allow ALLOWED_BY_GRANT by g0 until 1ns"},
		"the earliest instant of all":     {route: allOf("p.a", "p.b"), grants: []Grant{allow("p.*").until(noon.Add(3 * time.Hour)), deny("p.b").from(noon.Add(2 * time.Hour)), allow("p.c").until(noon.Add(time.Hour)), deny("p.a").until(noon.Add(-1))}, want: "allow ALLOWED_BY_GRANT by g0 until 2h0m0s"},
		"any of: what is not looked at":   {route: anyOf("p.a", "p.b"), grants: []Grant{allow("p.a"), deny("p.b").from(noon.Add(1)).when("true")}, want: "allow ALLOWED_BY_GRANT by g0"},
		"no condition out of the window":  {route: allOf("p.a"), grants: []Grant{allow("p.a"), deny("p.a").from(noon.Add(5)).when("true")}, want: "allow ALLOWED_BY_GRANT by g0 until 5ns"},
		"a never-ending end":              {route: allOf("p.a"), grants: []Grant{allow("p.a").until(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))}, want: "allow ALLOWED_BY_GRANT by g0 until 2562047h47m16.854775807s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustCompile(t, desk([]Route{tc.route}, tc.grants...))
			who := tc.who
			if who == nil {
				who = user()
			}
			a := s.APIByID("desk")
			in := Input{Now: noon, Principal: who, Subjects: s.Resolve(a, who, nil)}
			out := s.EvaluateRoute(a, a.Routes()[0], &in, new(Scratch), nil)
			if got := out.text(); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			var tr Trace
			if traced := s.EvaluateRoute(a, a.Routes()[0], &in, new(Scratch), &tr); traced.text() != tc.want || tr.Reason != out.Reason {
				t.Errorf("with a trace %s, and %s", traced.text(), tr.String())
			}
		})
	}
}

func TestEvaluatePermission(t *testing.T) {
	s := mustCompile(t, desk(nil, allow("p.*")))
	a, who := s.APIByID("desk"), user()
	in := Input{Now: noon, Principal: who, Subjects: s.Resolve(a, who, nil)}
	for name, want := range map[string]string{
		"p.a": "allow ALLOWED_BY_GRANT by g0", "p.d": "deny SCOPE_INSUFFICIENT missing p.d", "q.a": "deny NO_GRANT missing q.a",
		"p.x": "deny PERMISSION_UNKNOWN", "p.*": "deny PERMISSION_UNKNOWN", "": "deny PERMISSION_UNKNOWN",
	} {
		if out := s.EvaluatePermission(a, name, &in, new(Scratch), new(Trace)); out.text() != want {
			t.Errorf("%q: %s, want %s", name, out.text(), want)
		}
	}
}

func TestWithoutPrincipalOnlyPublicRoutesPass(t *testing.T) {
	s := mustCompile(t, desk([]Route{{Requirement: RequirePublic}, {Requirement: RequireAuthenticated}, allOf("p.a"), anyOf("p.a")}, allow("p.*")))
	a := s.APIByID("desk")
	in := Input{Now: noon, Subjects: s.Resolve(a, nil, nil)}
	for i, want := range []string{
		"allow ALLOWED_PUBLIC", "deny TOKEN_MISSING", "deny NO_GRANT missing p.a", "deny NO_GRANT missing p.a",
	} {
		if out := s.EvaluateRoute(a, a.Routes()[i], &in, new(Scratch), new(Trace)); out.text() != want {
			t.Errorf("route %d: %s, want %s", i, out.text(), want)
		}
	}
}

func TestResolveNamesEachSubjectOnce(t *testing.T) {
	grants := []Grant{
		allow("p.a"), allow("p.b"), allow("p.a").to("group:" + tid + "/" + guid(8, 1)), allow("p.a").to("group:" + tid + "/" + guid(8, 3)),
		allow("p.a").to("app:" + tid + "/" + oid),
	}
	s := mustCompile(t, desk(nil, grants...))
	a := s.APIByID("desk")
	both := app()
	both.ClientID = both.ObjectID
	for name, tc := range map[string]struct {
		who  *Principal
		want int
	}{
		"a user in a group twice": {user(), 2}, "an app whose ids are one": {both, 2}, "nobody": {nil, 0}, "no kind": {&Principal{TenantID: tid}, 0},
	} {
		if got := s.Resolve(a, tc.who, []SubjectRef{99}); len(got) != 1+tc.want || got[0] != 99 {
			t.Errorf("%s: %v, want %d more", name, got, tc.want)
		}
	}
}

// A subject with many grants is searched, one with few is gone through; both must find the same.
func TestLongRunsAreSearchedAsShortOnesAreRead(t *testing.T) {
	for n := 1; n < 60; n++ {
		var grants []Grant
		var want []string
		for i := range n {
			pattern := []string{"p.a", "p.*", "p.b", "q.*", "p.c"}[i*7%5]
			grants = append(grants, allow(pattern))
			if i*7%5 < 2 {
				want = append(want, fmt.Sprintf("g%d", i))
			}
		}
		slices.Sort(want)
		s := mustCompile(t, desk(nil, grants...))
		a, who := s.APIByID("desk"), user()
		in := Input{Now: noon, Principal: who, Subjects: s.Resolve(a, who, nil)}
		if out := s.EvaluatePermission(a, "p.a", &in, new(Scratch), nil); !slices.Equal(out.Grants, want) {
			t.Fatalf("of %d grants %v, want %v", n, out.Grants, want)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	s := mustCompile(t, desk([]Route{
		{Requirement: RequirePublic}, allOf("p.a", "p.b").when("true"), anyOf("p.d", "p.c"), allOf("q.a", "p.d"),
		{Requirement: RequireAuthenticated, Template: "/x/{a}/{b:int}/{c...}"},
	}, allow("p.*").when("true"), allow("p.a").until(noon.Add(1)), deny("q.*").from(noon.Add(1)), allow("p.a", "p.b").to("group:"+tid+"/"+guid(8, 1))))
	a, who := s.APIByID("desk"), user()
	in := Input{Now: noon, Principal: who, Subjects: s.Resolve(a, who, nil)}
	routes := a.Routes()
	var sc Scratch
	var p Params
	refs := make([]SubjectRef, 0, 16)
	for name, f := range map[string]func(){
		"EvaluateRoute": func() {
			for _, r := range routes {
				s.EvaluateRoute(a, r, &in, &sc, nil)
			}
		},
		"EvaluatePermission": func() {
			s.EvaluatePermission(a, "p.a", &in, &sc, nil)
			s.EvaluatePermission(a, "none", &in, &sc, nil)
		},
		"Match": func() {
			if a.Match(request.GET, "/x/1/2/3/4", &p) == nil || a.Match(request.GET, "/y", nil) != nil {
				t.Fatal("no match")
			}
		},
		"Resolve": func() { refs = s.Resolve(a, who, refs[:0]) },
		"lookups": func() { _, _ = s.APIByID("desk"), s.APIByHost("desk") },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestTraceSaysWhy(t *testing.T) {
	s := mustCompile(t, desk(
		[]Route{allOf("p.a", "p.b", "p.d").when("true"), anyOf("q.a", "p.a", "p.b").when("false"), {Requirement: RequireAuthenticated}},
		allow("p.*"), allow("p.a").from(noon.Add(time.Hour)), allow("p.a").until(noon.Add(-time.Hour)).when("true"),
		deny("p.b").when("error").to("group:"+tid+"/"+guid(8, 1)), deny("p.a").when("false"), allow("p.a").when("true"),
	))
	a, who := s.APIByID("desk"), user()
	capped := app()
	capped.Kind, capped.Scopes = PrincipalUser, []string{"P", "Q"}
	var b strings.Builder
	for _, p := range []*Principal{who, capped, app()} {
		in := Input{Now: noon, Principal: p, Subjects: s.Resolve(a, p, nil)}
		var tr Trace
		for _, r := range a.Routes() {
			s.EvaluateRoute(a, r, &in, new(Scratch), &tr)
			b.WriteString(tr.String() + "\n")
		}
		s.EvaluatePermission(a, "p.c", &in, new(Scratch), &tr)
		b.WriteString(tr.String() + "\n")
		s.EvaluatePermission(a, "p.x", &in, new(Scratch), &tr)
		b.WriteString(tr.String() + "\n")
	}
	golden := filepath.Join("testdata", "trace.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Fatalf("got\n%s\nwant\n%s", b.String(), want)
	}
}
