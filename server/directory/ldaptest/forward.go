//go:build linux

package ldaptest

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// forward carries connections from a loopback port of ours to a port of the server.
type forward struct {
	listener net.Listener
	server   *process
	port     int

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]struct{}
}

func newForward(p *process, port int) (*forward, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the server: %w", err)
	}
	f := &forward{listener: l, server: p, port: port, conns: map[net.Conn]struct{}{}}
	go f.accept()
	return f, nil
}

func (f *forward) address() string { return f.listener.Addr().String() }

func (f *forward) accept() {
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		go f.carry(near)
	}
}

func (f *forward) carry(near net.Conn) {
	defer near.Close()
	var far net.Conn
	err := f.server.within(func() (err error) {
		far, err = net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.port)), 5*time.Second)
		return err
	})
	if err != nil {
		return
	}
	defer far.Close()
	if !f.keep(near, far) {
		return
	}
	defer f.forget(near, far)
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
}

func (f *forward) keep(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		if !f.shut {
			f.conns[c] = struct{}{}
		}
	}
	return !f.shut
}

func (f *forward) forget(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.conns, c)
	}
}

func (f *forward) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = true
	for c := range f.conns {
		_ = c.Close()
	}
}

func (f *forward) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = false
}
