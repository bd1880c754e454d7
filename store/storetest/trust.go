package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// trusted is the n-th of a series of tenants whose ids ascend.
func trusted(n int) store.TrustedTenant {
	return store.TrustedTenant{
		Provider: fmt.Sprint("entra ", n%2), ID: fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", n), DisplayName: `Contoso "&" \ 订单`,
	}
}

var note = store.Note{Actor: "local", Reason: `because "so" \ 订单`, Ticket: "T-1"}

func addTenant(t testing.TB, s store.Store, tenant store.TrustedTenant) store.TrustedTenant {
	t.Helper()
	kept, err := s.AddTenant(t.Context(), tenant, note)
	must(t, err)
	return kept
}

func denyKey(t testing.TB, s store.Store, kid, reason string) store.DeniedKey {
	t.Helper()
	kept, err := s.DenyKey(t.Context(), kid, store.Note{Actor: "local", Reason: reason})
	must(t, err)
	return kept
}

func orderPurge(t testing.TB, s store.Store, tenant string) store.KeyPurge {
	t.Helper()
	order, err := s.OrderPurge(t.Context(), tenant, note)
	must(t, err)
	return order
}

// trustState is all that a TrustReader says.
type trustState struct {
	Version uint64
	Tenants []store.TrustedTenant
	Keys    []store.DeniedKey
	Purges  []store.KeyPurge
}

func readTrust(t testing.TB, s store.Store) (got trustState) {
	t.Helper()
	var err error
	got.Version, err = s.TrustVersion(t.Context())
	must(t, err)
	got.Tenants, err = s.Tenants(t.Context())
	must(t, err)
	got.Keys, err = s.DeniedKeys(t.Context())
	must(t, err)
	got.Purges, err = s.Purges(t.Context())
	must(t, err)
	return got
}

// justNow checks an instant that the store gave.
func justNow(t testing.TB, at time.Time) {
	t.Helper()
	if d := time.Since(at); d < -time.Second || d > time.Minute || at != store.Instant(at) {
		t.Errorf("at %v, now is %v", at, time.Now())
	}
}

