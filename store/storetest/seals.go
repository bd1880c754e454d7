package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// digest is the n-th, of the n-th hour, with every field set.
func digest(n uint64) store.Digest {
	at := store.Day(instant).Add(time.Duration(n) * time.Hour)
	return store.Digest{
		Number: n, Kind: store.DigestHourly, From: at, To: at.Add(time.Hour), Count: 7 * n, Root: bytes.Repeat([]byte{byte(n)}, 32),
		Previous: []byte{0, 0xff, '\\'}, KeyID: "k-1", Signature: []byte("signed"), RevisionFirst: n, RevisionLast: n + 1,
		Ranges: []store.SequenceRange{{Instance: `v"0`, Epoch: 1, First: n, Last: n + 5, Count: 6}, {Instance: "v1", Epoch: 2, First: 1, Last: 1, Count: 1}},
		Leaves: bytes.Repeat([]byte{1, 0, byte(n)}, 1000),
	}
}

// bare is d as lists return it.
func bare(d store.Digest) store.Digest {
	d.Leaves = nil
	return d
}

func changeLines(t testing.TB, s store.Store, from, to time.Time) (l []store.ChangeLine) {
	t.Helper()
	for line, err := range s.ChangesInWindow(t.Context(), from, to) {
		must(t, err)
		l = append(l, line)
	}
	return l
}

