package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/store"
)

const (
	ending = ".jsonl.zst"
	open   = ".open"
	lock   = ".lock"
	// layout is of the time in a name: it sorts as it passes.
	layout = "20060102T150405.000000Z"
)

// Config tunes a Sink. Dir must be given; of the others the zero value is usable.
type Config struct {
	Dir   string           // folder; made (mode 0700) when it is not there
	Shape export.Shape     // of the lines
	Bytes int64            // a file is complete when this much was written to it, before packing; 0 means 64 MiB
	Age   time.Duration    // or when it is this old; 0 means 15m
	Now   func() time.Time // nil means time.Now
}

// Sink is an export.Sink and an export.Tender.
type Sink struct {
	cfg    Config
	packer *zstd.Encoder

	lock io.Closer // on the folder; nil: this process does not write
	file *file     // being written; nil: none
	line []byte
	pack []byte
}

// file is a file that is being written.
type file struct {
	*os.File
	name   string // when it is complete
	opened time.Time
	plain  int64 // bytes before packing
	size   int64 // bytes on the disk for certain
}

var (
	_ export.Sink   = (*Sink)(nil)
	_ export.Tender = (*Sink)(nil)
)

// New returns a sink that writes into cfg.Dir. It writes nothing before the first Send; processes that share a folder take
// turns.
func New(cfg Config) (*Sink, error) {
	if cfg.Dir == "" {
		return nil, errors.New("export to files: a folder is needed")
	}
	if cfg.Bytes < 0 || cfg.Age < 0 {
		return nil, errors.New("export to files: negative")
	}
	if cfg.Shape > export.OCSF {
		return nil, errors.New("export to files: shape is neither native nor ocsf")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("export to files: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("export to files: %w", err)
	}
	cfg.Dir = dir
	if cfg.Bytes == 0 {
		cfg.Bytes = 64 << 20
	}
	if cfg.Age == 0 {
		cfg.Age = 15 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("export to files: %w", err)
	}
	return &Sink{cfg: cfg, packer: packer}, nil
}

// Send implements export.Sink: ds are on the disk when it returns nil.
func (s *Sink) Send(_ context.Context, ds []store.Decision) (err error) {
	if len(ds) == 0 {
		return nil
	}
	if s.line, err = s.lines(s.line[:0], ds); err != nil {
		return fmt.Errorf("%w: %w", err, export.ErrRefused)
	}
	if err := s.take(); err != nil {
		return err
	}
	if s.file != nil && s.old() {
		if err := s.complete(); err != nil {
			return err
		}
	}
	if s.file == nil {
		if s.file, err = s.begin(ds[0].At); err != nil {
			return err
		}
	}
	s.pack = s.packer.EncodeAll(s.line, s.pack[:0])
	if err := s.file.append(s.pack); err != nil {
		return errors.Join(err, s.abandon())
	}
	s.file.plain += int64(len(s.line))
	if s.file.plain < s.cfg.Bytes {
		return nil
	}
	return s.complete()
}

func (s *Sink) lines(b []byte, ds []store.Decision) (_ []byte, err error) {
	for i := range ds {
		if b, err = s.cfg.Shape.Append(b, &ds[i]); err != nil {
			return b, err
		}
		b = append(b, '\n')
	}
	return b, nil
}

func (s *Sink) old() bool {
	age := s.cfg.Now().Sub(s.file.opened)
	return age < 0 || age >= s.cfg.Age // a clock that was set back says nothing
}

// Tend implements export.Tender: it completes a file that is old enough, and all when another process may write.
func (s *Sink) Tend(_ context.Context, holding bool) error {
	switch {
	case !holding:
		return s.Close()
	case s.file != nil && s.old():
		return s.complete()
	}
	return nil
}

// Close completes the file and lets go of the folder. What comes after it begins anew.
func (s *Sink) Close() error {
	var err error
	if s.file != nil {
		err = s.complete()
	}
	if s.lock != nil && err == nil {
		err = s.lock.Close()
		s.lock = nil
	}
	return err
}

// take locks the folder and completes what whoever wrote before has left open.
func (s *Sink) take() error {
	if s.lock != nil {
		return nil
	}
	l, err := lockFile(filepath.Join(s.cfg.Dir, lock))
	if err != nil {
		return fmt.Errorf("export to files: %w", err)
	}
	if err := s.recover(); err != nil {
		return errors.Join(err, l.Close())
	}
	s.lock = l
	return nil
}

// begin makes a file for records from at on.
func (s *Sink) begin(at time.Time) (*file, error) {
	for n := 0; ; n++ {
		name := filepath.Join(s.cfg.Dir, fmt.Sprintf("audit-%s-%d%s", at.UTC().Format(layout), n, ending))
		if there, err := exists(name); err != nil {
			return nil, fmt.Errorf("export to files: %w", err)
		} else if there {
			continue
		}
		f, err := os.OpenFile(name+open, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("export to files: %w", err)
		}
		if err := syncDir(s.cfg.Dir); err != nil {
			return nil, errors.Join(fmt.Errorf("export to files: %w", err), f.Close(), os.Remove(f.Name()))
		}
		return &file{File: f, name: name, opened: s.cfg.Now()}, nil
	}
}

// append writes b and waits until it is on the disk.
func (f *file) append(b []byte) error {
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("export to files: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("export to files: %w", err)
	}
	f.size += int64(len(b))
	return nil
}

// complete gives the file its name. When that fails it stays open on the disk, and the next Send finds it there.
func (s *Sink) complete() error {
	f := s.file
	s.file = nil
	err := f.Close()
	if err == nil {
		err = publish(f.Name(), f.name, f.size)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("export to files: %w", err), s.letGo())
	}
	return nil
}

// abandon is for a file that could not be written: after a failed sync nobody knows what of it is on the disk, and a second
// one may say that all is well. What was there before is kept; what follows goes into another file.
func (s *Sink) abandon() error {
	f := s.file
	s.file = nil
	return errors.Join(f.Truncate(f.size), f.Close(), s.letGo())
}

// letGo unlocks the folder, so that taking it again recovers what is left in it.
func (s *Sink) letGo() error {
	l := s.lock
	s.lock = nil
	return l.Close()
}

func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
