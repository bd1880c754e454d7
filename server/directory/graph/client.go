package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/policy"
)

// Client is a directory.Source that asks Microsoft Graph.
type Client struct {
	cfg     Config
	base    *url.URL
	http    *http.Client
	tokens  TokenSource
	tenants map[string]*tenant

	life context.Context // of all requests
	end  context.CancelFunc
	done sync.WaitGroup
}

// New makes a client. Close ends it.
func New(tokens TokenSource, cfg Config) (*Client, error) {
	cfg, base, err := cfg.complete()
	if tokens == nil {
		err = errors.Join(err, errors.New("graph: no source of tokens"))
	}
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, base: base, tokens: tokens, tenants: map[string]*tenant{}}
	c.http = &http.Client{
		Transport:     cfg.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, id := range cfg.Tenants {
		c.tenants[id] = newTenant(c, id)
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the requests that run and waits for them.
func (c *Client) Close() {
	c.end()
	for _, t := range c.tenants {
		t.close()
	}
	c.done.Wait()
	c.http.CloseIdleConnections()
}

// Groups asks for the groups of a user or a service principal, nested ones included.
func (c *Client) Groups(ctx context.Context, who directory.Caller) (directory.Membership, error) {
	t := c.tenants[who.TenantID]
	object, err := objectPath(who)
	switch {
	case t == nil:
		return directory.Membership{}, fmt.Errorf("graph: %w: the tenant is not configured", directory.ErrUnavailable)
	case err != nil:
		return directory.Membership{}, err
	}
	m, err := t.lookUp(ctx, object)
	if err != nil {
		return directory.Membership{}, fmt.Errorf("graph: %w", err)
	}
	return m, nil
}

// Throttle is the greatest share of its limits that Graph reported lately for a tenant (from 0.8 on), and whether the
// tenant is closed by a Retry-After.
func (c *Client) Throttle(tenantID string) (share float64, closed bool) {
	t := c.tenants[tenantID]
	if t == nil {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limits.share, c.cfg.Now().Before(t.limits.closed)
}

// objectPath is where Graph has the principal. Devices and whatever else has groups are nobody that verdict decides on.
func objectPath(who directory.Caller) (string, error) {
	switch {
	case !directory.IsGUID(who.ObjectID):
		return "", fmt.Errorf("graph: %w: the object id is not a GUID", directory.ErrUnknownPrincipal)
	case who.Kind == policy.PrincipalUser:
		return "/users/" + who.ObjectID, nil
	case who.Kind == policy.PrincipalApp:
		return "/servicePrincipals/" + who.ObjectID, nil
	}
	return "", fmt.Errorf("graph: %w: neither a user nor an application", directory.ErrUnknownPrincipal)
}
