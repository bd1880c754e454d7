package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// recover completes the files that were left open: each is cut behind its last whole frame.
func (s *Sink) recover() error {
	left, err := filepath.Glob(filepath.Join(escape(s.cfg.Dir), "audit-*"+ending+open))
	if err != nil || len(left) == 0 {
		return err
	}
	f, err := newFrames()
	if err != nil {
		return fmt.Errorf("export to files: %w", err)
	}
	defer f.decoder.Close()
	for _, name := range left { // sorted, oldest first
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("export to files: %w", err)
		}
		if err := publish(name, strings.TrimSuffix(name, open), int64(f.whole(content))); err != nil {
			return fmt.Errorf("export to files: %w", err)
		}
	}
	return nil
}

// escape keeps what Glob reads as a pattern from being one.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// publish cuts the file to its size and gives it its name, all of it on the disk. A file without content goes.
func publish(from, to string, size int64) error {
	if size == 0 {
		if err := os.Remove(from); err != nil {
			return err
		}
		return syncDir(filepath.Dir(from))
	}
	if err := cut(from, size); err != nil {
		return err
	}
	if there, err := exists(to); err != nil {
		return err
	} else if there {
		return fmt.Errorf("%s: there is a file of that name: %w", filepath.Base(to), os.ErrExist)
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func cut(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = f.Truncate(size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
