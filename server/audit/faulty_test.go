package audit_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/verdict-authz/verdict/server/audit/spool"
)

// faultyFS is the machine's file system, some of whose calls fail or hang while a test wants it.
type faultyFS struct {
	create, rename, sync atomic.Bool
	hang                 chan struct{} // what sync waits for
}

var errDisk = errors.New("input/output error")

func (f *faultyFS) MkdirAll(dir string) error               { return os.MkdirAll(dir, 0o700) }
func (f *faultyFS) Lock(string) (io.Closer, error)          { return io.NopCloser(nil), nil }
func (f *faultyFS) ReadDir(d string) ([]fs.DirEntry, error) { return os.ReadDir(d) }
func (f *faultyFS) Remove(name string) error                { return os.Remove(name) }
func (f *faultyFS) SyncDir(string) error                    { return nil }

func (f *faultyFS) Create(name string) (spool.File, error) {
	if f.create.Load() {
		return nil, errDisk
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

func (f *faultyFS) Open(name string) (spool.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Rename fails for checkpoints.
func (f *faultyFS) Rename(from, to string) error {
	if f.rename.Load() && strings.HasSuffix(to, "checkpoint") {
		return errDisk
	}
	return os.Rename(from, to)
}

type faultyFile struct {
	*os.File
	disk *faultyFS
}

func (f *faultyFile) Sync() error {
	if f.disk.sync.Load() {
		<-f.disk.hang
	}
	return nil
}
