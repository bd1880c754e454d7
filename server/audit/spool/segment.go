package spool

import (
	"errors"
	"fmt"
)

// put writes the frames between two marks, the batch of the caller, to the current segment, or to a new one when that
// is full, failed, or not there. The role is held.
func (l *Log) put(from, to mark) error {
	l.mu.Lock()
	out := l.out
	if out == nil {
		l.mu.Unlock()
		return l.replace(to)
	}
	seg := l.segs[len(l.segs)-1]
	l.bufs = l.pend.slices(l.bufs[:0], from.off, to.off)
	l.mu.Unlock()

	if seg.disk > segmentHeader && seg.disk+int64(to.off-from.off) > l.cfg.SegmentBytes { //nolint:gosec // bounded by pendingBytes
		var err error
		if out, seg, err = l.rotate(from.seq + 1); err != nil {
			return l.failover("segment not created", err, to)
		}
	}
	var written int64
	var err error
	for _, b := range l.bufs {
		var n int
		n, err = writeAll(out, b)
		if written += int64(n); err != nil {
			break
		}
	}
	l.mu.Lock()
	seg.disk += written
	l.disk += written
	if err == nil {
		seg.size = seg.disk
	}
	l.mu.Unlock()
	if err != nil {
		return l.failover("write failed", err, to)
	}
	return nil
}

// rotate begins the next segment and leaves the fsync of both to the flusher. The role is held.
func (l *Log) rotate(first uint64) (File, *segment, error) {
	name := l.nextName(first)
	out, seg, err := l.create(name, nil, false)
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = append(l.retired, l.out)
	l.newName = true
	l.adopt(out, seg)
	if len(l.retired) > maxRetired {
		l.signal()
	}
	return out, seg, nil
}

// maxRetired is how many full segments may wait for their fsync before it is due at once.
const maxRetired = 4

// failover abandons the current segment, and those that wait for their fsync, after an error of a write or an fsync, and
// writes again to a new one what is not known to be on disk, up to the mark to. The role is held.
func (l *Log) failover(what string, cause error, to mark) error {
	l.log.Error("spool segment abandoned", "what", what, "error", cause)
	l.syncMu.Lock() // an fsync that goes on may still fail
	l.mu.Lock()
	files, tainted, target := append(l.retired, l.out), l.tainted, l.written
	l.retired, l.out, l.tainted = nil, nil, false
	l.mu.Unlock()
	// Where there was no room for more, what was there is sound, and its first and only fsync saves writing it again to a
	// disk that has no room. After any other error what the files say about themselves is not believed.
	if !tainted && noSpace(cause) && l.fsync(files, true) == nil {
		l.mu.Lock()
		l.settleSync(target)
		l.mu.Unlock()
	}
	l.syncMu.Unlock()
	for _, f := range files {
		f.Close()
	}
	return l.replace(to)
}

// replace creates a segment that holds, durably, everything that is not yet known to be on disk up to the mark to. It
// becomes visible only when it is complete, so that a reader may prefer it to what it repeats. When that fails nothing
// has changed, and the disk is left alone for Config.Retry. The role is held and there is no current segment.
func (l *Log) replace(to mark) error {
	l.mu.Lock()
	if l.broken != nil && l.cfg.Now().Before(l.retryAt) && !l.closed {
		err := l.broken
		l.mu.Unlock()
		return err
	}
	from := l.synced
	bufs := l.pend.slices(nil, from.off, to.off)
	l.mu.Unlock()

	out, seg, err := l.create(l.nextName(from.seq+1), bufs, true)

	l.mu.Lock()
	was := l.broken
	if err != nil {
		err = refusal(err)
		l.broken, l.retryAt = err, l.cfg.Now().Add(l.cfg.Retry)
		l.count.writeFailures++
	} else {
		l.broken = nil
		l.adopt(out, seg)
		l.settleSync(to)
	}
	l.mu.Unlock()
	switch {
	case err != nil && was == nil:
		l.log.Error("spool refuses records", "error", err)
	case err == nil && was != nil:
		l.log.Info("spool works again")
	}
	return err
}

// nextName names the segment that begins with the record first.
func (l *Log) nextName(first uint64) segmentName {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := segmentName{epoch: l.epoch, ordinal: l.ordinal, first: first}
	l.ordinal++
	return n
}

// adopt makes a created segment the current one. mu is held.
func (l *Log) adopt(out File, seg *segment) {
	l.out = out
	l.segs = append(l.segs, seg)
	l.disk += seg.disk
}

// create makes a segment of the frames in bufs. It gets its name when it is complete; what fails leaves nothing behind.
func (l *Log) create(name segmentName, bufs [][]byte, durable bool) (File, *segment, error) {
	final := l.path(name.String())
	tmp := final + tmpSuffix
	f, err := l.fs.Create(tmp)
	if err != nil {
		return nil, nil, err
	}
	seg := &segment{name: name, created: l.cfg.Now().UTC()}
	err = func() error {
		for _, b := range append([][]byte{encodeSegmentHeader(l.id, name, seg.created)}, bufs...) {
			n, err := writeAll(f, b)
			if err != nil {
				return err
			}
			seg.disk += int64(n)
		}
		if durable {
			if err := f.Sync(); err != nil {
				return l.fsyncFailed(err)
			}
		}
		if err := l.fs.Rename(tmp, final); err != nil {
			return err
		}
		if durable {
			if err := l.fs.SyncDir(l.dir); err != nil {
				return l.fsyncFailed(err)
			}
		}
		return nil
	}()
	if err != nil {
		f.Close()
		// What stays behind when this fails too is superseded by the next segment, which begins with the same record.
		_ = errors.Join(l.fs.Remove(tmp), l.fs.Remove(final))
		return nil, nil, fmt.Errorf("segment %s: %w", name, err)
	}
	seg.size = seg.disk
	return f, seg, nil
}
