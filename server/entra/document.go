package entra

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what a key document may hold. Entra publishes about ten keys of 2048 bits.
const (
	maxKeys    = 64
	minKeyBits = 2048
	maxKeyBits = 8192
)

// discovery is what is read of an OpenID configuration. It is immutable.
type discovery struct {
	jwksURI string
	cloud   string // cloud_instance_name; "" when it names none
	// shared says that the document is that of every tenant: it has a template for an issuer, so each key must name one.
	shared bool
}

// ErrIssuer says that a provider's discovery document names another issuer than the configuration does, so that the two
// do not belong together.
var ErrIssuer = errors.New("issuer: discovery names another one than is pinned")

// parseDiscovery reads an OpenID configuration and refuses one that is not of the pinned issuer.
func parseDiscovery(body []byte, s *source) (*discovery, error) {
	var doc struct {
		Issuer  string `json:"issuer"`
		Access  string `json:"access_token_issuer"` // of AD FS
		JWKSURI string `json:"jwks_uri"`
		Cloud   string `json:"cloud_instance_name"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("discovery is not the JSON that was expected")
	}
	d := &discovery{jwksURI: doc.JWKSURI, cloud: doc.Cloud}
	switch doc.Issuer {
	case s.issuer:
	case s.template:
		d.shared = true
	default:
		return nil, ErrIssuer
	}
	if s.provider.Kind == OIDC && doc.Access != "" && doc.Access != s.provider.Issuer {
		return nil, ErrIssuer
	}
	if err := s.checkJWKSURI(doc.JWKSURI); err != nil {
		return nil, err
	}
	return d, nil
}

// checkJWKSURI refuses a key address outside the hosts that the provider pins.
func (s *source) checkJWKSURI(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Fragment != "" {
		return errors.New("jwks_uri is not an address")
	}
	metadata, err := url.Parse(s.metadata)
	if err != nil {
		return fmt.Errorf("metadata address: %w", err)
	}
	issuer, err := url.Parse(s.issuer)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	same := u.Scheme == metadata.Scheme && u.Host == metadata.Host
	pinned := u.Scheme == "https" && (slices.Contains(s.provider.hosts, u.Host) || u.Host == issuer.Host)
	if !same && !pinned {
		return errors.New("jwks_uri is on a host that is not pinned")
	}
	if s.provider.Kind == OIDC {
		return nil
	}
	if !strings.HasSuffix(u.Path, "/discovery/v2.0/keys") && !strings.HasSuffix(u.Path, "/discovery/keys") {
		return errors.New("jwks_uri does not have the path of a key document")
	}
	return nil
}

// signingKey is a usable key with what its document says of it. It is immutable.
type signingKey struct {
	public crypto.PublicKey // *rsa.PublicKey, or *ecdsa.PublicKey on P-256
	es256  bool
	issuer string // as published: a template or one tenant's; "" when it names none
	cloud  string // cloud_instance_name; "" when it names none
}

// jwk is what is read of one published key.
type jwk struct {
	KTY    string   `json:"kty"`
	KID    string   `json:"kid"`
	Use    *string  `json:"use"`
	Ops    []string `json:"key_ops"`
	Alg    *string  `json:"alg"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	Curve  string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	D      *string  `json:"d"` // a private key that was published is anyone's
	Issuer string   `json:"issuer"`
	Cloud  string   `json:"cloud_instance_name"`
}

// parseKeys reads a key document. What it does not understand it leaves out, key by key, so that a new kind of key does
// not cost the others; a document without a usable key, with too many, or with one id twice is refused whole.
func parseKeys(body []byte, p *provider) (map[string]*signingKey, error) {
	var doc struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("the key document is not the JSON that was expected")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the key document holds more than %d keys", maxKeys)
	}
	keys := make(map[string]*signingKey, len(doc.Keys))
	ids := make(map[string]bool, len(doc.Keys))
	for _, raw := range doc.Keys {
		var named struct {
			KID string `json:"kid"`
		}
		if err := json.Unmarshal(raw, &named); err != nil || !isOIDCKeyID(named.KID) || p.Kind != OIDC && !isKeyID(named.KID) {
			continue
		}
		if ids[named.KID] {
			return nil, errors.New("the key document holds one key id twice")
		}
		ids[named.KID] = true
		var k jwk
		if err := json.Unmarshal(raw, &k); err != nil {
			continue
		}
		if key, ok := k.signingKey(p); ok {
			keys[k.KID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key document holds no usable key")
	}
	return keys, nil
}

// signingKey makes a key that may verify what p may sign with; false when it may not.
func (k *jwk) signingKey(p *provider) (*signingKey, bool) {
	if k.D != nil || k.Use != nil && *k.Use != "sig" || k.Ops != nil && !slices.Contains(k.Ops, "verify") {
		return nil, false
	}
	key := &signingKey{issuer: k.Issuer, cloud: k.Cloud}
	switch {
	case k.KTY == "RSA" && p.rs256 && (k.Alg == nil || *k.Alg == algRS256):
		public, ok := k.rsa()
		key.public = public
		return key, ok
	case k.KTY == "EC" && p.es256 && (k.Alg == nil || *k.Alg == algES256):
		public, ok := k.p256()
		key.public, key.es256 = public, true
		return key, ok
	}
	return nil, false
}

func (k *jwk) rsa() (*rsa.PublicKey, bool) {
	rawN, errN := base64.RawURLEncoding.DecodeString(k.N)
	rawE, errE := base64.RawURLEncoding.DecodeString(k.E)
	if errN != nil || errE != nil || len(rawN) > maxKeyBits/8+1 || len(rawE) > 4 {
		return nil, false
	}
	n, e := new(big.Int).SetBytes(rawN), new(big.Int).SetBytes(rawE).Int64()
	if n.BitLen() < minKeyBits || n.BitLen() > maxKeyBits || n.Bit(0) == 0 || hasROCA(n) {
		return nil, false
	}
	if e < 65537 || e > 1<<31-1 || e%2 == 0 {
		return nil, false
	}
	return &rsa.PublicKey{N: n, E: int(e)}, true
}

// p256 refuses a point that is not on the curve, and coordinates that are not written in full.
func (k *jwk) p256() (*ecdsa.PublicKey, bool) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if k.Curve != "P-256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return nil, false
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	return public, err == nil
}

// hasROCA recognises moduli of the Infineon generator (CVE-2017-15361), which can be factored: modulo each small prime
// they are a power of 65537. Of other moduli fewer than one in 2^28 is.
func hasROCA(n *big.Int) bool {
	var rest big.Int
	for _, p := range [...]int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
		113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		want := rest.Mod(n, big.NewInt(p)).Int64()
		power, found := int64(1), false
		for range p {
			if power == want {
				found = true
				break
			}
			power = power * 65537 % p
		}
		if !found {
			return false
		}
	}
	return true
}
