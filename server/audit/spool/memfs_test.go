package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// memFS is a file system in memory that knows what a kernel would: what a process wrote, and what of it would survive a
// loss of power. Its calls can be made to fail. After a failed fsync the bytes that it was about stay readable and are
// never written to disk any more, whatever later fsyncs say: that is how Linux does it.
type memFS struct {
	mu      sync.Mutex
	names   map[string]*memInode // as processes see them
	durable map[string]*memInode // as they are after a loss of power
	locked  map[string]bool
	calls   int
	fault   func(call int, op, name string) error // nil: none; errShort: half a write without an error
}

// memInode is the content of a file: page cache and disk.
type memInode struct {
	data, disk []byte
	lost       bool // an fsync failed
}

var errShort = errors.New("short")

func newMemFS() *memFS {
	return &memFS{names: map[string]*memInode{}, durable: map[string]*memInode{}, locked: map[string]bool{}}
}

// afterCrash is what the next process finds when this one is killed now, or, with power, when the machine is.
func (m *memFS) afterCrash(power bool) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := newMemFS()
	from := m.names
	if power {
		from = m.durable
	}
	for name, f := range from {
		content := f.data
		if power {
			content = f.disk
		}
		n.names[name] = &memInode{data: bytes.Clone(content), disk: bytes.Clone(content)}
		n.durable[name] = n.names[name]
	}
	return n
}

// call counts and fails as told. mu is held.
func (m *memFS) call(op, name string) error {
	m.calls++
	if m.fault == nil {
		return nil
	}
	if err := m.fault(m.calls, op, filepath.Base(name)); err != nil {
		return fmt.Errorf("%s %s: %w", op, filepath.Base(name), err)
	}
	return nil
}

func (m *memFS) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.call("mkdir", dir)
}

type memLock struct {
	m    *memFS
	name string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locked, l.name)
	return nil
}

func (m *memFS) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("lock", name); err != nil {
		return nil, err
	}
	if m.locked[name] {
		return nil, ErrLocked
	}
	m.locked[name] = true
	return memLock{m, name}, nil
}

func (m *memFS) ReadDir(dir string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("readdir", dir); err != nil {
		return nil, err
	}
	var es []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		es = append(es, fs.FileInfoToDirEntry(memInfo{filepath.Base(name), int64(len(m.names[name].data))}))
	}
	return es, nil
}

func (m *memFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("create", name); err != nil {
		return nil, err
	}
	if m.names[name] != nil {
		return nil, fs.ErrExist
	}
	m.names[name] = &memInode{}
	return &memFile{m, name, m.names[name]}, nil
}

func (m *memFS) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("open", name); err != nil {
		return nil, err
	}
	f := m.names[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{m, name, f}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("rename", to); err != nil {
		return err
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("remove", name); err != nil {
		return err
	}
	if m.names[name] == nil {
		return fs.ErrNotExist
	}
	delete(m.names, name)
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("syncdir", dir); err != nil {
		return err
	}
	m.durable = maps.Clone(m.names)
	return nil
}

type memFile struct {
	m    *memFS
	name string
	f    *memInode
}

func (f *memFile) Write(b []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.m.call("write", f.name)
	switch {
	case errors.Is(err, errShort):
		b, err = b[:len(b)/2], nil
	case errors.Is(err, syscall.ENOSPC):
		b = b[:len(b)/3]
	case err != nil:
		return 0, err
	}
	f.f.data = append(f.f.data, b...)
	return len(b), err
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.call("fsync", f.name); err != nil {
		f.f.lost = true
		return err
	}
	if !f.f.lost {
		f.f.disk = bytes.Clone(f.f.data)
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.call("read", f.name); err != nil {
		return 0, err
	}
	return bytes.NewReader(f.f.data).ReadAt(b, at)
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.call("close", f.name)
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return memInfo{filepath.Base(f.name), int64(len(f.f.data))}, f.m.call("stat", f.name)
}

type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return 0o600 }
func (i memInfo) ModTime() time.Time { return time.Unix(1_800_000_000, 0) }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }
