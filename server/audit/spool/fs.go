package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what a Log needs of the file system. Tests make it fail; everyone else leaves it nil.
type FS interface {
	MkdirAll(dir string) error                 // mode 0700, durable
	Lock(name string) (io.Closer, error)       // exclusive among processes; ErrLocked when another holds it
	ReadDir(dir string) ([]fs.DirEntry, error) // sorted by name
	Create(name string) (File, error)          // new, for writing, mode 0600; an error when it exists
	Open(name string) (File, error)            // for reading
	Rename(from, to string) error              // replaces to
	Remove(name string) error                  //
	SyncDir(dir string) error                  // makes creations, renames and removals in dir durable
}

// File is what a Log needs of a file; *os.File is one.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Stat() (fs.FileInfo, error)
}

// osFS is the machine's file system.
type osFS struct{}

func (osFS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }
func (osFS) Rename(from, to string) error              { return os.Rename(from, to) } //nolint:gosec // names of our own in the operator's directory
func (osFS) Remove(name string) error                  { return os.Remove(name) }

// MkdirAll makes what it creates durable too: a directory that a loss of power takes away takes its files along.
func (fsys osFS) MkdirAll(dir string) error {
	var created []string
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		created = append(created, d)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range created {
		if err := fsys.SyncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
