package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// spoilers are what near misses are made of: what grammars forbid, and what they allow elsewhere.
var spoilers = []string{
	"", "*", ".", "..", "/", "//", "{", "}", "{}", ":", ";", "%", "%41", " ", "\t", "\n", "\x00", "\x7f", "é", "A", "Z", "a", "0", "-", "_",
	"...", ":int", ":uuid", ":float", ".*", "*.", "@", "$", "#", "?", "\\", "|", "^", "~", "!", "'", ",", "=", "+", "&", "(", "{x}", "{x...}", "/{x}",
	strings.Repeat("a", 64), strings.Repeat("a", 121), strings.Repeat("a", 129), ".a.b.c.d.e.f.g.h.i",
}

// nearly is the text with a small thing wrong, or sometimes still right.
func (g generator) nearly(s string) string {
	at := 0
	if s != "" {
		at = g.IntN(len(s) + 1)
	}
	switch g.IntN(5) {
	case 0: // one character less
		if at < len(s) {
			return s[:at] + s[at+1:]
		}
		return s
	case 1: // one character another
		if at < len(s) {
			return s[:at] + g.oneOf(spoilers) + s[at+1:]
		}
		return s + g.oneOf(spoilers)
	case 2: // one upper case
		if at < len(s) {
			return s[:at] + strings.ToUpper(s[at:at+1]) + s[at+1:]
		}
		return strings.ToUpper(s)
	case 3: // the end
		return s + g.oneOf(spoilers)
	}
	return s[:at] + g.oneOf(spoilers) + s[at:]
}

// change returns the list with one of its elements changed.
func change[T any](g generator, list []T, with func(T) T) []T {
	list = slices.Clone(list)
	if len(list) > 0 {
		i := g.IntN(len(list))
		list[i] = with(list[i])
	}
	return list
}

