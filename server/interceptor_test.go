package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/pep"
)

// tails is an AuditService of which only TailDecisions is there.
type tails struct {
	verdictv1.UnimplementedAuditServiceServer
	tail func(ctx context.Context, send func() error) error
}

func (f tails) TailDecisions(_ *verdictv1.TailDecisionsRequest, stream grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]) error {
	return f.tail(stream.Context(), func() error { return stream.Send(&verdictv1.TailDecisionsResponse{ResumeToken: "t"}) })
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

// calls are the lines of calls; one comes after the caller has its answer.
func (l *lines) calls(t *testing.T) []map[string]any {
	t.Helper()
	for range 500 {
		var calls []map[string]any
		l.mu.Lock()
		text := l.all.String()
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			if entry["msg"] == "call" {
				calls = append(calls, entry)
			}
		}
		if len(calls) > 0 {
			return calls
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no line was written")
	return nil
}

// streaming is a server with our limits and interceptors.
func streaming(t *testing.T, tail func(ctx context.Context, send func() error) error) (c verdictv1.AuditServiceClient, log *lines, drain func()) {
	t.Helper()
	known, err := newRules()
	if err != nil {
		t.Fatal(err)
	}
	draining, drain := context.WithCancel(t.Context())
	t.Cleanup(drain)
	log = &lines{}
	s := newGRPC(insecure.NewCredentials(), maxAdminRequest, &interceptor{log: slog.New(slog.NewJSONHandler(log, nil)), rules: known, draining: draining}, health.NewServer())
	verdictv1.RegisterAuditServiceServer(s, tails{tail: tail})
	lis := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- s.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///audit", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return verdictv1.NewAuditServiceClient(conn), log, drain
}

func TestAStreamIsGuardedAsACallIs(t *testing.T) {
	for name, tc := range map[string]struct {
		req  *verdictv1.TailDecisionsRequest
		tail func(context.Context, func() error) error
		code codes.Code
		text string
	}{
		"one that ends": {&verdictv1.TailDecisionsRequest{}, func(context.Context, func() error) error { return nil }, codes.OK, ""},
		"a panic":       {&verdictv1.TailDecisionsRequest{}, func(context.Context, func() error) error { panic("secret") }, codes.Internal, ""},
		"an error that is not for the caller": {&verdictv1.TailDecisionsRequest{}, func(context.Context, func() error) error { return io.ErrUnexpectedEOF },
			codes.Internal, ""},
		"a message that is not valid": {&verdictv1.TailDecisionsRequest{Filter: &verdictv1.DecisionFilter{Api: strings.Repeat("a", 64)}},
			func(context.Context, func() error) error { panic("the handler was called") }, codes.InvalidArgument, "filter.api"},
	} {
		t.Run(name, func(t *testing.T) {
			c, log, _ := streaming(t, tc.tail)
			stream, err := c.TailDecisions(t.Context(), tc.req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if tc.code == codes.OK && err == io.EOF { //nolint:errorlint // gRPC returns it bare
				err = nil
			}
			if st := grpcstatus.Convert(err); st.Code() != tc.code || !strings.Contains(st.Message(), tc.text) ||
				strings.Contains(st.Message(), "secret") || strings.Contains(st.Message(), "EOF") {
				t.Errorf("%v, want %v", err, tc.code)
			}
			calls := log.calls(t)
			if len(calls) != 1 || calls[0]["rpc"] != "verdict.v1.AuditService/TailDecisions" || calls[0]["code"] != tc.code.String() {
				t.Errorf("lines %v", calls)
			}
		})
	}
}

// until waits for the end of ctx, as a tail does.
func until(ctx context.Context, send func() error) error {
	if err := send(); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestADrainEndsStreamsInOrder(t *testing.T) {
	c, log, drain := streaming(t, until)
	stream, err := c.TailDecisions(t.Context(), &verdictv1.TailDecisionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	drain()
	if _, err := stream.Recv(); err != io.EOF { //nolint:errorlint // gRPC returns it bare
		t.Errorf("it ended with %v", err)
	}
	if calls := log.calls(t); calls[0]["code"] != "OK" || calls[0]["level"] != "INFO" {
		t.Errorf("lines %v", calls)
	}
}

func TestAStreamEndsWithItsCaller(t *testing.T) {
	c, log, _ := streaming(t, until)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := c.TailDecisions(ctx, &verdictv1.TailDecisionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if calls := log.calls(t); calls[0]["code"] != "Canceled" || calls[0]["level"] != "INFO" {
		t.Errorf("lines %v", calls)
	}
}

// The process would end with all calls under way, and the log would have what the message held.
func TestAPanicBeforeTheHandlerIsACallThatFailed(t *testing.T) {
	known, err := newRules()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cause any
		says  string
	}{
		"of this program, which may speak of the token": {"secret", "string"},
		"of the Go runtime":                             {nil, "index out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			gate, err := pep.New(pep.Config{
				STS: pep.STS{Issuers: []string{"https://sts.example.com"}, Audience: "verdict", Roles: []string{pepRole}},
				Now: func() time.Time {
					if tc.cause != nil {
						panic(tc.cause)
					}
					return []time.Time(nil)[len(name)]
				},
			}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			i := &interceptor{log: slog.New(slog.NewJSONHandler(&log, nil)), rules: known, gate: gate}
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer x"))
			_, err = i.unary(ctx, &verdictv1.CheckRequest{}, &grpc.UnaryServerInfo{FullMethod: verdictv1.DecisionService_Check_FullMethodName},
				func(context.Context, any) (any, error) { return nil, nil })
			if grpcstatus.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
				t.Errorf("answered %v", err)
			}
			if text := log.all.String(); strings.Contains(text, "secret") || !strings.Contains(text, tc.says) {
				t.Errorf("log %s", text)
			}
		})
	}
}
