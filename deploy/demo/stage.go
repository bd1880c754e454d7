package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/verdict-authz/verdict/deploy/envoy"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// stage is what runs during the demo.
type stage struct {
	backend   *http.Server
	proxy     *envoy.Process
	processes []*process
}

// process is a program that the demo started; its output is kept for when it fails.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start brings up backend, verdict and Envoy, and returns when a request can go through.
func start(ctx context.Context, dir, verdict, binary string) (s *stage, err error) {
	for _, addr := range []string{decisionAddr, adminAddr, webAddr, proxyAddr, backendAddr} {
		if err := free(addr); err != nil {
			return nil, err
		}
	}
	s = &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := s.serveBackend(); err != nil {
		return nil, err
	}
	fmt.Println("starting verdict dev …")
	server, err := s.run(ctx, dir, "verdict", verdict, "dev", "--data", filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	if err := await(ctx, server, verdictReady); err != nil {
		return nil, err
	}
	fmt.Println("starting Envoy …")
	said, err := os.Create(filepath.Join(dir, "envoy.log"))
	if err != nil {
		return nil, fmt.Errorf("start Envoy: %w", err)
	}
	defer said.Close() // Envoy has its own handle
	if s.proxy, err = envoy.Start(ctx, binary, envoy.Ports{}, said); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(said.Name()))
	}
	return s, nil
}

// free says in time that a port is taken, rather than talking to a stranger.
func free(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s is in use; stop what listens there (another demo?) and try again", addr)
	}
	return l.Close()
}

// serveBackend serves an API that answers everything with what verdict told it about the caller.
func (s *stage) serveBackend() error {
	lis, err := net.Listen("tcp", backendAddr)
	if err != nil {
		return fmt.Errorf("start the backend: %w", err)
	}
	s.backend = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "backend: %s %s for %s\n", r.Method, r.URL.Path, r.Header.Get("x-verdict-principal")) //nolint:gosec // G705: plain text, on loopback
		}),
	}
	go func() { _ = s.backend.Serve(lis) }() // ends with ErrServerClosed
	return nil
}

// run starts a program in the background with its output in a file.
func (s *stage) run(ctx context.Context, dir, name, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.cmd = exec.CommandContext(ctx, path, args...) //nolint:gosec // G204: running the named binary is what the demo is for
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), out.Close())
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		_ = out.Close()
		close(p.done)
	}()
	s.processes = append(s.processes, p)
	return p, nil
}

// await polls ready until it succeeds; a process that ends meanwhile is shown with its last words.
func await(ctx context.Context, p *process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready:\n%s", p.name, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s (%w):\n%s", p.name, startTimeout, err, tail(p.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func tail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	const most = 4000
	if len(content) > most {
		content = content[len(content)-most:]
	}
	return string(content)
}

// verdictReady waits for the example policy and for keys: revision 1 and nothing wrong.
func verdictReady(ctx context.Context) error {
	conn, err := grpc.NewClient(adminAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := verdictv1.NewSystemServiceClient(conn).Status(ctx, &verdictv1.StatusRequest{})
	switch {
	case err != nil:
		return err
	case status.GetRevision() == 0:
		return errors.New("the example policy is not loaded yet")
	case len(status.GetProblems()) > 0:
		return errors.New(status.GetProblems()[0])
	}
	return nil
}

// stop ends what start began, in reverse, by process id.
func (s *stage) stop() error {
	var err error
	if s.proxy != nil {
		s.proxy.Stop()
	}
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		if sigErr := p.cmd.Process.Signal(syscall.SIGTERM); sigErr != nil && !errors.Is(sigErr, os.ErrProcessDone) {
			err = errors.Join(err, fmt.Errorf("stop %s: %w", p.name, sigErr))
		}
		select {
		case <-p.done:
		case <-time.After(15 * time.Second):
			err = errors.Join(err, fmt.Errorf("%s did not stop in time and was killed", p.name), p.cmd.Process.Kill())
		}
	}
	if s.backend != nil {
		err = errors.Join(err, s.backend.Close())
	}
	return err
}
