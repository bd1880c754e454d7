package policy

import (
	"slices"
	"testing"
	"time"
)

func TestPrivilegedPermissionsNeedFreshGroups(t *testing.T) {
	f := shop()
	f.APIs[0].Privileged = []string{"orders.write"}
	f.Routes = append(f.Routes,
		Route{API: "orders", ID: "put", Methods: []string{"PUT"}, Template: "/orders", Requirement: RequireAllOf, Permissions: []string{"orders.read", "orders.write"}},
		Route{API: "orders", ID: "post", Methods: []string{"POST"}, Template: "/orders", Requirement: RequireAnyOf, Permissions: []string{"orders.write", "orders.read"}},
	)
	s := mustCompile(t, f)
	check := func(s *Snapshot, want ...string) {
		t.Helper()
		var got []string
		for _, a := range s.APIs() {
			for _, r := range a.Routes() {
				if r.NeedsFreshGroups() {
					got = append(got, a.ID()+"/"+r.ID())
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("routes that need fresh groups: %v, want %v", got, want)
		}
	}
	check(s, "orders/post", "orders/put")
	orders := s.APIByID("orders")
	for name, want := range map[string]bool{"orders.write": true, "orders.read": false, "orders.none": false} {
		if got := orders.NeedsFreshGroups(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	changed := f.APIs[0]
	changed.Privileged = []string{"audit.read"}
	next, err := s.Apply(Delta{Revision: 8, PutAPIs: []API{changed}}, compileFake)
	if err != nil {
		t.Fatal(err)
	}
	check(next) // routes that did not change follow their api
	check(s, "orders/post", "orders/put")
}

func TestSignInRulesAreKept(t *testing.T) {
	f := shop()
	f.APIs[0].DenyGuests, f.APIs[0].StrictRevocation = true, true
	f.Routes[0].MaxTokenAge, f.Routes[0].AuthContext, f.Routes[0].ConfidentialClient = 24*time.Hour, "c99", true
	api := mustCompile(t, f).APIByID("orders")
	r := api.Routes()[1].Facts()
	if !api.Facts().DenyGuests || !api.Facts().StrictRevocation || r.MaxTokenAge != 24*time.Hour || r.AuthContext != "c99" || !r.ConfidentialClient {
		t.Errorf("api %+v, route %+v", api.Facts(), r)
	}
}
