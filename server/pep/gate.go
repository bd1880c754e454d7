package pep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/verdict-authz/verdict/server/call"
)

// Config says who may ask. The zero value lets everyone in who reaches the listener.
type Config struct {
	// Allow names client certificates: a DNS name or a URI of theirs, or the common name of those without either. Of a SPIFFE
	// id each segment of the path may be *, as in spiffe://example.org/ns/*/sa/envoy; everything else is exact.
	Allow []string
	STS   STS

	Now       func() time.Time  // nil means time.Now
	Transport http.RoundTripper // fetches keys; nil: one that goes out directly and refuses private addresses
}

// STS says which tokens of AWS STS prove a role that may ask. All of it is given, or nothing.
type STS struct {
	Issuers  []string // of accounts, as https://6c5dd3a2-….tokens.sts.global.api.aws
	Audience string   // what tokens must be for, and nothing else beside it
	Roles    []string // ARNs, as arn:aws:iam::123456789012:role/orders-authorizer
}

func (s *STS) given() bool { return len(s.Issuers) > 0 || s.Audience != "" || len(s.Roles) > 0 }

// Gate knows who may ask. It is safe for concurrent use.
type Gate struct {
	allowed *names // nil: certificates prove nothing here
	tokens  *tokens
	now     func() time.Time

	admitted, unidentified, notAllowed, unavailable atomic.Uint64
}

// New checks cfg and makes a Gate. It fetches nothing: keys are fetched by Refresh, or with the first token.
func New(cfg Config, log *slog.Logger) (*Gate, error) {
	if log == nil {
		return nil, errors.New("pep: a logger is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	g := &Gate{now: cfg.Now}
	var err, stsErr error
	if len(cfg.Allow) > 0 {
		g.allowed, err = parseNames(cfg.Allow)
	}
	if cfg.STS.given() {
		g.tokens, stsErr = newTokens(cfg, log)
	}
	if err = errors.Join(err, stsErr); err != nil {
		return nil, fmt.Errorf("pep: %w", err)
	}
	return g, nil
}

// Open says whether everyone may ask who reaches the listener.
func (g *Gate) Open() bool { return g.allowed == nil && g.tokens == nil }

// Admit returns who makes a call to method, a full gRPC method, or refuses with a gRPC status. The name is that of a caller who
// was refused, too, as far as it is proven; "" means nobody's.
func (g *Gate) Admit(ctx context.Context, method string) (name string, err error) {
	if g.Open() || forEveryone(method) {
		return call.From(ctx).PEP, nil
	}
	name, err = g.Identify(ctx)
	var r *refusal
	switch {
	case err == nil:
		g.admitted.Add(1)
	case errors.As(err, &r):
		g.counter(r.why).Add(1)
	}
	return name, err
}

// forEveryone says whether a method tells nothing that needs a name: whether the process serves, and what it offers.
func forEveryone(method string) bool {
	return strings.HasPrefix(method, "/grpc.health.v1.Health/") || strings.HasPrefix(method, "/grpc.reflection.")
}

// Identify returns who is at the other end of the call of ctx, and nil when that one may ask.
func (g *Gate) Identify(ctx context.Context) (name string, err error) {
	if g.Open() {
		return call.From(ctx).PEP, nil
	}
	if g.tokens != nil {
		if sent := metadata.ValueFromIncomingContext(ctx, authorization); len(sent) > 0 {
			return g.byToken(ctx, sent)
		}
	}
	leaf := call.Certificate(ctx)
	switch {
	case leaf == nil || g.allowed == nil:
		return "", unidentified("%s", g.wanted())
	case g.now().After(leaf.NotAfter): // it was good when the connection was made
		return "", unidentified("the client certificate has expired; renew it")
	}
	if name, ok := g.allowed.match(leaf); ok {
		return name, nil
	}
	name = call.From(ctx).PEP
	return name, notAllowed("the client certificate of %s is not one that may ask; add it to %s", printable(name), flagAllow)
}

// authorization is the metadata that a token travels in.
const authorization = "authorization"

func (g *Gate) byToken(ctx context.Context, sent []string) (name string, err error) {
	scheme, token, ok := strings.Cut(sent[0], " ")
	if len(sent) > 1 || !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", unidentified("the metadata %s holds something else than one Bearer token", authorization)
	}
	role, err := g.tokens.prove(ctx, token)
	if err != nil {
		return "", err
	}
	if !g.tokens.roles[role] {
		return role, notAllowed("the role %s is not one that may ask; add it to %s", printable(role), flagRole)
	}
	return role, nil
}

// wanted tells a caller without a name how to get one.
func (g *Gate) wanted() string {
	const certificate = "a client certificate that " + flagAllow + " names"
	token := "a token of AWS STS for one of the roles of " + flagRole + ", as Bearer in the metadata " + authorization
	switch {
	case g.tokens == nil:
		return "only known callers may ask: present " + certificate
	case g.allowed == nil:
		return "only known callers may ask: present " + token
	}
	return "only known callers may ask: present " + certificate + ", or " + token
}

// Refresh fetches the keys of every issuer. Its error names those that could not be had; they are asked again when a token of
// theirs comes.
func (g *Gate) Refresh(ctx context.Context) error {
	if g.tokens == nil {
		return nil
	}
	return g.tokens.refresh(ctx)
}

// Stats counts the calls that needed a name.
type Stats struct {
	Admitted     uint64
	Unidentified uint64 // no certificate or token, or one that is not accepted
	NotAllowed   uint64 // known, and not on the list
	Unavailable  uint64 // nobody could tell: the keys of the issuer could not be had
}

// Stats returns the counts so far.
func (g *Gate) Stats() Stats {
	return Stats{g.admitted.Load(), g.unidentified.Load(), g.notAllowed.Load(), g.unavailable.Load()}
}

func (g *Gate) counter(why string) *atomic.Uint64 {
	switch why {
	case reasonNotAllowed:
		return &g.notAllowed
	case reasonUnavailable:
		return &g.unavailable
	}
	return &g.unidentified
}

// Issuers tells how fetching keys fares.
func (g *Gate) Issuers() []IssuerStatus {
	if g.tokens == nil {
		return nil
	}
	return g.tokens.status()
}
