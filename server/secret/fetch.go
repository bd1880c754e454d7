package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// MaxSize is the most that a secret may have: 64 KiB, which is what AWS Secrets Manager keeps.
const MaxSize = 64 << 10

// Fetcher reads secrets where they are kept. It is safe for concurrent use. Its errors name the secret and never repeat what
// came back.
type Fetcher interface {
	Fetch(ctx context.Context, ref Ref) (Fetched, error)
}

// Predecessor is a Fetcher that knows the value before the current one. It returns ErrNoPrevious when there is none.
type Predecessor interface {
	FetchPrevious(ctx context.Context, ref Ref) (Value, error)
}

// ErrNoPrevious says that a secret has no value before the current one.
var ErrNoPrevious = errors.New("no previous value")

// Fetched is a secret as it was found.
type Fetched struct {
	Value   Value
	Version string    // as the place names it; "" where it has no versions
	Since   time.Time // when this value came to be; zero: unknown
	Warning string    // for the operator, who gave others more than they need; "" where there is none
}

// Fetchers are those of the stores of secrets. Files and the environment need none.
type Fetchers map[Scheme]Fetcher

// of is the fetcher for ref.
func (f Fetchers) of(ref Ref) (Fetcher, error) {
	switch ref.Scheme {
	case "":
		return nil, errors.New("secret: no reference")
	case File:
		return files{}, nil
	case Env:
		return environment{}, nil
	}
	if f[ref.Scheme] == nil {
		return nil, fmt.Errorf("secret: nothing here reads %s://", ref.Scheme)
	}
	return f[ref.Scheme], nil
}

// environment reads variables.
type environment struct{}

// Fetch implements Fetcher.
func (environment) Fetch(_ context.Context, ref Ref) (Fetched, error) {
	text, ok := os.LookupEnv(ref.Name)
	switch {
	case !ok:
		return Fetched{}, fmt.Errorf("%s: the variable is not set", ref)
	case text == "":
		return Fetched{}, fmt.Errorf("%s: the variable is empty", ref)
	case len(text) > MaxSize:
		return Fetched{}, fmt.Errorf("%s: over %d bytes", ref, MaxSize)
	}
	return Fetched{Value: NewValue([]byte(text))}, nil
}

// files reads files. A line's end at the end of one is no part of the secret.
type files struct{}

// Fetch implements Fetcher.
func (files) Fetch(_ context.Context, ref Ref) (Fetched, error) {
	info, err := os.Stat(ref.Name) // before opening, which would wait for the writer of a pipe
	if err != nil {
		return Fetched{}, fmt.Errorf("%s: %w", ref, cause(err))
	}
	if !info.Mode().IsRegular() {
		return Fetched{}, fmt.Errorf("%s: not a file", ref)
	}
	f, err := os.Open(ref.Name)
	if err != nil {
		return Fetched{}, fmt.Errorf("%s: %w", ref, cause(err))
	}
	defer f.Close()
	content, before, after, err := readAll(f)
	switch {
	case err != nil:
		return Fetched{}, fmt.Errorf("%s: %w", ref, cause(err))
	case len(content) > MaxSize:
		return Fetched{}, fmt.Errorf("%s: over %d bytes", ref, MaxSize)
	case !before.ModTime().Equal(after.ModTime()) || before.Size() != after.Size() || after.Size() != int64(len(content)):
		return Fetched{}, fmt.Errorf("%s: is being written", ref)
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) == 0 {
		return Fetched{}, fmt.Errorf("%s: the file is empty", ref)
	}
	found := Fetched{Value: NewValue(content), Since: after.ModTime()}
	if runtime.GOOS != "windows" && after.Mode().Perm()&0o004 != 0 {
		found.Warning = "everyone on this machine may read the file"
	}
	return found, nil
}

// readAll reads f and looks at it before and after.
func readAll(f *os.File) (content []byte, before, after os.FileInfo, err error) {
	if before, err = f.Stat(); err != nil {
		return nil, nil, nil, err
	}
	if content, err = io.ReadAll(io.LimitReader(f, MaxSize+1)); err != nil {
		return nil, nil, nil, err
	}
	after, err = f.Stat()
	return content, before, after, err
}

// cause is err without the path, which the reference has already said.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
