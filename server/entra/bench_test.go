package entra

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// BenchmarkVerify is the whole proof of a first-seen token. Hold it against BenchmarkRSAOnly, the part that no reading of
// the token can save.
func BenchmarkVerify(b *testing.B) {
	w := warm(b, nil)
	for name, token := range map[string]string{
		"plain":      good(),
		"200 groups": forge(set("groups", guids(200))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, r := w.ask(token); !r.OK() {
					b.Fatal(r)
				}
			}
		})
	}
}

// BenchmarkRSAOnly is SHA-256 and RSA over bytes that are ready, and the same through jws.
func BenchmarkRSAOnly(b *testing.B) {
	token := good()
	dot := strings.LastIndexByte(token, '.')
	input := []byte(token[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		b.Fatal(err)
	}
	public := &keyOne().PublicKey
	b.Run("crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256(input)
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("jws", func(b *testing.B) {
		b.ReportAllocs()
		compact := []byte(token)
		for b.Loop() {
			if _, err := jws.VerifyCompactFast(public, compact, jwa.RS256()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRefuse is what tokens cost that never reach a signature.
func BenchmarkRefuse(b *testing.B) {
	w := warm(b, nil)
	for name, token := range map[string]string{
		"too large":          strings.Repeat("A", 2<<20),
		"alg none":           forge(alg("none")),
		"tenant not allowed": forge(set("tid", tenantX)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, r := w.ask(token); r.OK() {
					b.Fatal("accepted")
				}
			}
		})
	}
}