var seals = map[string]func(*testing.T, store.Store){
	"the records of a window come oldest first, page by page": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 50 {
			d := decision(n)
			d.At = instant.Add(time.Duration(n/3) * time.Second)
			all = append(all, d)
		}
		must(t, s.AppendDecisions(t.Context(), all))
		from, to := instant.Add(2*time.Second), instant.Add(10*time.Second)
		slices.SortFunc(all, func(a, b store.Decision) int { return newestFirst(b, a) })
		for _, w := range [][2]time.Time{{from, to}, {time.Time{}, time.Time{}}, {from, time.Time{}}, {to, from}} {
			want := slices.DeleteFunc(slices.Clone(all), func(d store.Decision) bool {
				return d.At.Before(w[0]) || !w[1].IsZero() && !d.At.Before(w[1])
			})
			if len(want) == 0 {
				want = nil
			}
			for _, size := range []int{1, 7, 100} {
				equal(t, fmt.Sprint(w), paged(t, size, store.DecisionCursor{}, cursor, func(after store.DecisionCursor) ([]store.Decision, error) {
					return s.RecordsInWindow(t.Context(), w[0], w[1], after, size)
				}), want)
			}
		}
	},

	"sequences tell first, last and count of each instance and epoch, so that a gap shows": func(t *testing.T, s store.Store) {
		batch := []store.Decision{from("", 0, 5)}
		for n := 1; n <= 10; n++ {
			if n != 4 {
				batch = append(batch, from("a", 1, n))
			}
			batch = append(batch, from("a", 2, n), from("b", 1, n))
		}
		must(t, s.AppendDecisions(t.Context(), batch))
		l, err := s.Sequences(t.Context(), instant.Add(3*time.Minute), instant.Add(9*time.Minute))
		must(t, err)
		equal(t, "sequences", l, []store.SequenceRange{{Instance: "a", Epoch: 1, First: 3, Last: 8, Count: 5},
			{Instance: "a", Epoch: 2, First: 3, Last: 8, Count: 6}, {Instance: "b", Epoch: 1, First: 3, Last: 8, Count: 6}})
		l, err = s.Sequences(t.Context(), instant.Add(-time.Hour), instant)
		must(t, err)
		equal(t, "none", len(l), 0)
	},

	"all records and changes of a window are counted, those without an instance too": func(t *testing.T, s store.Store) {
		must(t, s.AppendDecisions(t.Context(), []store.Decision{from("", 0, 2), from("a", 1, 1), from("a", 1, 2), from("a", 1, 3)}))
		commit(t, s, puts(plainAPI("a"), plainAPI("b")))
		revoke(t, s, revocation(1))
		_, err := s.OrderPurge(t.Context(), "", store.Note{})
		must(t, err)
		for _, w := range []struct {
			from, to         time.Time
			records, changes uint64
		}{
			{time.Time{}, time.Time{}, 4, 3}, {instant.Add(2 * time.Minute), instant.Add(3 * time.Minute), 2, 0},
			{time.Now().Add(-time.Hour), time.Now().Add(time.Hour), 0, 3}, {instant, time.Time{}, 4, 0}, {instant.Add(time.Hour), instant, 0, 0},
		} {
			records, changes, err := s.CountInWindow(t.Context(), w.from, w.to)
			must(t, err)
			equal(t, fmt.Sprint("counts of ", w.from, w.to), [2]uint64{records, changes}, [2]uint64{w.records, w.changes})
		}
	},

	"the changes of a window come oldest first, a line a fact, as each was recorded": func(t *testing.T, s store.Store) {
		first := commit(t, s, puts(plainAPI("a"), plainAPI("b")))
		second := commit(t, s, puts(plainGrant("a", "g")))
		r := revoke(t, s, revocation(1))
		_, err := s.DeleteRevocation(t.Context(), r.ID, store.Note{Actor: "bob"})
		must(t, err)
		third := commit(t, s, store.Change{Actor: "ann", DeleteGrants: []store.Delete[string]{{Key: "g"}}})
		tenant := store.TrustedTenant{Provider: "entra", ID: "11111111-1111-4111-8111-111111111111"}
		_, err = s.AddTenant(t.Context(), tenant, store.Note{Actor: "ann"})
		must(t, err)
		must(t, s.RemoveTenant(t.Context(), tenant.Provider, tenant.ID, store.Note{}))
		_, err = s.DenyKey(t.Context(), "k", store.Note{})
		must(t, err)
		must(t, s.AllowKey(t.Context(), "k", store.Note{}))
		_, err = s.OrderPurge(t.Context(), "t", store.Note{})
		must(t, err)
		lines := changeLines(t, s, time.Time{}, time.Time{})
		var got []string
		for i, l := range lines {
			if i > 0 && store.CompareChanges(lines[i-1].Change, l.Change) > 0 {
				t.Errorf("%+v comes after %+v", l.Change, lines[i-1].Change)
			}
			got = append(got, fmt.Sprint(l.Change.Trail, " ", l.Change.Number, " of ", l.Change.Total, ": ", l.Fact.Kind, " ", l.Fact.Key, " ", l.Fact.Before != "", " ", l.Fact.After != ""))
		}
		equal(t, "lines", got, []string{
			"policy 1 of 2: api a false true", "policy 1 of 2: api b false true", "policy 2 of 1: grant g false true",
			"revocation 1 of 1: revocation " + r.ID + " false true", "revocation 2 of 1: revocation " + r.ID + " true false",
			"policy 3 of 1: grant g true false",
			"trust 1 of 1: tenant entra/" + tenant.ID + " false true", "trust 2 of 1: tenant entra/" + tenant.ID + " true false",
			"trust 3 of 1: key k false true", "trust 4 of 1: key k true false", "trust 5 of 1: purge t false true",
		})
		equal(t, "what is taken back is what was put", lines[4].Fact.Before, lines[3].Fact.After)
		equal(t, "head", lines[0].Change, store.AdminChange{Trail: store.TrailPolicy, Number: 1, At: first.At, Actor: first.Actor,
			Reason: first.Reason, Ticket: first.Ticket, Total: 2})
		equal(t, "bounds", changeLines(t, s, second.At, third.At), lines[2:5])
		equal(t, "none", len(changeLines(t, s, instant, time.Time{})), 0)
		for _, err := range s.ChangesInWindow(t.Context(), time.Time{}, time.Time{}) {
			must(t, err)
			break // whoever stops early is not told more
		}
	},

	"the days that records are kept in are told without counting them": func(t *testing.T, s store.Store) {
		_, err := s.EnsurePartitions(t.Context(), instant, 2)
		must(t, err)
		must(t, s.DetachPartition(t.Context(), partitionOf(t, s, instant, false).Name))
		must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(1)}))
		want, err := s.Partitions(t.Context())
		must(t, err)
		for i := range want {
			want[i].Rows, want[i].Bytes = 0, 0
		}
		got, err := s.DecisionDays(t.Context())
		must(t, err)
		equal(t, "days", got, want)
	},

	"a change of very many facts comes line by line": func(t *testing.T, s store.Store) {
		commit(t, s, puts(plainAPI("a")))
		c := puts(plainAPI("b"))
		for _, id := range ids(5000) {
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: plainGrant("a", id)})
		}
		commit(t, s, c)
		commit(t, s, puts(plainAPI("c")))
		of := make(map[uint64]int)
		for _, l := range changeLines(t, s, time.Time{}, time.Time{}) {
			of[l.Change.Number]++
		}
		equal(t, "lines", of, map[uint64]int{1: 1, 2: 5001, 3: 1})
	},

	"digests are kept as they are, numbered without gaps, and listed by window": func(t *testing.T, s store.Store) {
		_, err := s.LatestDigest(t.Context())
		wantError(t, err, store.ErrNotFound)
		wantError(t, s.AppendDigest(t.Context(), digest(2)), store.ErrConflict)
		backfill := digest(3)
		backfill.Kind, backfill.From, backfill.To = store.DigestBackfill, digest(1).From, digest(1).To
		empty := store.Digest{Number: 4, Kind: store.DigestHourly, From: digest(4).From, To: digest(4).To}
		all := []store.Digest{digest(1), digest(2), backfill, empty}
		for _, d := range all {
			must(t, s.AppendDigest(t.Context(), d))
			again := d
			again.Root = []byte("another")
			wantError(t, s.AppendDigest(t.Context(), again), store.ErrConflict)
			latest, err := s.LatestDigest(t.Context())
			must(t, err)
			equal(t, "latest", latest, bare(d))
			leaves, err := s.DigestLeaves(t.Context(), d.Number)
			must(t, err)
			equal(t, "leaves", bytes.Equal(leaves, d.Leaves), true)
		}
		_, err = s.DigestLeaves(t.Context(), 9)
		wantError(t, err, store.ErrNotFound)
		for _, tc := range []struct {
			from, to time.Time
			after    uint64
			limit    int
			want     []uint64
		}{
			{time.Time{}, time.Time{}, 0, 10, []uint64{1, 2, 3, 4}}, {time.Time{}, time.Time{}, 2, 1, []uint64{3}},
			{all[0].To, time.Time{}, 0, 10, []uint64{2, 4}}, {time.Time{}, all[0].To, 0, 10, []uint64{1, 3}},
			{all[0].To.Add(-time.Second), all[0].To.Add(time.Second), 0, 10, []uint64{1, 2, 3}}, {time.Time{}, time.Time{}, 0, 0, nil},
		} {
			l, err := s.Digests(t.Context(), tc.from, tc.to, tc.after, tc.limit)
			must(t, err)
			var got []uint64
			for _, d := range l {
				got = append(got, d.Number)
				equal(t, "digest", d, bare(all[d.Number-1]))
			}
			equal(t, "numbers", got, tc.want)
		}
		bad := digest(5)
		bad.Kind = "weekly"
		wantError(t, s.AppendDigest(t.Context(), bad), store.ErrInvalid)
	},

	"of 64 that append the next digest, one succeeds": func(t *testing.T, s store.Store) {
		var kept atomic.Int64
		each64(func(int) {
			switch err := s.AppendDigest(t.Context(), digest(1)); {
			case err == nil:
				kept.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("append: %v", err)
			}
		})
		equal(t, "kept", kept.Load(), int64(1))
	},
}

