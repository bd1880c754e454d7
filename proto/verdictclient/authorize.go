package verdictclient

import (
	"context"
	"fmt"
	"net"
	"net/http"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// Identity is who was let in, and by which decision.
type Identity struct {
	Principal  *verdictv1.Principal // nil on a public route
	DecisionID string
	Revision   uint64
	Route      string   // "" of a permission
	Grants     []string // that decided
}

// RefusedError says that the caller may not. It is an answer: asking again changes nothing unless Response.Retryable.
type RefusedError struct {
	Response *verdictv1.CheckResponse // http_status, www_authenticate and detail are fit for the caller
}

// Error implements error. It holds nothing of the token.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused: %s (decision %s)", e.Response.GetReason(), e.Response.GetDecisionId())
}

// Authorize lets the bearer of token use a permission of an api, on resource unless that is "". Its error is a *RefusedError when
// verdict refuses, and a gRPC status when nothing was decided; the caller is let in in neither case.
func (c *Client) Authorize(ctx context.Context, token, api, permission, resource string) (*Identity, error) {
	return c.let(ctx, &verdictv1.CheckRequest{
		Token: token, Api: api,
		Question: &verdictv1.CheckRequest_Permission{Permission: &verdictv1.PermissionRequest{Name: permission, Resource: resource}},
	})
}

// AuthorizeRequest lets the caller of an HTTP request pass that a server has received, by the routes of an api; "" finds the
// api by host. The token is that of the Authorization header. The source address is that of the connection: behind a proxy
// conditions on it need FromRequest and an address that the proxy vouches for.
func (c *Client) AuthorizeRequest(ctx context.Context, api string, r *http.Request) (*Identity, error) {
	return c.let(ctx, &verdictv1.CheckRequest{Api: api, Question: &verdictv1.CheckRequest_Http{Http: FromRequest(r)}})
}

func (c *Client) let(ctx context.Context, req *verdictv1.CheckRequest) (*Identity, error) {
	resp, err := c.Check(ctx, req)
	if err != nil {
		return nil, err
	}
	if resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		return nil, &RefusedError{Response: resp}
	}
	return &Identity{
		Principal: resp.GetPrincipal(), DecisionID: resp.GetDecisionId(), Revision: resp.GetRevision(), Route: resp.GetRoute(), Grants: resp.GetGrants(),
	}, nil
}

// FromRequest is the question about a request that a server has received. The target is as on the wire, not as parsed.
func FromRequest(r *http.Request) *verdictv1.HttpRequest {
	q := &verdictv1.HttpRequest{Method: r.Method, Host: r.Host, Path: r.RequestURI, PathEncoding: verdictv1.PathEncoding_PATH_ENCODING_RAW}
	for name, values := range r.Header {
		for _, v := range values {
			q.Headers = append(q.Headers, &verdictv1.Header{Name: name, Value: []byte(v)})
		}
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		q.SourceIp = host
	}
	if r.TLS != nil {
		q.Sni = r.TLS.ServerName
	}
	return q
}
