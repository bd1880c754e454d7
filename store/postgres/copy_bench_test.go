package postgres

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// typical are n records as they look in practice, after the first ones: 5,000 a second, 2,000 principals, 50 routes.
func typical(first, n int) []store.Decision {
	ds := make([]store.Decision, n)
	for i := range ds {
		k := first + i
		at := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(k) * 200 * time.Microsecond)
		var id [8]byte
		binary.BigEndian.PutUint64(id[:], uint64(k)*0x9E3779B97F4A7C15)
		who, route := k*7919%2000, k*31%50
		group := fmt.Sprintf("group:5f0b9e0e-6c5e-4d3c-9b0a-2f8f5f6a7b8c/0198b000-0000-4000-8000-%012x", who%200)
		ds[i] = store.Decision{
			ID: fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, id[0], id[1], id[2:]), At: at,
			Allowed: k%20 != 0, Reason: 1 + int16(k%20/19), Revision: 812, PrincipalKind: 1, TenantID: "5f0b9e0e-6c5e-4d3c-9b0a-2f8f5f6a7b8c",
			PrincipalID: fmt.Sprintf("0198c000-0000-4000-8000-%012x", who), ClientID: fmt.Sprintf("0198d000-0000-4000-8000-%012x", who%20),
			TokenID: "aX9bY2cZ1dW4eV7fU0gT", API: "orders", Route: fmt.Sprint("route-", route), Template: "/orders/{id}", Method: "GET",
			Host: "orders.example.com", Permissions: []string{fmt.Sprint("orders.read.", route)}, Grants: []string{fmt.Sprintf("0198e000-0000-7000-8000-%012x", who%200)},
			Door: "ext_authz", PEP: "spiffe://example.com/ns/orders/sa/gateway", Took: 40 * time.Microsecond, RequestID: fmt.Sprintf("%036d", k),
			Subjects: []string{group}, GrantSubjects: []string{group}, SourceIP: "192.0.2.0/24", Instance: "verdict-0", Epoch: 1, Seq: uint64(k) + 1, Leaf: make([]byte, 32),
		}
	}
	return ds
}

// BenchmarkAppendAgainstCopy compares AppendDecisions with a bare CopyFrom of the same records into the same table: what
// exactly-once, places and grant use cost. Both go on in turns, so that the machine's other work is shared.
func BenchmarkAppendAgainstCopy(b *testing.B) {
	const size = 5000
	open := func() *Store {
		s, err := Open(b.Context(), Config{URL: pgtest.New(b)}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Close)
		if _, err := s.EnsurePartitions(b.Context(), typical(0, 1)[0].At, 0); err != nil {
			b.Fatal(err)
		}
		return s
	}
	ours, bare := open(), open()
	var appending, copying time.Duration
	n := 0
	for b.Loop() {
		ds := typical(n, size)
		n += size
		begin := time.Now()
		if err := ours.AppendDecisions(b.Context(), ds); err != nil {
			b.Fatal(err)
		}
		appending += time.Since(begin)
		begin = time.Now()
		next, row := 0, make([]any, len(appended))
		_, err := bare.pool.CopyFrom(b.Context(), pgx.Identifier{"decisions"}, appended, pgx.CopyFromFunc(func() ([]any, error) {
			if next == len(ds) {
				return nil, nil
			}
			rowOf(&ds[next], row)
			next++
			return row, nil
		}))
		if err != nil {
			b.Fatal(err)
		}
		copying += time.Since(begin)
	}
	b.ReportMetric(float64(n)/appending.Seconds(), "decisions/s")
	b.ReportMetric(float64(n)/copying.Seconds(), "copied/s")
	b.ReportMetric(copying.Seconds()/appending.Seconds(), "copy_ratio")
}