var coordination = map[string]func(*testing.T, store.Store){
	"a lease has one holder until it ends, is given back or is renewed": func(t *testing.T, s store.Store) {
		acquire := func(holder string, ttl time.Duration) bool {
			held, err := s.AcquireLease(t.Context(), "seal", holder, ttl)
			must(t, err)
			return held
		}
		equal(t, "free", acquire("a", time.Hour), true)
		equal(t, "held by another", acquire("b", time.Hour), false)
		equal(t, "renewed", acquire("a", time.Hour), true)
		must(t, s.ReleaseLease(t.Context(), "seal", "b"))
		equal(t, "given back by someone else", acquire("b", time.Hour), false)
		must(t, s.ReleaseLease(t.Context(), "seal", "a"))
		equal(t, "given back", acquire("b", time.Millisecond), true)
		time.Sleep(5 * time.Millisecond)
		equal(t, "ended", acquire("a", time.Hour), true)
		other, err := s.AcquireLease(t.Context(), "export", "b", time.Hour)
		must(t, err)
		equal(t, "another lease", other, true)
	},

	"of 64 that want a lease, one has it": func(t *testing.T, s store.Store) {
		var held atomic.Int64
		each64(func(i int) {
			ok, err := s.AcquireLease(t.Context(), "seal", fmt.Sprint("h", i), time.Hour)
			if err != nil {
				t.Errorf("acquire: %v", err)
			}
			if ok {
				held.Add(1)
			}
		})
		equal(t, "holders", held.Load(), int64(1))
	},

	"a cursor changes only when it is what was expected": func(t *testing.T, s store.Store) {
		read := func() string {
			v, err := s.Cursor(t.Context(), "otlp")
			must(t, err)
			return v
		}
		equal(t, "none", read(), "")
		wantError(t, s.SetCursor(t.Context(), "otlp", "2", "1"), store.ErrConflict)
		must(t, s.SetCursor(t.Context(), "otlp", "1", ""))
		wantError(t, s.SetCursor(t.Context(), "otlp", "2", ""), store.ErrConflict)
		must(t, s.SetCursor(t.Context(), "otlp", "2", "1"))
		equal(t, "set", read(), "2")
		must(t, s.SetCursor(t.Context(), "otlp", "", "2"))
		equal(t, "taken back", read(), "")
		must(t, s.SetCursor(t.Context(), "otlp", "3", ""))
		equal(t, "set anew", read(), "3")
	},

	"of 64 that move a cursor, one succeeds": func(t *testing.T, s store.Store) {
		for _, expect := range []string{"", "1"} {
			var moved atomic.Int64
			each64(func(int) {
				switch err := s.SetCursor(t.Context(), "c", expect+"1", expect); {
				case err == nil:
					moved.Add(1)
				case !errors.Is(err, store.ErrConflict):
					t.Errorf("set: %v", err)
				}
			})
			equal(t, "moved", moved.Load(), int64(1))
		}
	},
}
