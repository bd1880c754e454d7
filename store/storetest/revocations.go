package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// revocation is the n-th of a series whose ids ascend, with every field set that a caller sets. It is in force for an hour.
func revocation(n int) store.Revocation {
	at := time.Now().UTC().Truncate(time.Second)
	return store.Revocation{
		ID: fmt.Sprintf("0198a000-0000-7000-8000-%012x", n), TenantID: fmt.Sprint("t", n%2), Kind: store.RevocationKinds()[n%4],
		Value: fmt.Sprint("v", n), NotBefore: at, ExpiresAt: at.Add(time.Hour + 123456*time.Microsecond),
		Reason: `stolen "laptop" \ 订单`, Ticket: fmt.Sprint("T-", n), Actor: "local",
	}
}

func revoke(t testing.TB, s store.Store, r store.Revocation) store.Revocation {
	t.Helper()
	kept, err := s.CreateRevocation(t.Context(), r)
	must(t, err)
	return kept
}

func inForce(t testing.TB, s store.Store, f store.RevocationFilter, size int) []store.Revocation {
	t.Helper()
	return paged(t, size, "", func(r store.Revocation) string { return r.ID }, func(before string) ([]store.Revocation, error) {
		return s.ListRevocations(t.Context(), f, before, size)
	})
}

func since(t testing.TB, s store.Store, seq uint64) store.RevocationDelta {
	t.Helper()
	d, err := s.RevocationsSince(t.Context(), seq)
	must(t, err)
	return d
}

