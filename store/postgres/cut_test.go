package postgres_test

import (
	"flag"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

var cuts = flag.Int("cuts", 120, "at how many points of an append the connection is cut, in each direction")

// cutter stands between a store and its database and cuts all connections after so many bytes of one direction.
type cutter struct {
	addr, network, behind string

	mu    sync.Mutex
	left  int  // until the cut; -1: none
	up    bool // the bytes that go to the database count
	went  [2]int
	conns map[net.Conn]struct{}
}

// cutBefore starts a cutter before the database of a URL, and returns the URL through it.
func cutBefore(t *testing.T, dsn string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{network: "tcp", behind: u.Host, left: -1, conns: make(map[net.Conn]struct{})}
	q := u.Query()
	if dir := q.Get("host"); dir != "" {
		port := q.Get("port")
		if port == "" {
			port = "5432"
		}
		c.network, c.behind = "unix", dir+"/.s.PGSQL."+port
		q.Del("host")
		q.Del("port")
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close(); c.cut() })
	c.addr, u.Host = lis.Addr().String(), lis.Addr().String()
	u.RawQuery = q.Encode()
	go func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial(c.network, c.behind)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.mu.Lock()
			c.conns[in], c.conns[out] = struct{}{}, struct{}{}
			c.mu.Unlock()
			go c.forward(out, in, true)
			go c.forward(in, out, false)
		}
	}()
	return c, u.String()
}

func (c *cutter) forward(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := from.Read(buf)
		n, cut := c.pass(n, up)
		if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
			return
		}
		if cut {
			c.cut()
			return
		}
	}
}

// pass says how many of n bytes go through, and whether that was the last of them.
func (c *cutter) pass(n int, up bool) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	way := 0
	if up {
		way = 1
	}
	c.went[way] += n
	if c.left < 0 || up != c.up {
		return n, false
	}
	if n < c.left {
		c.left -= n
		return n, false
	}
	n, c.left = c.left, -1
	return n, true
}

// arm has the next bytes of a direction counted, and the connections cut after so many.
func (c *cutter) arm(after int, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.up = after, up
}

// count returns how many bytes went each way since it was last asked.
func (c *cutter) count() (down, up int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	down, up = c.went[0], c.went[1]
	c.went = [2]int{}
	return down, up
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
		delete(c.conns, conn)
	}
}

// A connection that is cut in the middle of an append, at whatever byte of either direction, leaves all of the batch or none,
// and writing it again leaves each record once: in the days, in the places that a tail reads, and in the counts.
func TestABatchCutAnywhereIsKeptOnce(t *testing.T) {
	dsn := pgtest.New(t)
	c, through := cutBefore(t, dsn)
	s, direct := open(t, through), open(t, dsn)
	first := time.Date(2032, 2, 3, 4, 0, 0, 0, time.UTC)
	const size = 40
	n := 0
	batch := func() []store.Decision {
		ds := make([]store.Decision, size)
		for i := range ds {
			n++
			ds[i] = record(n)
			ds[i].At, ds[i].Instance, ds[i].Epoch, ds[i].Seq = first.Add(time.Duration(n)*time.Millisecond), "i", 1, uint64(n)
			if i%2 == 0 {
				ds[i].Instance, ds[i].Epoch, ds[i].Seq = "", 0, 0
			}
		}
		return ds
	}
	for range 3 { // statements are prepared, days and lanes known
		if err := s.AppendDecisions(t.Context(), batch()); err != nil {
			t.Fatal(err)
		}
	}
	c.count()
	if err := s.AppendDecisions(t.Context(), batch()); err != nil {
		t.Fatal(err)
	}
	down, up := c.count()
	failed := 0
	for _, way := range []struct {
		up    bool
		bytes int
	}{{true, up}, {false, down}} {
		for i := range *cuts {
			ds := batch()
			c.arm(1 + i*way.bytes / *cuts, way.up)
			if s.AppendDecisions(t.Context(), ds) != nil {
				failed++
			}
			c.arm(-1, way.up)
			var err error
			for range 5 { // connections of the pool are found to be dead one by one
				if err = s.AppendDecisions(t.Context(), ds); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("cut after %d of %d bytes: %v", 1 + i*way.bytes / *cuts, way.bytes, err)
			}
		}
	}
	if failed < *cuts {
		t.Errorf("%d of %d appends failed: hardly any was cut", failed, 2**cuts)
	}
	counts, _, err := direct.Summarize(t.Context(), store.DecisionFilter{From: first.Add(-time.Hour), To: first.Add(24 * time.Hour)}, store.ByNothing, 0, 1)
	if err != nil || len(counts) != 1 || counts[0].Allowed+counts[0].Denied != uint64(n) {
		t.Errorf("%d records: %+v, %v", n, counts, err)
	}
	var cursor store.TailCursor
	seen := make(map[string]int)
	for more := true; more; {
		tail, err := direct.DecisionsAfter(t.Context(), cursor, store.DecisionFilter{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range tail.Records {
			seen[r.Decision.ID]++
		}
		cursor, more = tail.Cursor, tail.More
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("a tail has %d records, want %d", len(seen), n)
	}
}
