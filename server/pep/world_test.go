package pep_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/verdict-authz/verdict/server/pep"
)

type object = map[string]any

var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	strayK = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256K  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// rsaJWK and ecJWK are keys as STS publishes them.
func rsaJWK(kid string, k *rsa.PrivateKey) object {
	return object{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
}

func ecJWK(kid string, k *ecdsa.PrivateKey) object {
	point := must(k.PublicKey.Bytes())[1:]
	half := len(point) / 2
	return object{"kty": "EC", "use": "sig", "alg": "ES384", "crv": k.Curve.Params().Name, "kid": kid, "x": b64(point[:half]), "y": b64(point[half:])}
}

// world is a gate for one account, its clock, and the server of the account's keys.
type world struct {
	*pep.Gate
	server *httptest.Server
	clock  atomic.Int64 // seconds
	logs   *lines

	mu     sync.Mutex
	keys   []object
	answer http.HandlerFunc // nil: the keys
	hits   int
}

// lines are what was logged.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

func newWorld(t testing.TB, change func(*pep.Config)) *world {
	t.Helper()
	w := &world{logs: &lines{}, keys: []object{rsaJWK("r1", rsaKey()), ecJWK("e1", ecKey())}}
	w.clock.Store(now.Unix())
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hits++
		switch {
		case w.answer != nil:
			w.answer(rw, r)
		case r.URL.Path != "/.well-known/jwks.json":
			http.NotFound(rw, r)
		default:
			send(rw, object{"keys": w.keys})
		}
	}))
	t.Cleanup(w.server.Close)
	cfg := pep.Config{
		STS: pep.STS{Issuers: []string{w.server.URL}, Audience: audience, Roles: []string{role}},
		Now: func() time.Time { return time.Unix(w.clock.Load(), 0).UTC() }, Transport: w.server.Client().Transport,
	}
	if change != nil {
		change(&cfg)
	}
	g, err := pep.New(cfg, slog.New(slog.NewTextHandler(w.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.Gate = g
	return w
}

// send answers with o as JSON.
func send(rw http.ResponseWriter, o object) {
	if err := json.NewEncoder(rw).Encode(o); err != nil {
		panic(err)
	}
}

func (w *world) fetches() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits
}

func (w *world) answers(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = h
}

func (w *world) publish(keys ...object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = keys
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d / time.Second)) }

// mint makes a token of the role; nil as a member takes it away.
func (w *world) mint(t testing.TB, header, claims object) string {
	t.Helper()
	at := w.clock.Load()
	h := object{"alg": "RS256", "kid": "r1", "typ": "JWT"}
	c := object{
		"iss": w.server.URL, "aud": audience, "sub": role, "iat": at, "exp": at + 300, "jti": "0b1c",
		"https://sts.amazonaws.com/": object{"aws_account": "123456789012", "request_tags": object{"sub": "arn:aws:iam::999999999999:role/x"}},
	}
	for _, o := range []struct{ into, from object }{{h, header}, {c, claims}} {
		maps.Copy(o.into, o.from)
		maps.DeleteFunc(o.into, func(_ string, v any) bool { return v == nil })
	}
	return sign(string(must(json.Marshal(h))), string(must(json.Marshal(c))), rsaKey())
}

// sign makes a compact JWS, by the kind of key.
func sign(header, payload string, key any) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	var sig []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		sum := sha256.Sum256([]byte(input))
		sig = must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:]))
	case *ecdsa.PrivateKey:
		sum := sha512.Sum384([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			panic(err)
		}
		size := (k.Params().BitSize + 7) / 8
		sig = slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	}
	return input + "." + b64(sig)
}

// sending is the context of a call with such metadata.
func sending(t testing.TB, values ...string) context.Context {
	t.Helper()
	md := metadata.MD{}
	md.Set("authorization", values...)
	return metadata.NewIncomingContext(t.Context(), md)
}

func (w *world) admit(t testing.TB, token string) (string, error) {
	t.Helper()
	return w.Admit(sending(t, "Bearer "+token), decide)
}
