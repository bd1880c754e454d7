package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/store"
)

// Config tunes a Syncer. Tenants is required.
type Config struct {
	Tenants    []string      // ids of the tenants to copy, at least one
	Poll       time.Duration // between two rounds; 0 means 60 s
	FullResync time.Duration // between two full looks; 0 means 24 h
	// Lease is how long a replica that is gone holds the others up; 0 means 90 s. It is renewed at a third of it.
	Lease  time.Duration
	Holder string // names this replica in the store; "" means host, process and something random
	// Events is told, after a round was applied, what principals have lost. What it returns an error for comes again, and
	// so may anything else. nil: nobody wants to know.
	Events func(ctx context.Context, tenantID string, events []PrincipalEvent) error

	Cloud      string        // global, usgov or china; "" means global
	BaseURL    string        // takes the place of the cloud's: https, or http to a loopback address (a test server)
	Timeout    time.Duration // of one page; 0 means 60 s: Graph is slow to make pages with many members
	MaxWait    time.Duration // longest wait within a round that Graph may ask for, beyond it the round is given up; 0 means 2 min
	MaxObjects int           // objects and memberships in a round, of about 100 bytes each; 0 means 10 000 000
	Transport  http.RoundTripper
	Now        func() time.Time // nil means time.Now
}

// PrincipalEvent says that a principal has lost something.
type PrincipalEvent struct {
	ObjectID string // lower case
	Kind     EventKind
	At       time.Time // what was issued up to then should no longer count
}

// EventKind is what happened to a principal.
type EventKind = store.MirrorEventKind

// The kinds of events. GroupRemoved: it lost a way into some group, its own membership or that of a group it is in.
const (
	Disabled        = store.MirrorDisabled
	SessionsInvalid = store.MirrorSessionsInvalid
	Deleted         = store.MirrorDeleted
	GroupRemoved    = store.MirrorGroupRemoved
)

// complete fills in the defaults and reports all that is wrong.
func (c Config) complete() (_ Config, base *url.URL, tenants []store.GUID, err error) {
	if c.Cloud == "" {
		c.Cloud = "global"
	}
	if graph.BaseURLs[c.Cloud] == "" {
		err = errors.Join(err, fmt.Errorf("mirror: unknown cloud %q; there are global, usgov and china", c.Cloud))
	}
	if c.BaseURL == "" {
		c.BaseURL = graph.BaseURLs[c.Cloud]
	}
	base, wrong := baseOf(c.BaseURL)
	if wrong != nil {
		err = errors.Join(err, fmt.Errorf("mirror: base URL: %w", wrong))
	}
	if len(c.Tenants) == 0 {
		err = errors.Join(err, errors.New("mirror: no tenants"))
	}
	for _, text := range c.Tenants {
		id, wrong := store.ParseGUID(text)
		if wrong != nil || id.IsZero() {
			err = errors.Join(err, fmt.Errorf("mirror: tenant %q is not a GUID", text))
		}
		tenants = append(tenants, id)
	}
	for _, d := range []struct {
		name      string
		knob      *time.Duration
		otherwise time.Duration
	}{
		{"poll", &c.Poll, time.Minute},
		{"full resync", &c.FullResync, 24 * time.Hour},
		{"lease", &c.Lease, 90 * time.Second},
		{"timeout", &c.Timeout, time.Minute},
		{"max wait", &c.MaxWait, 2 * time.Minute},
	} {
		if *d.knob == 0 {
			*d.knob = d.otherwise
		}
		if *d.knob < time.Millisecond {
			err = errors.Join(err, fmt.Errorf("mirror: %s of %v", d.name, *d.knob))
		}
	}
	if c.MaxObjects == 0 {
		c.MaxObjects = 10_000_000
	}
	if c.MaxObjects < 0 {
		err = errors.Join(err, errors.New("mirror: max objects is negative"))
	}
	if c.Holder == "" {
		host, _ := os.Hostname()
		c.Holder = fmt.Sprintf("%.100s/%d/%s", host, os.Getpid(), rand.Text()[:8])
	}
	if wrong := store.CheckMirrorLease(c.Holder, c.Lease); wrong != nil {
		err = errors.Join(err, wrong)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	return c, base, tenants, err
}

// newTransport goes straight to Graph: a proxy from the environment would decide where the requests end.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        2 * time.Minute,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func baseOf(text string) (*url.URL, error) {
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || base.Opaque != "":
		return nil, errors.New("it must be scheme, host and path, nothing else")
	case base.Scheme == "https":
	case base.Scheme == "http" && isLoopback(base.Hostname()):
	default:
		return nil, errors.New("it must be https, or http to a loopback address")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	return base, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
