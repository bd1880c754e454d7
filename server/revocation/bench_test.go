package revocation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/store"
)

// crowded is a feed of n revocations of each kind but tenant, of which the last names the token of all tests.
func crowded(tb testing.TB, n int) *revocation.Feed {
	tb.Helper()
	f := &fakeStore{}
	at := time.Now().Truncate(time.Second)
	for _, kind := range store.RevocationKinds()[:4] {
		for i := range n {
			f.rows = append(f.rows, revoked(fmt.Sprint(kind, i), kind, fmt.Sprintf("0198b000-0000-4000-8000-%012x", i), at))
		}
	}
	f.rows = append(f.rows, revoked("hit", store.RevokeToken, "u", at))
	f.seq = uint64(len(f.rows))
	for i := range f.rows {
		f.rows[i].Seq = uint64(i + 1)
	}
	feed, _ := follow(tb, f, revocation.Config{Poll: time.Hour})
	for end := time.Now().Add(20 * time.Second); feed.Status().Seq < f.seq; {
		if time.Now().After(end) {
			tb.Fatal("not loaded")
		}
		time.Sleep(time.Millisecond)
	}
	return feed
}

func TestACheckAllocatesNothing(t *testing.T) {
	feed := crowded(t, 1000)
	miss, hit := issued(time.Now().Add(time.Hour)), issued(time.Now().Add(-time.Hour))
	if n := testing.AllocsPerRun(1000, func() {
		feed.Check(miss)
		feed.Check(hit)
		feed.Stale(time.Now())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{0, 250, 25_000, 250_000} {
		feed := crowded(b, n)
		// Ids as long as those of tokens, of which the last is revoked when there is any.
		id := fmt.Sprintf("0198b000-0000-4000-8000-%012x", n-1)
		hit := revocation.Facts{TenantID: "t", ObjectID: id, ClientID: id, SessionID: id, TokenID: "u", IssuedAt: time.Now().Add(-time.Hour)}
		miss := hit
		miss.ObjectID, miss.ClientID, miss.SessionID, miss.TokenID = id[1:], id[1:], id[1:], id[1:]
		b.Run(fmt.Sprintf("miss among %d", 4*n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				feed.Check(miss)
			}
		})
		b.Run(fmt.Sprintf("hit among %d", 4*n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				feed.Check(hit)
			}
		})
	}
}
