package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// decision is the n-th of a series, one a millisecond, with every field set.
func decision(n int) store.Decision {
	at := instant.Add(time.Duration(n) * time.Millisecond)
	return store.Decision{
		ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n), At: at,
		Allowed: n%2 == 0, Reason: int16(1 + n%3), Detail: `d"\{}`, Revision: uint64(n), PrincipalKind: 2,
		TenantID: fmt.Sprint("t", n%2), PrincipalID: fmt.Sprint("p", n%5), ClientID: fmt.Sprint("c", n%7), TokenID: "u", API: fmt.Sprint("api", n%4),
		Route: fmt.Sprint("r", n%6), Template: "/orders/{id}", Method: "GET", Host: "h", RawPath: "/%ff", Permissions: []string{fmt.Sprint("a.b", n%3), `we"i\r,{d}`, "", "NULL"},
		Resource: "res", Grants: []string{"g-1", "g-2"}, Door: "check", PEP: "spiffe://x", Took: 1234567 * time.Microsecond, RequestID: "rq",
		AgentParent: "0198a000-0000-4000-8000-00000000000a", AgentFacets: "actor 11; subject 13; ignored",
		Subjects: []string{"group:t/1", `user:"t"/2`}, Scopes: []string{"Orders.Read"}, Missing: []string{"a.c"},
		GrantSubjects: []string{"group:t/1", fmt.Sprint("user:t/", n%4)}, SourceIP: "192.0.2.0/24",
		Instance: fmt.Sprint("verdict-", n%2), Epoch: 3, Seq: uint64(n/2) + 1, Leaf: bytes.Repeat([]byte{byte(n), 0, 0xff, '\\'}, 8),
		Repeats: uint64(n % 2),
	}
}

func listAll(t testing.TB, s store.Store, f store.DecisionFilter, size int) []store.Decision {
	t.Helper()
	return paged(t, size, store.DecisionCursor{}, cursor, func(after store.DecisionCursor) ([]store.Decision, error) {
		return s.ListDecisions(t.Context(), f, after, size)
	})
}

func cursor(d store.Decision) store.DecisionCursor { return store.DecisionCursor{At: d.At, ID: d.ID} }

// newestFirst orders as ListDecisions does.
func newestFirst(a, b store.Decision) int {
	if c := b.At.Compare(a.At); c != 0 {
		return c
	}
	return strings.Compare(b.ID, a.ID)
}

