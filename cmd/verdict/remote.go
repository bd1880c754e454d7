package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// remoteFlags say which verdict a command talks to, over its admin listener.
type remoteFlags struct {
	Admin     string `default:"127.0.0.1:7301" help:"Admin listener of verdict: host:port or unix:/path; 127.0.0.1:7301 unless set." placeholder:"ADDRESS"`
	AdminCA   string `name:"admin-ca" help:"PEM certificates that sign that of the admin listener; TLS is used." placeholder:"FILE"`
	AdminCert string `name:"admin-cert" help:"PEM certificate chain to show to the admin listener." placeholder:"FILE"`
	AdminKey  string `name:"admin-key" help:"PEM private key of --admin-cert." placeholder:"FILE"`
	Timeout   span   `env:"-" default:"30s" help:"Longest a call may take, such as 5m; 30s unless set." placeholder:"TIME"`
}

// maxAnswer bounds an answer in memory. An access review of 100,000 grants is about 50 MiB.
const maxAnswer = 1 << 30

// connectTimeout is the longest that one attempt to connect may take, the handshake included.
const connectTimeout = 10 * time.Second

// unixPrefix begins the address of a socket.
const unixPrefix = "unix:"

// dial makes a connection, which nothing is sent over yet. Errors are all about the settings.
func (f *remoteFlags) dial() (*grpc.ClientConn, error) {
	var errs error
	if f.Timeout <= 0 {
		errs = errors.New("--timeout: must be longer than 0s")
	}
	path, socket := strings.CutPrefix(f.Admin, unixPrefix)
	host, port, err := net.SplitHostPort(f.Admin)
	if socket && path == "" || !socket && (err != nil || host == "" || port == "") {
		errs = errors.Join(errs, fmt.Errorf("--admin: %q: give host:port or unix:/path", f.Admin))
	}
	creds, err := f.credentials()
	errs = errors.Join(errs, err)
	if errs == nil && !socket && creds == nil && !isLoopback(host) {
		errs = fmt.Errorf("--admin: %s is another machine; give --admin-ca, so that nobody reads or changes what is said on the way", f.Admin)
	}
	if errs != nil {
		return nil, usage(errs)
	}
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(f.Admin,
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent("verdict-cli/"+version()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: connectTimeout,
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 5 * time.Second},
		}),
	)
	if err != nil {
		return nil, usage(fmt.Errorf("--admin: %w", err))
	}
	return conn, nil
}

// credentials are those of TLS, nil for none.
func (f *remoteFlags) credentials() (credentials.TransportCredentials, error) {
	if (f.AdminCert == "") != (f.AdminKey == "") {
		return nil, errors.New("--admin-cert, --admin-key: give both or neither")
	}
	if f.AdminCA == "" {
		if f.AdminCert != "" {
			return nil, errors.New("--admin-cert, --admin-key: they need --admin-ca, which says whom to show them to")
		}
		return nil, nil
	}
	pem, err := os.ReadFile(f.AdminCA)
	if err != nil {
		return nil, fmt.Errorf("--admin-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--admin-ca: %s holds no PEM certificate", f.AdminCA)
	}
	cfg := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if f.AdminCert != "" {
		pair, err := tls.LoadX509KeyPair(f.AdminCert, f.AdminKey)
		if err != nil {
			return nil, fmt.Errorf("--admin-cert, --admin-key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(cfg), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call runs one call within --timeout and says of its error what to do.
func (f *remoteFlags) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.Timeout))
	defer cancel()
	return f.explain(do(ctx))
}
