package pep_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/pep"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const decide = "/verdict.v1.DecisionService/Check"

// holding is the context of a call over a connection with this verified client certificate.
func holding(t testing.TB, leaf *x509.Certificate) context.Context {
	t.Helper()
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = now.Add(time.Hour)
	}
	info := credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}
	return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
}

// named makes a certificate of "uri:…", "dns:…", "ip" and "cn:…".
func named(t testing.TB, names ...string) *x509.Certificate {
	t.Helper()
	leaf := &x509.Certificate{}
	for _, name := range names {
		kind, text, _ := strings.Cut(name, ":")
		switch kind {
		case "uri":
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			leaf.URIs = append(leaf.URIs, u)
		case "dns":
			leaf.DNSNames = append(leaf.DNSNames, text)
		case "ip":
			leaf.IPAddresses = append(leaf.IPAddresses, net.IPv4(10, 0, 0, 1))
		case "cn":
			leaf.Subject = pkix.Name{CommonName: text}
		}
	}
	return leaf
}

func newGate(t testing.TB, cfg pep.Config) *pep.Gate {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return now }
	}
	g, err := pep.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestACertificateMayAskByItsNames(t *testing.T) {
	allow := []string{
		"spiffe://example.org/ns/*/sa/envoy", "spiffe://example.org/gateway", "spiffe://other.example/*", "urn:pep:1", "https://pep.example/a?b=c",
		"envoy.example.com", "Lambda Authorizer",
	}
	for name, tc := range map[string]struct {
		cert []string
		want string // "": it may not
	}{
		"an exact SPIFFE id":                                    {[]string{"uri:spiffe://example.org/gateway"}, "spiffe://example.org/gateway"},
		"a segment of any name":                                 {[]string{"uri:spiffe://example.org/ns/orders/sa/envoy"}, "spiffe://example.org/ns/orders/sa/envoy"},
		"a pattern's star is one segment, not two":              {[]string{"uri:spiffe://example.org/ns/a/b/sa/envoy"}, ""},
		"a pattern's star is one segment, not none":             {[]string{"uri:spiffe://example.org/ns/sa/envoy"}, ""},
		"a pattern's star is not an empty segment":              {[]string{"uri:spiffe://example.org/ns//sa/envoy"}, ""},
		"a pattern ends where it ends":                          {[]string{"uri:spiffe://example.org/ns/a/sa/envoy/x"}, ""},
		"a pattern ends where it ends, slash and all":           {[]string{"uri:spiffe://example.org/ns/a/sa/envoy/"}, ""},
		"a longer last segment":                                 {[]string{"uri:spiffe://example.org/ns/a/sa/envoy2"}, ""},
		"another trust domain":                                  {[]string{"uri:spiffe://evil.org/ns/orders/sa/envoy"}, ""},
		"a trust domain below":                                  {[]string{"uri:spiffe://x.example.org/gateway"}, ""},
		"a trust domain in capitals is no SPIFFE id":            {[]string{"uri:spiffe://EXAMPLE.org/gateway"}, ""},
		"a path in capitals is another":                         {[]string{"uri:spiffe://example.org/Gateway"}, ""},
		"a port is no part of a SPIFFE id":                      {[]string{"uri:spiffe://example.org:443/gateway"}, ""},
		"nor is a user":                                         {[]string{"uri:spiffe://me@example.org/gateway"}, ""},
		"nor is a query":                                        {[]string{"uri:spiffe://example.org/gateway?a"}, ""},
		"nor is an empty query":                                 {[]string{"uri:spiffe://example.org/gateway?"}, ""},
		"nor is a fragment":                                     {[]string{"uri:spiffe://example.org/gateway#a"}, ""},
		"nor is an escape":                                      {[]string{"uri:spiffe://example.org/gat%65way"}, ""},
		"nor is an escaped slash":                               {[]string{"uri:spiffe://example.org/ns/a%2Fb/sa/envoy"}, ""},
		"nor is a dot segment":                                  {[]string{"uri:spiffe://example.org/ns/../sa/envoy"}, ""},
		"two URIs are no SPIFFE identity":                       {[]string{"uri:spiffe://example.org/gateway", "uri:spiffe://example.org/x"}, ""},
		"another URI, exactly":                                  {[]string{"uri:urn:pep:1"}, "urn:pep:1"},
		"another URI, as the second":                            {[]string{"uri:urn:pep:2", "uri:urn:pep:1"}, "urn:pep:1"},
		"another URI with a query, exactly":                     {[]string{"uri:https://pep.example/a?b=c"}, "https://pep.example/a?b=c"},
		"another URI without its query":                         {[]string{"uri:https://pep.example/a"}, ""},
		"a DNS name":                                            {[]string{"dns:envoy.example.com"}, "envoy.example.com"},
		"DNS names do not tell case apart":                      {[]string{"dns:Envoy.Example.COM"}, "Envoy.Example.COM"},
		"any of the DNS names":                                  {[]string{"dns:a.example.com", "dns:envoy.example.com"}, "envoy.example.com"},
		"a DNS name below":                                      {[]string{"dns:x.envoy.example.com"}, ""},
		"a wildcard certificate is nobody in particular":        {[]string{"dns:*.example.com"}, ""},
		"a common name where there is no other name":            {[]string{"cn:Lambda Authorizer"}, "Lambda Authorizer"},
		"common names tell case apart":                          {[]string{"cn:lambda authorizer"}, ""},
		"a common name beside a DNS name does not count":        {[]string{"cn:Lambda Authorizer", "dns:a.example.com"}, ""},
		"a common name beside an address does not count":        {[]string{"cn:Lambda Authorizer", "ip"}, ""},
		"a common name that looks like a SPIFFE id is none":     {[]string{"cn:spiffe://example.org/gateway"}, ""},
		"a common name that looks like a URI is none":           {[]string{"cn:urn:pep:1"}, ""},
		"a DNS name that looks like a SPIFFE id is none":        {[]string{"dns:spiffe://example.org/gateway"}, ""},
		"a common name of a host that is allowed, and no other": {[]string{"cn:envoy.example.com"}, "envoy.example.com"},
		"no name at all":                                        {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, pep.Config{Allow: allow})
			got, err := g.Admit(holding(t, named(t, tc.cert...)), decide)
			if tc.want != "" {
				if err != nil || got != tc.want {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "--pep-allow") {
				t.Errorf("%q, %v", got, err)
			}
			if g.Stats() != (pep.Stats{NotAllowed: 1}) {
				t.Errorf("counted %+v", g.Stats())
			}
		})
	}
}

