package policy

import (
	"slices"
	"testing"
)

func TestAskNeedsNoRequest(t *testing.T) {
	g1, g2 := "group:"+tid+"/"+guid(8, 1), "group:"+tid+"/"+guid(8, 2)
	for name, tc := range map[string]struct {
		route       Route
		grants      []Grant
		worst, best string
	}{
		"without conditions the two are one":    {allOf("p.a"), []Grant{allow("p.a").to(g1)}, "allow ALLOWED_BY_GRANT by g0", "allow ALLOWED_BY_GRANT by g0"},
		"an allow with a condition may not":     {allOf("p.a"), []Grant{allow("p.a").to(g1).when("true")}, "deny NO_GRANT missing p.a volatile", "allow ALLOWED_BY_GRANT by g0 volatile"},
		"nor with one that errs":                {allOf("p.a"), []Grant{allow("p.a").to(g1).when("error")}, "deny NO_GRANT missing p.a volatile", "allow ALLOWED_BY_GRANT by g0 volatile"},
		"a deny with a condition may":           {allOf("p.a"), []Grant{allow("p.a").to(g1), deny("p.*").to(g2).when("false")}, "deny DENIED_BY_GRANT by g1 volatile", "allow ALLOWED_BY_GRANT by g0 volatile"},
		"a second allow is enough at worst":     {allOf("p.a"), []Grant{allow("p.a").to(g1), allow("p.a").to(g2).when("true")}, "allow ALLOWED_BY_GRANT by g0 volatile", "allow ALLOWED_BY_GRANT by g0,g1 volatile"},
		"the condition of the route may fail":   {allOf("p.a").when("true"), []Grant{allow("p.a").to(g1)}, "deny CONDITION_NOT_MET volatile", "allow ALLOWED_BY_GRANT by g0 volatile"},
		"or hold, whatever it says":             {allOf("p.a").when("false"), []Grant{allow("p.a").to(g1)}, "deny CONDITION_NOT_MET volatile", "allow ALLOWED_BY_GRANT by g0 volatile"},
		"it is not asked where a grant is away": {allOf("p.a").when("true"), nil, "deny NO_GRANT missing p.a", "deny NO_GRANT missing p.a"},
		"a caller that only has to be proven":   {Route{Requirement: RequireAuthenticated}.when("true"), nil, "deny CONDITION_NOT_MET volatile", "allow ALLOWED_AUTHENTICATED volatile"},
		"a public route":                        {Route{Requirement: RequirePublic}, nil, "allow ALLOWED_PUBLIC", "allow ALLOWED_PUBLIC"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustCompile(t, desk([]Route{tc.route}, tc.grants...))
			a := s.APIByID("desk")
			subjects := s.ResolveSubjects(a, []string{g2, g1, g2, "tenant:" + guid(9, 9), "no subject", ""}, nil)
			r := a.Routes()[0]
			worst, best := s.Ask(Question{API: a, Route: r}, Input{Now: noon, Principal: user(), Subjects: subjects})
			if worst.text() != tc.worst || best.text() != tc.best {
				t.Errorf("worst %s, want %s; best %s, want %s", worst.text(), tc.worst, best.text(), tc.best)
			}
			if (r.condition == nil) != (tc.route.Condition == "") {
				t.Error("the route of the snapshot was changed")
			}
		})
	}
}

func TestAskForAPermission(t *testing.T) {
	s := mustCompile(t, desk(nil, allow("p.a"), deny("p.b").when("true")))
	a := s.APIByID("desk")
	in := Input{Now: noon, Principal: user(), Subjects: s.ResolveSubjects(a, []string{"tenant:" + tid}, nil)}
	for permission, want := range map[string][2]string{
		"p.a": {"allow ALLOWED_BY_GRANT by g0", "allow ALLOWED_BY_GRANT by g0"},
		"p.b": {"deny DENIED_BY_GRANT by g1 volatile", "deny NO_GRANT missing p.b volatile"},
		"p.x": {"deny PERMISSION_UNKNOWN", "deny PERMISSION_UNKNOWN"},
	} {
		worst, best := s.Ask(Question{API: a, Permission: permission}, in)
		if got := [2]string{worst.text(), best.text()}; got != want {
			t.Errorf("%s: %q, want %q", permission, got, want)
		}
	}
}

func TestSubjectsByNameAreThoseOfThePrincipal(t *testing.T) {
	p := user()
	names := []string{"user:" + tid + "/" + oid, "group:" + tid + "/" + guid(8, 1), "group:" + tid + "/" + guid(8, 2), "approle:desk/Reader", "wid:" + guid(7, 1), "tenant:" + tid}
	var grants []Grant
	for _, name := range append(slices.Clone(names), "group:"+tid+"/"+guid(8, 3)) {
		grants = append(grants, allow("p.a").to(name))
	}
	s := mustCompile(t, desk(nil, grants...))
	a := s.APIByID("desk")
	if got, want := s.ResolveSubjects(a, names, nil), s.Resolve(a, p, nil); len(want) != len(names) || !slices.Equal(got, want) {
		t.Errorf("by name %v, by principal %v", got, want)
	}
	if got := s.ResolveSubjects(a, nil, []SubjectRef{7}); !slices.Equal(got, []SubjectRef{7}) {
		t.Errorf("nothing was appended to, and gave %v", got)
	}
	empty := mustCompile(t, desk(nil))
	if got := empty.ResolveSubjects(empty.APIByID("desk"), names, nil); len(got) != 0 {
		t.Errorf("an api without grants has %v", got)
	}
}
