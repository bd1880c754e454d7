package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// bytesCodec sends bytes as they are, so that they need not be protobuf.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = bytesCodec{}

func envoyRequest(headers map[string]string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
		Method: "GET", Host: "orders.example.com", Path: "/orders/42", Headers: headers,
	}}}}
}

func TestAbsurdInputIsDenied(t *testing.T) {
	v := startDev(t)
	huge := strings.Repeat("A", 2<<20)
	many := map[string]string{}
	list := &corev3.HeaderMap{}
	for i := range 10_000 {
		name := fmt.Sprintf("x-header-%d", i)
		many[name] = "v"
		list.Headers = append(list.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte("v")})
	}
	inMap := envoyRequest(nil)
	inMap.Attributes.Request.Http.HeaderMap = list
	for name, tc := range map[string]struct {
		req  *authv3.CheckRequest
		code string
	}{
		"a token of 2 MiB":           {envoyRequest(map[string]string{"authorization": "Bearer " + huge}), "REQUEST_MALFORMED"}, // over all headers together
		"a token of 40 KiB":          {envoyRequest(map[string]string{"authorization": "Bearer " + huge[:40<<10]}), "TOKEN_TOO_LARGE"},
		"10 000 headers":             {envoyRequest(many), "REQUEST_MALFORMED"},
		"10 000 headers, kept apart": {inMap, "REQUEST_MALFORMED"},
		"a request without anything": {&authv3.CheckRequest{}, "REQUEST_MALFORMED"},
		"a request that is not HTTP": {&authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}, "REQUEST_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := v.envoyDoor(t).Check(t.Context(), tc.req)
			if err != nil {
				t.Fatalf("a gRPC error leaves the answer to the proxy: %v", err)
			}
			if resp.GetDeniedResponse() == nil || resp.GetStatus().GetMessage() != tc.code {
				t.Errorf("%v, want denied with %s", resp.GetStatus(), tc.code)
			}
		})
	}
	t.Run("a token of 2 MiB in the token field", func(t *testing.T) {
		resp, err := v.decisions(t).Check(t.Context(), &verdictv1.CheckRequest{Token: huge,
			Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: "orders.example.com", Path: "/orders/42"}}})
		if err != nil || resp.GetReason() != verdictv1.Reason_REASON_TOKEN_TOO_LARGE || resp.GetHttpStatus() != 431 {
			t.Errorf("%v %v", resp, err)
		}
	})
	t.Run("101 questions at once", func(t *testing.T) {
		checks := make([]*verdictv1.CheckRequest, 101)
		for i := range checks {
			checks[i] = &verdictv1.CheckRequest{Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET"}}}
		}
		_, err := v.decisions(t).BatchCheck(t.Context(), &verdictv1.BatchCheckRequest{Checks: checks})
		if status.Code(err) != codes.InvalidArgument || len(violations(err)) == 0 {
			t.Errorf("%v", err)
		}
	})
}

