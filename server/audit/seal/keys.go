package seal

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	privatePEM = "PRIVATE KEY"
	publicPEM  = "PUBLIC KEY"
)

// KeyID is what digests call a key: the first 8 bytes of the SHA-256 of the public key, hexadecimal.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}

// EncodeKey writes a private key (PKCS #8) and its public key (PKIX), both PEM.
func EncodeKey(key ed25519.PrivateKey) (private, public []byte, err error) {
	p, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the private key: %w", err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privatePEM, Bytes: p}), pem.EncodeToMemory(&pem.Block{Type: publicPEM, Bytes: pub}), nil
}

// ParsePrivateKey reads a private key as EncodeKey writes it. Errors say nothing of the content.
func ParsePrivateKey(content []byte) (ed25519.PrivateKey, error) {
	der, err := block(content, privatePEM)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key is not PKCS #8")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is not Ed25519")
	}
	return key, nil
}

// ParsePublicKey reads a public key as EncodeKey writes it.
func ParsePublicKey(content []byte) (ed25519.PublicKey, error) {
	der, err := block(content, publicPEM)
	if err != nil {
		return nil, err
	}
	var parsed crypto.PublicKey
	if parsed, err = x509.ParsePKIXPublicKey(der); err != nil {
		return nil, errors.New("the public key is not PKIX")
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the public key is not Ed25519")
	}
	return key, nil
}

func block(content []byte, wanted string) ([]byte, error) {
	b, _ := pem.Decode(content)
	switch {
	case b == nil:
		return nil, fmt.Errorf("not PEM; a block %q is needed", wanted)
	case b.Type != wanted:
		return nil, fmt.Errorf("PEM of another kind; a block %q is needed", wanted)
	}
	return b.Bytes, nil
}
