// Package archive keeps a day of decision records in a file of its own, for when the day leaves the store: JSON lines, packed
// with zstd, and beside it a manifest that says what must be in it. A file is complete or not there, and is never written
// over. Open with any zstd; each line is a verdict.v1.DecisionRecord.
package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/store"
)

// Endings of the two files of an archive.
const (
	recordsEnding  = ".jsonl.zst"
	manifestEnding = ".json"
)

// ErrDamaged says that an archive is not what its manifest says.
var ErrDamaged = errors.New("the archive is not what was written")

// Manifest says what is in an archive.
type Manifest struct {
	Name    string    `json:"name"`
	Records uint64    `json:"records"`
	First   time.Time `json:"first"` // of the records; zero without any
	Last    time.Time `json:"last"`
	// Leaves is SHA-256 over the leaves of the records (server/audit/seal) in their order, hexadecimal: with it the file is proven
	// to hold what the store held.
	Leaves string `json:"leaves_sha256"`
	File   string `json:"file_sha256"` // of the packed file, hexadecimal
	Bytes  int64  `json:"file_bytes"`
}

// tally is what is counted of records as they go by.
type tally struct {
	m      Manifest
	leaves hash.Hash
}

func newTally(name string) *tally { return &tally{m: Manifest{Name: name}, leaves: sha256.New()} }

func (t *tally) add(d *store.Decision) {
	if t.m.Records == 0 {
		t.m.First = d.At
	}
	t.m.Last = d.At
	t.m.Records++
	leaf := seal.Leaf(d)
	t.leaves.Write(leaf[:])
}

func (t *tally) done() Manifest {
	t.m.Leaves = hex.EncodeToString(t.leaves.Sum(nil))
	return t.m
}

// Write makes the archive called name in dir of what records yields, and reads it back before it counts as written. An archive
// of that name that is there is checked against records and left as it is: writing again after a crash is safe.
func Write(dir, name string, records iter.Seq2[store.Decision, error]) (Manifest, error) {
	have, err := load(dir, name)
	switch {
	case err == nil:
		return have, agree(dir, name, have, records)
	case !errors.Is(err, fs.ErrNotExist):
		return Manifest{}, err
	}
	want, err := writeRecords(filepath.Join(dir, name+recordsEnding), newTally(name), records)
	if err != nil {
		return Manifest{}, fmt.Errorf("archive %s: %w", name, err)
	}
	if err := Check(dir, want); err != nil {
		return Manifest{}, err
	}
	text, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		return Manifest{}, err
	}
	// The manifest comes last: an archive with one is whole.
	if err := place(filepath.Join(dir, name+manifestEnding), func(f io.Writer) error { _, err := f.Write(append(text, '\n')); return err }); err != nil {
		return Manifest{}, fmt.Errorf("archive %s: %w", name, err)
	}
	return want, nil
}

// load reads a manifest. fs.ErrNotExist when there is none.
func load(dir, name string) (Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+manifestEnding))
	if err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Name != name {
		return Manifest{}, fmt.Errorf("%s%s: no manifest of this archive: %w", name, manifestEnding, ErrDamaged)
	}
	return m, nil
}

// agree says whether an archive that is there holds what records yields.
func agree(dir, name string, have Manifest, records iter.Seq2[store.Decision, error]) error {
	t := newTally(name)
	for d, err := range records {
		if err != nil {
			return err
		}
		t.add(&d)
	}
	if want := t.done(); want.Leaves != have.Leaves || want.Records != have.Records {
		return fmt.Errorf("archive %s: one with %d other records is there already; move it away: %w", name, have.Records, ErrDamaged)
	}
	return Check(dir, have)
}

func writeRecords(path string, t *tally, records iter.Seq2[store.Decision, error]) (Manifest, error) {
	sum, size := sha256.New(), int64(0)
	err := place(path, func(f io.Writer) error {
		counted := writerFunc(func(b []byte) (int, error) {
			n, err := f.Write(b)
			sum.Write(b[:n])
			size += int64(n)
			return n, err
		})
		packed, err := zstd.NewWriter(counted)
		if err != nil {
			return err
		}
		var line []byte
		for d, err := range records {
			if err != nil {
				return errors.Join(err, packed.Close())
			}
			if line, err = shape.AppendJSON(line[:0], &d); err != nil {
				return errors.Join(err, packed.Close())
			}
			if _, err := packed.Write(append(line, '\n')); err != nil {
				return errors.Join(err, packed.Close())
			}
			t.add(&d)
		}
		return packed.Close()
	})
	m := t.done()
	m.File, m.Bytes = hex.EncodeToString(sum.Sum(nil)), size
	return m, err
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// place writes a file beside its place, to disk, and then moves it there.
func place(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".unfinished-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Check reads the archive from the disk and says whether it is what its manifest says: the file byte by byte, and its records
// by their leaves. ErrDamaged when it is not.
func Check(dir string, want Manifest) error {
	t, sum, size := newTally(want.Name), sha256.New(), int64(0)
	err := read(filepath.Join(dir, want.Name+recordsEnding), func(f io.Reader) io.Reader {
		return io.TeeReader(f, writerFunc(func(b []byte) (int, error) { size += int64(len(b)); return sum.Write(b) }))
	}, func(d *store.Decision) bool { t.add(d); return true })
	if err != nil {
		return fmt.Errorf("archive %s: %w: %w", want.Name, ErrDamaged, err)
	}
	got := t.done()
	got.File, got.Bytes = hex.EncodeToString(sum.Sum(nil)), size
	if got.Leaves != want.Leaves || got.Records != want.Records || got.File != want.File || got.Bytes != want.Bytes {
		return fmt.Errorf("archive %s: %d records in %d bytes, want %d in %d: %w", want.Name, got.Records, got.Bytes, want.Records, want.Bytes, ErrDamaged)
	}
	return nil
}

// Records yields the records of an archive, oldest first. An error ends it.
func Records(dir, name string) iter.Seq2[store.Decision, error] {
	return func(yield func(store.Decision, error) bool) {
		more := true
		err := read(filepath.Join(dir, name+recordsEnding), func(f io.Reader) io.Reader { return f }, func(d *store.Decision) bool {
			more = yield(*d, nil)
			return more
		})
		if err != nil && more {
			yield(store.Decision{}, fmt.Errorf("archive %s: %w", name, err))
		}
	}
}

// maxLine is the longest line that is read: a record is at most 1 MiB, and JSON may escape it sixfold.
const maxLine = 8 << 20

func read(path string, through func(io.Reader) io.Reader, do func(*store.Decision) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	source := through(f)
	unpacked, err := zstd.NewReader(source, zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		d, err := shape.ParseJSON(bytes.TrimSpace(lines.Bytes()))
		if err != nil {
			return err
		}
		if !do(&d) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, source) // what follows the last frame counts too
	return err
}
