package otlp

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/audit/export"
)

const (
	// method is that of opentelemetry.proto.collector.logs.v1. The generated client is not used: it brings a gateway for HTTP
	// with it.
	method       = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	encodingName = "gzip"
)

// dial sets the sink up for gRPC.
func (s *Sink) dial(at *url.URL, secure *tls.Config) error {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithUserAgent("verdict/" + s.cfg.Version), grpc.WithDisableServiceConfig(),
	}
	if !s.cfg.NoGzip {
		options = append(options, grpc.WithCompressor(packer{}), grpc.WithDecompressor(unpacker{})) //nolint:staticcheck // see packer
	}
	conn, err := grpc.NewClient("dns:///"+at.Host, options...)
	if err != nil {
		return fmt.Errorf("OTLP endpoint: %w", err)
	}
	s.end = conn.Close
	s.send = func(ctx context.Context, req *collectorpb.ExportLogsServiceRequest, h []header) (*collectorpb.ExportLogsServiceResponse, error) {
		for _, f := range h {
			ctx = metadata.AppendToOutgoingContext(ctx, f.name, f.value)
		}
		resp := new(collectorpb.ExportLogsServiceResponse)
		if err := conn.Invoke(ctx, method, req, resp); err != nil {
			return nil, refusal(err, records(req))
		}
		return resp, nil
	}
	return nil
}

func records(req *collectorpb.ExportLogsServiceRequest) (n int) {
	for _, r := range req.GetResourceLogs() {
		for _, s := range r.GetScopeLogs() {
			n += len(s.GetLogRecords())
		}
	}
	return n
}

// refusal is what the status of a call means. Invalid argument speaks of the records. Exhausted speaks of their size or of the
// other side's means: several are sent again in halves, and one is never taken for too large. Of messages only those that
// grpc itself writes are repeated: who wrote another is not known.
func refusal(err error, records int) error {
	st := status.Convert(err)
	plain := fmt.Errorf("OTLP answer: gRPC code %s", st.Code())
	if strings.HasPrefix(st.Message(), "connection error: ") {
		plain = fmt.Errorf("send OTLP: %s", st.Message())
	}
	after, asked := retryInfo(st)
	switch {
	case asked:
		return &export.Later{After: after, Err: plain}
	case st.Code() == codes.InvalidArgument, st.Code() == codes.ResourceExhausted && records > 1:
		return fmt.Errorf("%w: %w", plain, export.ErrRefused)
	}
	return plain
}

func retryInfo(st *status.Status) (time.Duration, bool) {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// packer is gzip for this connection. grpc's own is registered for the whole process, and then verdict's servers, too, would
// unpack what callers send.
type packer struct{}

// Do packs.
func (packer) Do(w io.Writer, p []byte) error {
	z := gzip.NewWriter(w)
	if _, err := z.Write(p); err != nil {
		return err
	}
	return z.Close()
}

// Type is the name of the encoding.
func (packer) Type() string { return encodingName }

// unpacker is the other direction: servers answer as they were asked.
type unpacker struct{}

// Do unpacks an answer of at most mostAnswer.
func (unpacker) Do(r io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(z, mostAnswer+1))
	if err == nil && len(b) > mostAnswer {
		err = errors.New("the answer is too long")
	}
	return b, err
}

// Type is the name of the encoding.
func (unpacker) Type() string { return encodingName }