var revocations = map[string]func(*testing.T, store.Store){
	"an empty store has no revocation and is at change 0": func(t *testing.T, s store.Store) {
		equal(t, "delta", since(t, s, 0), store.RevocationDelta{})
		equal(t, "list", inForce(t, s, store.RevocationFilter{}, 10), []store.Revocation(nil))
	},

	"every field of a revocation comes back as it was made": func(t *testing.T, s store.Store) {
		before := time.Now().Add(-time.Second)
		want := revocation(1)
		kept := revoke(t, s, want)
		if kept.CreatedAt.Before(before) || kept.CreatedAt.After(time.Now().Add(time.Second)) || kept.CreatedAt != store.Instant(kept.CreatedAt) {
			t.Errorf("created at %v", kept.CreatedAt)
		}
		want.CreatedAt, want.Seq = kept.CreatedAt, 1
		equal(t, "created", kept, want)
		equal(t, "listed", inForce(t, s, store.RevocationFilter{}, 10), []store.Revocation{want})
		equal(t, "since 0", since(t, s, 0), store.RevocationDelta{Seq: 1, Changed: []store.Revocation{want}})
		equal(t, "since 1", since(t, s, 1), store.RevocationDelta{Seq: 1})
	},

	"not_before is kept in whole seconds, expiry in microseconds, both in UTC": func(t *testing.T, s store.Store) {
		r := revocation(1)
		want := r
		r.NotBefore = r.NotBefore.Add(999_999_999).In(time.FixedZone("", 5400))
		r.ExpiresAt = r.ExpiresAt.Add(999).In(time.FixedZone("", -5400))
		kept := revoke(t, s, r)
		equal(t, "instants", []time.Time{kept.NotBefore, kept.ExpiresAt}, []time.Time{want.NotBefore, want.ExpiresAt})
		listed := inForce(t, s, store.RevocationFilter{}, 10)[0]
		equal(t, "listed", []time.Time{listed.NotBefore, listed.ExpiresAt}, []time.Time{want.NotBefore, want.ExpiresAt})
	},

	"the same thing revoked twice is one revocation, which only widens": func(t *testing.T, s store.Store) {
		first := revoke(t, s, revocation(1))
		again := revocation(1)
		again.ID, again.Reason = revocation(2).ID, "again"
		kept := revoke(t, s, again) // as wide as the first
		equal(t, "the same again", kept, first)
		equal(t, "changes", since(t, s, first.Seq).Changed, []store.Revocation(nil))

		earlier := again
		earlier.NotBefore, earlier.ExpiresAt = earlier.NotBefore.Add(-time.Hour), earlier.ExpiresAt.Add(-time.Minute)
		equal(t, "a narrower one", revoke(t, s, earlier), first)

		later := again
		later.NotBefore, later.ExpiresAt, later.Actor = later.NotBefore.Add(time.Minute), later.ExpiresAt.Add(-time.Minute), "feed"
		kept = revoke(t, s, later)
		want := first
		want.NotBefore, want.Reason, want.Actor, want.Seq = later.NotBefore, "again", "feed", kept.Seq
		equal(t, "a later one", kept, want)
		if kept.Seq <= first.Seq {
			t.Errorf("change %d after %d", kept.Seq, first.Seq)
		}
		equal(t, "listed", inForce(t, s, store.RevocationFilter{}, 10), []store.Revocation{want})
		equal(t, "since the first", since(t, s, first.Seq).Changed, []store.Revocation{want})
	},

	"the same value of another kind or tenant is another thing": func(t *testing.T, s store.Store) {
		n := 0
		for _, tenant := range []string{"t1", "t2"} {
			for _, kind := range store.RevocationKinds() {
				n++
				r := revocation(n)
				r.TenantID, r.Kind, r.Value = tenant, kind, "v"
				if kind == store.RevokeTenant {
					r.Value = ""
				}
				equal(t, "id", revoke(t, s, r).ID, r.ID)
			}
		}
		equal(t, "listed", len(inForce(t, s, store.RevocationFilter{}, 3)), n)
	},

	"values are compared exactly": func(t *testing.T, s store.Store) {
		a, b := revocation(1), revocation(2)
		a.TenantID, a.Kind, a.Value = "t", store.RevokeToken, "aB"
		b.TenantID, b.Kind, b.Value = "t", store.RevokeToken, "Ab"
		revoke(t, s, a)
		revoke(t, s, b)
		equal(t, "listed", len(inForce(t, s, store.RevocationFilter{}, 10)), 2)
	},

	"what is deleted is in no list, and is told as deleted until it would have expired": func(t *testing.T, s store.Store) {
		first, other := revoke(t, s, revocation(1)), revoke(t, s, revocation(2))
		gone, err := s.DeleteRevocation(t.Context(), first.ID, store.Note{Actor: "local", Reason: "found", Ticket: "T-9"})
		must(t, err)
		want := first
		want.Deleted, want.Seq = true, gone.Seq
		equal(t, "deleted", gone, want)
		equal(t, "listed", inForce(t, s, store.RevocationFilter{}, 10), []store.Revocation{other})
		equal(t, "since the two", since(t, s, other.Seq), store.RevocationDelta{Seq: gone.Seq, Changed: []store.Revocation{want}})
		equal(t, "since the first", since(t, s, first.Seq).Changed, []store.Revocation{other, want})
		equal(t, "since 0", since(t, s, 0), store.RevocationDelta{Seq: gone.Seq, Changed: []store.Revocation{other}})
	},

	"a delete of what is not there is ErrNotFound, also the second time": func(t *testing.T, s store.Store) {
		r := revoke(t, s, revocation(1))
		_, err := s.DeleteRevocation(t.Context(), revocation(2).ID, store.Note{})
		wantError(t, err, store.ErrNotFound)
		_, err = s.DeleteRevocation(t.Context(), r.ID, store.Note{})
		must(t, err)
		_, err = s.DeleteRevocation(t.Context(), r.ID, store.Note{})
		wantError(t, err, store.ErrNotFound)
		_, err = s.DeleteRevocation(t.Context(), "x", store.Note{})
		wantError(t, err, store.ErrInvalid)
		equal(t, "changes", since(t, s, 0).Seq, uint64(2))
	},

	"what was deleted can be revoked again, as another revocation": func(t *testing.T, s store.Store) {
		first := revoke(t, s, revocation(1))
		gone, err := s.DeleteRevocation(t.Context(), first.ID, store.Note{})
		must(t, err)
		again := revocation(1)
		again.ID = revocation(2).ID
		second := revoke(t, s, again)
		equal(t, "id", second.ID, again.ID)
		equal(t, "since the first", since(t, s, first.Seq).Changed, []store.Revocation{gone, second})
	},

	"what has expired is not in force, and can be revoked anew": func(t *testing.T, s store.Store) {
		old := revocation(1)
		old.NotBefore, old.ExpiresAt = old.NotBefore.Add(-30*time.Hour), old.NotBefore.Add(-time.Second)
		kept := revoke(t, s, old)
		equal(t, "listed", inForce(t, s, store.RevocationFilter{}, 10), []store.Revocation(nil))
		equal(t, "since 0", since(t, s, 0), store.RevocationDelta{Seq: kept.Seq})
		anew := revocation(1)
		anew.ID = revocation(2).ID
		equal(t, "id", revoke(t, s, anew).ID, anew.ID)
		equal(t, "listed anew", len(inForce(t, s, store.RevocationFilter{}, 10)), 1)
	},

	"what expired long ago is forgotten": func(t *testing.T, s store.Store) {
		old := revocation(1)
		old.NotBefore, old.ExpiresAt = old.NotBefore.Add(-30*time.Hour), old.NotBefore.Add(-2*time.Hour)
		first := revoke(t, s, revocation(3))
		revoke(t, s, old)
		revoke(t, s, revocation(2))
		for _, r := range since(t, s, first.Seq).Changed {
			if r.ID == old.ID {
				t.Errorf("still there: %+v", r)
			}
		}
	},

	"changes after one that is not there yet are ErrNotFound": func(t *testing.T, s store.Store) {
		revoke(t, s, revocation(1))
		for _, seq := range []uint64{2, 1 << 62, 1<<64 - 1} {
			_, err := s.RevocationsSince(t.Context(), seq)
			wantError(t, err, store.ErrNotFound)
		}
	},

	"what cannot be a revocation is ErrInvalid": func(t *testing.T, s store.Store) {
		for name, change := range map[string]func(*store.Revocation){
			"no id":               func(r *store.Revocation) { r.ID = "" },
			"an id in upper case": func(r *store.Revocation) { r.ID = strings.ToUpper(r.ID) },
			"no tenant":           func(r *store.Revocation) { r.TenantID = "" },
			"no kind":             func(r *store.Revocation) { r.Kind = "" },
			"an unknown kind":     func(r *store.Revocation) { r.Kind = "device" },
			"no value":            func(r *store.Revocation) { r.Value = "" },
			"a tenant's value":    func(r *store.Revocation) { r.Kind = store.RevokeTenant },
			"no not_before":       func(r *store.Revocation) { r.NotBefore = time.Time{} },
			"no expiry":           func(r *store.Revocation) { r.ExpiresAt = time.Time{} },
			"no time in between":  func(r *store.Revocation) { r.ExpiresAt = r.NotBefore },
			"a year too late":     func(r *store.Revocation) { r.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
			"a NUL":               func(r *store.Revocation) { r.Reason = "a\x00b" },
			"no UTF-8":            func(r *store.Revocation) { r.Value = "\xff" },
		} {
			t.Run(name, func(t *testing.T) {
				r := revocation(1)
				change(&r)
				_, err := s.CreateRevocation(t.Context(), r)
				wantError(t, err, store.ErrInvalid)
			})
		}
		equal(t, "changes", since(t, s, 0).Seq, uint64(0))
	},

	"an id that is taken is ErrConflict and changes nothing": func(t *testing.T, s store.Store) {
		kept := revoke(t, s, revocation(1))
		other := revocation(2)
		other.ID = kept.ID
		_, err := s.CreateRevocation(t.Context(), other)
		wantError(t, err, store.ErrConflict)
		equal(t, "delta", since(t, s, 0), store.RevocationDelta{Seq: kept.Seq, Changed: []store.Revocation{kept}})
	},

	"revocations are listed newest first, in pages, and filtered": func(t *testing.T, s store.Store) {
		var all []store.Revocation
		for n := range 23 {
			all = append(all, revoke(t, s, revocation(n)))
		}
		slices.Reverse(all)
		for _, f := range []store.RevocationFilter{
			{}, {TenantID: "t1"}, {Kind: store.RevokeSession}, {Value: "v7"}, {TenantID: "t0", Kind: store.RevokeSession},
			{TenantID: "t1", Kind: store.RevokeToken, Value: "v7"}, {TenantID: "t0", Value: "v7"}, {Kind: store.RevokeTenant},
		} {
			want := slices.DeleteFunc(slices.Clone(all), func(r store.Revocation) bool {
				return f.TenantID != "" && r.TenantID != f.TenantID || f.Kind != "" && r.Kind != f.Kind || f.Value != "" && r.Value != f.Value
			})
			for _, size := range []int{1, 7, 100} {
				got := inForce(t, s, f, size)
				if len(got) != len(want) || len(got) > 0 && !slices.Equal(got, want) {
					t.Fatalf("%+v, pages of %d: %d revocations, want %d", f, size, len(got), len(want))
				}
			}
		}
		none, err := s.ListRevocations(t.Context(), store.RevocationFilter{}, "", 0)
		must(t, err)
		equal(t, "a limit of 0", len(none), 0)
	},

	"who follows changes one by one or after a pause ends with the same set": func(t *testing.T, s store.Store) {
		followed := map[string]store.Revocation{}
		var seq uint64
		follow := func() {
			d := since(t, s, seq)
			seq = d.Seq
			for _, r := range d.Changed {
				if r.Deleted {
					delete(followed, r.ID)
				} else {
					followed[r.ID] = r
				}
			}
		}
		for n := range 60 {
			r := revocation(n)
			r.TenantID, r.Kind, r.Value = "t", store.RevokeToken, fmt.Sprint("v", n%7)
			r.NotBefore = r.NotBefore.Add(time.Duration(n%5) * time.Second)
			kept := revoke(t, s, r)
			if n%3 == 0 {
				_, err := s.DeleteRevocation(t.Context(), kept.ID, store.Note{})
				must(t, err)
			}
			if n%4 == 0 {
				follow()
			}
		}
		follow()
		all := inForce(t, s, store.RevocationFilter{}, 100)
		equal(t, "number", len(followed), len(all))
		for _, r := range all {
			equal(t, "revocation", followed[r.ID], r)
		}
	},

	"changes made at once are numbered in the order they can be seen": func(t *testing.T, s store.Store) {
		const writers, each = 4, 15
		failed := make(chan error, writers)
		for w := range writers {
			go func() {
				for n := range each {
					r := revocation(w*each + n)
					r.TenantID = "t"
					if _, err := s.CreateRevocation(t.Context(), r); err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
		}
		seen, running := map[string]bool{}, writers
		var seq uint64
		for running > 0 {
			select {
			case err := <-failed:
				must(t, err)
				running--
			default:
			}
			d := since(t, s, seq)
			for _, r := range d.Changed {
				if r.Seq <= seq || r.Seq > d.Seq {
					t.Fatalf("change %d in a delta from %d to %d", r.Seq, seq, d.Seq)
				}
				seen[r.ID] = true
			}
			seq = d.Seq
		}
		for _, r := range since(t, s, seq).Changed {
			seen[r.ID] = true
		}
		equal(t, "seen", len(seen), writers*each)
	},

	"a hint follows a revocation, when there are hints": func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		hints := s.Notify(ctx)
		if hints == nil {
			return
		}
		deadline := time.After(30 * time.Second)
		for n := 1; ; n++ {
			revoke(t, s, revocation(n))
			select {
			case <-hints:
				if n > 1 { // the first one may be of the listening itself
					return
				}
			case <-time.After(100 * time.Millisecond):
			case <-deadline:
				t.Fatal("no hint")
			}
		}
	},
}
