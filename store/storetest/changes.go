package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var changes = map[string]func(*testing.T, store.Store){
	"a change of the policy shows each fact before and after, in the order they were changed": func(t *testing.T, s store.Store) {
		first := commit(t, s, puts(plainAPI("a"), plainRoute("a", "r"), plainGrant("a", "g")))
		c := puts(plainAPI("b"))
		c.Reason, c.Ticket = "because", "T-1"
		c.DeleteGrants = []store.Delete[string]{{Key: "g"}}
		second := commit(t, s, c)
		l := listChanges(t, s, store.ChangeFilter{}, 2)
		equal(t, "changes", heads(l), []store.AdminChange{policyChange(second, 2), policyChange(first, 3)})
		type fact struct {
			kind          store.Kind
			key           string
			before, after bool
		}
		var facts []fact
		for _, r := range l {
			for _, f := range r.Facts {
				facts = append(facts, fact{f.Kind, f.Key, f.Before != "", f.After != ""})
			}
		}
		equal(t, "facts", facts, []fact{{store.KindAPI, "b", false, true}, {store.KindGrant, "g", true, false},
			{store.KindAPI, "a", false, true}, {store.KindRoute, "a/r", false, true}})
		for facts, want := range map[int][]int{-1: {0, 0}, 0: {0, 0}, 1: {1, 1}, 3: {2, 3}, 1000: {2, 3}} {
			var got []int
			for _, c := range listChanges(t, s, store.ChangeFilter{}, facts) {
				got = append(got, len(c.Facts))
			}
			equal(t, fmt.Sprintf("with at most %d facts", facts), got, want)
		}
	},

	"a change of a revocation has one fact, as it was and as it is": func(t *testing.T, s store.Store) {
		r := revoke(t, s, revocation(1))
		later := revocation(1)
		later.ID, later.ExpiresAt, later.Reason, later.Ticket, later.Actor = revocation(2).ID, r.ExpiresAt.Add(time.Hour), "longer", "T-2", "bob"
		widened := revoke(t, s, later)
		_, err := s.DeleteRevocation(t.Context(), r.ID, store.Note{Actor: "eve", Reason: "back", Ticket: "T-3"})
		must(t, err)
		l := listChanges(t, s, store.ChangeFilter{Trail: store.TrailRevocation}, 1)
		equal(t, "number of changes", len(l), 3)
		equal(t, "changes", heads(l), []store.AdminChange{
			{Trail: store.TrailRevocation, Number: l[0].Number, At: l[0].At, Actor: "eve", Reason: "back", Ticket: "T-3", Total: 1},
			{Trail: store.TrailRevocation, Number: widened.Seq, At: l[1].At, Actor: "bob", Reason: "longer", Ticket: "T-2", Total: 1},
			{Trail: store.TrailRevocation, Number: r.Seq, At: l[2].At, Actor: r.Actor, Reason: r.Reason, Ticket: r.Ticket, Total: 1},
		})
		for _, c := range l {
			justNow(t, c.At)
			equal(t, "fact", []any{len(c.Facts), c.Facts[0].Kind, c.Facts[0].Key}, []any{1, store.KindRevocation, r.ID})
		}
		was, is := jsonText(t, revocationFact(r)), jsonText(t, revocationFact(widened))
		equal(t, "before and after", [][2]string{sides(l[0]), sides(l[1]), sides(l[2])}, [][2]string{{is, ""}, {was, is}, {"", was}})
		equal(t, "without facts", len(listChanges(t, s, store.ChangeFilter{}, 0)[0].Facts), 0)
	},

	"a change of whom is trusted has one fact, as it was and as it is": func(t *testing.T, s store.Store) {
		by := store.Note{Actor: "bob", Reason: "why", Ticket: "T-1"}
		tenant := store.TrustedTenant{Provider: "entra", ID: "11111111-1111-4111-8111-111111111111", DisplayName: "One"}
		other := store.TrustedTenant{Provider: "other", ID: tenant.ID, DisplayName: "Other"}
		one := func(err error) { t.Helper(); must(t, err) }
		_, err := s.AddTenant(t.Context(), tenant, by)
		one(err)
		_, err = s.AddTenant(t.Context(), other, by)
		one(err)
		tenant.DisplayName = "Uno"
		_, err = s.AddTenant(t.Context(), tenant, by)
		one(err)
		_, err = s.OrderPurge(t.Context(), tenant.ID, by)
		one(err)
		one(s.RemoveTenant(t.Context(), tenant.Provider, tenant.ID, by))
		_, err = s.AddTenant(t.Context(), tenant, by)
		one(err)
		_, err = s.DenyKey(t.Context(), "k", by)
		one(err)
		_, err = s.DenyKey(t.Context(), "k", store.Note{Reason: "other"})
		one(err)
		one(s.AllowKey(t.Context(), "k", by))
		_, err = s.OrderPurge(t.Context(), "", by)
		one(err)
		l := listChanges(t, s, store.ChangeFilter{}, 1)
		slices.Reverse(l)
		var got [][4]string
		for i, c := range l {
			justNow(t, c.At)
			equal(t, "place", []any{c.Trail, c.Number, c.Total, len(c.Facts)}, []any{store.TrailTrust, uint64(i) + 1, uint64(1), 1})
			f := c.Facts[0]
			got = append(got, [4]string{string(f.Kind), f.Key, f.Before, f.After})
		}
		equal(t, "who and why", heads(l[:1]), []store.AdminChange{{Trail: store.TrailTrust, Number: 1, At: l[0].At, Actor: "bob", Reason: "why", Ticket: "T-1", Total: 1}})
		key, kept := "entra/"+tenant.ID, func(provider, name string) string {
			return fmt.Sprintf(`{"provider":%q,"tenant_id":%q,"display_name":%q}`, provider, tenant.ID, name)
		}
		purged := func(tenant string, i int) string {
			if tenant != "" {
				tenant = fmt.Sprintf(`"tenant_id":%q,`, tenant)
			}
			return fmt.Sprintf(`{%s"at":%s}`, tenant, jsonText(t, l[i].At))
		}
		equal(t, "facts", got, [][4]string{
			{"tenant", key, "", kept("entra", "One")},
			{"tenant", "other/" + tenant.ID, "", kept("other", "Other")},
			{"tenant", key, kept("entra", "One"), kept("entra", "Uno")},
			{"purge", tenant.ID, "", purged(tenant.ID, 3)},
			{"tenant", key, kept("entra", "Uno"), ""},
			{"tenant", key, "", kept("entra", "Uno")},
			{"key", "k", "", `{"kid":"k","reason":"why"}`},
			{"key", "k", `{"kid":"k","reason":"why"}`, `{"kid":"k","reason":"other"}`},
			{"key", "k", `{"kid":"k","reason":"other"}`, ""},
			{"purge", "", "", purged("", 9)},
		})
	},

	"changes of all trails come newest first, in pages without gap or repeat, and filters narrow them": func(t *testing.T, s store.Store) {
		for n := range 4 {
			c := puts(plainAPI(fmt.Sprint("a", n)))
			c.Actor = fmt.Sprint("actor", n%2)
			commit(t, s, c)
			r := revocation(n)
			r.Actor = fmt.Sprint("actor", n%2)
			revoke(t, s, r)
			_, err := s.OrderPurge(t.Context(), fmt.Sprint("t", n), store.Note{Actor: fmt.Sprint("actor", n%2)})
			must(t, err)
		}
		all := listChanges(t, s, store.ChangeFilter{}, 1)
		equal(t, "number of changes", len(all), 12)
		equal(t, "sorted", slices.IsSortedFunc(all, func(a, b store.AdminChange) int {
			if c := b.At.Compare(a.At); c != 0 {
				return c
			}
			return map[bool]int{true: -1, false: 1}[a.Trail > b.Trail || a.Trail == b.Trail && a.Number > b.Number]
		}), true)
		for _, size := range []int{1, 2, 5, 12} {
			var got []store.AdminChange
			var after store.ChangeCursor
			for range 13 {
				page, err := s.ListChanges(t.Context(), store.ChangeFilter{}, after, size, 1)
				must(t, err)
				if got = append(got, page...); len(page) < size {
					break
				}
				last := page[len(page)-1]
				after = store.ChangeCursor{At: last.At, Trail: last.Trail, Number: last.Number}
			}
			equal(t, fmt.Sprintf("in pages of %d", size), got, all)
		}
		for _, f := range []store.ChangeFilter{
			{Trail: store.TrailPolicy}, {Trail: store.TrailRevocation}, {Trail: store.TrailTrust}, {Actor: "actor1"}, {Actor: "nobody"}, {Actor: "actor"},
			{From: all[6].At}, {To: all[6].At}, {From: all[8].At, To: all[3].At, Trail: store.TrailTrust, Actor: "actor0"},
			{From: all[6].At.Add(1)}, {To: all[6].At.Add(1)},
		} {
			var want []store.AdminChange
			for _, c := range all {
				if (f.Trail == "" || f.Trail == c.Trail) && (f.Actor == "" || f.Actor == c.Actor) && !c.At.Before(f.From) && (f.To.IsZero() || c.At.Before(f.To)) {
					want = append(want, c)
				}
			}
			equal(t, fmt.Sprintf("%+v", f), listChanges(t, s, f, 1), want)
		}
	},

	"of one instant, changes are ordered by trail and number": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a")))
		revoke(t, s, revocation(1))
		_, err := s.OrderPurge(t.Context(), "", store.Note{})
		must(t, err)
		all := listChanges(t, s, store.ChangeFilter{}, 0)
		at := all[0].At.Add(time.Hour) // after all, so that only what the cursor says of its instant matters
		got, err := s.ListChanges(t.Context(), store.ChangeFilter{}, store.ChangeCursor{At: at, Trail: store.TrailPolicy, Number: 1}, 10, 0)
		must(t, err)
		equal(t, "after a later instant", got, all)
		for _, c := range all {
			for trail, numbers := range map[store.Trail][2]bool{ // whether c comes after a cursor of number 1 and 2 in that trail
				store.TrailPolicy:     {false, c.Trail == store.TrailPolicy},
				store.TrailRevocation: {c.Trail == store.TrailPolicy, c.Trail <= store.TrailRevocation},
				store.TrailTrust:      {c.Trail <= store.TrailRevocation, true},
			} {
				for i, want := range numbers {
					got, err := s.ListChanges(t.Context(), store.ChangeFilter{}, store.ChangeCursor{At: c.At, Trail: trail, Number: uint64(i) + 1}, 10, 0)
					must(t, err)
					has := slices.ContainsFunc(got, func(o store.AdminChange) bool { return reflect.DeepEqual(o, c) })
					equal(t, fmt.Sprintf("%s %d after %s %d of its instant", c.Trail, c.Number, trail, i+1), has, want)
				}
			}
		}
	},

	"no change is listed without a limit, and an unknown trail is ErrInvalid": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a")))
		for _, limit := range []int{0, -1} {
			l, err := s.ListChanges(t.Context(), store.ChangeFilter{}, store.ChangeCursor{}, limit, 1)
			must(t, err)
			equal(t, "changes", len(l), 0)
		}
		_, err := s.ListChanges(t.Context(), store.ChangeFilter{Trail: "weather"}, store.ChangeCursor{}, 1, 1)
		wantError(t, err, store.ErrInvalid)
	},
}

func listChanges(t testing.TB, s store.Store, f store.ChangeFilter, facts int) []store.AdminChange {
	t.Helper()
	l, err := s.ListChanges(t.Context(), f, store.ChangeCursor{}, 1000, facts)
	must(t, err)
	return l
}

// heads are the changes without their facts.
func heads(l []store.AdminChange) []store.AdminChange {
	l = slices.Clone(l)
	for i := range l {
		l[i].Facts = nil
	}
	return l
}

func policyChange(r store.Revision, total uint64) store.AdminChange {
	return store.AdminChange{Trail: store.TrailPolicy, Number: r.Number, At: r.At, Actor: r.Actor, Reason: r.Reason, Ticket: r.Ticket, Total: total}
}

func revocationFact(r store.Revocation) store.RevocationFact {
	return store.RevocationFact{TenantID: r.TenantID, Kind: r.Kind, Value: r.Value, NotBefore: r.NotBefore, ExpiresAt: r.ExpiresAt, Reason: r.Reason, Ticket: r.Ticket}
}

func sides(c store.AdminChange) [2]string { return [2]string{c.Facts[0].Before, c.Facts[0].After} }

func jsonText(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}
