package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Bench measures what grows: large commits, large policies, many decisions. open gives an empty store.
func Bench(b *testing.B, open func(b *testing.B) store.Store) {
	opened := func(b *testing.B) store.Store {
		s := open(b)
		b.Cleanup(s.Close)
		commit(b, s, puts(plainAPI("orders")))
		return s
	}
	b.Run("commit of 1 grant", func(b *testing.B) {
		s := opened(b)
		for n := 0; b.Loop(); n++ {
			commit(b, s, many(n, 1))
		}
	})
	b.Run("commit of 100,000 new grants", func(b *testing.B) {
		s := opened(b)
		for n := 0; b.Loop(); n++ {
			commit(b, s, many(n*100_000, 100_000))
		}
	})
	b.Run("commit over 100,000 grants", func(b *testing.B) {
		s := opened(b)
		c := many(0, 100_000)
		commit(b, s, c)
		for b.Loop() {
			commit(b, s, c)
		}
	})
	b.Run("load of 1,000,000 grants and changes of 100,000", func(b *testing.B) {
		s := opened(b)
		for n := range 10 {
			commit(b, s, many(n*100_000, 100_000))
		}
		for b.Loop() {
			start := time.Now()
			if f := load(b, s); len(f.Grants) != 1_000_000 {
				b.Fatalf("%d grants", len(f.Grants))
			}
			b.ReportMetric(time.Since(start).Seconds(), "s/load")
			start = time.Now()
			if d, err := s.ChangesSince(b.Context(), head(b, s)-1); err != nil || len(d.Grants) != 100_000 {
				b.Fatalf("%d grants, %v", len(d.Grants), err)
			}
			b.ReportMetric(time.Since(start).Seconds(), "s/changes")
		}
	})
	for _, size := range []int{1, 32, 256, 5000} {
		b.Run(fmt.Sprintf("append of %d decisions", size), func(b *testing.B) {
			s := opened(b)
			n := 0
			for b.Loop() {
				batch := make([]store.Decision, size)
				for i := range batch {
					batch[i] = decision(n)
					n++
				}
				must(b, s.AppendDecisions(b.Context(), batch))
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
}

// many is n grants from the first-th on, as they look in practice.
func many(first, n int) (c store.Change) {
	c.Actor, c.PutGrants = "bench", make([]store.Put[store.Grant], n)
	for i := range c.PutGrants {
		id := first + i
		c.PutGrants[i].Fact = store.Grant{
			ID: fmt.Sprintf("0198a000-0000-7000-8000-%012x", id), API: "orders", Effect: store.Allow,
			Subject:     fmt.Sprintf("group:5f0b9e0e-6c5e-4d3c-9b0a-2f8f5f6a7b8c/0198b000-0000-4000-8000-%012x", id%50_000),
			Permissions: []string{"orders.read", "orders.items.*"}, Reason: "imported", Ticket: "T-1",
		}
	}
	return c
}
