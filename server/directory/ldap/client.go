package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/policy"
)

// Client is a directory.Source that asks an Active Directory.
type Client struct {
	cfg  Config
	pool *pool
}

// New makes a client. It connects when it is first asked. Close ends it.
func New(cfg Config) (*Client, error) {
	cfg, t, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	cfg.Tenants = slices.Clone(cfg.Tenants)
	c := &Client{cfg: cfg}
	c.pool = newPool(&c.cfg, t)
	return c, nil
}

// Close closes the idle connections and, as they are given back, the others.
func (c *Client) Close() { c.pool.close() }

// Groups asks for the groups of a user, nested ones and the primary group included.
func (c *Client) Groups(ctx context.Context, who directory.Caller) (directory.Membership, error) {
	if !slices.Contains(c.cfg.Tenants, who.TenantID) {
		return directory.Membership{}, fmt.Errorf("ldap: %w: the tenant's users are not in this directory", directory.ErrUnknownPrincipal)
	}
	at := c.cfg.Now().UTC()
	filter, err := c.userFilter(who)
	if err != nil {
		return directory.Membership{}, fmt.Errorf("ldap: %w", err)
	}
	var ids []string
	err = c.with(ctx, func(s *session) error {
		u, err := s.user(filter)
		if err != nil {
			return err
		}
		ids, err = s.groups(u)
		return err
	})
	if err != nil {
		return directory.Membership{}, fmt.Errorf("ldap: %w", err)
	}
	return directory.Membership{Groups: directory.Normalize(ids), At: at, Source: "ldap"}, nil
}

// userFilter finds the one user.
func (c *Client) userFilter(who directory.Caller) (string, error) {
	if who.Kind != policy.PrincipalUser {
		return "", fmt.Errorf("%w: not a user", directory.ErrUnknownPrincipal)
	}
	var part string
	switch c.cfg.UserBy {
	case BySID:
		s, err := parseSID(who.OnPremSID)
		if err != nil {
			return "", fmt.Errorf("%w: the token holds no on-premises security identifier", directory.ErrUnknownPrincipal)
		}
		part = "(objectSid=" + s.filterValue() + ")"
	case ByUPN, BySAM:
		if who.Username == "" {
			return "", fmt.Errorf("%w: the token holds no user name", directory.ErrUnknownPrincipal)
		}
		part = "(userPrincipalName=" + goldap.EscapeFilter(who.Username) + ")"
		if c.cfg.UserBy == BySAM {
			part = "(sAMAccountName=" + goldap.EscapeFilter(who.Username) + ")"
		}
	}
	// objectCategory leaves out computers, which are users too by class.
	return "(&(objectCategory=person)(objectClass=user)" + part + ")", nil
}

// with runs do on a connection, and once more on a new one when an idle one turns out to be closed.
func (c *Client) with(ctx context.Context, do func(*session) error) error {
	for {
		conn, used, err := c.pool.get(ctx)
		if err != nil {
			return err
		}
		err = c.on(ctx, conn, do)
		var gone *brokenError
		isGone := errors.As(err, &gone)
		c.pool.put(conn, isGone)
		if !isGone || !used || ctx.Err() != nil {
			return err
		}
	}
}

// on runs do on conn, which is closed under it when ctx ends.
func (c *Client) on(ctx context.Context, conn *conn, do func(*session) error) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	timeout := c.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	if timeout <= 0 {
		return fmt.Errorf("%w: %w", directory.ErrUnavailable, context.DeadlineExceeded)
	}
	conn.SetTimeout(timeout)
	return do(&session{cfg: &c.cfg, conn: conn.Conn})
}
