package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// header is a header of a request. Its value is a secret.
type header struct{ name, value string }

// String hides the value.
func (h header) String() string { return h.name + ": [secret]" }

// GoString hides the value.
func (h header) GoString() string { return h.String() }

// ours are the headers that the protocol sets.
var ours = []string{"content-type", "content-encoding", "content-length", "host", "te", "user-agent", "connection", "transfer-encoding"}

// headers are those of a request.
func (s *Sink) headers(ctx context.Context) ([]header, error) {
	if s.cfg.Headers == nil {
		return nil, nil
	}
	v, err := s.cfg.Headers(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTLP headers: %w", err)
	}
	return parseHeaders(v.Reveal())
}

// parseHeaders reads lines of "name: value"; empty ones and those that begin with # are skipped. Errors name the line only.
func parseHeaders(text string) ([]header, error) {
	var all []header
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || !isToken(name) || !isValue(value):
			return nil, fmt.Errorf("OTLP headers: line %d is not a header; write name: value", i+1)
		case slices.Contains(ours, name) || strings.HasPrefix(name, "grpc-"):
			return nil, fmt.Errorf("OTLP headers: line %d: the protocol sets this header", i+1)
		}
		all = append(all, header{name, value})
	}
	if len(all) == 0 {
		return nil, errors.New("OTLP headers: there is none")
	}
	return all, nil
}

// isToken says whether it can be the name of a header, for HTTP and gRPC alike.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}

func isValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return s != ""
}
