package entra

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
)

// The algorithms that an OIDC provider may sign with.
const (
	algRS256 = "RS256"
	algES256 = "ES256"
)

// microsoftHosts issue tokens whose tenant, cloud and type have to be checked as well, which OIDC does not do.
var microsoftHosts = []string{
	"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
	"login.windows.net", "login.microsoft.com", "sts.windows.net", "sts.chinacloudapi.cn",
}

// checkOIDC checks an OIDC provider and fills in what its profile says.
func (p *provider) checkOIDC(authority *url.URL) error {
	var err error
	bad := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
	if !policy.IsSlug(p.Name) {
		bad("name: want 1 to 63 of a-z, 0-9, - and ., beginning with a letter, and no GUID: it is the tenant of its principals")
	}
	if int(p.Profile) >= len(profiles) {
		bad("profile: want adfs, okta, cognito or iam-identity-center")
		p.Profile = NoProfile
	}
	preset := profiles[p.Profile]
	p.AcceptIDTokens = p.AcceptIDTokens || preset.idTokens
	if p.Issuer == "" && preset.issuer != nil {
		p.Issuer = preset.issuer(authority)
	}
	if p.Issuer == "" {
		p.Issuer = p.Authority
	}
	p.issuerV2 = p.Issuer
	issuer, uErr := url.Parse(p.Issuer)
	switch {
	case uErr != nil || issuer.Scheme != "https" && issuer.Scheme != "http" || issuer.Host == "" ||
		issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil || strings.Contains(p.Issuer, tenantPlaceholder):
		bad("issuer: want an address without query, such as https://id.example/oauth2, exactly as iss says it")
	case slices.Contains(microsoftHosts, issuer.Host) || slices.Contains(microsoftHosts, authority.Host),
		strings.HasSuffix(issuer.Host, ".ciamlogin.com"), strings.HasSuffix(issuer.Host, ".b2clogin.com"):
		bad("issuer: Microsoft's own tokens need the kind entra, external-id or b2c")
	}
	if len(p.Tenants) > 0 || len(p.Policies) > 0 || p.AcceptV1 || p.AllowMissingIDType || p.AppID != "" {
		bad("tenants, policies, accept v1, allow missing idtyp, app id: OIDC has none")
	}
	p.checkAlgorithms(bad)
	for _, h := range p.KeyHosts {
		if u, hErr := parseBase("https://"+h, false); hErr != nil || u.Host != h {
			bad("key hosts: %q is not a host in lower case", h)
			continue
		}
		p.hosts = append(p.hosts, h)
	}
	var mErr error
	if p.mapping, mErr = newMapping(p.Claims, preset.claims); mErr != nil {
		bad("claims: %w", mErr)
	}
	return err
}

func (p *provider) checkAlgorithms(bad func(string, ...any)) {
	if len(p.Algorithms) == 0 {
		return
	}
	p.rs256 = false
	for _, a := range p.Algorithms {
		into := &p.rs256
		switch a {
		case algRS256:
		case algES256:
			into = &p.es256
		default:
			bad("algorithms: %q is not RS256 or ES256", a)
			continue
		}
		if *into {
			bad("algorithms: %s is given twice", a)
		}
		*into = true
	}
}

// parseAuthority reads scheme, host and a plain path.
func parseAuthority(s string, loopbackHTTP bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, errors.New("want an https address")
	}
	trimmed := strings.TrimSuffix(u.Path, "/")
	if u.EscapedPath() != u.Path || strings.Contains(u.Path, "%") || trimmed != "" && path.Clean(trimmed) != trimmed {
		return nil, errors.New("want a path without escapes and dot segments")
	}
	if u.Host != strings.ToLower(u.Host) {
		return nil, errors.New("want the host in lower case, as the issuer writes it")
	}
	if _, err := parseBase(strings.TrimSuffix(s, u.Path), loopbackHTTP); err != nil {
		return nil, err
	}
	return u, nil
}

// privateSpaces are the ranges that a configuration may open in part or whole.
var privateSpaces = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// checkPrivate refuses networks that hold more than private addresses.
func checkPrivate(networks []netip.Prefix) error {
	for _, n := range networks {
		if !n.IsValid() || n.Masked() != n {
			return fmt.Errorf("private networks: %s is not a network such as 10.20.0.0/16", n)
		}
		if !slices.ContainsFunc(privateSpaces, func(s netip.Prefix) bool { return s.Contains(n.Addr()) && n.Bits() >= s.Bits() }) {
			return fmt.Errorf("private networks: %s holds addresses that are not private", n)
		}
	}
	return nil
}
