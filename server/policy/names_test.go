package policy

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestSubjectsHaveTheTextsOfTheirGrants(t *testing.T) {
	s := mustCompile(t, benchFacts(10_000, 0))
	api := s.APIByID("orders")
	for _, p := range benchPrincipals(10_000, 50, 500) {
		refs := s.Resolve(api, p, nil)
		names := s.AppendSubjects(api, refs, []string{"first"})
		if len(names) != len(refs)+1 || names[0] != "first" {
			t.Fatalf("%d names of %d subjects", len(names), len(refs))
		}
		var can []string
		for _, g := range p.Groups {
			can = append(can, "group:"+benchTenant+"/"+g)
		}
		can = append(can, "user:"+benchTenant+"/"+p.ObjectID)
		for _, name := range names[1:] {
			if !slices.Contains(can, name) {
				t.Errorf("%s is no subject of the caller", name)
			}
		}
	}
}

func TestTheSubjectOfAGrantIsFoundByItsID(t *testing.T) {
	f := benchFacts(10_000, 0)
	s := mustCompile(t, f)
	check := func(s *Snapshot, grants []Grant) {
		t.Helper()
		for _, g := range grants {
			if got, ok := s.SubjectOfGrant(g.ID); !ok || got != g.Subject {
				t.Fatalf("grant %s names %q, want %q", g.ID, got, g.Subject)
			}
		}
	}
	check(s, f.Grants)
	moved, gone := f.Grants[7], f.Grants[8]
	moved.Subject = "wid:" + guid(otherFamily, 1)
	next, err := s.Apply(Delta{Revision: 2, PutGrants: []Grant{moved}, DeleteGrants: []string{gone.ID}}, compileFake)
	if err != nil {
		t.Fatal(err)
	}
	check(next, []Grant{moved, f.Grants[6], f.Grants[9]})
	check(s, f.Grants)
	for _, id := range []string{gone.ID, "", "none"} {
		if subject, ok := next.SubjectOfGrant(id); ok {
			t.Errorf("grant %q, which is not there, names %q", id, subject)
		}
	}
	if _, ok := new(Snapshot).SubjectOfGrant("g"); ok {
		t.Error("an empty policy has a grant")
	}
}

// Fingerprints are 32 bits of a hash: among a million grants some are alike.
func TestSubjectsOfOneHashAreToldApart(t *testing.T) {
	const hash = 42
	var rows []grantRow
	for i := range 3 {
		for n := range 2 {
			rows = append(rows, grantRow{hash: hash, subject: fmt.Sprintf("wid:%d", i), id: fmt.Sprintf("g-%d-%d", i, n), patterns: []uint32{7, 8}})
		}
	}
	table := new(grantTable).change(rows)
	for i := range 3 {
		for n := range 2 {
			if got, want := table.subjectOf(hash, fmt.Sprintf("g-%d-%d", i, n)), fmt.Sprintf("wid:%d", i); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
}

func TestScopesThatAnAPIKnows(t *testing.T) {
	orders := mustCompile(t, shop()).APIByID("orders")
	got := orders.AppendKnownScopes([]string{"openid", "Orders.All", "orders.all", "", "Orders.Read"}, nil)
	if want := []string{"Orders.All", "Orders.Read"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeepingIsKeptAndChecked(t *testing.T) {
	f := shop()
	f.APIs[0].Keeping = Keeping{Durability: DurabilitySyncDB, OnFailure: OnAuditFailureCount}
	s := mustCompile(t, f)
	if got := s.APIByID("orders").Facts().Keeping; got != f.APIs[0].Keeping {
		t.Errorf("kept %+v", got)
	}
	if got := s.APIByID("stock").Facts().Keeping; got != (Keeping{}) {
		t.Errorf("an api that says nothing has %+v", got)
	}
	f.APIs[0].Keeping = Keeping{Durability: DurabilitySyncDB + 1, OnFailure: OnAuditFailureCount + 1}
	_, err := Compile(f, compileFake)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 2 || invalid.Problems[0].Field != "audit_durability" || invalid.Problems[1].Field != "on_audit_failure" {
		t.Errorf("words that are none: %v", err)
	}
}

// BenchmarkSubjectOfGrant finds grants of a small and of a large policy, one here and one there.
func BenchmarkSubjectOfGrant(b *testing.B) {
	for _, grants := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			s := benchSnapshot(b, grants)
			ids := make([]string, 4096)
			for i := range ids {
				ids[i] = fmt.Sprintf("g-%032x", i*7919%grants)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				if _, ok := s.SubjectOfGrant(ids[n%len(ids)]); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
