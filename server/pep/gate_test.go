package pep_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/pep"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	self := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	made := a.sign(t, self)
	a.cert = made.Leaf
	return a
}

// sign makes a certificate; the authority's own while it has none.
func (a *authority) sign(t *testing.T, leaf *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent := a.cert
	if parent == nil {
		parent, a.key = leaf, key
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}
}

// client makes a client certificate that begins an hour ago and lasts until the given time from now.
func (a *authority) client(t *testing.T, lasts time.Duration, names ...string) tls.Certificate {
	t.Helper()
	leaf := named(t, names...)
	leaf.SerialNumber, leaf.NotBefore, leaf.NotAfter = big.NewInt(2), time.Now().Add(-time.Hour), time.Now().Add(lasts)
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(t, leaf)
}

// asked is a DecisionService that says who asked.
type asked struct {
	verdictv1.UnimplementedDecisionServiceServer
}

func (asked) Check(ctx context.Context, _ *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	return &verdictv1.CheckResponse{Detail: call.From(ctx).PEP}, nil
}

// serve starts a server with a gate as package server has it, and returns its address.
func serve(t *testing.T, g *pep.Gate, creds credentials.TransportCredentials) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(creds), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, c := call.With(ctx)
			var err error
			if c.PEP, err = g.Admit(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}))
	verdictv1.RegisterDecisionServiceServer(s, asked{})
	healthv1.RegisterHealthServer(s, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

func dial(t *testing.T, address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestOnlyAllowedCertificatesAsk(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	own := named(t, "ip")
	own.SerialNumber, own.NotBefore, own.NotAfter = big.NewInt(3), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	own.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	g := newGate(t, pep.Config{Allow: []string{"spiffe://example.org/ns/*/sa/envoy"}, Now: time.Now})
	address := serve(t, g, credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{ca.sign(t, own)}, ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12,
	}))
	good := ca.client(t, time.Hour, "uri:spiffe://example.org/ns/orders/sa/envoy")
	for name, tc := range map[string]struct {
		cert []tls.Certificate
		want codes.Code
		text string
	}{
		"one that is allowed":               {[]tls.Certificate{good}, codes.OK, "spiffe://example.org/ns/orders/sa/envoy"},
		"one with another name":             {[]tls.Certificate{ca.client(t, time.Hour, "uri:spiffe://example.org/ns/orders/sa/web")}, codes.PermissionDenied, "spiffe://example.org/ns/orders/sa/web"},
		"one that has ended":                {[]tls.Certificate{ca.client(t, -time.Minute, "uri:spiffe://example.org/ns/orders/sa/envoy")}, codes.Unavailable, "certificate"},
		"one that somebody else has signed": {[]tls.Certificate{stranger.client(t, time.Hour, "uri:spiffe://example.org/ns/orders/sa/envoy")}, codes.Unavailable, "certificate"},
		"none":                              {nil, codes.Unauthenticated, "--pep-allow"},
	} {
		t.Run(name, func(t *testing.T) {
			// What a server has against a certificate arrives after a TLS 1.3 handshake is done, beside the first call.
			conn := dial(t, address, credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: tc.cert, MaxVersion: tls.VersionTLS12, MinVersion: tls.VersionTLS12}))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			resp, err := verdictv1.NewDecisionServiceClient(conn).Check(ctx, &verdictv1.CheckRequest{})
			if status.Code(err) != tc.want || !strings.Contains(resp.GetDetail()+status.Convert(err).Message(), tc.text) {
				t.Errorf("%v, %v", resp, err)
			}
			if tc.want != codes.Unavailable { // else there is no connection
				if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
					t.Errorf("health: %v", err)
				}
			}
		})
	}
	if want := (pep.Stats{Admitted: 1, Unidentified: 1, NotAllowed: 1}); g.Stats() != want {
		t.Errorf("counted %+v, want %+v", g.Stats(), want)
	}
}

func TestWithoutSettingsEveryoneAsks(t *testing.T) {
	g := newGate(t, pep.Config{})
	for name, ctx := range map[string]context.Context{
		"":                 t.Context(),
		"a.example.com":    holding(t, named(t, "dns:a.example.com")),
		"spiffe://x.org/y": metadata.NewIncomingContext(holding(t, named(t, "uri:spiffe://x.org/y")), metadata.Pairs("authorization", "Bearer of.an.enduser")),
	} {
		if got, err := g.Admit(ctx, decide); err != nil || got != name || !g.Open() {
			t.Errorf("%q, %v; want %q", got, err, name)
		}
	}
}

func TestWhoIsNotKnownIsRefusedBeforeAnythingIsDecided(t *testing.T) {
	g := newGate(t, pep.Config{Allow: []string{"a.example.com"}})
	for method, want := range map[string]codes.Code{
		decide:                                   codes.Unauthenticated,
		"/verdict.v1.DecisionService/BatchCheck": codes.Unauthenticated,
		"/envoy.service.auth.v3.Authorization/Check":                     codes.Unauthenticated,
		"/something.new/Method":                                          codes.Unauthenticated,
		"/grpc.health.v1.HealthX/Check":                                  codes.Unauthenticated,
		"/grpc.health.v1.Health/Check":                                   codes.OK,
		"/grpc.health.v1.Health/Watch":                                   codes.OK,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      codes.OK,
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": codes.OK,
	} {
		if _, err := g.Admit(t.Context(), method); status.Code(err) != want {
			t.Errorf("%s: %v, want %s", method, err, want)
		}
	}
	_, err := g.Admit(t.Context(), decide)
	details := status.Convert(err).Details()
	if len(details) != 1 {
		t.Fatalf("details %v", details)
	}
	if info, ok := details[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "PEP_UNIDENTIFIED" {
		t.Errorf("details %v", details)
	}
}

func TestACertificateEndsInTheMiddleOfAConnection(t *testing.T) {
	leaf := named(t, "dns:a.example.com")
	leaf.NotAfter = now
	at := now
	g := newGate(t, pep.Config{Allow: []string{"a.example.com"}, Now: func() time.Time { return at }})
	if _, err := g.Admit(holding(t, leaf), decide); err != nil {
		t.Error(err)
	}
	at = at.Add(time.Second)
	if _, err := g.Admit(holding(t, leaf), decide); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Error(err)
	}
}

func TestTheNameOfAStrangerCannotForgeALogLine(t *testing.T) {
	g := newGate(t, pep.Config{Allow: []string{"a.example.com"}})
	_, err := g.Admit(holding(t, named(t, "cn:evil\n\"x\x1b[31m"+strings.Repeat("y", 5000))), decide)
	if text := status.Convert(err).Message(); strings.ContainsAny(text, "\n\x1b") || len(text) > 500 || !strings.Contains(text, `evil\n`) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}

func TestATokenAsksOverAnyConnection(t *testing.T) {
	w := newWorld(t, nil)
	w.clock.Store(time.Now().Unix())
	conn := dial(t, serve(t, w.Gate, insecure.NewCredentials()), insecure.NewCredentials())
	client := verdictv1.NewDecisionServiceClient(conn)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+w.mint(t, nil, nil))
	resp, err := client.Check(ctx, &verdictv1.CheckRequest{})
	if err != nil || resp.GetDetail() != role {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := client.Check(t.Context(), &verdictv1.CheckRequest{}); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "--pep-sts-role") {
		t.Errorf("without a token: %v", err)
	}
}
