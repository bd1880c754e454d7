package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// certifier signs certificates and writes them as files.
type certifier struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertifier(t *testing.T) *certifier {
	t.Helper()
	a := &certifier{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

func (a *certifier) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.crt and name.key, signed by a, or by itself when a has none yet.
func (a *certifier) issue(t *testing.T, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(a.file(name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// serverTLS asks callers for a certificate of a.
func (a *certifier) serverTLS(t *testing.T) grpc.ServerOption {
	t.Helper()
	a.issue(t, "server", nil)
	pair, err := tls.LoadX509KeyPair(a.file("server.crt"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}))
}

func TestRemoteOverTLS(t *testing.T) {
	a, other := newCertifier(t), newCertifier(t)
	a.issue(t, "admin", nil)
	at, _ := serveAudit(t, &fakeAudit{}, "", a.serverTLS(t))
	for name, tc := range map[string]struct {
		args []string
		want string // of the error; empty: none
	}{
		"with a certificate of the authority":    {args: []string{"--admin-ca", a.file("ca.crt"), "--admin-cert", a.file("admin.crt"), "--admin-key", a.file("admin.key")}},
		"a server that another authority signed": {args: []string{"--admin-ca", other.file("ca.crt"), "--admin-cert", a.file("admin.crt"), "--admin-key", a.file("admin.key")}, want: "does not agree on TLS"},
		"without a certificate":                  {args: []string{"--admin-ca", a.file("ca.crt")}, want: at},
		"in plain text":                          {want: "no answer from " + at},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := askAuditAt(t, at, append([]string{"list"}, tc.args...)...)
			if tc.want == "" && (code != exitOK || out != "no decision matches\n") {
				t.Errorf("%d %s%s", code, out, errs)
			}
			if tc.want != "" && (code != exitFailed || !strings.Contains(errs, tc.want)) {
				t.Errorf("%d %s", code, errs)
			}
		})
	}
}

func TestRemoteOverASocket(t *testing.T) {
	at, _ := serveAudit(t, &fakeAudit{}, "unix:"+filepath.Join(t.TempDir(), "admin.sock"))
	if code, out, errs := askAuditAt(t, at, "list"); code != exitOK || out != "no decision matches\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

func TestRemoteSettingsThatCannotWork(t *testing.T) {
	a := newCertifier(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		at   string
		args []string
		want string
	}{
		"another machine in plain text":   {"192.0.2.1:7301", nil, "--admin: 192.0.2.1:7301 is another machine; give --admin-ca"},
		"a name in plain text":            {"verdict.example:7301", nil, "is another machine"},
		"no port":                         {"127.0.0.1", nil, "give host:port or unix:/path"},
		"no host":                         {":7301", nil, "give host:port or unix:/path"},
		"no socket":                       {"unix:", nil, "give host:port or unix:/path"},
		"half a certificate":              {"127.0.0.1:1", []string{"--admin-ca", a.file("ca.crt"), "--admin-key", "x"}, "--admin-cert, --admin-key: give both or neither"},
		"a certificate to show to anyone": {"127.0.0.1:1", []string{"--admin-cert", "x", "--admin-key", "x"}, "they need --admin-ca"},
		"an authority that is not there":  {"127.0.0.1:1", []string{"--admin-ca", empty + "x"}, "--admin-ca: open"},
		"an authority of nobody":          {"127.0.0.1:1", []string{"--admin-ca", empty}, "holds no PEM certificate"},
		"a key that is none":              {"127.0.0.1:1", []string{"--admin-ca", a.file("ca.crt"), "--admin-cert", a.file("ca.crt"), "--admin-key", empty}, "--admin-cert, --admin-key: tls:"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := askAuditAt(t, tc.at, append([]string{"list"}, tc.args...)...)
			if code != exitUsage || !strings.Contains(errs, tc.want) {
				t.Errorf("%d %s", code, errs)
			}
		})
	}
}

func TestRemoteThatIsSlow(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close() // nobody accepts
	code, _, errs := askAuditAt(t, lis.Addr().String(), "list", "--timeout", "100ms")
	if code != exitFailed || !strings.Contains(errs, "within 100ms; ask for less, or give a longer --timeout") {
		t.Errorf("%d %s", code, errs)
	}
}

// slowListener takes its time before it greets anybody.
type slowListener struct{ net.Listener }

func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	time.Sleep(400 * time.Millisecond)
	return conn, err
}

// An attempt to connect was once given up after the 100 ms that are the first pause between attempts.
func TestRemoteThatIsSlowToGreetIsNotGivenUp(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	verdictv1.RegisterAuditServiceServer(s, &fakeAudit{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(slowListener{lis})
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	if code, out, errs := askAuditAt(t, lis.Addr().String(), "list"); code != exitOK || out != "no decision matches\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

func TestRemoteOfNobody(t *testing.T) {
	at, stop := serveAudit(t, &fakeAudit{}, "")
	stop()
	code, _, errs := askAuditAt(t, at, "list")
	if code != exitFailed || !strings.Contains(errs, "no answer from "+at+": is verdict running there, and is that its --admin-listen?") {
		t.Errorf("%d %s", code, errs)
	}
}
