package entra

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Kind is the product that issues the tokens.
type Kind uint8

// The kinds. The zero value is refused.
const (
	KindUnset  Kind = iota
	Entra           // Microsoft Entra ID, in any cloud
	ExternalID      // Microsoft Entra External ID (ciamlogin.com)
	B2C             // Azure AD B2C, its default issuer
	OIDC            // any other issuer of JWT access tokens, by a mapping of claims
)

var kindNames = [...]string{KindUnset: "unset", Entra: "entra", ExternalID: "external-id", B2C: "b2c", OIDC: "oidc"}

// String is the kind as configuration writes it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, error) {
	for k, name := range kindNames {
		if name == s && Kind(k) != KindUnset {
			return Kind(k), nil
		}
	}
	return KindUnset, fmt.Errorf("provider kind: want entra, external-id, b2c or oidc, got %q", s)
}

// Provider is a trusted issuer. One cloud is one provider; providers never share keys.
type Provider struct {
	// Name is unique. "" means kind and authority host. Of OIDC it is a slug (policy.IsSlug) and required, since it stands
	// for the tenant in the ids of its principals, as in user:okta/00u1.
	Name string
	Kind Kind
	// Authority is where the issuer lives, such as https://login.microsoftonline.com; a path only for OIDC. http only with
	// AllowLoopbackHTTP and a loopback host.
	Authority string
	Tenants   []string // GUIDs; not for OIDC
	Policies  []string // B2C user flows, exactly as the token's tfp or acr writes them; B2C only, then at least one

	AcceptV1           bool // also accept v1 tokens, verified with the v1 metadata
	AllowMissingIDType bool // infer user or app when idtyp is absent; B2C never sends it
	AllowLoopbackHTTP  bool // for development: metadata over plain HTTP from this machine

	// Issuer pins another v2 issuer than the authority implies, such as for a custom domain; {tenantid} stands for the
	// tenant. Of OIDC it is what iss says, where that differs from the authority.
	Issuer string
	// AppID asks for the metadata of one application, needed for those with claims mapping, which sign with own keys.
	AppID string
	// MetadataBase is fetched instead of Authority, such as a mirror; what is pinned stays that of Authority.
	MetadataBase string
	// PrivateNetworks holds the private addresses that the authority may have. None are allowed by default.
	PrivateNetworks []netip.Prefix
	RootCAs         *x509.CertPool // nil means those of the system

	// The rest is for OIDC only.

	Profile        Profile  // what Claims and the others are when they are not set
	Algorithms     []string // of RS256 and ES256; none means RS256
	Claims         Mapping
	AcceptIDTokens bool     // take tokens that look like ID tokens too, where the issuer signs nothing else
	KeyHosts       []string // hosts that may serve the keys, beside that of the authority
}

const tenantPlaceholder = "{tenantid}"

// v1Issuers has the v1 issuer of each cloud by its authority host; v1 issuers do not follow from the authority.
var v1Issuers = map[string]string{
	"login.microsoftonline.com":        "https://sts.windows.net/" + tenantPlaceholder + "/",
	"login.microsoftonline.us":         "https://sts.windows.net/" + tenantPlaceholder + "/",
	"login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn/" + tenantPlaceholder + "/",
}

// provider is a Provider that has been checked.
type provider struct {
	Provider
	base     string // of metadata addresses, without a slash at the end
	issuerV2 string // template
	issuerV1 string // template; "" when the cloud has none that is known
	hosts    []string
	path     string   // OIDC: of the authority, without a slash at the end
	mapping  *mapping // OIDC
	es256    bool     // ES256 is allowed; OIDC
	rs256    bool
}

// newProvider checks p and works out what it pins.
func newProvider(p Provider) (*provider, error) {
	read := parseBase
	if p.Kind == OIDC {
		read = parseAuthority
	}
	authority, err := read(p.Authority, p.AllowLoopbackHTTP)
	if err != nil {
		return nil, fmt.Errorf("provider %q: authority: %w", p.Name, err)
	}
	if p.Name == "" && p.Kind != OIDC {
		p.Name = p.Kind.String() + " " + authority.Host
	}
	q := &provider{Provider: p, base: authority.Scheme + "://" + authority.Host, hosts: []string{authority.Host}, rs256: true}
	if p.Kind == OIDC {
		q.path = strings.TrimSuffix(authority.Path, "/")
		err = q.checkOIDC(authority)
	} else {
		q.Authority = q.base
		err = errors.Join(q.checkKind(), q.checkTenants(), q.pin(authority))
	}
	err = errors.Join(err, checkPrivate(p.PrivateNetworks))
	if p.MetadataBase != "" {
		base, baseErr := parseBase(p.MetadataBase, p.AllowLoopbackHTTP)
		if baseErr != nil {
			err = errors.Join(err, fmt.Errorf("metadata base: %w", baseErr))
		} else {
			q.base = base.String()
			q.hosts = append(q.hosts, base.Host)
		}
	}
	if p.AppID != "" && !isCanonicalGUID(p.AppID) {
		err = errors.Join(err, errors.New("app id: not a GUID in lower case"))
	}
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", p.Name, err)
	}
	return q, nil
}

