package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// recover reads what earlier processes left in the directory.
func (l *Log) recover() error {
	if err := l.list(); err != nil {
		return err
	}
	known, kept, err := l.loadCheckpoint()
	if err != nil {
		return err
	}
	if known, err = l.identify(known); err != nil {
		return err
	}
	fresh := !known
	if fresh {
		l.id = newIdentity()
	}
	if !kept {
		if n := len(l.segs); n > 0 {
			first := l.segs[0].name
			l.checkpoint = Seq{Epoch: first.epoch, N: first.first - 1}
			l.log.Error("spool checkpoint lost, reading again from the oldest segment", "segments", n, "identity_lost", fresh)
		}
		if err := l.storeCheckpoint(l.checkpoint); err != nil {
			if fresh {
				return fmt.Errorf("write checkpoint: %w", err)
			}
			l.log.Warn("spool checkpoint not written", "error", err)
		}
	}
	l.pos = l.checkpoint
	l.epoch = l.checkpoint.Epoch
	if n := len(l.segs); n > 0 {
		l.epoch = max(l.epoch, l.segs[n-1].name.epoch)
	}
	l.epoch++
	l.seed = l.id.seed(l.epoch)
	if err := l.purge(); err != nil {
		l.log.Warn("spool segments not deleted", "error", err)
	}
	l.keepReserve()
	return l.checkTail()
}

// list finds the segments, and removes what was never completed.
func (l *Log) list() error {
	entries, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == reserveName {
			l.reserve = true
		}
		if strings.HasSuffix(name, tmpSuffix) {
			if err := l.fs.Remove(l.path(name)); err != nil {
				l.log.Warn("spool leftover not deleted", "file", name, "error", err)
			}
			continue
		}
		n, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		l.segs = append(l.segs, &segment{name: n, created: info.ModTime().UTC(), size: info.Size(), disk: info.Size()})
		l.disk += info.Size()
	}
	return nil
}

// loadCheckpoint reads the checkpoint; known and kept are false when there is none that is whole.
func (l *Log) loadCheckpoint() (known, kept bool, err error) {
	f, err := l.fs.Open(l.path(checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	defer f.Close()
	b := make([]byte, checkpointLength+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, false, err
	}
	id, at, ok := decodeCheckpoint(b[:n])
	if !ok {
		l.log.Error("spool checkpoint damaged")
		return false, false, nil
	}
	l.id, l.checkpoint = id, at
	return true, true, nil
}

// identify reads the headers of the segments. They name the spool when the checkpoint does not; one that names another
// is refused, since its records would be counted as ours.
func (l *Log) identify(known bool) (bool, error) {
	for _, s := range l.segs {
		f, err := l.fs.Open(l.path(s.name.String()))
		if err != nil {
			return false, err
		}
		b := make([]byte, segmentHeader)
		n, err := f.ReadAt(b, 0)
		f.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read %s: %w", s.name, err)
		}
		id, created, ok := decodeSegmentHeader(b[:n], s.name)
		switch {
		case !ok:
			// Its name says what is needed to read it.
			l.log.Error("spool segment header damaged", "segment", s.name.String())
			continue
		case known && id != l.id:
			return false, fmt.Errorf("%w: %s", ErrForeign, s.name)
		}
		l.id, known, s.created = id, true, created
	}
	return known, nil
}

// checkTail says what a crash left at the end of the last segment. Next cuts it off: a new epoch writes to new segments,
// so that the bytes may stay where they are until everything before them is drained.
func (l *Log) checkTail() error {
	if len(l.segs) == 0 {
		return nil
	}
	s := l.segs[len(l.segs)-1]
	f, err := l.fs.Open(l.path(s.name.String()))
	if err != nil {
		return err
	}
	defer f.Close()
	w := newWalker(f, l.id.seed(s.name.epoch), s.name.first, s.size)
	for {
		fr, damaged, err := w.next()
		switch {
		case errors.Is(err, io.EOF) && damaged > 0:
			l.log.Warn("spool tail torn, cut", "segment", s.name.String(), "bytes", damaged, "last", w.want-1)
			return nil
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			l.log.Error("spool tail unreadable", "segment", s.name.String(), "error", err)
			return nil
		case damaged > 0:
			l.log.Error("spool segment damaged", "segment", s.name.String(), "bytes", damaged, "before", fr.seq)
		}
		if len(fr.data) == 0 {
			return nil // sealed
		}
	}
}
