// Package call is what one RPC carries beside its message: who asks, and what the one log line of the call will say. The
// interceptors of package server make a Call and write the line; the doors in between fill it in.
package call

import (
	"context"
	"crypto/x509"
	"log/slog"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Call is one RPC under way. It belongs to one goroutine.
type Call struct {
	PEP   string      // who asks: until it is admitted, the identity of its client certificate; "" without one
	attrs []slog.Attr // of the log line, fixed names only
}

// Note adds attributes to the log line. Names are the fixed ones: effect, reason, revision, principal (object id), api,
// route. Never tokens, claims, headers or names of people.
func (c *Call) Note(attrs ...slog.Attr) { c.attrs = append(c.attrs, attrs...) }

// Attrs are the attributes noted so far.
func (c *Call) Attrs() []slog.Attr { return c.attrs }

type key struct{}

// With returns a context that carries a new Call for the peer of ctx.
func With(ctx context.Context) (context.Context, *Call) {
	c := &Call{PEP: identity(ctx)}
	return context.WithValue(ctx, key{}, c), c
}

// From returns the Call of ctx; a fresh one that nobody reads when there is none, as in tests.
func From(ctx context.Context) *Call {
	if c, ok := ctx.Value(key{}).(*Call); ok {
		return c
	}
	return &Call{PEP: identity(ctx)}
}

// identity names the verified client certificate of the connection: its first URI name (SPIFFE), else its first DNS name,
// else its common name.
func identity(ctx context.Context) string {
	leaf := Certificate(ctx)
	if leaf == nil {
		return ""
	}
	return nameOf(leaf)
}

// Certificate is the verified client certificate of the connection of ctx; nil without one.
func Certificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

func nameOf(leaf *x509.Certificate) string {
	switch {
	case len(leaf.URIs) > 0:
		return leaf.URIs[0].String()
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}
