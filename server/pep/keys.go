package pep

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v3/jwa"
)

// The algorithms that STS signs with (GetWebIdentityToken, SigningAlgorithm).
const (
	algRS256 = "RS256"
	algES384 = "ES384"
)

// Bounds of what a key document may hold.
const (
	maxKeys    = 64
	minKeyBits = 2048
	maxKeyBits = 8192
)

// signingKey is a key and the one algorithm that it is for. It is immutable.
type signingKey struct {
	public crypto.PublicKey // *rsa.PublicKey, or *ecdsa.PublicKey on P-384
	alg    jwa.SignatureAlgorithm
}

// same says whether two keys are one.
func (k *signingKey) same(other *signingKey) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return k == other || ok && public.Equal(other.public)
}

// jwk is what is read of one published key.
type jwk struct {
	KTY   string   `json:"kty"`
	KID   string   `json:"kid"`
	Use   *string  `json:"use"`
	Ops   []string `json:"key_ops"`
	Alg   *string  `json:"alg"`
	N     string   `json:"n"`
	E     string   `json:"e"`
	Curve string   `json:"crv"`
	X     string   `json:"x"`
	Y     string   `json:"y"`
	D     *string  `json:"d"` // a private key that was published is anyone's
}

// parseKeys reads a key document. What it does not understand it leaves out, key by key, so that a new kind of key does not
// cost the others; a document without a usable key, with too many, or with one id twice is refused whole.
func parseKeys(body []byte) (map[string]*signingKey, error) {
	var doc struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("the key document is not the JSON that was expected")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the key document holds more than %d keys", maxKeys)
	}
	keys, ids := make(map[string]*signingKey, len(doc.Keys)), make(map[string]bool, len(doc.Keys))
	for _, raw := range doc.Keys {
		var named struct {
			KID string `json:"kid"`
		}
		if err := json.Unmarshal(raw, &named); err != nil || !isKeyID(named.KID) {
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
		if key := k.signingKey(); key != nil {
			keys[k.KID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key document holds no usable key")
	}
	return keys, nil
}

// signingKey makes a key that STS may sign with; nil when it may not.
func (k *jwk) signingKey() *signingKey {
	if k.D != nil || k.Use != nil && *k.Use != "sig" || k.Ops != nil && !slices.Contains(k.Ops, "verify") {
		return nil
	}
	switch {
	case k.KTY == "RSA" && (k.Alg == nil || *k.Alg == algRS256):
		if public := k.rsa(); public != nil {
			return &signingKey{public, jwa.RS256()}
		}
	case k.KTY == "EC" && (k.Alg == nil || *k.Alg == algES384):
		if public := k.p384(); public != nil {
			return &signingKey{public, jwa.ES384()}
		}
	}
	return nil
}

func (k *jwk) rsa() *rsa.PublicKey {
	rawN, errN := base64.RawURLEncoding.DecodeString(k.N)
	rawE, errE := base64.RawURLEncoding.DecodeString(k.E)
	if errN != nil || errE != nil || len(rawN) > maxKeyBits/8+1 || len(rawE) > 4 {
		return nil
	}
	n, e := new(big.Int).SetBytes(rawN), new(big.Int).SetBytes(rawE).Int64()
	if n.BitLen() < minKeyBits || n.BitLen() > maxKeyBits || n.Bit(0) == 0 || e < 65537 || e > 1<<31-1 || e%2 == 0 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e)}
}

// p384 refuses a point that is not on the curve, and coordinates that are not written in full.
func (k *jwk) p384() *ecdsa.PublicKey {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if k.Curve != "P-384" || errX != nil || errY != nil || len(x) != 48 || len(y) != 48 {
		return nil
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil
	}
	return public
}

// isKeyID says whether a text can be a key id: 1 to 256 printable characters, without spaces.
func isKeyID(kid string) bool {
	return kid != "" && len(kid) <= 256 && !strings.ContainsFunc(kid, func(r rune) bool { return r <= ' ' || r > '~' })
}