// flaws each change one thing about facts, so that they are invalid, or may be; what is shared is copied first.
var flaws = map[string]func(g generator, f *policy.Facts){
	"api id nearly":        apiFlaw(func(g generator, a *policy.API) { a.ID = g.nearly(a.ID) }),
	"api id of another":    apiFlaw(func(g generator, a *policy.API) { a.ID = g.oneOf(apis) }),
	"no audience":          apiFlaw(func(_ generator, a *policy.API) { a.Audiences = nil }),
	"an empty audience":    apiFlaw(func(_ generator, a *policy.API) { a.Audiences = []string{"x", ""} }),
	"an audience twice":    apiFlaw(func(_ generator, a *policy.API) { a.Audiences = []string{"x", "y", "x"} }),
	"a host of upper case": apiFlaw(func(_ generator, a *policy.API) { a.Hosts = []string{"Orders.example"} }),
	"a host with a dot":    apiFlaw(func(_ generator, a *policy.API) { a.Hosts = []string{"orders.example."} }),
	"an empty host":        apiFlaw(func(_ generator, a *policy.API) { a.Hosts = []string{""} }),
	"a host of another":    apiFlaw(func(g generator, a *policy.API) { a.Hosts = []string{g.oneOf(allHosts)} }),
	"permission nearly": apiFlaw(func(g generator, a *policy.API) {
		a.Permissions = append(slices.Clone(a.Permissions), g.nearly(g.oneOf(declarers)))
	}),
	"permission withdrawn": apiFlaw(func(g generator, a *policy.API) {
		a.Permissions = g.some(a.Permissions, 0, max(0, len(a.Permissions)-1))
	}),
	"scope unnamed": apiFlaw(func(_ generator, a *policy.API) {
		a.Scopes = []policy.ScopeRule{{Permissions: a.Permissions[:min(1, len(a.Permissions))]}}
	}),
	"scope of nothing": apiFlaw(func(_ generator, a *policy.API) { a.Scopes = []policy.ScopeRule{{Scope: "S"}} }),
	"scope of all": apiFlaw(func(_ generator, a *policy.API) {
		a.Scopes = []policy.ScopeRule{{Scope: "S", Permissions: []string{"*"}}}
	}),
	"scope pattern nearly": apiFlaw(func(g generator, a *policy.API) {
		a.Scopes = change(g, a.Scopes, func(r policy.ScopeRule) policy.ScopeRule {
			r.Permissions = change(g, r.Permissions, g.nearly)
			return r
		})
	}),
	"actor pattern nearly": apiFlaw(func(g generator, a *policy.API) {
		a.Actors = change(g, a.Actors, func(r policy.ActorRule) policy.ActorRule {
			r.Permissions = change(g, r.Permissions, g.nearly)
			return r
		})
	}),
	"actor nearly": apiFlaw(func(g generator, a *policy.API) {
		a.Actors = change(g, a.Actors, func(r policy.ActorRule) policy.ActorRule { r.ClientID = g.nearly(r.ClientID); return r })
	}),

	"route id nearly":       routeFlaw(func(g generator, r *policy.Route) { r.ID = g.nearly(r.ID) }),
	"route id of another":   routeFlaw(func(g generator, r *policy.Route) { r.ID = fmt.Sprintf("r-%d", g.IntN(14)) }),
	"route of unknown api":  routeFlaw(func(g generator, r *policy.Route) { r.API = g.nearly(r.API) }),
	"template nearly":       routeFlaw(func(g generator, r *policy.Route) { r.Template = g.nearly(r.Template) }),
	"template nearly twice": routeFlaw(func(g generator, r *policy.Route) { r.Template = g.nearly(g.nearly(r.Template)) }),
	"template anew":         routeFlaw(func(g generator, r *policy.Route) { r.Template = g.template() }),
	"template of many segments": routeFlaw(func(g generator, r *policy.Route) {
		r.Template = strings.Repeat("/s", 63+g.IntN(3))
	}),
	"template of many parameters": routeFlaw(func(g generator, r *policy.Route) {
		r.Template = "/many"
		for i := range 15 + g.IntN(3) {
			r.Template += fmt.Sprintf("/{p%d}", i)
		}
	}),
	"template too long":      routeFlaw(func(g generator, r *policy.Route) { r.Template = "/" + strings.Repeat("x", 1022+g.IntN(4)) }),
	"parameter of long name": routeFlaw(func(g generator, r *policy.Route) { r.Template = "/long/{" + strings.Repeat("n", 31+g.IntN(4)) + "}" }),
	"no method":              routeFlaw(func(_ generator, r *policy.Route) { r.Methods = nil }),
	"method nearly":          routeFlaw(func(g generator, r *policy.Route) { r.Methods = change(g, r.Methods, g.nearly) }),
	"method twice":           routeFlaw(func(_ generator, r *policy.Route) { r.Methods = []string{"GET", "GET"} }),
	"all methods":            routeFlaw(func(_ generator, r *policy.Route) { r.Methods = slices.Clone(methods) }),
	"nothing required":       routeFlaw(func(_ generator, r *policy.Route) { r.Requirement, r.Permissions = policy.RequireUnset, nil }),
	"unknown requirement":    routeFlaw(func(_ generator, r *policy.Route) { r.Requirement, r.Permissions = 17, nil }),
	"public":                 routeFlaw(func(_ generator, r *policy.Route) { r.Requirement, r.Permissions = policy.RequirePublic, nil }),
	"public tail": routeFlaw(func(g generator, r *policy.Route) {
		r.Requirement, r.Permissions, r.Condition = pick(g, []policy.Requirement{policy.RequirePublic, policy.RequireAuthenticated}), nil, ""
		r.Template = pick(g, []string{"/{t...}", "/{a}/{t...}", "/{a:int}/{b:uuid}/{t...}", "/a/{t...}", "/{a}/b/{t...}", "/{a}", "/{a}/"})
	}),
	"no permission required": routeFlaw(func(_ generator, r *policy.Route) { r.Requirement, r.Permissions = policy.RequireAllOf, nil }),
	"permission required nearly": routeFlaw(func(g generator, r *policy.Route) {
		r.Permissions = change(g, r.Permissions, g.nearly)
	}),
	"wildcard required": routeFlaw(func(g generator, r *policy.Route) { r.Permissions = change(g, r.Permissions, wildcardOf) }),
	"permission twice": routeFlaw(func(_ generator, r *policy.Route) {
		r.Permissions = append(slices.Clone(r.Permissions), r.Permissions...)
	}),
	"route condition refused": routeFlaw(func(_ generator, r *policy.Route) { r.Condition = condMalformed }),

	"grant id nearly":      grantFlaw(func(g generator, gr *policy.Grant) { gr.ID = g.nearly(gr.ID) }),
	"grant id of another":  grantFlaw(func(g generator, gr *policy.Grant) { gr.ID = g.oneOf(grantIDs) }),
	"grant in unknown api": grantFlaw(func(g generator, gr *policy.Grant) { gr.API = g.nearly(gr.API) }),
	"grant in another api": grantFlaw(func(g generator, gr *policy.Grant) { gr.API = g.oneOf(apis) }),
	"subject nearly":       grantFlaw(func(g generator, gr *policy.Grant) { gr.Subject = g.nearly(gr.Subject) }),
	"role nearly":          grantFlaw(func(g generator, gr *policy.Grant) { gr.Subject = g.nearly("approle:" + gr.API + "/Task:Write") }),
	"role of another api":  grantFlaw(func(g generator, gr *policy.Grant) { gr.Subject = "approle:" + g.oneOf(apis) + "/Admin" }),
	"role of any length": grantFlaw(func(g generator, gr *policy.Grant) {
		gr.Subject = "approle:" + gr.API + "/" + strings.Repeat("R", 119+g.IntN(3))
	}),
	"no pattern":     grantFlaw(func(_ generator, gr *policy.Grant) { gr.Permissions = nil }),
	"pattern nearly": grantFlaw(func(g generator, gr *policy.Grant) { gr.Permissions = change(g, gr.Permissions, g.nearly) }),
	"pattern of all": grantFlaw(func(g generator, gr *policy.Grant) {
		gr.Permissions = []string{pick(g, []string{"*", "*.*", ".*", ""})}
	}),
	"pattern of a word more":  grantFlaw(func(g generator, gr *policy.Grant) { gr.Permissions = change(g, gr.Permissions, wildcardOf) }),
	"unknown effect":          grantFlaw(func(_ generator, gr *policy.Grant) { gr.Effect = 2 }),
	"grant condition refused": grantFlaw(func(_ generator, gr *policy.Grant) { gr.Condition = condMalformed }),
	"nothing":                 func(generator, *policy.Facts) {},
}

