package graph

import (
	"context"
	"log/slog"
)

// AccessToken is a bearer token for Graph. It prints as "[token]".
type AccessToken string

// LogValue keeps the token out of logs.
func (AccessToken) LogValue() slog.Value { return slog.StringValue("[token]") }

// String keeps the token out of texts.
func (AccessToken) String() string { return "[token]" }

// GoString keeps the token out of %#v.
func (AccessToken) GoString() string { return "[token]" }

// MarshalText keeps the token out of JSON.
func (AccessToken) MarshalText() ([]byte, error) { return []byte("[token]"), nil }

// TokenSource gives access tokens for Graph in a tenant. It keeps them itself; package azure has one. Its errors hold no
// secret.
type TokenSource interface {
	Token(ctx context.Context, tenantID string) (AccessToken, error)
}