var decisions = map[string]func(*testing.T, store.Store){
	"every field of a decision comes back as it was appended": func(t *testing.T, s store.Store) {
		full := decision(1)
		empty := store.Decision{ID: decision(0).ID, At: instant}
		must(t, s.AppendDecisions(t.Context(), []store.Decision{full, empty}))
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 10), []store.Decision{full, empty})
	},

	"times are kept in whole microseconds, in UTC, and empty lists come back nil": func(t *testing.T, s store.Store) {
		d := decision(1)
		want := d
		want.Grants = nil
		d.At = d.At.Add(999 * time.Nanosecond).In(time.FixedZone("", -3600))
		d.Took += 999 * time.Nanosecond
		d.Grants = []string{}
		must(t, s.AppendDecisions(t.Context(), []store.Decision{d}))
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 10), []store.Decision{want})
		must(t, s.AppendDecisions(t.Context(), []store.Decision{d, want}))
		equal(t, "the same again", len(listAll(t, s, store.DecisionFilter{}, 10)), 1)
	},

	"a record that is there already is left as it is": func(t *testing.T, s store.Store) {
		first, changed, other := decision(1), decision(1), decision(2)
		changed.Allowed, changed.Detail = !changed.Allowed, "rewritten"
		must(t, s.AppendDecisions(t.Context(), []store.Decision{first}))
		must(t, s.AppendDecisions(t.Context(), []store.Decision{changed, other, other}))
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 10), []store.Decision{other, first})
	},

	"a batch cut anywhere can be written again": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 50 {
			all = append(all, decision(n))
		}
		for _, cut := range []int{0, 1, 20, 50} {
			must(t, s.AppendDecisions(t.Context(), all[:cut]))
		}
		must(t, s.AppendDecisions(t.Context(), all))
		slices.SortFunc(all, newestFirst)
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 7), all)
	},

	"all records of a call are written, or none": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 6001 {
			all = append(all, decision(n))
		}
		bad := slices.Clone(all)
		bad[6000].ID = "not a uuid"
		wantError(t, s.AppendDecisions(t.Context(), bad), store.ErrInvalid)
		equal(t, "after a bad record", len(listAll(t, s, store.DecisionFilter{}, 1000)), 0)
		must(t, s.AppendDecisions(t.Context(), all))
		equal(t, "after good ones", len(listAll(t, s, store.DecisionFilter{}, 1000)), len(all))
		must(t, s.AppendDecisions(t.Context(), nil))
	},

	"an id is a UUID in lower case": func(t *testing.T, s store.Store) {
		for _, id := range []string{"", "x", "0198A000-0000-7000-8000-000000000001", "{0198a000-0000-7000-8000-000000000001}",
			"0198a00000007000800000000000000100000", "0198a000-0000-7000-8000-00000000000g"} {
			d := decision(1)
			d.ID = id
			wantError(t, s.AppendDecisions(t.Context(), []store.Decision{d}), store.ErrInvalid)
		}
	},

	"an instance comes with an epoch and a number, a leaf has 32 bytes, a year four digits": func(t *testing.T, s store.Store) {
		for name, bad := range map[string]func(d *store.Decision){
			"no number": func(d *store.Decision) { d.Seq = 0 }, "no epoch": func(d *store.Decision) { d.Epoch = 0 },
			"a number too large": func(d *store.Decision) { d.Seq = 1 << 63 }, "a short leaf": func(d *store.Decision) { d.Leaf = d.Leaf[:31] },
			"a year too large": func(d *store.Decision) { d.At = d.At.AddDate(9000, 0, 0) },
		} {
			d := decision(1)
			bad(&d)
			if err := s.AppendDecisions(t.Context(), []store.Decision{d}); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		d := decision(1)
		d.Instance = "" // then the others mean nothing
		must(t, s.AppendDecisions(t.Context(), []store.Decision{d}))
		d.Epoch, d.Seq = 0, 0
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 10), []store.Decision{d})
	},

	"a record is found by its id, whose time may be an hour off": func(t *testing.T, s store.Store) {
		near, far, early := decision(1), decision(2), decision(3)
		far.At, early.At = far.At.Add(59*time.Minute), early.At.Add(-59*time.Minute)
		must(t, s.AppendDecisions(t.Context(), []store.Decision{near, far, early}))
		for _, want := range []store.Decision{near, far, early} {
			got, err := s.GetDecision(t.Context(), want.ID)
			must(t, err)
			equal(t, "record", got, want)
		}
		for _, id := range []string{decision(4).ID, "", "x", strings.ToUpper(decision(11).ID)} {
			_, err := s.GetDecision(t.Context(), id)
			wantError(t, err, store.ErrNotFound)
		}
	},

	"text that no database keeps is mended and never loses the record": func(t *testing.T, s store.Store) {
		d := decision(1)
		d.Host, d.RequestID, d.Permissions = "a\x00b", "\xff\xfe", []string{"ok", "x\x00"}
		d.AgentParent, d.AgentFacets = "p\x00", "f\xff"
		must(t, s.AppendDecisions(t.Context(), []store.Decision{d}))
		d.Host, d.RequestID, d.Permissions = "a\ufffdb", "\ufffd", []string{"ok", "x\ufffd"}
		d.AgentParent, d.AgentFacets = "p\ufffd", "f\ufffd"
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 10), []store.Decision{d})
	},

	"filters are combined with and; the window is from, not to": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 60 {
			all = append(all, decision(n))
		}
		all[7].PrincipalID, all[7].TenantID = "", ""
		must(t, s.AppendDecisions(t.Context(), all))
		slices.SortFunc(all, newestFirst)
		from, to := decision(10).At, decision(50).At
		for _, f := range []store.DecisionFilter{
			{}, {From: from}, {To: to}, {From: from, To: to}, {From: to, To: from},
			{From: from.Add(time.Nanosecond), To: to.Add(time.Nanosecond)},
			{TenantID: "t1"}, {PrincipalID: "p3"}, {Allowed: ptr(true)}, {Allowed: ptr(false)}, {Reason: 2}, {API: "api3"},
			{ClientID: "c3"}, {ClientID: "c3", From: from}, {Subject: "user:t/2"}, {Subject: "group:t/1"}, {Subject: "group:t"}, {Permission: "a.b1"},
			{Permission: `we"i\r,{d}`}, {Permission: "NULL", Subject: "user:t/0"}, {Route: "r4"}, {Route: "r4", API: "api2"}, {Revision: 17}, {Revision: 1 << 63},
			{Subject: "user:t/3", Permission: "a.b0", Route: "r3", ClientID: "c1", Revision: 15}, {API: "none"}, {PrincipalID: "p3", Allowed: ptr(false)}, {Allowed: ptr(true), Reason: 3}, {Allowed: ptr(false), API: "api1", From: from},
			{TenantID: "t0", PrincipalID: "p2", Allowed: ptr(true), Reason: 2, API: "api2", From: from, To: to},
			{Reason: 1, API: "api1", TenantID: "t1"}, {API: "api1", TenantID: "t0"}, {TenantID: "t1", To: to},
		} {
			want := slices.DeleteFunc(slices.Clone(all), func(d store.Decision) bool {
				return !f.From.IsZero() && d.At.Before(f.From) || !f.To.IsZero() && !d.At.Before(f.To) ||
					f.TenantID != "" && d.TenantID != f.TenantID || f.PrincipalID != "" && d.PrincipalID != f.PrincipalID ||
					f.Allowed != nil && d.Allowed != *f.Allowed || f.Reason != 0 && d.Reason != f.Reason || f.API != "" && d.API != f.API ||
					f.ClientID != "" && d.ClientID != f.ClientID || f.Route != "" && d.Route != f.Route || f.Revision != 0 && d.Revision != f.Revision ||
					f.Subject != "" && !slices.Contains(d.GrantSubjects, f.Subject) || f.Permission != "" && !slices.Contains(d.Permissions, f.Permission)
			})
			for _, size := range []int{1, 7, 100} {
				got := listAll(t, s, f, size)
				if !slices.EqualFunc(got, want, func(a, b store.Decision) bool { return a.ID == b.ID }) {
					t.Fatalf("%+v, pages of %d: %d records, want %d", f, size, len(got), len(want))
				}
			}
		}
	},

	"records of one instant are told apart by id": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 20 {
			d := decision(n)
			d.At = instant
			all = append(all, d)
		}
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		must(t, s.AppendDecisions(t.Context(), all))
		slices.SortFunc(all, newestFirst)
		for _, size := range []int{1, 3, 20} {
			equal(t, "records", listAll(t, s, store.DecisionFilter{}, size), all)
		}
	},

	"pages stay as they are while newer records arrive": func(t *testing.T, s store.Store) {
		var want []store.Decision
		for n := range 20 {
			want = append(want, decision(n))
		}
		must(t, s.AppendDecisions(t.Context(), want))
		slices.SortFunc(want, newestFirst)
		n := 100
		got := paged(t, 3, store.DecisionCursor{}, cursor, func(after store.DecisionCursor) ([]store.Decision, error) {
			l, err := s.ListDecisions(t.Context(), store.DecisionFilter{}, after, 3)
			n++
			must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(n)}))
			return l, err
		})
		equal(t, "records", got, want)
	},
}
