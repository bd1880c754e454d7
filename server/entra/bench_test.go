package entra

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/verdict-authz/verdict/server/policy"
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

// BenchmarkUnknownKeys is a good token beside a flood of 10 000 tokens a second that each name another key: p99-ns is what the slowest
// hundredth of the good ones took.
func BenchmarkUnknownKeys(b *testing.B) {
	for name, flooded := range map[string]bool{"quiet": false, "flooded": true} {
		b.Run(name, func(b *testing.B) {
			w := warm(b, nil)
			token, flood := good(), randomKids(10_000)
			var stop atomic.Bool
			var wg sync.WaitGroup
			if flooded {
				wg.Go(func() { // 10 000 a second
					for i := 0; !stop.Load(); i++ {
						if i%100 == 0 {
							time.Sleep(10 * time.Millisecond)
						}
						if _, r := w.ask(flood[i%len(flood)]); r.Reason != policy.KeyUnknown {
							b.Errorf("refused for %v", r.Reason)
							return
						}
					}
				})
			}
			took := make([]time.Duration, 0, 1<<16)
			for b.Loop() {
				began := time.Now()
				if _, r := w.ask(token); !r.OK() {
					b.Fatal(r)
				}
				if len(took) < cap(took) {
					took = append(took, time.Since(began))
				}
			}
			stop.Store(true)
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(float64(w.fetches()-4), "fetches")
		})
	}
}

// BenchmarkVerifyOIDC is the same for a token whose claims are mapped.
func BenchmarkVerifyOIDC(b *testing.B) {
	w := warm(b, generic(nil))
	for name, token := range map[string]string{"RS256": forge(ofGeneric), "ES256": forge(ofGeneric, es256)} {
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
