package envoy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/deploy/envoy"
	"github.com/verdict-authz/verdict/deploy/envoy/envoytest"
)

func TestConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		ports envoy.Ports
		want  []string // port_value by port_value, in the order of the file
		err   bool
	}{
		"no port given leaves the shipped ones":      {want: []string{"7310", "7300", "7311"}},
		"each port given replaces its own":           {ports: envoy.Ports{Edge: 1, Verdict: 2, Backend: 3}, want: []string{"1", "2", "3"}},
		"one shipped port may take another's number": {ports: envoy.Ports{Edge: 7311, Backend: 7310}, want: []string{"7311", "7300", "7310"}},
		"a port above 65535 is refused":              {ports: envoy.Ports{Backend: 65536}, err: true},
		"a negative port is refused":                 {ports: envoy.Ports{Edge: -1}, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := envoy.Config(tc.ports)
			if (err != nil) != tc.err {
				t.Fatalf("error = %v, want one: %v", err, tc.err)
			}
			var got []string
			for _, after := range strings.Split(config, "port_value: ")[1:] {
				got = append(got, strings.Fields(after)[0])
			}
			if !tc.err && !slices.Equal(got, tc.want) {
				t.Errorf("ports = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestShippedConfigurationIsValid(t *testing.T) {
	binary := envoytest.Binary(t)
	out, err := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", "envoy.yaml", "-l", "warn").CombinedOutput()
	if err != nil {
		t.Fatalf("envoy --mode validate: %v\n%s", err, out)
	}
	// "OK" and nothing else: a warning is a field that is deprecated or does not do what the file says.
	if got := strings.TrimSpace(string(out)); got != "configuration 'envoy.yaml' OK" {
		t.Errorf("envoy --mode validate says more than OK:\n%s", got)
	}
}

func TestStartRefusesAPortThatIsTaken(t *testing.T) {
	binary := envoytest.Binary(t)
	taken := listen(t)
	p, err := envoy.Start(t.Context(), binary, envoy.Ports{Edge: port(taken)}, io.Discard)
	if err == nil {
		p.Stop()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error = %v, want that the address is in use", err)
	}
}

func TestEnvoyEndsWithItsContext(t *testing.T) {
	binary := envoytest.Binary(t)
	edge := listen(t)
	_ = edge.Close() // only its number is wanted
	ctx, cancel := context.WithCancel(t.Context())
	p, err := envoy.Start(ctx, binary, envoy.Ports{Edge: port(edge)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-p.Ended():
	case <-time.After(10 * time.Second):
		t.Error("Envoy still runs 10 s after its context ended")
	}
	p.Stop() // once more does no harm
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
