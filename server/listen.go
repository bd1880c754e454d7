package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// listen opens the listener.
func listen(ctx context.Context, l Listen) (net.Listener, error) {
	var lc net.ListenConfig
	path, ok := strings.CutPrefix(l.Address, unixPrefix)
	if !ok {
		lis, err := lc.Listen(ctx, "tcp", l.Address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", l.Address, err)
		}
		return lis, nil
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	lis, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l.Address, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect %s: %w", path, err), lis.Close())
	}
	return lis, nil
}

// removeStale removes a socket that an earlier process left; one that answers, or anything else, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen on unix:%s: the path exists and is not a socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		return errors.Join(fmt.Errorf("listen on unix:%s: another process serves there", path), c.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// transport is the listener's TLS, or plaintext when none is configured.
func transport(l Listen) (credentials.TransportCredentials, error) {
	cfg, err := secured(l, "h2")
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return insecure.NewCredentials(), nil
	}
	return credentials.NewTLS(cfg), nil
}

// secured is the listener's TLS for these protocols; nil when none is configured. Files are read once, at start.
func secured(l Listen, protocols ...string) (*tls.Config, error) {
	if l.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate %s and key %s: %w", l.CertFile, l.KeyFile, err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: protocols}
	if l.ClientCA != "" {
		pem, err := os.ReadFile(l.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("read client CA: %w", err)
		}
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client CA %s: no certificate in it", l.ClientCA)
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
		if l.ClientOptional {
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return cfg, nil
}
