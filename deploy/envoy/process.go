package envoy

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const (
	startTimeout = 20 * time.Second // Envoy is there in half a second; a machine under load gets time
	startPoll    = 20 * time.Millisecond
	stopTimeout  = 5 * time.Second // from SIGTERM to SIGKILL
)

// Process is a running Envoy. It is safe for concurrent use.
type Process struct {
	addr   string
	cancel context.CancelFunc
	ended  chan struct{} // closed once the process is gone
	err    error         // how it ended; read after ended
}

// Start runs the Envoy at binary with the shipped configuration on ports and returns when it accepts connections. It runs
// until ctx ends or Stop is called. What Envoy logs, warnings and worse, goes to log.
func Start(ctx context.Context, binary string, ports Ports, log io.Writer) (*Process, error) {
	config, err := Config(ports)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.edge()))
	// Asked first, because whoever has the port would accept our connection below in Envoy's place.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	_ = l.Close() // nothing was accepted on it

	ctx, cancel := context.WithCancel(ctx)
	p := &Process{
		addr:   addr,
		cancel: cancel,
		ended:  make(chan struct{}),
	}
	// Without hot restart there is no shared memory by which two instances on one machine could meet.
	cmd := exec.CommandContext(ctx, binary, //nolint:gosec // G204: the caller names the Envoy to run; that is the point
		"--config-yaml", config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	if err := p.waitReady(ctx); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Addr is host and port where Envoy listens.
func (p *Process) Addr() string { return p.addr }

// Ended is closed when Envoy is gone, asked or not.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stop ends Envoy and waits until it is gone. It may be called more than once.
func (p *Process) Stop() {
	p.cancel()
	<-p.ended
}

func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "tcp", p.addr)
		if err == nil {
			_ = conn.Close() // only to see that it was accepted
		}
		select {
		case <-p.ended:
			return fmt.Errorf("envoy ended at once: %w", p.err)
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
			return fmt.Errorf("wait for envoy on %s: %w", p.addr, ctx.Err())
		case <-time.After(startPoll):
		}
	}
}
