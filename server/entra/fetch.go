package entra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

const (
	maxBody      = 512 << 10 // of a document, after decompression
	maxRedirects = 3
)

// document is one address with the validator of its last answer, and with the answer when it is to be kept on disk. It
// is immutable.
type document struct {
	url  string
	etag string
	body []byte
}

// get fetches d. A nil body without error means that what was fetched before still holds.
func get(ctx context.Context, client *http.Client, d document) (body []byte, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "application/json")
	if d.etag != "" {
		req.Header.Set("If-None-Match", d.etag)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && d.etag != "":
		return nil, d.etag, nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("fetch %s: status %d", d.url, resp.StatusCode)
	}
	if ct, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && ct == "text/html" {
		return nil, "", fmt.Errorf("fetch %s: a web page came instead of JSON", d.url)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, "", fmt.Errorf("fetch %s: %w", d.url, err)
	}
	if len(body) > maxBody {
		return nil, "", fmt.Errorf("fetch %s: the answer is longer than %d bytes", d.url, maxBody)
	}
	return body, resp.Header.Get("ETag"), nil
}

// newClient makes the client of one provider. Redirects stay on their host; nothing goes through a proxy, which would
// decide where the request ends.
func newClient(p *provider, cfg Config) *http.Client {
	transport := cfg.Transport
	if transport == nil {
		dialer := &net.Dialer{
			Timeout: cfg.HTTPTimeout,
			Control: func(_, address string, _ syscall.RawConn) error {
				return checkAddress(address, p.AllowLoopbackHTTP, p.PrivateNetworks)
			},
		}
		transport = &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    cfg.HTTPTimeout,
			TLSClientConfig:        &tls.Config{RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12},
			ResponseHeaderTimeout:  cfg.HTTPTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       cfg.HTTPTimeout,
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if !sameOrigin(req.URL, via[0].URL) {
		return errors.New("a redirect leaves the host")
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// notPublic lists the ranges beside those that netip names which no identity provider is reached at.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared address space, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64: the address inside could be any
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), // 6to4, likewise
	netip.MustParsePrefix("2001:db8::/32"),
}

// cloudMetadata is where a cloud hands keys to its machines, inside a private range: no configuration opens it.
var cloudMetadata = netip.MustParsePrefix("fd00:ec2::/32")

// checkAddress runs after the name was resolved, so that a name cannot lead inside.
func checkAddress(address string, loopback bool, private []netip.Prefix) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("not an address")
	}
	addr := ap.Addr().Unmap().WithZone("")
	if addr.IsLoopback() && loopback {
		return nil
	}
	if !cloudMetadata.Contains(addr) && slices.ContainsFunc(private, func(n netip.Prefix) bool { return n.Contains(addr) }) {
		return nil
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() {
		return errors.New("the host has a private address")
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return errors.New("the host has a private address")
		}
	}
	return nil
}
