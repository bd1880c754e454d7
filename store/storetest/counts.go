package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

var counts = map[string]func(*testing.T, store.Store){
	"records are counted by each dimension and bucket, those with most denials first": func(t *testing.T, s store.Store) {
		var all []store.Decision
		for n := range 200 {
			d := decision(n)
			d.At = instant.Add(time.Duration(n) * 17 * time.Second)
			if n%10 == 0 {
				d.API, d.PrincipalID, d.Grants = "", "", nil
			}
			d.Allowed = n%3 != 0 && n%4 != 0
			all = append(all, d)
		}
		must(t, s.AppendDecisions(t.Context(), all))
		keys := map[store.Dimension]func(d store.Decision) []string{
			store.ByNothing: func(store.Decision) []string { return []string{""} },
			store.ByReason:  func(d store.Decision) []string { return []string{fmt.Sprint(d.Reason)} },
			store.ByRoute: func(d store.Decision) []string {
				if d.API == "" {
					return []string{""}
				}
				return []string{d.API + "/" + d.Route}
			},
			store.ByPrincipal: func(d store.Decision) []string {
				if d.PrincipalID == "" {
					return []string{""}
				}
				return []string{d.TenantID + "/" + d.PrincipalID}
			},
			store.ByGrant: func(d store.Decision) []string { return d.Grants },
		}
		f := store.DecisionFilter{From: instant.Add(time.Minute), To: instant.Add(50 * time.Minute), TenantID: "t1"}
		for by, key := range keys {
			for _, bucket := range []time.Duration{0, time.Minute, 7 * time.Minute, time.Hour} {
				for _, limit := range []int{1, 3, 1000} {
					want, more := summary(all, f, key, bucket, limit)
					got, gotMore, err := s.Summarize(t.Context(), f, by, bucket, limit)
					must(t, err)
					equal(t, fmt.Sprintf("by %q in %v, limit %d", by, bucket, limit), got, want)
					equal(t, "more", gotMore, more)
				}
			}
		}
	},

	"nothing to count is no count, and an unknown dimension or bucket is ErrInvalid": func(t *testing.T, s store.Store) {
		got, more, err := s.Summarize(t.Context(), store.DecisionFilter{From: instant}, store.ByNothing, 0, 10)
		must(t, err)
		equal(t, "counts", len(got), 0)
		equal(t, "more", more, false)
		must(t, s.AppendDecisions(t.Context(), []store.Decision{decision(1)}))
		got, _, err = s.Summarize(t.Context(), store.DecisionFilter{}, store.ByNothing, 0, 0)
		must(t, err)
		equal(t, "counts of no keys", len(got), 0)
		got, _, err = s.Summarize(t.Context(), store.DecisionFilter{}, store.ByNothing, 0, 1)
		must(t, err)
		equal(t, "one bucket without a begin, repeats included", got, []store.Count{{Denied: 2, First: decision(1).At, Last: decision(1).At}})
		_, _, err = s.Summarize(t.Context(), store.DecisionFilter{}, "colour", 0, 1)
		wantError(t, err, store.ErrInvalid)
		for _, bucket := range []time.Duration{-time.Second, 1500} {
			_, _, err = s.Summarize(t.Context(), store.DecisionFilter{}, store.ByReason, bucket, 1)
			wantError(t, err, store.ErrInvalid)
		}
	},

	"the use of a grant is known from the day asked for, within a minute, with its principals": func(t *testing.T, s store.Store) {
		used := func(at time.Time, n int, principal string, grants ...string) store.Decision {
			d := decision(n)
			d.At, d.TenantID, d.PrincipalID, d.Grants = at, "t", principal, grants
			return d
		}
		next := instant.AddDate(0, 0, 1)
		for _, batch := range [][]store.Decision{
			{used(instant, 1, "p1", "g1", "g2"), used(instant.Add(time.Hour), 2, "p1", "g1"), used(instant.Add(time.Minute), 3, "p2", "g1")},
			{used(instant.Add(-time.Hour), 4, "p2", "g2")}, // late
			{used(next, 5, "p1", "g1"), used(next.Add(30*time.Second), 6, "p1", "g1")},
			{used(next.Add(store.GrantUseStep+30*time.Second), 7, "p1", "g1")},
		} {
			must(t, s.AppendDecisions(t.Context(), batch))
			must(t, s.AppendDecisions(t.Context(), batch))
		}
		must(t, s.AppendDecisions(t.Context(), []store.Decision{used(next.Add(store.GrantUseStep+89*time.Second), 8, "p1", "g1")}))
		last := next.Add(store.GrantUseStep + 30*time.Second) // 59 s later is not written again
		all := []store.GrantUse{{Grant: "g1", First: instant, Last: last, Principals: 2},
			{Grant: "g2", First: instant.Add(-time.Hour), Last: instant, Principals: 2}}
		use := func(from time.Time) []store.GrantUse {
			l, err := s.GrantUse(t.Context(), from)
			must(t, err)
			return l
		}
		equal(t, "use", use(instant), all)
		equal(t, "use since ever", use(time.Time{}), all)
		since := []store.GrantUse{{Grant: "g1", First: next, Last: last, Principals: 1}}
		equal(t, "use since the second day", use(next), since)
		must(t, s.ForgetGrantUse(t.Context(), next))
		equal(t, "use after forgetting", use(time.Time{}), since)
	},
}

// summary counts as Summarize says it does.
func summary(all []store.Decision, f store.DecisionFilter, keysOf func(store.Decision) []string, bucket time.Duration, limit int) (l []store.Count, more bool) {
	byKey := make(map[string]map[time.Time]*store.Count)
	total := make(map[string]*store.Count)
	for _, d := range all {
		if d.At.Before(f.From) || !d.At.Before(f.To) || d.TenantID != f.TenantID {
			continue
		}
		begin := f.From
		if bucket > 0 {
			begin = time.UnixMicro(d.At.UnixMicro() - d.At.UnixMicro()%bucket.Microseconds()).UTC()
		}
		for _, k := range keysOf(d) {
			if byKey[k] == nil {
				byKey[k], total[k] = make(map[time.Time]*store.Count), &store.Count{Key: k}
			}
			c := byKey[k][begin]
			if c == nil {
				c = &store.Count{Bucket: begin, Key: k, First: d.At}
				byKey[k][begin] = c
			}
			c.Last = d.At
			for _, c := range []*store.Count{c, total[k]} {
				if d.Allowed {
					c.Allowed += 1 + d.Repeats
				} else {
					c.Denied += 1 + d.Repeats
				}
			}
		}
	}
	var ranked []*store.Count
	for _, c := range total {
		ranked = append(ranked, c)
	}
	slices.SortFunc(ranked, func(a, b *store.Count) int {
		if a.Denied != b.Denied {
			return int(b.Denied) - int(a.Denied)
		}
		if a.Allowed != b.Allowed {
			return int(b.Allowed) - int(a.Allowed)
		}
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	if len(ranked) > limit {
		ranked, more = ranked[:limit], true
	}
	for _, r := range ranked {
		n := len(l)
		for _, c := range byKey[r.Key] {
			l = append(l, *c)
		}
		slices.SortFunc(l[n:], func(a, b store.Count) int { return a.Bucket.Compare(b.Bucket) })
	}
	return l, more
}
