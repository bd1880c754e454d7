package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// What keeps the function from verdict is told in words of its own settings, without a name or address of the network.
func TestTheLogSaysWhatIsInTheWay(t *testing.T) {
	cert, key := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	other, otherKey := certificate(t)
	plain := serve(t, only(orders()))
	secure := serve(t, only(orders()), grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	mutual := serve(t, only(orders()), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12,
	})))
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, tc := range map[string]struct {
		env  []string
		note string // part of it
	}{
		"another authority":       {[]string{"TARGET=" + secure, "CA_FILE=" + other}, "VERDICT_CA_FILE"},
		"another name":            {[]string{"TARGET=" + secure, "CA_FILE=" + cert, "SERVER_NAME=verdict.example.com"}, "VERDICT_SERVER_NAME"},
		"TLS to a plain listener": {[]string{"TARGET=" + plain, "CA_FILE=" + cert}, "the listener must have TLS"},
		"plaintext to one of TLS": {[]string{"TARGET=" + secure, "PLAINTEXT=true"}, "VERDICT_PLAINTEXT"},
		"no client certificate":   {[]string{"TARGET=" + mutual, "CA_FILE=" + cert}, "VERDICT_CERT_FILE"},
		"an unknown certificate":  {[]string{"TARGET=" + mutual, "CA_FILE=" + cert, "CERT_FILE=" + other, "KEY_FILE=" + otherKey}, "VERDICT_CERT_FILE"},
		"nobody listens":          {[]string{"TARGET=127.0.0.1:1", "PLAINTEXT=true"}, "nothing listens"},
		"somebody who is silent":  {[]string{"TARGET=" + silent.Addr().String(), "PLAINTEXT=true", "TIMEOUT=300ms"}, "not reached in time"},
	} {
		t.Run(name, func(t *testing.T) {
			var env []string
			for _, e := range tc.env {
				env = append(env, "VERDICT_"+e)
			}
			f := startFunction(t, bootstrap(t), env...)
			if a := f.api.invoke(t, tokenEvent("/orders/1")); a.kind != "Unreachable" || a.body != nil {
				t.Errorf("answered %+v", a)
			}
			var line string
			eventually(t, "the event is in the log", func() bool {
				line = f.output.String()
				return strings.HasSuffix(line, "\n")
			})
			if !strings.Contains(line, tc.note) || strings.Contains(line, "127.0.0.1") || strings.Contains(line, good) {
				t.Errorf("want a note with %q and no address:\n%s", tc.note, line)
			}
		})
	}
}
