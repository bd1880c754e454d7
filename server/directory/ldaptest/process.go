//go:build linux

package ldaptest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch runs the server "$@" until standard input ends, which it does with the test binary, stops it by its process id and
// removes the folder $0. It is in a process group of its own: a terminal's ^C does not reach it.
const watch = `"$@" </dev/null &
pid=$!
cat >/dev/null
kill -TERM $pid
n=0
while kill -0 $pid 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
kill -KILL $pid 2>/dev/null
wait $pid
rm -rf "$0"`

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	space *os.File // its network namespace; nil: ours
	lock  *os.File // for the ports of ours; nil: its own
	gone  chan struct{}
}

// startProcess starts the server in a network namespace of its own, or, where that is not allowed, in ours, alone there.
func startProcess(dir, program string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{gone: make(chan struct{})}
	//nolint:gosec // a program that was found on PATH, with our own arguments
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", watch, dir, program}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	err = p.startApart()
	if errors.Is(err, unix.EPERM) {
		err = p.startHere()
	}
	if err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // its own exit status means nothing
		close(p.gone)
	}()
	return p, nil
}

// startApart starts the child from a thread that has moved into a new namespace. The thread ends with its goroutine.
func (p *process) startApart() error {
	outcome := make(chan error)
	go func() {
		runtime.LockOSThread()
		outcome <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("new network namespace: %w", err)
			}
			if err := loopbackUp(); err != nil {
				return err
			}
			var err error
			if p.space, err = os.Open("/proc/thread-self/ns/net"); err != nil {
				return err
			}
			return p.cmd.Start()
		}()
	}()
	return <-outcome
}

// loopbackUp sets the loopback interface of this thread's namespace up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s) //nolint:errcheck // nothing was written to it
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// startHere starts the child on the real ports, once no other test binary has them.
func (p *process) startHere() error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "verdict-ldaptest.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(poll) {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("wait for the ports: %w", err), lock.Close())
		}
	}
	p.lock = lock
	return p.cmd.Start()
}

// within runs f on a thread in the server's namespace.
func (p *process) within(f func() error) error {
	if p.space == nil {
		return f()
	}
	outcome := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(p.space.Fd()), unix.CLONE_NEWNET); err != nil {
			outcome <- fmt.Errorf("enter the namespace: %w", err)
			return
		}
		outcome <- f()
	}()
	return <-outcome
}

func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// stop ends the server and waits for that.
func (p *process) stop() {
	_ = p.stdin.Close()
	<-p.gone
}
