// Package envoytest runs a real Envoy with the shipped configuration for tests. Envoy is the one at VERDICT_TEST_ENVOY;
// without it the test is skipped, unless VERDICT_TEST_REQUIRE lists envoy: then it fails.
package envoytest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/verdict-authz/verdict/deploy/envoy"
)

const attempts = 5 // a free port may be taken by somebody else before Envoy has it

// Binary returns the Envoy to test with, or skips or fails t.
func Binary(t testing.TB) string {
	t.Helper()
	binary := os.Getenv("VERDICT_TEST_ENVOY")
	if binary != "" {
		return binary
	}
	const text = "VERDICT_TEST_ENVOY is not set; make test-envoy sets it"
	if slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "envoy") {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// Start runs an Envoy for t on a free port of loopback, with verdict and the API behind it at the given ports. It is
// stopped when t ends; when t failed, what Envoy logged is shown.
func Start(t testing.TB, verdictPort, backendPort int) *envoy.Process {
	t.Helper()
	binary := Binary(t)
	log := &buffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("envoy logged:\n%s", log)
		}
	})
	var err error
	for range attempts {
		ports := envoy.Ports{Verdict: verdictPort, Backend: backendPort}
		if ports.Edge, err = freePort(); err != nil {
			break
		}
		var p *envoy.Process
		if p, err = envoy.Start(t.Context(), binary, ports, log); err == nil {
			t.Cleanup(p.Stop)
			return p
		}
	}
	t.Fatal(err)
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }() // nothing was ever written to it
	return l.Addr().(*net.TCPAddr).Port, nil
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
