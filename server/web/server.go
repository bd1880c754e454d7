package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of the listener. A scrape has no body and few headers; the answer of /metrics takes the longest.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute // scrapers come every 15 to 60 s
	maxHeader     = 16 << 10
)

// Server serves a handler with limits. It is made once and serves once.
type Server struct{ http *http.Server }

// NewServer returns a server of h. With a TLS configuration it serves HTTPS only; nil means plaintext.
func NewServer(h http.Handler, secure *tls.Config, log *slog.Logger) (*Server, error) {
	if h == nil || log == nil {
		return nil, errors.New("web: handler and log are required")
	}
	return &Server{&http.Server{
		Handler:                      h,
		TLSConfig:                    secure,
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused like every other method
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// Serve serves lis until Stop, and closes it. It returns nil after Stop.
func (s *Server) Serve(lis net.Listener) error {
	serve := s.http.Serve
	if s.http.TLSConfig != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health and metrics: %w", err)
	}
	return nil
}

// Stop finishes the requests under way, until ctx ends; what is left then is cut off.
func (s *Server) Stop(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // a scrape that was cut off is the scraper's to tell
	}
}
