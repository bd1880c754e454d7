package issuer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RFC 7517 has thumbprints of certificates as SHA-1; nothing is proven by them
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	keyBits  = 2048
	maxKeys  = 32 // what a verifier may be expected to read; rotate refuses more
	pemBlock = "PRIVATE KEY"
)

// key is a signing key with what is published of it.
type key struct {
	private *rsa.PrivateKey
	kid     string // thumbprint of cert, as Entra's are
	cert    []byte // self-signed, DER; the same for the same key
}

func makeKey() (*key, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("issuer: make a key: %w", err)
	}
	return keyOf(private)
}

// keyOf derives certificate and kid. Nothing in them is random, so that they are the same after a restart.
func keyOf(private *rsa.PrivateKey) (*key, error) {
	modulus := sha256.Sum256(private.N.Bytes())
	template := &x509.Certificate{
		SerialNumber:       new(big.Int).SetBytes(modulus[:16]),
		Subject:            pkix.Name{CommonName: "verdict dev issuer"},
		NotBefore:          time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:           time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
		SignatureAlgorithm: x509.SHA256WithRSA,
		KeyUsage:           x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("issuer: certify a key: %w", err)
	}
	thumbprint := sha1.Sum(cert) //nolint:gosec // as above
	return &key{private: private, kid: base64.RawURLEncoding.EncodeToString(thumbprint[:]), cert: cert}, nil
}

// sign returns the RS256 signature of input.
func (k *key) sign(input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	return rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, digest[:])
}

// keyring holds the keys, oldest first, and keeps them in a file if it has one.
type keyring struct {
	file string

	mu   sync.Mutex
	list []*key // never changed in place; the last one signs
}

func openKeyring(file string) (*keyring, error) {
	r := &keyring{file: file}
	if file != "" {
		list, err := readKeys(file)
		if err == nil {
			r.list = list
			return r, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if _, err := r.rotate(); err != nil {
		return nil, err
	}
	return r, nil
}

// all returns the keys; the slice is not to be changed.
func (r *keyring) all() []*key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

func (r *keyring) signer() *key {
	list := r.all()
	return list[len(list)-1]
}

func (r *keyring) kids() []string {
	var kids []string
	for _, k := range r.all() {
		kids = append(kids, k.kid)
	}
	return kids
}

func (r *keyring) rotate() (string, error) {
	k, err := makeKey() // outside the lock: it takes a while
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) >= maxKeys {
		return "", refuse("there are %d keys; withdraw some first", maxKeys)
	}
	if err := r.keep(append(slices.Clone(r.list), k)); err != nil {
		return "", err
	}
	return k.kid, nil
}

func (r *keyring) withdraw(kid string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.list, func(k *key) bool { return k.kid == kid })
	switch {
	case at < 0:
		return refuse("there is no key with that kid")
	case len(r.list) == 1:
		return refuse("it is the only key; rotate first")
	}
	return r.keep(slices.Delete(slices.Clone(r.list), at, at+1))
}

// keep makes list the keys, in the file first. The caller holds mu.
func (r *keyring) keep(list []*key) error {
	if r.file != "" {
		if err := writeKeys(r.file, list); err != nil {
			return err
		}
	}
	r.list = list
	return nil
}

// readKeys reads a key file. One that others can read is refused: its tokens could be anybody's.
func readKeys(file string) ([]*key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("issuer: key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("issuer: key file %s has mode %#o; it is for its owner alone, 0600", file, info.Mode().Perm())
	}
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("issuer: key file: %w", err)
	}
	var list []*key
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		k, err := parseKey(block)
		if err != nil {
			return nil, fmt.Errorf("issuer: key file %s: %w", file, err)
		}
		list = append(list, k)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("issuer: key file %s holds no %s block; remove it to have a new key made", file, pemBlock)
	}
	return list, nil
}

func parseKey(block *pem.Block) (*key, error) {
	if block.Type != pemBlock {
		return nil, fmt.Errorf("a %s block where a %s is expected", block.Type, pemBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok || private.N.BitLen() < keyBits {
		return nil, fmt.Errorf("not an RSA key of %d bits or more", keyBits)
	}
	return keyOf(private)
}

// writeKeys replaces the key file as a whole, so that a crash leaves the old one or the new one.
func writeKeys(file string, list []*key) (err error) {
	var text []byte
	for _, k := range list {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return fmt.Errorf("issuer: write the key file: %w", err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: pemBlock, Bytes: der})...)
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("issuer: write the key file: %w", err)
	}
	temp, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return fmt.Errorf("issuer: write the key file: %w", err)
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("issuer: write the key file: %w", err), os.Remove(temp.Name()))
	}
	return nil
}
