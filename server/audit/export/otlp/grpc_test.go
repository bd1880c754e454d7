package otlp

import (
	"context"
	"net"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // of the collector, which is in this process here
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/verdict-authz/verdict/store"
)

// serve is a collector that speaks gRPC.
func serve(t *testing.T, export func(context.Context, *collectorpb.ExportLogsServiceRequest) (*collectorpb.ExportLogsServiceResponse, error)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.logs.v1.LogsService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			req := new(collectorpb.ExportLogsServiceRequest)
			if err := dec(req); err != nil {
				return nil, err
			}
			return export(ctx, req)
		}}},
	}, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func TestOverGRPC(t *testing.T) {
	for name, zip := range map[string]bool{"packed": true, "as it is": false} {
		t.Run(name, func(t *testing.T) {
			var got *collectorpb.ExportLogsServiceRequest
			var md metadata.MD
			at := serve(t, func(ctx context.Context, req *collectorpb.ExportLogsServiceRequest) (*collectorpb.ExportLogsServiceResponse, error) {
				got = req
				md, _ = metadata.FromIncomingContext(ctx)
				return new(collectorpb.ExportLogsServiceResponse), nil
			})
			s := newSink(t, Config{Endpoint: at, Protocol: GRPC, NoGzip: !zip, Headers: headers("Authorization: Bearer " + canary)})
			if err := s.Send(t.Context(), []store.Decision{full(), full()}); err != nil {
				t.Fatal(err)
			}
			if records(got) != 2 || len(md["authorization"]) != 1 || md["authorization"][0] != "Bearer "+canary {
				t.Errorf("%d records, %v", records(got), md)
			}
		})
	}
	if encoding.GetCompressor("gzip") == nil {
		t.Fatal("the collector of this test cannot unpack")
	}
}

func TestAnswersOverGRPC(t *testing.T) {
	later := func(code codes.Code, d time.Duration) error {
		st, err := status.New(code, canary).WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
		if err != nil {
			t.Fatal(err)
		}
		return st.Err()
	}
	for name, tc := range map[string]struct {
		err     error
		resp    *collectorpb.ExportLogsServiceResponse
		records int
		want    string
	}{
		"some were rejected":         {resp: partial(1, "too old").(*collectorpb.ExportLogsServiceResponse), records: 3, want: "partial 1 too old"},
		"the records are bad":        {err: status.Error(codes.InvalidArgument, canary), records: 3, want: "refused"},
		"too much at once":           {err: status.Error(codes.ResourceExhausted, canary), records: 3, want: "refused"},
		"one record is not too much": {err: status.Error(codes.ResourceExhausted, canary), records: 1, want: "again"},
		"busy, and says when":        {err: later(codes.ResourceExhausted, 5*time.Second), records: 3, want: "later 5s"},
		"away, and says when":        {err: later(codes.Unavailable, 7*time.Second), records: 3, want: "later 7s"},
		"away":                       {err: status.Error(codes.Unavailable, canary), records: 3, want: "again"},
		"not signed in":              {err: status.Error(codes.Unauthenticated, canary), records: 3, want: "again"},
		"no such service":            {err: status.Error(codes.Unimplemented, canary), records: 3, want: "again"},
	} {
		t.Run(name, func(t *testing.T) {
			at := serve(t, func(context.Context, *collectorpb.ExportLogsServiceRequest) (*collectorpb.ExportLogsServiceResponse, error) {
				return tc.resp, tc.err
			})
			ds := make([]store.Decision, tc.records)
			for i := range ds {
				ds[i] = full()
			}
			err := newSink(t, Config{Endpoint: at, Protocol: GRPC}).Send(t.Context(), ds)
			if got := outcome(err); got != tc.want {
				t.Errorf("%s: %v", got, err)
			}
			if err != nil && tc.err != nil && containsCanary(err) {
				t.Errorf("somebody else's text: %v", err)
			}
		})
	}
}