// Bytes that are no protobuf, and protobuf cut or flipped anywhere, are refused or denied; the process lives and its memory
// stays bounded.
func TestGarbageBytesNeverPass(t *testing.T) {
	v := startDev(t)
	conn := v.dial(t, v.decision)
	good, err := proto.Marshal(envoyRequest(map[string]string{"authorization": "Bearer " + v.mint(t, "user", "alice")}))
	if err != nil {
		t.Fatal(err)
	}
	random := mathrand.New(mathrand.NewPCG(7300, 7301)) // a fixed seed, to fail alike each time
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 2000 {
		var in []byte
		switch i % 3 {
		case 0: // noise
			in = make([]byte, random.IntN(4096))
			for j := range in {
				in[j] = byte(random.UintN(256))
			}
		case 1: // cut
			in = good[:random.IntN(len(good))]
		case 2: // flipped inside the token, whose tail is the end of the message
			in = append([]byte(nil), good...)
			in[len(in)-1-random.IntN(300)] ^= byte(1 + random.UintN(255))
		}
		var out []byte
		err := conn.Invoke(t.Context(), "/envoy.service.auth.v3.Authorization/Check", &in, &out, grpc.ForceCodecV2(bytesCodec{}))
		if err != nil {
			continue // not protobuf: refused by gRPC
		}
		resp := &authv3.CheckResponse{}
		if err := proto.Unmarshal(out, resp); err != nil {
			t.Fatal(err)
		}
		if resp.GetDeniedResponse() == nil {
			t.Fatalf("round %d passed: %x", i, in)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if resp, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("afterwards: %v %v", resp, err)
	}
}

func TestSecretsReachNoLogNoRecordNoError(t *testing.T) {
	v := startDev(t, "--log-level=debug")
	token := v.mint(t, "user", "alice", "claims", `{"secret_claim":"canary-claim"}`)
	parts := strings.Split(token, ".")
	canaries := []string{parts[1], parts[2], "canary-claim", "canary-query", "canary-cookie", "Alice Adams"}
	forged := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
	for _, sent := range []string{token, forged, parts[1], "Bearer " + token} {
		if _, err := v.envoyDoor(t).Check(t.Context(), envoyRequest(map[string]string{"authorization": "Bearer " + sent, "cookie": "canary-cookie"})); err != nil {
			t.Fatal(err)
		}
		req := envoyRequest(map[string]string{"authorization": "Bearer " + sent})
		req.Attributes.Request.Http.Path = "/no/where?key=canary-query"
		if _, err := v.envoyDoor(t).Check(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	list := v.records(t, &verdictv1.ListDecisionsRequest{}, 8)
	v.stop(t)
	for _, canary := range canaries {
		if strings.Contains(v.errs.String()+v.out.String(), canary) {
			t.Errorf("%.20s… is in the log", canary)
		}
		for _, d := range list {
			if strings.Contains(d.String(), canary) {
				t.Errorf("%.20s… is in the record %v", canary, d)
			}
		}
	}
}

// ca makes certificates for a test and writes them as files.
type ca struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{dir: t.TempDir()}
	c.cert, c.key = c.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return c
}

// issue writes name.pem and name.key, signed by the authority, or by itself when there is none yet.
func (c *ca) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		c.file(name + ".pem"): {Type: "CERTIFICATE", Bytes: der}, c.file(name + ".key"): {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func (c *ca) file(name string) string { return filepath.Join(c.dir, name) }

func TestTLSWithClientCertificates(t *testing.T) {
	authority := newCA(t)
	authority.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	authority.issue(t, "edge", &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "corp", Path: "/edge"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	path := filepath.Join(t.TempDir(), "verdict.db")
	var out output
	if code := run(t.Context(), []string{"migrate", "--store", "sqlite:" + path}, nil, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	socket := filepath.Join(t.TempDir(), "admin.sock")
	v := startServe(t, "sqlite:"+path, "--decision-tls-cert", authority.file("server.pem"), "--decision-tls-key", authority.file("server.key"),
		"--decision-tls-client-ca", authority.file("ca.pem"), "--admin-listen", "unix:"+socket)
	v.admin = "unix:" + socket
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the admin socket is %v %v", info.Mode(), err)
	}
	if _, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
		t.Fatal(err)
	}

	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	check := func(cfg *tls.Config) (*verdictv1.CheckResponse, error) {
		cfg.RootCAs = roots
		conn, err := grpc.NewClient(v.decision, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return verdictv1.NewDecisionServiceClient(conn).Check(t.Context(), &verdictv1.CheckRequest{
			MinRevision: 1, Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: "orders.example.com", Path: "/healthz"}},
		})
	}
	if _, err := check(&tls.Config{}); status.Code(err) != codes.Unavailable {
		t.Errorf("without a client certificate: %v", err)
	}
	edge, err := tls.LoadX509KeyPair(authority.file("edge.pem"), authority.file("edge.key"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := check(&tls.Config{Certificates: []tls.Certificate{edge}})
	if err != nil || resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Fatalf("with one: %v %v", resp, err)
	}
	if d := v.records(t, &verdictv1.ListDecisionsRequest{}, 1)[0]; d.GetPep() != "spiffe://corp/edge" {
		t.Errorf("the record names %q as the one who asked", d.GetPep())
	}
}
