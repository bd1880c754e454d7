package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
)

// Protocol is how OTLP travels. The zero value is HTTP.
type Protocol uint8

// The protocols.
const (
	HTTP Protocol = iota // POST of protobuf
	GRPC
)

// ParseProtocol reads the word that configuration uses.
func ParseProtocol(text string) (Protocol, error) {
	switch text {
	case "http/protobuf":
		return HTTP, nil
	case "grpc":
		return GRPC, nil
	}
	return HTTP, fmt.Errorf("OTLP protocol %q: neither http/protobuf nor grpc", text)
}

// Config tunes a Sink. Endpoint must be given; of the others the zero value is usable.
type Config struct {
	// Endpoint is a URL: https://collector:4318, or http:// without TLS. Over HTTP the path /v1/logs is added when it has none;
	// over gRPC it has none.
	Endpoint string
	Protocol Protocol
	// Headers is asked for each request: lines of "name: value". Nil means no header. Its values are secrets.
	Headers   func(context.Context) (secret.Value, error)
	TLS       export.TLS
	Plaintext bool             // allow http:// beyond this machine
	NoGzip    bool             // send as it is
	Timeout   time.Duration    // longest that a request may take; 0 means 10s
	Version   string           // of verdict, for service.version; "" leaves it out
	Now       func() time.Time // nil means time.Now
}

// Sink is an export.Sink.
type Sink struct {
	cfg  Config
	send func(ctx context.Context, req *collectorpb.ExportLogsServiceRequest, h []header) (*collectorpb.ExportLogsServiceResponse, error)
	end  func() error
}

var _ export.Sink = (*Sink)(nil)

// New returns a sink. It connects to nobody yet. Close ends its connections.
func New(cfg Config) (*Sink, error) {
	at, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 {
		return nil, errors.New("OTLP timeout: negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var secure *tls.Config
	if at.Scheme == "https" {
		if secure, err = cfg.TLS.Config(); err != nil {
			return nil, fmt.Errorf("OTLP: %w", err)
		}
	} else if cfg.TLS != (export.TLS{}) {
		return nil, errors.New("OTLP endpoint: files for TLS are given, and it does not begin with https://")
	}
	s := &Sink{cfg: cfg}
	if cfg.Protocol == GRPC {
		return s, s.dial(at, secure)
	}
	s.overHTTP(at, secure)
	return s, nil
}

// endpoint reads and judges the URL. Errors do not repeat it: somebody may have put a password into it.
func (c *Config) endpoint() (*url.URL, error) {
	at, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http":
		return nil, errors.New("OTLP endpoint: give a URL such as https://collector:4318")
	case at.User != nil || at.RawQuery != "" || at.Fragment != "":
		return nil, errors.New("OTLP endpoint: no user, password, query or fragment; credentials belong into headers")
	case c.Protocol > GRPC:
		return nil, errors.New("OTLP protocol: neither http/protobuf nor grpc")
	case c.Protocol == GRPC && at.Path != "" && at.Path != "/":
		return nil, errors.New("OTLP endpoint: over gRPC it has no path")
	case c.Protocol == GRPC && at.Port() == "":
		return nil, errors.New("OTLP endpoint: over gRPC it needs a port, such as https://collector:4317")
	case at.Scheme == "http" && !c.Plaintext && !local(at.Hostname()):
		return nil, errors.New("OTLP endpoint: http:// would send decisions in plain text to another machine; use https://, or allow it if something in between encrypts")
	}
	return at, nil
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Send implements export.Sink.
func (s *Sink) Send(ctx context.Context, ds []store.Decision) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	h, err := s.headers(ctx)
	if err != nil {
		return err
	}
	resp, err := s.send(ctx, &collectorpb.ExportLogsServiceRequest{ResourceLogs: logs(ds, s.cfg.Version, s.cfg.Now())}, h)
	if err != nil {
		return err
	}
	if p := resp.GetPartialSuccess(); p.GetRejectedLogRecords() > 0 {
		return &export.Partial{Rejected: int(min(p.GetRejectedLogRecords(), int64(len(ds)))), Why: p.GetErrorMessage()}
	}
	return nil
}

// Close ends the connections.
func (s *Sink) Close() error { return s.end() }

// cause is what kept a request from its answer. A URL error repeats the URL, which holds no secret, but nothing useful either.
func cause(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (net.Error)(nil); errors.As(err, &e) && e.Timeout() {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}