var trust = map[string]func(*testing.T, store.Store){
	"an empty store trusts nobody beside the configuration and is at version 0": func(t *testing.T, s store.Store) {
		equal(t, "trust", readTrust(t, s), trustState{})
	},

	"every field of a tenant comes back as it was added": func(t *testing.T, s store.Store) {
		want := trusted(1)
		kept := addTenant(t, s, want)
		justNow(t, kept.AddedAt)
		want.AddedAt = kept.AddedAt
		equal(t, "added", kept, want)
		equal(t, "trust", readTrust(t, s), trustState{Version: 1, Tenants: []store.TrustedTenant{want}})
	},

	"a tenant added twice is one tenant and one change": func(t *testing.T, s store.Store) {
		first := addTenant(t, s, trusted(1))
		equal(t, "again", addTenant(t, s, trusted(1)), first)
		nameless := trusted(1)
		nameless.DisplayName = ""
		equal(t, "without a name", addTenant(t, s, nameless), first)
		equal(t, "trust", readTrust(t, s), trustState{Version: 1, Tenants: []store.TrustedTenant{first}})

		named := trusted(1)
		named.DisplayName = "Fabrikam"
		want := first
		want.DisplayName = "Fabrikam"
		equal(t, "with another name", addTenant(t, s, named), want)
		equal(t, "trust", readTrust(t, s), trustState{Version: 2, Tenants: []store.TrustedTenant{want}})
	},

	"tenants come by provider and id, and the same id may belong to two providers": func(t *testing.T, s store.Store) {
		var want []store.TrustedTenant
		for _, n := range []int{4, 1, 3, 2} {
			want = append(want, addTenant(t, s, trusted(n)))
		}
		other := trusted(1)
		other.Provider = "Zentra" // upper case is before lower case in bytes
		want = append(want, addTenant(t, s, other))
		slices.SortFunc(want, func(a, b store.TrustedTenant) int {
			return strings.Compare(a.Provider+" "+a.ID, b.Provider+" "+b.ID)
		})
		equal(t, "tenants", readTrust(t, s).Tenants, want)
	},

	"a tenant that is removed is gone, and can be added again": func(t *testing.T, s store.Store) {
		first, other := addTenant(t, s, trusted(1)), addTenant(t, s, trusted(2))
		must(t, s.RemoveTenant(t.Context(), first.Provider, first.ID, note))
		equal(t, "trust", readTrust(t, s), trustState{Version: 3, Tenants: []store.TrustedTenant{other}})
		again := addTenant(t, s, trusted(1))
		if again.AddedAt.Before(first.AddedAt) {
			t.Errorf("added again at %v, before %v", again.AddedAt, first.AddedAt)
		}
		equal(t, "version", readTrust(t, s).Version, uint64(4))
	},

	"to remove a tenant that is not there, or of another provider, is ErrNotFound": func(t *testing.T, s store.Store) {
		first := addTenant(t, s, trusted(1))
		wantError(t, s.RemoveTenant(t.Context(), trusted(2).Provider, trusted(2).ID, note), store.ErrNotFound)
		wantError(t, s.RemoveTenant(t.Context(), "other", first.ID, note), store.ErrNotFound)
		must(t, s.RemoveTenant(t.Context(), first.Provider, first.ID, note))
		wantError(t, s.RemoveTenant(t.Context(), first.Provider, first.ID, note), store.ErrNotFound)
		equal(t, "version", readTrust(t, s).Version, uint64(2))
	},

	"a tenant needs a provider, a GUID in lower case and text that can be kept": func(t *testing.T, s store.Store) {
		for name, spoil := range map[string]func(*store.TrustedTenant){
			"no provider": func(t *store.TrustedTenant) { t.Provider = "" },
			"no id":       func(t *store.TrustedTenant) { t.ID = "" },
			"not a GUID":  func(t *store.TrustedTenant) { t.ID = "common" },
			"upper case":  func(t *store.TrustedTenant) { t.ID = strings.ToUpper(t.ID) },
			"NUL":         func(t *store.TrustedTenant) { t.DisplayName = "a\x00b" },
			"not UTF-8":   func(t *store.TrustedTenant) { t.Provider = "a\xff" },
		} {
			t.Run(name, func(t *testing.T) {
				bad := trusted(1)
				spoil(&bad)
				_, err := s.AddTenant(t.Context(), bad, note)
				wantError(t, err, store.ErrInvalid)
			})
		}
		_, err := s.AddTenant(t.Context(), trusted(1), store.Note{Reason: "\x00"})
		wantError(t, err, store.ErrInvalid)
		equal(t, "trust", readTrust(t, s), trustState{})
	},

	"a denied key comes back with its reason, the same again changes nothing": func(t *testing.T, s store.Store) {
		first := denyKey(t, s, "Kid-_1", "leaked")
		justNow(t, first.DeniedAt)
		equal(t, "denied", first, store.DeniedKey{Kid: "Kid-_1", Reason: "leaked", DeniedAt: first.DeniedAt})
		equal(t, "again", denyKey(t, s, "Kid-_1", "leaked"), first)
		equal(t, "without a reason", denyKey(t, s, "Kid-_1", ""), first)
		equal(t, "trust", readTrust(t, s), trustState{Version: 1, Keys: []store.DeniedKey{first}})
		want := first
		want.Reason = "sold"
		equal(t, "for another reason", denyKey(t, s, "Kid-_1", "sold"), want)
		equal(t, "trust", readTrust(t, s), trustState{Version: 2, Keys: []store.DeniedKey{want}})
	},

	"key ids are compared exactly and come in the order of their bytes": func(t *testing.T, s store.Store) {
		var got []string
		kids := []string{"b", "A", "a", "B", "a b~!", strings.Repeat("k", 256)}
		for _, kid := range kids {
			denyKey(t, s, kid, "")
		}
		for _, k := range readTrust(t, s).Keys {
			got = append(got, k.Kid)
		}
		slices.Sort(kids)
		equal(t, "kids", got, kids)
	},

	"a key that is allowed again is gone from the list, a second time is ErrNotFound": func(t *testing.T, s store.Store) {
		denyKey(t, s, "a", "")
		other := denyKey(t, s, "b", "")
		must(t, s.AllowKey(t.Context(), "a", note))
		equal(t, "trust", readTrust(t, s), trustState{Version: 3, Keys: []store.DeniedKey{other}})
		wantError(t, s.AllowKey(t.Context(), "a", note), store.ErrNotFound)
		wantError(t, s.AllowKey(t.Context(), "never", note), store.ErrNotFound)
		equal(t, "version", readTrust(t, s).Version, uint64(3))
	},

	"a key id is 1 to 256 printable ASCII characters": func(t *testing.T, s store.Store) {
		for _, kid := range []string{"", strings.Repeat("k", 257), "a\nb", "a\x00", "ä", "\xff", "a\x7f"} {
			_, err := s.DenyKey(t.Context(), kid, note)
			wantError(t, err, store.ErrInvalid)
			wantError(t, s.AllowKey(t.Context(), kid, note), store.ErrInvalid)
		}
		equal(t, "trust", readTrust(t, s), trustState{})
	},

	"every purge is an order of its own, and the newest of each tenant is told": func(t *testing.T, s store.Store) {
		first := orderPurge(t, s, "a")
		justNow(t, first.At)
		equal(t, "ordered", first, store.KeyPurge{Seq: 1, Tenant: "a", At: first.At})
		everyone := orderPurge(t, s, "")
		again := orderPurge(t, s, "a")
		okta := orderPurge(t, s, "okta")
		equal(t, "trust", readTrust(t, s), trustState{Version: 4, Purges: []store.KeyPurge{everyone, again, okta}})
	},

	"a purge of text that cannot be kept is ErrInvalid": func(t *testing.T, s store.Store) {
		_, err := s.OrderPurge(t.Context(), "a\x00", note)
		wantError(t, err, store.ErrInvalid)
		equal(t, "trust", readTrust(t, s), trustState{})
	},

	"the version moves by one with each change, whoever makes them at once": func(t *testing.T, s store.Store) {
		const writers, each = 4, 10
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					if _, err := s.OrderPurge(t.Context(), fmt.Sprint(w), note); err != nil {
						t.Error(err)
					}
					if _, err := s.DenyKey(t.Context(), fmt.Sprint("k", i), note); err != nil { // the first one changes something
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		got := readTrust(t, s)
		equal(t, "version", got.Version, uint64(writers*each+each))
		equal(t, "purges", len(got.Purges), writers)
		equal(t, "keys", len(got.Keys), each)
	},

	"a change of trust hints": func(t *testing.T, s store.Store) {
		hints := s.Notify(t.Context())
		if hints == nil {
			return
		}
		// A listener says so itself when it begins, and may begin late: each change must be followed by a hint in the end.
		for n := 1; n <= 3; n++ {
			addTenant(t, s, trusted(n))
			select {
			case <-hints:
			case <-time.After(5 * time.Second):
				t.Fatalf("no hint after change %d", n)
			}
		}
	},
}
