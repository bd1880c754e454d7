package entra

import (
	"bytes"
	"context"
	"crypto/rsa"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// published is the public half of k as Entra publishes it, with more members.
func published(kid string, k *rsa.PrivateKey, members object) object {
	o := object{
		"kty": "RSA", "use": "sig", "kid": kid, "x5t": kid, "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes()),
	}
	maps.Copy(o, members)
	return o
}

// world is a verifier, its clock, and the server of its documents.
type world struct {
	*Verifier
	server *httptest.Server
	logs   *bytes.Buffer

	mu   sync.Mutex
	docs map[string]http.HandlerFunc
	hits map[string]int
	now  time.Time
}

// templated has the members that Entra puts on keys of every tenant.
var templated = object{"issuer": global + "/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.com"}

// newWorld makes a world whose server publishes the documents of tenants T and T2 of the global cloud, with their keys
// fetched. change may alter configuration and documents before.
func newWorld(t testing.TB, change func(*world, *Config)) *world {
	t.Helper()
	w := &world{docs: map[string]http.HandlerFunc{}, hits: map[string]int{}, now: start, logs: new(bytes.Buffer)}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.server.Close)
	for _, tid := range []string{tenantT, tenantT2} {
		w.publish("/"+tid, issuerOf(tid),
			published(kidOne, keyOne(), templated),
			published(kidMSA, keyMSA(), object{"issuer": issuerOf(msa), "cloud_instance_name": "microsoftonline.com"}))
	}
	cfg := Config{
		Providers: []Provider{{
			Kind: Entra, Authority: global, Tenants: []string{tenantT, tenantT2},
			MetadataBase: w.server.URL, AllowLoopbackHTTP: true,
		}},
		Now: w.clock,
	}
	if change != nil {
		change(w, &cfg)
	}
	v, err := NewVerifier(cfg, slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = v
	t.Cleanup(func() {
		for _, c := range v.clients {
			c.CloseIdleConnections()
		}
	})
	return w
}

// warm is newWorld with its documents fetched.
func warm(t testing.TB, change func(*world, *Config)) *world {
	t.Helper()
	w := newWorld(t, change)
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.hits[r.URL.Path]++
	h := w.docs[r.URL.Path]
	w.mu.Unlock()
	if h == nil {
		http.NotFound(rw, r)
		return
	}
	h(rw, r)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// at sets the clock to start plus d.
func (w *world) at(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = start.Add(d)
}

func (w *world) handle(path string, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.docs[path] = h
}

func (w *world) fetches() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hits {
		n += h
	}
	return n
}

// publish serves the v2 documents under prefix, such as "/" and a tenant.
func (w *world) publish(prefix, issuer string, keys ...object) {
	w.discovery(prefix+"/v2.0/.well-known/openid-configuration", issuer, prefix+"/discovery/v2.0/keys")
	w.keys(prefix+"/discovery/v2.0/keys", keys...)
}

func (w *world) discovery(path, issuer, keysPath string) {
	w.handle(path, answer(mustJSON(object{
		"issuer": issuer, "jwks_uri": w.server.URL + keysPath, "cloud_instance_name": "microsoftonline.com",
	})))
}

func (w *world) keys(path string, keys ...object) {
	w.handle(path, answer(mustJSON(object{"keys": keys})))
}

func answer(body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(body))
	}
}

var expectA = Expect{Audiences: []string{audience}}

func (w *world) ask(token string) (*Token, Refusal) {
	return w.verify(context.Background(), token, expectA)
}

// observe is told of every question of a world; nil: nobody looks.
var observe func(w *world, token string, want Expect, r Refusal)

func (w *world) verify(ctx context.Context, token string, want Expect) (*Token, Refusal) {
	tok, r := w.Verify(ctx, token, want)
	if observe != nil {
		observe(w, token, want, r)
	}
	return tok, r
}

// present goes through Credential first.
func (w *world) present(authorization string) (*Token, Refusal) {
	token, r := Credential(authorization)
	if !r.OK() {
		return nil, r
	}
	return w.ask(token)
}

func (w *world) mustPass(t testing.TB, token string) *Token {
	t.Helper()
	tok, r := w.ask(token)
	if !r.OK() {
		t.Fatalf("refused: %v, %s", r.Reason, r.Detail)
	}
	return tok
}

func (w *world) mustRefuse(t testing.TB, token string, want ...policy.Reason) {
	t.Helper()
	tok, r := w.ask(token)
	refusedFor(t, tok, r, want...)
}

func refusedFor(t testing.TB, tok *Token, r Refusal, want ...policy.Reason) {
	t.Helper()
	if r.OK() || tok != nil {
		t.Fatalf("accepted, want %v", want)
	}
	for _, reason := range want {
		if r.Reason == reason {
			return
		}
	}
	t.Fatalf("refused for %v (%s), want %v", r.Reason, r.Detail, want)
}
