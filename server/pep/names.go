package pep

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const (
	maxNames   = 1000
	maxNameLen = 2048 // of a SPIFFE id (SPIFFE-ID §2.3)
)

// names are the names of certificates that may ask.
type names struct {
	spiffe []spiffeID
	uris   map[string]bool // others
	hosts  map[string]bool // lower case
	common map[string]bool // common names, as written
}

// spiffeID is a SPIFFE id; in a pattern a segment may be "*", for exactly one of any name.
type spiffeID struct {
	domain string
	path   []string
}

const anySegment = "*"

// parseNames reads the list and reports everything that is wrong with it.
func parseNames(list []string) (*names, error) {
	n := &names{uris: map[string]bool{}, hosts: map[string]bool{}, common: map[string]bool{}}
	if len(list) > maxNames {
		return nil, fmt.Errorf("%s: %d names; at most %d are allowed", flagAllow, len(list), maxNames)
	}
	var err error
	for _, name := range list {
		if wrong := n.add(name); wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %s: %w", flagAllow, printable(name), wrong))
		}
	}
	return n, err
}

func (n *names) add(name string) error {
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return errors.New("a name is needed, without spaces around it")
	case len(name) > maxNameLen:
		return fmt.Errorf("longer than %d bytes", maxNameLen)
	case strings.HasPrefix(name, "spiffe:"):
		id, err := parsePattern(name)
		n.spiffe = append(n.spiffe, id)
		return err
	case strings.Contains(name, "*"):
		return errors.New("* can only stand for a segment of a SPIFFE id, as in spiffe://example.org/ns/*/sa/envoy")
	case strings.Contains(name, ":"):
		u, err := url.Parse(name)
		if err != nil || u.Scheme == "" || u.String() != name {
			return errors.New("not a URI as certificates hold it")
		}
		n.uris[name] = true
		return nil
	}
	n.hosts[strings.ToLower(name)] = true
	n.common[name] = true
	return nil
}

// parsePattern reads a SPIFFE id with at least one segment.
func parsePattern(text string) (spiffeID, error) {
	const form = "not of the form spiffe://domain/segment/segment, domain in lower case; * may stand for a whole segment"
	rest, ok := strings.CutPrefix(text, "spiffe://")
	domain, path, hasPath := strings.Cut(rest, "/")
	if !ok || !hasPath || !isDomain(domain) {
		return spiffeID{}, errors.New(form)
	}
	id := spiffeID{domain, strings.Split(path, "/")}
	for _, s := range id.path {
		if s != anySegment && !isSegment(s) {
			return spiffeID{}, errors.New(form)
		}
	}
	return id, nil
}

// parseID reads the SPIFFE id of a certificate; false: u is none.
func parseID(u *url.URL) (spiffeID, bool) {
	path, ok := strings.CutPrefix(u.Path, "/")
	bare := url.URL{Scheme: "spiffe", Host: u.Host, Path: u.Path}
	if !ok || *u != bare || !isDomain(u.Host) {
		return spiffeID{}, false
	}
	id := spiffeID{u.Host, strings.Split(path, "/")}
	return id, !slices.ContainsFunc(id.path, func(s string) bool { return !isSegment(s) })
}

// isDomain and isSegment are the alphabets of SPIFFE-ID §2.1 and §2.2. Neither takes *, nor dots that lead elsewhere.
func isDomain(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

func isSegment(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"
	return s != "" && s != "." && s != ".." && strings.Trim(s, alphabet) == ""
}

// covers says whether id is one that the pattern p means.
func (p spiffeID) covers(id spiffeID) bool {
	return p.domain == id.domain && slices.EqualFunc(p.path, id.path, func(want, is string) bool { return want == anySegment || want == is })
}

// match returns the name by which a certificate may ask: a URI, else a DNS name, else the common name if it has no other. A
// certificate has one SPIFFE id (X509-SVID §2); one with more URIs than that has none.
func (n *names) match(leaf *x509.Certificate) (name string, ok bool) {
	for _, u := range leaf.URIs {
		if text := u.String(); n.uris[text] {
			return text, true
		}
		if id, isID := parseID(u); isID && len(leaf.URIs) == 1 && slices.ContainsFunc(n.spiffe, func(p spiffeID) bool { return p.covers(id) }) {
			return u.String(), true
		}
	}
	for _, host := range leaf.DNSNames {
		if n.hosts[strings.ToLower(host)] {
			return host, true
		}
	}
	if len(leaf.URIs)+len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) == 0 && n.common[leaf.Subject.CommonName] {
		return leaf.Subject.CommonName, true
	}
	return "", false
}
