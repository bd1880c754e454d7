package verdictclient_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/proto/verdictclient"
)

func TestAConnectionThatRestedTooLongIsNotTrusted(t *testing.T) {
	var s stub
	m, now := between(t, serve(t, &s)), new(clock)
	c := dial(t, verdictclient.Config{Target: m.addr, Timeout: 20 * time.Second, Now: now.now})
	for round := range 5 {
		if err := check(t, c); err != nil {
			t.Fatal(round, err)
		}
		m.forget() // while frozen
		now.advance(61 * time.Second)
	}
	if got := m.flows.Load(); got != 5 {
		t.Errorf("%d connections, want one for each thaw and the first", got)
	}
	if got := s.asked.Load(); got != 5 {
		t.Errorf("asked %d times, want 5: a dead connection was tried", got)
	}
}

func TestADeadConnectionCostsHalfOfTheTime(t *testing.T) {
	var s stub
	m, now := between(t, serve(t, &s)), new(clock)
	c := dial(t, verdictclient.Config{Target: m.addr, Timeout: time.Second, Now: now.now})
	if err := check(t, c); err != nil {
		t.Fatal(err)
	}
	m.forget()
	now.advance(30 * time.Second) // trusted, but not quite
	if err := check(t, c); err != nil {
		t.Errorf("on the second try: %v", err)
	}
}

func TestAConnectionThatLostAQuestionIsUsedForNoOther(t *testing.T) {
	var s stub
	m := between(t, serve(t, &s))
	c := dial(t, verdictclient.Config{Target: m.addr, Timeout: 300 * time.Millisecond})
	if err := check(t, c); err != nil {
		t.Fatal(err)
	}
	m.forget() // at once: nothing raises a doubt
	if err := check(t, c); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("%v; nothing can have answered", err)
	}
	if err := check(t, c); err != nil {
		t.Errorf("the next question: %v", err)
	}
}

func TestAServerThatSaysGoodbyeIsNotNoticed(t *testing.T) {
	var s stub
	addr := serve(t, &s, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond, MaxConnectionAgeGrace: time.Second}))
	c := dial(t, verdictclient.Config{Target: addr})
	for n := range 300 {
		if err := check(t, c); err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestManyAskWhileConnectionsDie(t *testing.T) {
	var s stub
	m, now := between(t, serve(t, &s)), new(clock)
	c := dial(t, verdictclient.Config{Target: m.addr, Timeout: 20 * time.Second, Now: now.now})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := check(t, c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			now.advance(61 * time.Second)
			time.Sleep(2 * time.Millisecond)
		}
	})
	wg.Wait()
}

func TestWhatIsNotThereFailsAtOnceAndInTime(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	_ = lis.Close()
	c := dial(t, verdictclient.Config{Target: addr, Timeout: 5 * time.Second})
	for range 3 {
		if err := check(t, c); status.Code(err) != codes.Unavailable {
			t.Errorf("%v, want UNAVAILABLE", err)
		}
	}
	slow := &stub{answer: func(ctx context.Context, _ *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	c = dial(t, verdictclient.Config{Target: serve(t, slow), Timeout: 100 * time.Millisecond})
	if err := check(t, c); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, want DEADLINE_EXCEEDED", err)
	}
	_ = c.Close()
	if err := check(t, c); status.Code(err) != codes.Canceled {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestOnlyAnAllowLetsAnyoneIn(t *testing.T) {
	who := &verdictv1.Principal{TenantId: "t", ObjectId: "o", DisplayName: "Ada"}
	for name, tc := range map[string]struct {
		resp    *verdictv1.CheckResponse
		err     error
		refused bool
		in      bool
	}{
		"an allow":                    {resp: &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW, Principal: who, DecisionId: "d"}, in: true},
		"a deny":                      {resp: &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_TOKEN_MISSING, DecisionId: "d"}, refused: true},
		"an effect that nobody set":   {resp: &verdictv1.CheckResponse{Principal: who}, refused: true},
		"an effect that nobody knows": {resp: &verdictv1.CheckResponse{Effect: 77, Principal: who}, refused: true},
		"an error":                    {err: status.Error(codes.InvalidArgument, "no")},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{answer: func(_ context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
				if req.GetToken() != "tok" || req.GetApi() != "orders" || req.GetPermission().GetName() != "orders.read" || req.GetPermission().GetResource() != "42" {
					t.Errorf("asked %v", req)
				}
				return tc.resp, tc.err
			}}
			got, err := dial(t, verdictclient.Config{Target: serve(t, s)}).Authorize(t.Context(), "tok", "orders", "orders.read", "42")
			var refused *verdictclient.RefusedError
			if errors.As(err, &refused) != tc.refused || (got != nil) != tc.in || (err == nil) != tc.in {
				t.Fatalf("%v, %v", got, err)
			}
			if tc.in && (got.Principal.GetDisplayName() != "Ada" || got.DecisionID != "d") {
				t.Errorf("%+v", got)
			}
			if err != nil && strings.Contains(err.Error(), "tok") {
				t.Errorf("the token is in %q", err)
			}
		})
	}
}

func TestARequestIsAskedAboutAsItCame(t *testing.T) {
	var asked *verdictv1.HttpRequest
	s := &stub{answer: func(_ context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		asked = req.GetHttp()
		return &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW}, nil
	}}
	c := dial(t, verdictclient.Config{Target: serve(t, s)})
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := c.AuthorizeRequest(r.Context(), "orders", r); err != nil {
			t.Error(err)
		}
	}))
	defer web.Close()
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET /a%2Fb//c/../d?x=%20 HTTP/1.1\r\nHost: orders.example.com\r\nAuthorization: Bearer x\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: close\r\n\r\n"))
	_, _ = conn.Read(make([]byte, 1))
	if asked.GetPath() != "/a%2Fb//c/../d?x=%20" || asked.GetHost() != "orders.example.com" || asked.GetMethod() != "GET" || asked.GetSourceIp() != "127.0.0.1" {
		t.Errorf("asked about %v", asked)
	}
	seen := map[string]int{}
	for _, h := range asked.GetHeaders() {
		seen[h.GetName()]++
	}
	if seen["Authorization"] != 1 || seen["X-Two"] != 2 {
		t.Errorf("headers %v", seen)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	_, err := verdictclient.Dial(verdictclient.Config{Plaintext: true, CertFile: "c", Timeout: -1, Credentials: secretive{}})
	for _, want := range []string{"target", "both or neither", "exclude each other", "only travel over TLS", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

type secretive struct{}

func (secretive) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}
func (secretive) RequireTransportSecurity() bool { return true }
