package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// copied shares no slice with the facts, and spoiled overwrites every slice of them.
func copied(f policy.Facts) policy.Facts {
	f.APIs, f.Routes, f.Grants = slices.Clone(f.APIs), slices.Clone(f.Routes), slices.Clone(f.Grants)
	for i := range f.APIs {
		a := &f.APIs[i]
		a.Audiences, a.Hosts, a.Permissions = slices.Clone(a.Audiences), slices.Clone(a.Hosts), slices.Clone(a.Permissions)
		a.Scopes, a.Actors = slices.Clone(a.Scopes), slices.Clone(a.Actors)
		for j := range a.Scopes {
			a.Scopes[j].Permissions = slices.Clone(a.Scopes[j].Permissions)
		}
		for j := range a.Actors {
			a.Actors[j].Permissions = slices.Clone(a.Actors[j].Permissions)
		}
	}
	for i := range f.Routes {
		f.Routes[i].Methods = slices.Clone(f.Routes[i].Methods)
		f.Routes[i].Permissions = slices.Clone(f.Routes[i].Permissions)
	}
	for i := range f.Grants {
		f.Grants[i].Permissions = slices.Clone(f.Grants[i].Permissions)
	}
	return f
}

func spoil(list []string) {
	for i := range list {
		list[i] = "spoiled"
	}
}

func spoiled(f policy.Facts) {
	for i, a := range f.APIs {
		for _, list := range [][]string{a.Audiences, a.Hosts, a.Permissions} {
			spoil(list)
		}
		for j := range a.Scopes {
			spoil(a.Scopes[j].Permissions)
			a.Scopes[j] = policy.ScopeRule{Scope: "spoiled"}
		}
		for j := range a.Actors {
			spoil(a.Actors[j].Permissions)
			a.Actors[j] = policy.ActorRule{ClientID: "spoiled"}
		}
		f.APIs[i] = policy.API{ID: "spoiled"}
	}
	for i, r := range f.Routes {
		spoil(r.Methods)
		spoil(r.Permissions)
		f.Routes[i] = policy.Route{ID: "spoiled", Requirement: policy.RequirePublic}
	}
	for i, g := range f.Grants {
		spoil(g.Permissions)
		f.Grants[i] = policy.Grant{ID: "spoiled", Effect: policy.Allow, ExpiresAt: time.Unix(0, 0)}
	}
}

// What callers do to their facts and deltas afterwards changes no snapshot.
func TestSnapshotsKeepNothingOfTheirCallers(t *testing.T) {
	first, last, _ := seeds(t, 100)
	for seed := first; seed <= last; seed++ {
		chain, deltas := history(seed, 3)
		given := copied(chain[0])
		e := compiled(t, given)
		spoiled(given)
		for i, f := range chain {
			if i > 0 {
				d := deltas[i-1]
				put := copied(policy.Facts{APIs: d.PutAPIs, Routes: d.PutRoutes, Grants: d.PutGrants})
				d.PutAPIs, d.PutRoutes, d.PutGrants = put.APIs, put.Routes, put.Grants
				d.DeleteAPIs, d.DeleteRoutes, d.DeleteGrants = slices.Clone(d.DeleteAPIs), slices.Clone(d.DeleteRoutes), slices.Clone(d.DeleteGrants)
				s, err := e.snapshot.Apply(d, e.conditions.compile)
				if err != nil {
					t.Fatalf("%s=%d: %v", envSeed, seed, err)
				}
				spoiled(put)
				spoil(d.DeleteAPIs)
				spoil(d.DeleteGrants)
				clear(d.DeleteRoutes)
				e.snapshot = s
			}
			m := &reference{f, &conditions{}}
			checkLists(t, seed, e.snapshot, m)
			checkFacts(t, seed, e.snapshot, f)
			g := newGenerator(seed + 1)
			for range 20 {
				q := g.question(f)
				if said := differ(e, m, q, nil); said != "" {
					t.Fatalf("%s=%d: %s\n%s\n%s", envSeed, seed, q, said, dump(f))
				}
			}
		}
	}
}

// checkFacts asks that a snapshot gives back the apis that it was made of.
func checkFacts(t *testing.T, seed uint64, s *policy.Snapshot, f policy.Facts) {
	t.Helper()
	for _, a := range f.APIs {
		got := dump(policy.Facts{APIs: []policy.API{*s.APIByID(a.ID).Facts()}})
		if want := dump(policy.Facts{APIs: []policy.API{a}}); got != want || strings.Contains(got, "spoiled") {
			t.Fatalf("%s=%d: facts of api %s are\n%smust be\n%s", envSeed, seed, a.ID, got, want)
		}
	}
}