func (p *provider) checkKind() error {
	switch {
	case p.Kind != Entra && p.Kind != ExternalID && p.Kind != B2C:
		return errors.New("kind: want entra, external-id, b2c or oidc")
	case p.Kind != Entra && p.AcceptV1:
		return errors.New("v1 tokens: only Entra ID issues them")
	case p.Kind == B2C && len(p.Policies) == 0:
		return errors.New("policies: none given; tokens of any user flow would pass")
	case p.Kind != B2C && len(p.Policies) > 0:
		return errors.New("policies: only B2C has them")
	case p.Profile != NoProfile || len(p.Algorithms) > 0 || p.Claims.isSet() || p.AcceptIDTokens || len(p.KeyHosts) > 0:
		return errors.New("profile, algorithms, claims, accept id tokens, key hosts: only OIDC has them")
	}
	for _, policy := range p.Policies {
		if !isKeyID(policy) { // the same alphabet: it becomes a path segment
			return fmt.Errorf("policies: %q is not a user flow", policy)
		}
	}
	return nil
}

func (p *provider) checkTenants() (err error) {
	p.Tenants, err = canonicalTenants(p.Tenants)
	return err
}

// canonicalTenants brings tenant ids to lower case and refuses a list that cannot be meant.
func canonicalTenants(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, errors.New("tenants: none given; signing keys are shared, so tokens of any tenant would pass")
	}
	seen := map[string]bool{}
	tenants := make([]string, 0, len(list))
	for _, t := range list {
		if ok, _ := isGUID(t); !ok {
			return nil, fmt.Errorf("tenants: %q is not a GUID", t)
		}
		t = strings.ToLower(t)
		if seen[t] {
			return nil, fmt.Errorf("tenants: %s is given twice", t)
		}
		seen[t] = true
		tenants = append(tenants, t)
	}
	return tenants, nil
}

// pin fixes the issuers. They come from configuration and a table, never from a token or a document.
func (p *provider) pin(authority *url.URL) error {
	switch name, isCIAM := strings.CutSuffix(authority.Host, ".ciamlogin.com"); {
	case p.Issuer != "":
		p.issuerV2 = p.Issuer
	case p.Kind == B2C:
		p.issuerV2 = p.Authority + "/" + tenantPlaceholder + "/v2.0/"
	case p.Kind == ExternalID && isCIAM && name != "":
		p.issuerV2 = "https://" + tenantPlaceholder + ".ciamlogin.com/" + tenantPlaceholder + "/v2.0"
	case p.Kind == ExternalID && authority.Scheme == "https":
		return errors.New("issuer: must be given for an External ID authority outside ciamlogin.com")
	default:
		p.issuerV2 = p.Authority + "/" + tenantPlaceholder + "/v2.0"
	}
	issuer, err := url.Parse(expand(p.issuerV2, "tenant"))
	if err != nil || issuer.Host == "" || !strings.Contains(p.issuerV2, tenantPlaceholder) ||
		issuer.Scheme != "https" && issuer.Scheme != authority.Scheme {
		return errors.New("issuer: want an https address that holds {tenantid}")
	}
	p.issuerV1 = v1Issuers[authority.Host]
	if p.issuerV1 == "" && authority.Scheme == "http" {
		p.issuerV1 = p.Authority + "/" + tenantPlaceholder + "/"
	}
	if p.AcceptV1 && p.issuerV1 == "" {
		return errors.New("v1 tokens: the v1 issuer of this authority is not known")
	}
	return nil
}

// parseBase reads a scheme and host with nothing behind.
func parseBase(s string, loopbackHTTP bool) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Host == "" {
		return nil, errors.New("want an https address")
	}
	u.Host = strings.ToLower(u.Host)
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return nil, errors.New("want a scheme and a host and nothing else")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopbackHTTP && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, errors.New("want https; http only for a loopback host and where that is allowed")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// expand puts a tenant into a template.
func expand(template, tenant string) string {
	return strings.ReplaceAll(template, tenantPlaceholder, tenant)
}

// Validate says everything that keeps p from working, each with its field; what depends on the other providers is told by
// NewVerifier.
func (p Provider) Validate() error {
	_, err := newProvider(p)
	return err
}