func wildcardOf(s string) string { return s + ".*" }

func apiFlaw(do func(generator, *policy.API)) func(generator, *policy.Facts) {
	return func(g generator, f *policy.Facts) {
		f.APIs = change(g, f.APIs, func(a policy.API) policy.API { do(g, &a); return a })
	}
}

func routeFlaw(do func(generator, *policy.Route)) func(generator, *policy.Facts) {
	return func(g generator, f *policy.Facts) {
		f.Routes = change(g, f.Routes, func(r policy.Route) policy.Route { do(g, &r); return r })
	}
}

func grantFlaw(do func(generator, *policy.Grant)) func(generator, *policy.Facts) {
	return func(g generator, f *policy.Facts) {
		f.Grants = change(g, f.Grants, func(gr policy.Grant) policy.Grant { do(g, &gr); return gr })
	}
}

// What the reference finds at fault Compile refuses, and nothing else.
func TestCompileRefusesWhatReferenceFaults(t *testing.T) {
	names := make([]string, 0, len(flaws))
	for name := range flaws {
		names = append(names, name)
	}
	slices.Sort(names)
	first, last, replay := seeds(t, 60)
	refused, accepted := 0, 0
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for seed := first; seed <= last; seed++ {
				g := newGenerator(seed)
				f := g.facts()
				flaws[name](g, &f)
				if g.chance(20) { // a second one: all of it is said at once
					flaws[g.oneOf(names)](g, &f)
				}
				found := faultsOf(f)
				_, err := policy.Compile(f, new(conditions).compile)
				if (err != nil) != (len(found) > 0) {
					t.Fatalf("%s=%d: Compile says %v, the reference finds %v\n%s", envSeed, seed, err, found, dump(f))
				}
				if err == nil {
					accepted++
					continue
				}
				refused++
				checkInvalid(t, seed, err, f, found)
			}
		})
	}
	t.Logf("%d policies refused, %d accepted", refused, accepted)
	if !replay && (refused < 1000 || accepted < 500) {
		t.Errorf("%d policies refused and %d accepted are too few to say anything", refused, accepted)
	}
}
