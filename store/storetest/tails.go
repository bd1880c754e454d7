package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// from is the n-th record of an instance, or of none, one a minute.
func from(instance string, epoch uint64, n int) store.Decision {
	at := instant.Add(time.Duration(n) * time.Minute)
	d := store.Decision{ID: fmt.Sprintf("%08x-%04x-7%03x-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, len(instance), n),
		At: at, Detail: fmt.Sprint(instance, epoch, n), Allowed: n%2 == 0}
	if instance != "" {
		d.Instance, d.Epoch, d.Seq = instance, epoch, uint64(n)
		d.ID = d.ID[:24] + fmt.Sprintf("%04x%x", epoch, instance[:1]) + d.ID[30:]
	}
	return d
}

// follow reads on until there is nothing more, checks what every tail promises, and returns the records and the cursor.
func follow(t testing.TB, s store.Store, c store.TailCursor, f store.DecisionFilter, limit int) ([]store.Decision, store.TailCursor) {
	t.Helper()
	var all []store.Decision
	for range 10_000 {
		tail, err := s.DecisionsAfter(t.Context(), c, f, limit)
		must(t, err)
		if len(tail.Records) > limit {
			t.Fatalf("%d records, limit %d", len(tail.Records), limit)
		}
		at := c.Clone()
		for _, r := range tail.Records {
			if r.Position.Compare(at.Seen[r.Source]) <= 0 {
				t.Fatalf("%v of %v after %v", r.Position, r.Source, at.Seen[r.Source])
			}
			at.Advance(r)
			all = append(all, r.Decision)
		}
		again, err := store.ParseTailCursor(tail.Cursor.String())
		must(t, err)
		if again.String() != tail.Cursor.String() {
			t.Fatal("a cursor is not what its text says")
		}
		c = again
		if !tail.More {
			return all, c
		}
	}
	t.Fatal("the tail does not end")
	return nil, c
}

func byDetail(a, b store.Decision) int { return strings.Compare(a.Detail, b.Detail) }

func sameRecords(t testing.TB, what string, got, want []store.Decision) {
	t.Helper()
	got, want = slices.SortedFunc(slices.Values(got), byDetail), slices.SortedFunc(slices.Values(want), byDetail)
	if !slices.EqualFunc(got, want, func(a, b store.Decision) bool { return a.Detail == b.Detail }) {
		t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
}

var tails = map[string]func(*testing.T, store.Store){
	"a tail has every record once, whatever the limit, over days, epochs, instances and without one": func(t *testing.T, s store.Store) {
		var want []store.Decision
		for n := 1; n <= 3000; n += 100 { // two days
			for _, batch := range [][]store.Decision{{from("a", 1, n), from("a", 1, n+1)}, {from("b", 7, n)}, {from("", 0, n), from("", 0, n+2)}} {
				must(t, s.AppendDecisions(t.Context(), batch))
				want = append(want, batch...)
			}
		}
		late := []store.Decision{from("a", 2, 1), from("a", 2, 2)}
		must(t, s.AppendDecisions(t.Context(), late))
		want = append(want, late...)
		for _, limit := range []int{1, 2, 7, 1000} {
			got, end := follow(t, s, store.TailCursor{}, store.DecisionFilter{}, limit)
			sameRecords(t, fmt.Sprint("limit ", limit), got, want)
			again, _ := follow(t, s, end, store.DecisionFilter{}, limit)
			equal(t, "after the end", len(again), 0)
		}
		got, _ := follow(t, s, store.TailCursor{}, store.DecisionFilter{}, 1000)
		slices.SortFunc(want, byDetail)
		equal(t, "records as they were appended", slices.SortedFunc(slices.Values(got), byDetail), want)
	},

	"a tail goes on after any record it gave": func(t *testing.T, s store.Store) {
		var want []store.Decision
		for n := 1; n <= 20; n++ {
			want = append(want, from("a", 1, n), from("b", 1, n), from("", 0, n))
		}
		must(t, s.AppendDecisions(t.Context(), want))
		tail, err := s.DecisionsAfter(t.Context(), store.TailCursor{}, store.DecisionFilter{}, 100)
		must(t, err)
		equal(t, "records", len(tail.Records), len(want))
		if !slices.IsSortedFunc(tail.Records, func(a, b store.TailRecord) int { return a.Decision.At.Compare(b.Decision.At) }) {
			t.Error("not the oldest first")
		}
		c := store.TailCursor{}
		for i, r := range tail.Records {
			c.Advance(r)
			rest, _ := follow(t, s, c, store.DecisionFilter{}, 100)
			equal(t, fmt.Sprint("left after ", i), len(rest), len(want)-i-1)
		}
	},

	"a tail from now has only what comes, and one from an instant what was made since": func(t *testing.T, s store.Store) {
		for n := 1; n <= 10; n++ {
			must(t, s.AppendDecisions(t.Context(), []store.Decision{from("a", 1, n), from("", 0, n)}))
		}
		now, err := s.TailFrom(t.Context(), time.Time{})
		must(t, err)
		since, err := s.TailFrom(t.Context(), instant.Add(4*time.Minute+time.Nanosecond))
		must(t, err)
		fresh := []store.Decision{from("a", 1, 11), from("a", 2, 1), from("new", 1, 1), from("", 0, 12)}
		must(t, s.AppendDecisions(t.Context(), fresh))
		got, _ := follow(t, s, now, store.DecisionFilter{}, 10)
		sameRecords(t, "from now", got, fresh)
		want := []store.Decision{from("a", 1, 11), from("", 0, 12)} // the others are older than the instant
		for n := 5; n <= 10; n++ {
			want = append(want, from("a", 1, n), from("", 0, n))
		}
		got, _ = follow(t, s, since, store.DecisionFilter{}, 3)
		sameRecords(t, "since", got, want)
	},

	"a tail looks at the filter and not at its bounds, and passes over what does not match": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := 1; n <= 25_000; n++ {
			d := from("a", 1, n)
			d.At = instant.Add(time.Duration(n) * time.Millisecond)
			d.PrincipalID = "p"
			if n == 24_999 {
				d.PrincipalID = "rare"
			}
			all = append(all, d)
		}
		must(t, s.AppendDecisions(t.Context(), all))
		f := store.DecisionFilter{PrincipalID: "rare", From: instant.AddDate(1, 0, 0), To: instant.AddDate(-1, 0, 0)}
		got, end := follow(t, s, store.TailCursor{}, f, 10)
		sameRecords(t, "rare", got, all[24_998:24_999])
		equal(t, "end", end.Seen[store.Source{Instance: "a"}], store.Position{Epoch: 1, Seq: 25_000})
	},

	"a tail misses nothing that many instances append at once, and those without an instance": func(t *testing.T, s store.Store) {
		const writers, batches, size = 8, 15, 10
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		for w := range writers {
			instance := fmt.Sprint("i", w)
			if w >= writers/2 {
				instance = ""
			}
			all.Go(func() {
				for b := range batches {
					var batch []store.Decision
					for i := range size {
						n := b*size + i + 1
						d := from(instance, 1, n)
						d.ID = fmt.Sprintf("%s%012x", d.ID[:24], w<<24|n)
						d.Detail = fmt.Sprint(w, " ", n)
						batch = append(batch, d)
					}
					for range 1 + rand.IntN(2) { // some are written again
						if err := s.AppendDecisions(ctx, batch); err != nil {
							t.Errorf("append: %v", err)
							return
						}
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		var got []store.Decision
		c := store.TailCursor{}
		for more := true; more; {
			select {
			case <-done:
				more = false
			default:
			}
			var l []store.Decision
			l, c = follow(t, s, c, store.DecisionFilter{}, 17)
			got = append(got, l...)
		}
		seen := make(map[string]int)
		for _, d := range got {
			seen[d.Detail]++
		}
		equal(t, "records", len(got), writers*batches*size)
		equal(t, "different ones", len(seen), writers*batches*size)
	},
}
