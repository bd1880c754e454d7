package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// partitionOf is the one of a day, which there is one of.
func partitionOf(t testing.TB, s store.Store, day time.Time, detached bool) (found store.Partition) {
	t.Helper()
	l, err := s.Partitions(t.Context())
	must(t, err)
	for _, p := range l {
		if p.Day.Equal(store.Day(day)) && p.Detached == detached {
			if found.Name != "" {
				t.Fatalf("%s and %s are both of %v", found.Name, p.Name, p.Day)
			}
			found = p
		}
	}
	if found.Name == "" {
		t.Fatalf("no partition of %v among %v", day, l)
	}
	return found
}

func export(t testing.TB, s store.Store, name string) (l []store.Decision) {
	t.Helper()
	for d, err := range s.ExportPartition(t.Context(), name) {
		must(t, err)
		l = append(l, d)
	}
	return l
}

var days = map[string]func(*testing.T, store.Store){
	"partitions are made once, by any number of callers": func(t *testing.T, s store.Store) {
		var made atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				n, err := s.EnsurePartitions(t.Context(), instant, 7)
				if err != nil {
					t.Errorf("ensure: %v", err)
				}
				made.Add(int64(n))
			})
		}
		all.Wait()
		equal(t, "made", made.Load(), int64(8))
		n, err := s.EnsurePartitions(t.Context(), instant.AddDate(0, 0, 1), 7)
		must(t, err)
		equal(t, "made a day later", n, 1)
		for n := range 9 {
			partitionOf(t, s, instant.AddDate(0, 0, n), false)
		}
	},

	"a record of any day is kept, and a day has one partition, which begins at midnight UTC": func(t *testing.T, s store.Store) {
		day := store.Day(instant)
		var want []store.Decision
		for n, at := range []time.Time{time.Time{}.AddDate(0, 0, 1), time.Unix(0, 0).UTC(), day.Add(-time.Microsecond), day, day.Add(24*time.Hour - time.Microsecond),
			day.Add(24 * time.Hour), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)} {
			d := decision(n)
			d.At = at
			want = append(want, d)
		}
		must(t, s.AppendDecisions(t.Context(), want))
		equal(t, "of the day", export(t, s, partitionOf(t, s, day, false).Name), want[3:5])
		slices.SortFunc(want, newestFirst)
		equal(t, "records", listAll(t, s, store.DecisionFilter{}, 3), want)
	},

	"64 that append to days without a partition all succeed": func(t *testing.T, s store.Store) {
		each64(func(i int) {
			d := decision(i)
			d.At = instant.AddDate(0, 0, i%8)
			if err := s.AppendDecisions(t.Context(), []store.Decision{d}); err != nil {
				t.Errorf("append: %v", err)
			}
		})
		equal(t, "records", len(listAll(t, s, store.DecisionFilter{}, 100)), 64)
	},

	"a day is detached, exported and dropped, and the others stay": func(t *testing.T, s store.Store) {
		var old, kept []store.Decision
		for n := range 20 {
			d, k := decision(n), decision(n+100)
			k.At = k.At.AddDate(0, 0, 1)
			old, kept = append(old, d), append(kept, k)
		}
		must(t, s.AppendDecisions(t.Context(), append(slices.Clone(old), kept...)))
		name := partitionOf(t, s, instant, false).Name
		wantError(t, s.DropPartition(t.Context(), name), store.ErrConflict)
		equal(t, "exported before", export(t, s, name), old)
		must(t, s.DetachPartition(t.Context(), name))
		must(t, s.DetachPartition(t.Context(), name))
		slices.SortFunc(kept, newestFirst)
		equal(t, "left", listAll(t, s, store.DecisionFilter{}, 7), kept)
		p := partitionOf(t, s, instant, true)
		equal(t, "name", p.Name, name)
		equal(t, "rows", p.Rows, int64(len(old)))
		equal(t, "exported", export(t, s, name), old)

		// What comes late has a partition of its own, and the detached one stays as it is.
		late := decision(50)
		must(t, s.AppendDecisions(t.Context(), []store.Decision{late}))
		equal(t, "late", export(t, s, partitionOf(t, s, instant, false).Name), []store.Decision{late})
		equal(t, "exported again", export(t, s, name), old)

		must(t, s.DropPartition(t.Context(), name))
		equal(t, "in the end", listAll(t, s, store.DecisionFilter{}, 7), append(kept, late))
		got, _ := follow(t, s, store.TailCursor{}, store.DecisionFilter{}, 10)
		equal(t, "a tail afterwards", len(got), len(kept)+1)
		for what, err := range map[string]error{
			"detach": s.DetachPartition(t.Context(), name), "drop": s.DropPartition(t.Context(), name),
			"drop what is none": s.DropPartition(t.Context(), "revisions"), "detach what is none": s.DetachPartition(t.Context(), "decisions"),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, err := range s.ExportPartition(t.Context(), name) {
			wantError(t, err, store.ErrNotFound)
		}
	},

	"what comes for a day that was dropped does not get the name of what was dropped": func(t *testing.T, s store.Store) {
		given := make(map[string]bool)
		for n := range 3 {
			must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(n)}))
			name := partitionOf(t, s, instant, false).Name
			if given[name] {
				t.Fatalf("%s was given again", name)
			}
			given[name] = true
			must(t, s.DetachPartition(t.Context(), name))
			must(t, s.DropPartition(t.Context(), name))
		}
	},

	"an export ends when its reader does": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 5000 {
			all = append(all, decision(n))
		}
		must(t, s.AppendDecisions(t.Context(), all))
		name, n := partitionOf(t, s, instant, false).Name, 0
		for _, err := range s.ExportPartition(t.Context(), name) {
			must(t, err)
			if n++; n == 10 {
				break
			}
		}
		equal(t, "all of it", len(export(t, s, name)), len(all))
	},

	"records are appended while a day is detached": func(t *testing.T, s store.Store) {
		must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(0)}))
		name := partitionOf(t, s, instant, false).Name
		var all sync.WaitGroup
		all.Go(func() {
			if err := s.DetachPartition(t.Context(), name); err != nil {
				t.Errorf("detach: %v", err)
			}
		})
		for w := range 4 {
			all.Go(func() {
				for n := range 20 {
					d := decision(1 + w*100 + n)
					d.At = instant.AddDate(0, 0, n%2)
					if err := s.AppendDecisions(t.Context(), []store.Decision{d}); err != nil {
						t.Errorf("append: %v", err)
					}
				}
			})
		}
		all.Wait()
		equal(t, "records", len(listAll(t, s, store.DecisionFilter{}, 100))+len(export(t, s, name)), 81)
	},
}