func TestNewRefusesWhatCannotMeanAnyone(t *testing.T) {
	sts := func(change func(*pep.STS)) pep.Config {
		s := pep.STS{Issuers: []string{"https://a.tokens.sts.global.api.aws"}, Audience: "verdict", Roles: []string{"arn:aws:iam::123456789012:role/pep"}}
		change(&s)
		return pep.Config{STS: s}
	}
	role := func(arn string) pep.Config { return sts(func(s *pep.STS) { s.Roles = append(s.Roles, arn) }) }
	issuer := func(url string) pep.Config { return sts(func(s *pep.STS) { s.Issuers = append(s.Issuers, url) }) }
	for name, tc := range map[string]struct {
		cfg  pep.Config
		want string // what the error tells; "": taken
	}{
		"nothing is set":                     {pep.Config{}, ""},
		"all of STS":                         {sts(func(*pep.STS) {}), ""},
		"an empty name":                      {pep.Config{Allow: []string{""}}, "--pep-allow"},
		"spaces around a name":               {pep.Config{Allow: []string{" a"}}, "--pep-allow"},
		"a name beyond all bounds":           {pep.Config{Allow: []string{strings.Repeat("a", 2049)}}, "longer"},
		"a star in a host":                   {pep.Config{Allow: []string{"*.example.com"}}, "spiffe://"},
		"a star alone":                       {pep.Config{Allow: []string{"*"}}, "spiffe://"},
		"a star in another URI":              {pep.Config{Allow: []string{"urn:pep:*"}}, "spiffe://"},
		"a star in a trust domain":           {pep.Config{Allow: []string{"spiffe://*/a"}}, "domain"},
		"a star in a part of a segment":      {pep.Config{Allow: []string{"spiffe://example.org/a*"}}, "whole segment"},
		"two stars in a segment":             {pep.Config{Allow: []string{"spiffe://example.org/**"}}, "whole segment"},
		"a trust domain alone":               {pep.Config{Allow: []string{"spiffe://example.org"}}, "segment"},
		"a trust domain in capitals":         {pep.Config{Allow: []string{"spiffe://Example.org/a"}}, "lower case"},
		"an empty segment":                   {pep.Config{Allow: []string{"spiffe://example.org/a//b"}}, "segment"},
		"a slash at the end":                 {pep.Config{Allow: []string{"spiffe://example.org/a/"}}, "segment"},
		"a SPIFFE id of another form":        {pep.Config{Allow: []string{"spiffe:example.org/a"}}, "form"},
		"a URI that certificates write else": {pep.Config{Allow: []string{"HTTPS://pep.example/a"}}, "URI"},
		"half of STS":                        {pep.Config{STS: pep.STS{Audience: "verdict"}}, "all three"},
		"STS without roles":                  {sts(func(s *pep.STS) { s.Roles = nil }), "all three"},
		"an issuer without TLS":              {issuer("http://a.tokens.sts.global.api.aws"), "--pep-sts-issuer"},
		"an issuer with a path":              {issuer("https://a.tokens.sts.global.api.aws/"), "--pep-sts-issuer"},
		"an issuer with a user":              {issuer("https://me@a.tokens.sts.global.api.aws"), "--pep-sts-issuer"},
		"an issuer with a query":             {issuer("https://a.tokens.sts.global.api.aws?a"), "--pep-sts-issuer"},
		"an issuer in capitals":              {issuer("https://A.tokens.sts.global.api.aws"), "--pep-sts-issuer"},
		"a role in China":                    {role("arn:aws-cn:iam::123456789012:role/pep"), ""},
		"a role in a government's partition": {role("arn:aws-us-gov:iam::123456789012:role/pep"), ""},
		"a role with a path":                 {role("arn:aws:iam::123456789012:role/service-role/pep"), ""},
		"a session":                          {role("arn:aws:sts::123456789012:assumed-role/pep/x"), "session"},
		"a user":                             {role("arn:aws:iam::123456789012:user/pep"), "role"},
		"the root of an account":             {role("arn:aws:iam::123456789012:root"), "role"},
		"another partition":                  {role("arn:azure:iam::123456789012:role/pep"), "role"},
		"an account too short":               {role("arn:aws:iam::12345678901:role/pep"), "role"},
		"all roles":                          {role("arn:aws:iam::123456789012:role/*"), "stands for nothing"},
		"no role":                            {role("arn:aws:iam::123456789012:role/"), "role"},
		"a name of a role":                   {role("pep"), "role"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pep.New(tc.cfg, slog.New(slog.DiscardHandler))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
	if _, err := pep.New(pep.Config{}, nil); err == nil {
		t.Error("no logger was taken")
	}
}
