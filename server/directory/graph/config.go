package graph

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
)

// BaseURLs has the address of Microsoft Graph in each cloud.
var BaseURLs = map[string]string{
	"global": "https://graph.microsoft.com/v1.0",
	"usgov":  "https://graph.microsoft.us/v1.0",
	"china":  "https://microsoftgraph.chinacloudapi.cn/v1.0",
}

// Config tunes a Client.
type Config struct {
	Cloud   string   // global, usgov or china; "" means global
	Tenants []string // the tenants that may be asked about, at least one
	// SecurityOnly leaves out groups that are not for security, such as distribution lists. It must agree with what tokens
	// hold (groupMembershipClaims), or a caller's groups change with their number.
	SecurityOnly bool
	// Units is how many of Graph's cost units may be spent per tenant in 10 s; a lookup costs 2. 0 means 1750, half of what
	// Graph grants an application in a small tenant (3500; 5000 from 50 and 8000 above 500 users), so that two replicas fit.
	Units     int
	Parallel  int           // requests to a tenant at once; 0 means 4
	Waiting   int           // principals of a tenant that may wait for their turn; 0 means 2000
	Timeout   time.Duration // of one request; 0 means 5 s
	MaxGroups int           // beyond it there is no answer; 0 means 100 000

	// BaseURL takes the place of the cloud's: https, or http to a loopback address (a test server).
	BaseURL   string
	Transport http.RoundTripper // nil means one of its own, without a proxy
	Now       func() time.Time  // nil means time.Now
}

// complete fills in the defaults and reports all that is wrong.
func (c Config) complete() (Config, *url.URL, error) {
	var err error
	if c.Cloud == "" {
		c.Cloud = "global"
	}
	if c.BaseURL == "" {
		c.BaseURL = BaseURLs[c.Cloud]
	}
	base, wrong := parseBase(c.BaseURL)
	switch {
	case BaseURLs[c.Cloud] == "":
		err = errors.Join(err, fmt.Errorf("graph: unknown cloud %q; there are global, usgov and china", c.Cloud))
	case wrong != "":
		err = errors.Join(err, fmt.Errorf("graph: base URL: %s", wrong))
	}
	if len(c.Tenants) == 0 {
		err = errors.Join(err, errors.New("graph: no tenants"))
	}
	for _, t := range c.Tenants {
		if !directory.IsGUID(t) {
			err = errors.Join(err, fmt.Errorf("graph: tenant %q is not a GUID, lower case with hyphens", t))
		}
	}
	c.Tenants = slices.Clone(c.Tenants)
	for _, n := range []struct {
		name  string
		field *int
		value int
	}{
		{"units", &c.Units, 1750},
		{"parallel", &c.Parallel, 4},
		{"waiting", &c.Waiting, 2000},
		{"max groups", &c.MaxGroups, 100_000},
	} {
		if *n.field < 0 {
			err = errors.Join(err, fmt.Errorf("graph: %s is negative", n.name))
		}
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	if c.Units < costLookUp {
		err = errors.Join(err, errors.New("graph: units do not pay for a lookup"))
	}
	if c.Timeout < 0 {
		err = errors.Join(err, errors.New("graph: the timeout is negative"))
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Transport == nil {
		c.Transport = newTransport(c)
	}
	return c, base, err
}

// newTransport goes straight to Graph: a proxy from the environment would decide where the requests end.
func newTransport(c Config) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: c.Timeout}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    c.Parallel,
		IdleConnTimeout:        60 * time.Second,
		TLSHandshakeTimeout:    c.Timeout,
		ResponseHeaderTimeout:  c.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// parseBase reads a base URL; wrong says why it is none.
func parseBase(text string) (base *url.URL, wrong string) {
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "it is not a URL"
	case base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" || base.Opaque != "":
		return nil, "it must be scheme, host and path, nothing else"
	case base.Scheme == "https", base.Scheme == "http" && isLoopback(base.Hostname()):
	default:
		return nil, "it must be https, or http to a loopback address"
	}
	base.Path = strings.TrimRight(base.Path, "/")
	return base, ""
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
