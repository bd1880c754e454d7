package verdictclient_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/proto/verdictclient"
)

// stub answers questions as a test says.
type stub struct {
	verdictv1.UnimplementedDecisionServiceServer
	asked  atomic.Int64
	answer func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error)
}

func (s *stub) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	s.asked.Add(1)
	if s.answer == nil {
		return &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW, DecisionId: "d-1"}, nil
	}
	return s.answer(ctx, req)
}

// serve starts a stub on a free port and returns its address.
func serve(t *testing.T, s *stub, opts ...grpc.ServerOption) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	verdictv1.RegisterDecisionServiceServer(srv, s)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return lis.Addr().String()
}

// middlebox stands between, and forgets flows without telling either end.
type middlebox struct {
	addr, behind string
	mu           sync.Mutex
	forgotten    []*atomic.Bool // a switch for each flow
	flows        atomic.Int64
}

func between(t *testing.T, behind string) *middlebox {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middlebox{addr: lis.Addr().String(), behind: behind}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", behind)
			if err != nil {
				_ = in.Close()
				continue
			}
			m.flows.Add(1)
			gone := new(atomic.Bool)
			m.mu.Lock()
			m.forgotten = append(m.forgotten, gone)
			m.mu.Unlock()
			t.Cleanup(func() { _, _ = in.Close(), out.Close() })
			go forward(out, in, gone)
			go forward(in, out, gone)
		}
	}()
	return m
}

// forward copies until the flow is forgotten; then it swallows.
func forward(to io.WriteCloser, from io.Reader, gone *atomic.Bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !gone.Load() {
			if _, werr := to.Write(buf[:n]); werr != nil || err != nil {
				_ = to.Close()
				return
			}
		} else if err != nil {
			return
		}
	}
}

// forget forgets all flows there are.
func (m *middlebox) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, gone := range m.forgotten {
		gone.Store(true)
	}
}

// clock is a clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func dial(t *testing.T, cfg verdictclient.Config) *verdictclient.Client {
	t.Helper()
	cfg.Plaintext = true
	c, err := verdictclient.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func check(t *testing.T, c *verdictclient.Client) error {
	t.Helper()
	resp, err := c.Check(t.Context(), &verdictv1.CheckRequest{Api: "orders"})
	if err == nil && resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Fatalf("answered %v", resp)
	}
	return err
}
