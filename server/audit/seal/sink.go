package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/verdict-authz/verdict/store"
)

// Sink keeps copies of digests where the owner of the database cannot rewrite them.
type Sink interface {
	// Name tells the sink from others, such as s3://bucket/prefix. It holds no secret.
	Name() string
	// Put keeps content under a name for good. Putting the same again does nothing; ErrContradicts when there is something
	// else under that name, which stays.
	Put(ctx context.Context, name string, content []byte) error
}

// ErrContradicts says that a copy with other content is there already.
var ErrContradicts = errors.New("the copy that is there says something else")

// Folder keeps copies as files: complete or not there, and never written over.
type Folder struct{ dir string }

// NewFolder returns the folder at dir, and makes it (mode 0700) when it is not there.
func NewFolder(dir string) (*Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of digests: %w", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("folder of digests: %w", err)
	}
	return &Folder{dir: abs}, nil
}

// OpenFolder returns the folder at dir, which is there.
func OpenFolder(dir string) (*Folder, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of digests: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("folder of digests: %s is not a folder", dir)
	}
	return &Folder{dir: dir}, nil
}

// Name implements Sink.
func (f *Folder) Name() string { return "file:" + f.dir }

// Put implements Sink.
func (f *Folder) Put(_ context.Context, name string, content []byte) error {
	to := filepath.Join(f.dir, name)
	same, err := holds(to, content)
	if err != nil || same {
		return err
	}
	temp, err := os.CreateTemp(f.dir, ".digest-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // what is left has another name and harms nobody
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// A link, unlike a rename, never takes the place of what is there.
	if err := os.Link(temp.Name(), to); err != nil {
		if same, holdsErr := holds(to, content); same || holdsErr != nil {
			return holdsErr
		}
		return fmt.Errorf("write %s: %w", name, err)
	}
	return syncDir(f.dir)
}

// holds says whether the file has this content; ErrContradicts when it has another.
func holds(file string, content []byte) (bool, error) {
	there, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read a copy: %w", err)
	case !bytes.Equal(there, content):
		return false, fmt.Errorf("%s: %w", filepath.Base(file), ErrContradicts)
	}
	return true, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Numbers implements Copies: in ascending order, of the files that are named as copies are.
func (f *Folder) Numbers(context.Context) ([]uint64, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("folder of digests: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), "digest-%d.json", &n); err == nil && e.Name() == FileName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Copy implements Copies.
func (f *Folder) Copy(_ context.Context, number uint64) (store.Digest, error) {
	content, err := os.ReadFile(filepath.Join(f.dir, FileName(number)))
	if errors.Is(err, fs.ErrNotExist) {
		return store.Digest{}, fmt.Errorf("copy of digest %d: %w", number, store.ErrNotFound)
	}
	if err != nil {
		return store.Digest{}, fmt.Errorf("copy of digest %d: %w", number, err)
	}
	d, err := Decode(content)
	if err != nil || d.Number != number {
		return store.Digest{}, fmt.Errorf("copy of digest %d: %w", number, ErrContradicts)
	}
	return d, nil
}
