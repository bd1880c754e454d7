package ldap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/verdict-authz/verdict/server/directory"
)

const (
	// lockoutPause is how long no bind is tried with a password that was refused. Domains lock an account after as few as
	// three to ten refusals within some minutes.
	lockoutPause = time.Minute
	maxPassword  = 4 << 10
)

// pool keeps connections that are encrypted and bound.
type pool struct {
	cfg   *Config
	tls   *tls.Config
	slots chan struct{} // one per connection that may be

	mu     sync.Mutex
	closed bool
	idle   []*conn
	server int // place in URLs of the one that answered last

	refused      time.Time // when a bind was refused
	refusedProof [sha256.Size]byte
}

// conn is one connection. It has one user at a time.
type conn struct {
	*goldap.Conn
	born time.Time
}

func newPool(cfg *Config, t *tls.Config) *pool {
	return &pool{cfg: cfg, tls: t, slots: make(chan struct{}, cfg.Pool)}
}

// get gives a connection; used says that it has been idle, so that the server may have closed it meanwhile. It must be
// given back with put.
func (p *pool) get(ctx context.Context) (c *conn, used bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, fmt.Errorf("%w: no free connection: %w", directory.ErrUnavailable, ctx.Err())
	}
	if c := p.pick(); c != nil {
		return c, true, nil
	}
	c, err = p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, false, err
	}
	return c, false, nil
}

// pick takes the connection that was used last, and closes those that are too old.
func (p *pool) pick() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle = p.idle[:last]
		if !c.IsClosing() && p.cfg.Now().Sub(c.born) < p.cfg.MaxAge {
			return c
		}
		_ = c.Close()
	}
	return nil
}

// put gives a connection back; a broken one is closed.
func (p *pool) put(c *conn, broken bool) {
	p.mu.Lock()
	if broken || p.closed || c.IsClosing() {
		_ = c.Close()
	} else {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	<-p.slots
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		_ = c.Close()
	}
	p.idle = nil
}

// dial tries the servers in turn, first the one that answered last. A refused bind ends the turn: the others would refuse
// it too, and count it.
func (p *pool) dial(ctx context.Context) (*conn, error) {
	password, err := p.password(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	first, closed := p.server, p.closed
	p.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("%w: the client is closed", directory.ErrUnavailable)
	}
	var problems error
	for i := range p.cfg.URLs {
		n := (first + i) % len(p.cfg.URLs)
		c, err := p.connect(ctx, p.cfg.URLs[n], password)
		if err == nil {
			p.mu.Lock()
			p.server = n
			p.mu.Unlock()
			return &conn{Conn: c, born: p.cfg.Now()}, nil
		}
		problems = errors.Join(problems, err)
		if goldap.IsErrorWithCode(err, goldap.LDAPResultInvalidCredentials) {
			p.mu.Lock()
			p.refused, p.refusedProof = p.cfg.Now(), sha256.Sum256(password)
			p.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", directory.ErrUnavailable, errBind)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &directory.RetryError{After: retrySoon, Err: fmt.Errorf("%w: connect: %w", directory.ErrUnavailable, nameless(problems))}
}

var errBind = errors.New("the directory refused the bind account")

// password is the password as it is now. One that the directory has just refused is refused.
func (p *pool) password(ctx context.Context) ([]byte, error) {
	password, err := p.given(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: password: %w", directory.ErrUnavailable, err)
	}
	if len(password) == 0 || len(password) > maxPassword { // an empty one would make the bind anonymous, and succeed
		return nil, fmt.Errorf("%w: the password is empty or too long", directory.ErrUnavailable)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusedProof == sha256.Sum256(password) && p.cfg.Now().Sub(p.refused) < lockoutPause {
		return nil, fmt.Errorf("%w: %w; not tried again yet", directory.ErrUnavailable, errBind)
	}
	return password, nil
}

// connect makes one connection: TLS first, in either way, and only then the bind.
func (p *pool) connect(ctx context.Context, address string, password []byte) (*goldap.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	t := p.tls.Clone()
	if t.ServerName == "" {
		t.ServerName = u.Hostname()
	}
	deadline, _ := ctx.Deadline()
	c, err := goldap.DialURL(address, goldap.DialWithDialer(&net.Dialer{Deadline: deadline}), goldap.DialWithTLSConfig(t))
	if err != nil {
		return nil, err
	}
	c.SetTimeout(time.Until(deadline))
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if u.Scheme == "ldap" {
		err = c.StartTLS(t)
	}
	state, encrypted := c.TLSConnectionState()
	if err == nil && (!encrypted || !state.HandshakeComplete) {
		err = errors.New("the connection is not encrypted")
	}
	if err == nil {
		err = c.Bind(p.cfg.BindDN, string(password))
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (p *pool) given(ctx context.Context) ([]byte, error) {
	if p.cfg.Password != nil {
		return p.cfg.Password(ctx)
	}
	password, err := os.ReadFile(p.cfg.PasswordFile)
	return bytes.TrimSuffix(bytes.TrimSuffix(password, []byte("\n")), []byte("\r")), err
}
