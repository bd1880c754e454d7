package issuer

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// DefaultBaseURL is where `verdict dev` serves an Issuer.
const DefaultBaseURL = "http://127.0.0.1:7303"

// tenantPlace stands for the tenant in issuers, as in Entra's key documents.
const tenantPlace = "{tenantid}"

// Config tunes an Issuer. The zero value is usable.
type Config struct {
	BaseURL  string           // scheme, loopback host, port; empty means DefaultBaseURL
	Tenants  []string         // lower-case GUIDs, the first is the default; none means DevTenant
	V1Issuer string           // of version 1.0 tokens, with {tenantid}; empty means "{BaseURL}/{tenantid}/"
	KeyFile  string           // PEM, made at the first start, mode 0600; empty: keys live in memory
	Personas []Persona        // none means Defaults
	Now      func() time.Time // nil means time.Now
}

// Issuer mints tokens and publishes the keys that prove them. It is safe for concurrent use.
type Issuer struct {
	base     string // without a final slash
	tenants  []string
	v1Issuer string
	personas []Persona
	now      func() time.Time
	keys     *keyring
}

// ErrRequest is what Mint, Withdraw and the handler find wrong with what they were asked; errors.Is tells it from a
// failure of the issuer.
var ErrRequest = errors.New("issuer: request refused")

// refusal is an ErrRequest: one sentence for the person who asked.
type refusal string

func (r refusal) Error() string        { return string(r) }
func (r refusal) Is(target error) bool { return target == ErrRequest }
func refuse(format string, args ...any) error {
	return refusal(fmt.Sprintf(format, args...))
}

var (
	guidText    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	personaText = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// New makes an Issuer. It reads cfg.KeyFile or, when there is none, makes a key, which takes a fraction of a second.
func New(cfg Config) (*Issuer, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	base, err := loopbackBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if len(cfg.Tenants) == 0 {
		cfg.Tenants = []string{DevTenant}
	}
	for _, tid := range cfg.Tenants {
		if !guidText.MatchString(tid) {
			return nil, fmt.Errorf("issuer: tenant %q is not a lower-case GUID", tid)
		}
	}
	if cfg.V1Issuer == "" {
		cfg.V1Issuer = base + "/" + tenantPlace + "/"
	}
	if !strings.Contains(cfg.V1Issuer, tenantPlace) {
		return nil, fmt.Errorf("issuer: the issuer of version 1.0 tokens, %q, lacks %s", cfg.V1Issuer, tenantPlace)
	}
	if len(cfg.Personas) == 0 {
		cfg.Personas = Defaults()
	}
	if err := checkPersonas(cfg.Personas); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	keys, err := openKeyring(cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	return &Issuer{
		base: base, tenants: slices.Clone(cfg.Tenants), v1Issuer: cfg.V1Issuer,
		personas: slices.Clone(cfg.Personas), now: cfg.Now, keys: keys,
	}, nil
}

// loopbackBase checks a base URL and returns it without a final slash.
func loopbackBase(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("issuer: base URL: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("issuer: base URL %q: http or https", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return "", fmt.Errorf("issuer: base URL %q: scheme, host and port only", text)
	case !isLoopback(u.Hostname()):
		return "", fmt.Errorf("issuer: base URL %q: not a loopback address; whoever reaches this issuer can be anybody", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// isLoopback says whether host, without a port, names this machine and nothing else. Names other than localhost can
// be made to resolve to 127.0.0.1 by anybody, so they do not count.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func checkPersonas(personas []Persona) error {
	seen := make(map[string]bool)
	for _, p := range personas {
		switch {
		case !personaText.MatchString(p.Name):
			return fmt.Errorf("issuer: persona %q: a name has letters, digits, '.', '_' and '-'", p.Name)
		case seen[p.Name]:
			return fmt.Errorf("issuer: persona %s is there twice", p.Name)
		case p.Kind != User && p.Kind != App:
			return fmt.Errorf("issuer: persona %s: kind %q is neither user nor app", p.Name, p.Kind)
		case !guidText.MatchString(p.ObjectID) || !guidText.MatchString(p.ClientID):
			return fmt.Errorf("issuer: persona %s: object id and client id are lower-case GUIDs", p.Name)
		case p.Audience == "":
			return fmt.Errorf("issuer: persona %s has no audience", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

// Rotate makes a new key and signs with it from now on. The older ones stay published until they are withdrawn.
func (i *Issuer) Rotate() (kid string, err error) { return i.keys.rotate() }

// Withdraw stops publishing a key, and signing with it. The last key stays: ErrRequest.
func (i *Issuer) Withdraw(kid string) error { return i.keys.withdraw(kid) }

// Kids returns the ids of the published keys, oldest first; the last one signs.
func (i *Issuer) Kids() []string { return i.keys.kids() }

// IssuerOf returns the iss claim of tokens of a tenant and version, "1.0" or "2.0".
func (i *Issuer) IssuerOf(tenant, version string) string {
	if version == "1.0" {
		return strings.ReplaceAll(i.v1Issuer, tenantPlace, tenant)
	}
	return i.base + "/" + tenant + "/v2.0"
}
