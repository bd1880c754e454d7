package issuer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
)

// cloud is what documents of the global cloud call it.
const cloud = "microsoftonline.com"

// Handler serves the issuer. It refuses a Host header that is not loopback, which a page in a browser gets by a name that
// resolves to this machine, and writes of a page of another origin; what such a page reads, the browser keeps from it.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", i.help)
	mux.HandleFunc("GET /{tid}/v2.0/.well-known/openid-configuration", i.tenanted(i.discoveryV2))
	mux.HandleFunc("GET /{tid}/discovery/v2.0/keys", i.tenanted(i.keysV2))
	mux.HandleFunc("GET /{tid}/.well-known/openid-configuration", i.tenanted(i.discoveryV1))
	mux.HandleFunc("GET /{tid}/discovery/keys", i.tenanted(i.keysV1))
	mux.HandleFunc("POST /{tid}/oauth2/v2.0/token", i.token)
	mux.HandleFunc("GET /{tid}/oauth2/v2.0/authorize", i.tenanted(noSignIn))
	mux.HandleFunc("GET /mint", i.serveMint)
	mux.HandleFunc("POST /mint", i.serveMint)
	mux.HandleFunc("POST /rotate", i.serveRotate)
	mux.HandleFunc("POST /withdraw", i.serveWithdraw)
	return loopbackOnly(http.NewCrossOriginProtection().Handler(mux))
}

func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !isLoopback(strings.Trim(host, "[]")) {
			http.Error(w, "This issuer is for this machine only; ask it as localhost or 127.0.0.1.", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// tenanted refuses a path whose first segment is not a tenant of this issuer.
func (i *Issuer) tenanted(next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tid := r.PathValue("tid")
		if !slices.Contains(i.tenants, tid) {
			fail(w, refuse("that tenant is not one of this issuer; GET / lists them"))
			return
		}
		next(w, r, tid)
	}
}

func noSignIn(w http.ResponseWriter, _ *http.Request, _ string) {
	fail(w, refuse("nobody signs in here; GET /mint gives a token at once"))
}

// fail answers with the sentence of an ErrRequest, or says that the issuer failed.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrRequest) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Error(w, "the issuer failed: "+err.Error(), http.StatusInternalServerError)
}

func (i *Issuer) serveRotate(w http.ResponseWriter, _ *http.Request) {
	kid, err := i.Rotate()
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"kid": kid, "kids": i.Kids()})
}

func (i *Issuer) serveWithdraw(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	kid := r.FormValue("kid")
	if kid == "" {
		fail(w, refuse("say which key, ?kid=; GET / lists them"))
		return
	}
	if err := i.Withdraw(kid); err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"kids": i.Kids()})
}

func (i *Issuer) keysV2(w http.ResponseWriter, r *http.Request, _ string) {
	i.serveKeys(w, r, i.base+"/"+tenantPlace+"/v2.0")
}

// keysV1 leaves the issuer of the keys out, as Entra does.
func (i *Issuer) keysV1(w http.ResponseWriter, r *http.Request, _ string) { i.serveKeys(w, r, "") }

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request, issuer string) {
	published := []publicKey{}
	for _, k := range i.keys.all() {
		published = append(published, publicKeyOf(k, issuer))
	}
	serveDocument(w, r, map[string]any{"keys": published})
}

// publicKey is a key as Entra publishes it.
type publicKey struct {
	Kty    string   `json:"kty"`
	Use    string   `json:"use"`
	Kid    string   `json:"kid"`
	X5t    string   `json:"x5t"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	X5c    []string `json:"x5c"`
	Cloud  string   `json:"cloud_instance_name,omitempty"`
	Issuer string   `json:"issuer,omitempty"`
}

func publicKeyOf(k *key, issuer string) publicKey {
	published := publicKey{
		Kty: "RSA", Use: "sig", Kid: k.kid, X5t: k.kid, Issuer: issuer,
		N:   base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
		E:   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes()),
		X5c: []string{base64.StdEncoding.EncodeToString(k.cert)},
	}
	if issuer != "" {
		published.Cloud = cloud
	}
	return published
}

// serveDocument writes v with an ETag, or says that the client has it.
func serveDocument(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		fail(w, fmt.Errorf("encode a document: %w", err))
		return
	}
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "private, no-cache") // rotation is to be seen at once
	for candidate := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if c := strings.TrimPrefix(strings.TrimSpace(candidate), "W/"); c == etag || c == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone when it fails
}
