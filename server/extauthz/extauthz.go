package extauthz

import (
	"context"
	"errors"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/request"
)

// door is this door's name in decision records.
const door = "ext_authz"

// apiExtension is the only context extension that is read: the api the route's owner says it is. Tenants and principals
// are never taken from there.
const apiExtension = "verdict.api"

// Decider answers questions; *pdp.PDP is one.
type Decider interface {
	Decide(ctx context.Context, q *pdp.Question) pdp.Answer
}

// Config tunes a Server. The zero value is usable.
type Config struct {
	Verbose bool // tell callers the exact reason of token failures; for development
}

// Server implements envoy.service.auth.v3.Authorization.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	decider Decider
	verbose bool
}

// New returns the door to d.
func New(d Decider, cfg Config) (*Server, error) {
	if d == nil {
		return nil, errors.New("extauthz: a decider is required")
	}
	return &Server{decider: d, verbose: cfg.Verbose}, nil
}

// Check answers one request of Envoy.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	c := call.From(ctx)
	q := question(req)
	q.PEP = c.PEP
	a := s.decider.Decide(ctx, q)
	c.Note(a.LogAttrs()...)
	if a.Allowed() {
		return allowed(&a), nil
	}
	return denied(&a, s.verbose), nil
}

// question reads what is needed of a CheckRequest. A request that is not HTTP is malformed: its Raw stays empty.
func question(req *authv3.CheckRequest) *pdp.Question {
	attrs := req.GetAttributes()
	http := attrs.GetRequest().GetHttp()
	q := &pdp.Question{
		Door: door,
		API:  attrs.GetContextExtensions()[apiExtension],
		SNI:  attrs.GetTlsSession().GetSni(),
		HTTP: &request.Raw{Method: http.GetMethod(), Host: http.GetHost(), Target: http.GetPath(), Headers: headers(http)},
	}
	// The address that Envoy vouches for, after its own use_remote_address rules; X-Forwarded-For is not read again.
	q.SourceIP, _ = request.SourceIP(attrs.GetSource().GetAddress().GetSocketAddress().GetAddress())
	return q
}

// headers prefers header_map (filter option encode_raw_headers), which keeps repeated fields apart and bytes as they are;
// the older map joins repeated fields with commas, which the canonical form refuses where it matters.
func headers(http *authv3.AttributeContext_HttpRequest) []request.Header {
	if raw := http.GetHeaderMap().GetHeaders(); len(raw) > 0 {
		hs := make([]request.Header, 0, len(raw))
		for _, h := range raw {
			value := h.GetValue()
			if len(h.GetRawValue()) > 0 {
				value = string(h.GetRawValue())
			}
			hs = append(hs, request.Header{Name: h.GetKey(), Value: value})
		}
		return hs
	}
	hs := make([]request.Header, 0, len(http.GetHeaders()))
	for name, value := range http.GetHeaders() {
		hs = append(hs, request.Header{Name: strings.ToLower(name), Value: value})
	}
	return hs
}
