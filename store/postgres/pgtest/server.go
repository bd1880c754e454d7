//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTimeout = time.Minute
	// poll is how often one looks whether the server answers.
	poll = 20 * time.Millisecond
)

// watch runs the server "$@" until standard input ends, which it does with the test binary, stops it by its process id and
// removes the folder $0, unless the mark in it is gone. It is in a process group of its own: a terminal's ^C does not reach it.
const watch = `"$@" </dev/null &
pid=$!
echo $pid >"$0/pid"
cat >/dev/null
kill -QUIT $pid
wait $pid
if [ -e "$0/remove" ]; then rm -rf "$0"; fi`

// Server is a Postgres of a test's own.
type Server struct {
	dir     string // data, sock, log, pid
	bin     string
	options []string
	as      *syscall.Credential // nil: as ourselves

	mu    sync.Mutex
	watch *exec.Cmd      // nil: stopped
	stdin io.WriteCloser // of watch
}

// Start starts a server for t alone, with settings such as "fsync=on" over the light ones. It ends with t.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := start(settings...)
	absent(t, err)
	t.Cleanup(s.end)
	return s
}

// New returns the URL of a new database with the newest schema on this server, which must be running.
func (s *Server) New(t testing.TB) string {
	t.Helper()
	a := newAdmin(s.URL())
	template, err := a.template()
	if err != nil {
		t.Fatalf("postgres: make template database: %v", err)
	}
	name := fmt.Sprintf("verdict_%d", time.Now().UnixNano())
	if err := a.exec(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)); err != nil {
		t.Fatalf("postgres: create database: %v", err)
	}
	return withDatabase(s.URL(), name)
}

// URL is that of the server's first database, for a superuser.
func (s *Server) URL() string {
	q := url.Values{"host": {filepath.Join(s.dir, "sock")}, "user": {"verdict"}, "sslmode": {"disable"}}
	return "postgres:///postgres?" + q.Encode()
}

// Stop ends the server at once, as a crash would (no checkpoint, connections cut). Nothing is lost that fsync kept.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		return
	}
	s.signal(syscall.SIGCONT) // a stopped process would not see the end
	_ = os.Remove(s.mark())
	_ = s.stdin.Close()
	_ = s.watch.Wait() // its own exit status means nothing
	s.watch = nil
}

// Pause stops all processes of the server where they are, until Resume: connections stay open and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// signal sends sig to the server and its children, the postmaster first so that it makes no more of them.
func (s *Server) signal(sig syscall.Signal) {
	text, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return
	}
	_ = syscall.Kill(pid, sig)
	children, err := exec.Command("ps", "-o", "pid=", "--ppid", strconv.Itoa(pid)).Output()
	if err != nil {
		return // none, or none that can be listed
	}
	for _, field := range strings.Fields(string(children)) {
		if child, err := strconv.Atoi(field); err == nil && child > 1 {
			_ = syscall.Kill(child, sig)
		}
	}
}

// Start starts the server again after Stop and waits until it answers.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch != nil {
		return nil
	}
	args := []string{"-c", watch, s.dir, filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"), "-k", filepath.Join(s.dir, "sock")}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	cmd, done, err := s.command("/bin/sh", args...)
	if err != nil {
		return err
	}
	defer done()
	if err := os.WriteFile(s.mark(), nil, 0o600); err != nil {
		return err
	}
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.watch = cmd
	return s.await()
}

// mark is the file that tells the shell to clean up when this process cannot.
func (s *Server) mark() string { return filepath.Join(s.dir, "remove") }

// await returns when the server answers.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres does not answer: %w\n%s", err, log)
		case <-time.After(poll):
		}
	}
}

// end stops the server and removes its folder.
func (s *Server) end() {
	s.Stop()
	_ = os.RemoveAll(s.dir)
}

func start(settings ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	// A socket's path may have about 100 bytes: not t.TempDir.
	dir, err := os.MkdirTemp("", "vpg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, options: append([]string{
		"listen_addresses=", "shared_buffers=32MB", "max_connections=200", "max_wal_size=512MB", "autovacuum_naptime=1h",
		"jit=off", "log_min_messages=warning",
	}, settings...)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Start(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// prepare makes the folder and the cluster in it. Postgres refuses to run as root, who runs it as the user postgres.
func (s *Server) prepare() error {
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return fmt.Errorf("%w: root may not run it and there is no user postgres", errAbsent)
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	for _, f := range []func() error{
		func() error { return os.Mkdir(filepath.Join(s.dir, "sock"), 0o700) },
		func() error { return os.WriteFile(filepath.Join(s.dir, "log"), nil, 0o600) },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	if s.as != nil {
		for _, name := range []string{"", "sock", "log"} {
			if err := os.Chown(filepath.Join(s.dir, name), int(s.as.Uid), int(s.as.Gid)); err != nil {
				return err
			}
		}
	}
	cmd, done, err := s.command(filepath.Join(s.bin, "initdb"), "-D", filepath.Join(s.dir, "data"), "-A", "trust", "-U", "verdict",
		"--no-sync", "-E", "UTF8", "--locale=C")
	if err != nil {
		return err
	}
	defer done()
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("initdb: %w\n%s", err, log)
	}
	return nil
}

// command is a program that runs as s.as, apart from our terminal, and writes to the log: a child that held the standard
// output of a test would keep `go test` waiting.
func (s *Server) command(name string, args ...string) (cmd *exec.Cmd, done func(), err error) {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.as}
	return cmd, func() { _ = log.Close() }, nil
}
