package verdictclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// Config says where verdict is and how it is asked. Only Target is required.
type Config struct {
	Target     string // host:port, unix:/path, or another name that gRPC resolves
	CAFile     string // PEM certificates that sign verdict's; "": those of the system
	CertFile   string // PEM certificate chain that shows who asks; "": none
	KeyFile    string // PEM private key of CertFile
	ServerName string // name in verdict's certificate; "": the host of Target
	Plaintext  bool   // without TLS; for loopback, or something in between that encrypts

	// Credentials go with each question, such as a token of package stsidentity; nil: none. Those that need TLS are refused with
	// Plaintext.
	Credentials credentials.PerRPCCredentials

	Timeout   time.Duration // longest for a question, tries included; 0 means 2s. A sooner deadline of the context counts
	IdleLimit time.Duration // longest that a connection goes unused and is trusted; 0 means 60s. Below the idle timeout of load balancers

	Dialer func(ctx context.Context, address string) (net.Conn, error) // nil: that of gRPC
	Now    func() time.Time                                            // nil means time.Now
}

// doubted is how long a connection goes unused before a question on it gets only half of its time at first: it may be dead.
const doubted = 5 * time.Second

// Retries of gRPC itself, which cover a server that says goodbye at the wrong moment; below it a question is tried at most
// twice, the second time on a new connection.
const serviceConfig = `{"methodConfig": [{"name": [{"service": "verdict.v1.DecisionService"}],
  "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.02s", "maxBackoff": "0.1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// Client asks verdict. It is safe for concurrent use.
type Client struct {
	cfg  Config
	opts []grpc.DialOption

	mu   sync.Mutex
	link *link // the connection in use
	done bool
}

// Dial checks cfg and makes a Client. It connects to nothing yet: see Connect.
func Dial(cfg Config) (*Client, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.IdleLimit == 0 {
		cfg.IdleLimit = time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("verdictclient: %w", err)
	}
	secure, err := cfg.transport()
	if err != nil {
		return nil, fmt.Errorf("verdictclient: %w", err)
	}
	c := &Client{cfg: cfg, opts: []grpc.DialOption{
		grpc.WithTransportCredentials(secure), grpc.WithDefaultServiceConfig(serviceConfig), grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0), grpc.WithUserAgent("verdictclient"),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: time.Second}),
	}}
	if cfg.Credentials != nil {
		c.opts = append(c.opts, grpc.WithPerRPCCredentials(cfg.Credentials))
	}
	if cfg.Dialer != nil {
		c.opts = append(c.opts, grpc.WithContextDialer(cfg.Dialer))
	}
	if c.link, err = c.dial(); err != nil {
		return nil, err
	}
	return c, nil
}

func (cfg *Config) validate() (err error) {
	if cfg.Target == "" {
		err = errors.Join(err, errors.New("no target; give verdict's host:port"))
	}
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		err = errors.Join(err, errors.New("certificate and key: give both or neither"))
	}
	if cfg.Plaintext && (cfg.CAFile != "" || cfg.CertFile != "" || cfg.ServerName != "") {
		err = errors.Join(err, errors.New("plaintext and TLS settings exclude each other"))
	}
	if cfg.Plaintext && cfg.Credentials != nil && cfg.Credentials.RequireTransportSecurity() {
		err = errors.Join(err, errors.New("plaintext: the credentials may only travel over TLS"))
	}
	if cfg.Timeout < 0 || cfg.IdleLimit < 0 {
		err = errors.Join(err, errors.New("timeout and idle limit: negative"))
	}
	return err
}

// transport is the TLS of the connection. Files are read once.
func (cfg *Config) transport() (credentials.TransportCredentials, error) {
	if cfg.Plaintext {
		return insecure.NewCredentials(), nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: no certificate in it", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s and key %s: %w", cfg.CertFile, cfg.KeyFile, err)
		}
		secure.Certificates = []tls.Certificate{cert}
	}
	return credentials.NewTLS(secure), nil
}

// Connect begins to connect and returns at once, so that the handshake goes on beside other work of the start.
func (c *Client) Connect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.link.conn.Connect()
	}
}

// Close ends the connection. Questions under way fail.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil
	}
	c.done = true
	return c.link.conn.Close()
}

// Check asks one question. A refusal is a response and no error; what is not exactly Effect_EFFECT_ALLOW is a refusal. An
// error is a gRPC status: nothing was decided.
func (c *Client) Check(ctx context.Context, req *verdictv1.CheckRequest, opts ...grpc.CallOption) (*verdictv1.CheckResponse, error) {
	return ask(c, ctx, func(ctx context.Context, svc verdictv1.DecisionServiceClient) (*verdictv1.CheckResponse, error) {
		return svc.Check(ctx, req, opts...)
	})
}

// BatchCheck asks up to 100 questions at once, like Check.
func (c *Client) BatchCheck(ctx context.Context, req *verdictv1.BatchCheckRequest, opts ...grpc.CallOption) (*verdictv1.BatchCheckResponse, error) {
	return ask(c, ctx, func(ctx context.Context, svc verdictv1.DecisionServiceClient) (*verdictv1.BatchCheckResponse, error) {
		return svc.BatchCheck(ctx, req, opts...)
	})
}

// ListPermissions asks what the caller of a token may do in an api.
func (c *Client) ListPermissions(ctx context.Context, req *verdictv1.ListPermissionsRequest, opts ...grpc.CallOption) (*verdictv1.ListPermissionsResponse, error) {
	return ask(c, ctx, func(ctx context.Context, svc verdictv1.DecisionServiceClient) (*verdictv1.ListPermissionsResponse, error) {
		return svc.ListPermissions(ctx, req, opts...)
	})
}

// ask puts the question, on a connection that may be dead with half of the time, and then once more on a new one.
func ask[R any](c *Client, ctx context.Context, put func(context.Context, verdictv1.DecisionServiceClient) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	l, doubtful, err := c.take()
	if err != nil {
		var none R
		return none, err
	}
	first, cancelFirst := ctx, context.CancelFunc(func() {})
	if doubtful {
		end, _ := ctx.Deadline() // there is one
		first, cancelFirst = context.WithTimeout(ctx, time.Until(end)/2)
	}
	resp, err := put(first, l.service)
	cancelFirst()
	dead := lost(err)
	c.release(l, dead)
	if !dead || ctx.Err() != nil {
		return resp, err
	}
	if l, _, err = c.take(); err != nil {
		return resp, err
	}
	resp, err = put(ctx, l.service)
	c.release(l, lost(err))
	return resp, err
}

// lost says whether err speaks of the connection rather than of the question.
func lost(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}
