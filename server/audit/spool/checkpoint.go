package spool

import (
	"errors"
	"fmt"
	"io/fs"
)

// Advance says that everything up to and with a Seq, Batch.Through of a batch that Next returned, is safe elsewhere. It
// is durable when Advance returns; segments that hold nothing later are deleted. After an error the checkpoint is where
// it was, or after a restart where it should have been.
func (l *Log) Advance(to Seq) error {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	if l.ended {
		return ErrClosed
	}
	if l.pos.Less(to) {
		return fmt.Errorf("advance spool: %s has not been read", to)
	}
	if l.checkpoint.Less(to) {
		err := l.storeCheckpoint(to)
		if err != nil && noSpace(err) && l.reserve {
			err = l.storeWithReserve(to)
		}
		if err != nil {
			return fmt.Errorf("advance spool: %w", err)
		}
		l.mu.Lock()
		l.checkpoint = to
		if to.Epoch == l.epoch {
			l.marks.drop(to.N + 1)
		}
		l.mu.Unlock()
	}
	err := l.purge()
	l.keepReserve()
	l.warn()
	if err != nil {
		return fmt.Errorf("advance spool: %w", err)
	}
	return nil
}

// storeCheckpoint replaces the checkpoint's file.
func (l *Log) storeCheckpoint(at Seq) error {
	final := l.path(checkpointName)
	tmp := final + tmpSuffix
	err := l.writeFile(tmp, encodeCheckpoint(l.id, at))
	if err == nil {
		if err = l.fs.Rename(tmp, final); err == nil {
			return l.fs.SyncDir(l.dir)
		}
	}
	_ = l.fs.Remove(tmp) // or the next try does
	return err
}

// storeWithReserve makes the room that a checkpoint needs by giving up the reserve. Nobody may append meanwhile, or the
// room would be gone again, and with it the only way out of a full disk.
func (l *Log) storeWithReserve(at Seq) error {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	if err := l.fs.Remove(l.path(reserveName)); err != nil {
		return err
	}
	l.reserve = false
	return l.storeCheckpoint(at)
}

// reserveBytes is room for a checkpoint and its name on file systems with large blocks.
const reserveBytes = 64 << 10

// keepReserve sees to it that there is a reserve. Without room for it there is none until there is.
func (l *Log) keepReserve() {
	if l.reserve {
		return
	}
	name := l.path(reserveName)
	if err := l.writeFile(name, make([]byte, reserveBytes)); err != nil {
		_ = l.fs.Remove(name)
		return
	}
	l.reserve = true
}

// writeFile writes a new file durably, in place of one of that name that an earlier try may have left.
func (l *Log) writeFile(name string, content []byte) error {
	f, err := l.fs.Create(name)
	if errors.Is(err, fs.ErrExist) {
		if err = l.fs.Remove(name); err == nil {
			f, err = l.fs.Create(name)
		}
	}
	if err != nil {
		return err
	}
	if _, err = writeAll(f, content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// purge deletes the segments that lie behind the checkpoint. readMu is held, or nobody else knows of l.
func (l *Log) purge() error {
	l.mu.Lock()
	var drained []*segment
	for i, s := range l.segs {
		if l.isDrained(i) {
			drained = append(drained, s)
		}
	}
	l.mu.Unlock()
	var errs error
	for _, s := range drained {
		if l.cur != nil && l.cur.seg == s {
			l.dropCursor()
		}
		if err := l.fs.Remove(l.path(s.name.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
			continue
		}
		l.mu.Lock()
		for i := range l.segs {
			if l.segs[i] == s {
				l.segs = append(l.segs[:i:i], l.segs[i+1:]...)
				l.disk -= s.disk
				break
			}
		}
		l.mu.Unlock()
	}
	return errs
}

// isDrained reports whether nothing of segment i has to be read any more. mu is held.
func (l *Log) isDrained(i int) bool {
	s := l.segs[i]
	if s.name.epoch != l.checkpoint.Epoch {
		return s.name.epoch < l.checkpoint.Epoch
	}
	for _, later := range l.segs[i+1:] {
		if later.name.epoch == s.name.epoch && later.name.first <= l.checkpoint.N+1 {
			return true
		}
	}
	// The last one: it goes when it was abandoned and is drained, so that a full disk can recover.
	return s.name.epoch == l.epoch && l.out == nil && l.checkpoint.N >= l.written.seq
}
