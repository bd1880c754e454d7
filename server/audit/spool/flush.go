package spool

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// syncRound is the appenders that one fsync answers: those who asked before it began.
type syncRound struct {
	done   chan struct{}
	err    error     // set before done is closed
	n      int       // how many wait
	since  time.Time // the first of them
	urgent bool      // without waiting for others
}

func newSyncRound() *syncRound { return &syncRound{done: make(chan struct{})} }

// awaitSync waits until record seq, which is written, is known to be on disk.
func (l *Log) awaitSync(ctx context.Context, seq uint64) error {
	l.mu.Lock()
	if l.synced.seq >= seq {
		l.mu.Unlock()
		return nil
	}
	if l.stopped {
		l.count.refused++
		l.mu.Unlock()
		return ErrClosed
	}
	r := l.round
	l.join(r)
	l.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.err != nil {
		l.mu.Lock()
		l.count.refused++
		l.mu.Unlock()
	}
	return r.err
}

// askSync has an fsync begin at once. mu is held.
func (l *Log) askSync() *syncRound {
	r := l.round
	r.urgent = true
	l.join(r)
	l.signal()
	return r
}

// join adds an appender to the round. mu is held.
func (l *Log) join(r *syncRound) {
	r.n++
	if r.n == 1 {
		r.since = l.cfg.Now()
	}
	if r.n == 1 || r.n == l.cfg.GroupMax {
		l.signal()
	}
}

// flush is the goroutine that makes fsyncs, until quit. It also tries again what failed, and writes what its appender
// gave up waiting to write.
func (l *Log) flush() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.quit:
			l.sync()
			l.mu.Lock()
			l.stopped = true
			last := l.round
			last.err = ErrClosed
			if l.synced.seq >= l.written.seq {
				last.err = nil
			}
			l.mu.Unlock()
			close(last.done)
			return
		}
		wait, some := l.due()
		for some && wait <= 0 {
			l.sync()
			l.warn()
			wait, some = l.due()
		}
		if some {
			timer.Reset(wait)
		}
	}
}

// due says how long the next fsync may wait; false when there is nothing to do.
func (l *Log) due() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	r := l.round
	switch {
	case l.filling != nil && l.filling.orphan:
		return 0, true
	case r.n > 0 && (l.broken != nil || l.synced.seq >= l.written.seq):
		return 0, true // their answer is known
	case l.broken != nil:
		return l.retryAt.Sub(now), l.written.seq > l.synced.seq
	case l.dirty.IsZero():
		return 0, false
	case r.urgent, r.n >= l.cfg.GroupMax, l.written.off-l.synced.off > pendingBytes/2, len(l.retired) > maxRetired:
		return 0, true
	}
	at := l.dirty.Add(l.cfg.FlushEvery)
	if group := r.since.Add(l.cfg.GroupWait); r.n > 0 && group.Before(at) {
		at = group
	}
	return at.Sub(now), true
}

// sync makes one fsync for all who wait and tells them how it went.
func (l *Log) sync() {
	l.mu.Lock()
	r := l.round
	l.round = newSyncRound()
	orphan := l.filling
	if orphan != nil && !orphan.orphan {
		orphan = nil
	}
	l.mu.Unlock()
	if orphan != nil {
		l.role <- struct{}{}
		l.writeBatch(orphan)
		<-l.role
	}
	r.err = l.syncWritten()
	close(r.done)
}

// syncWritten makes durable what is written when it is called.
func (l *Log) syncWritten() error {
	l.syncMu.Lock()
	l.mu.Lock()
	target := l.written
	if l.synced.off >= target.off {
		l.mu.Unlock()
		l.syncMu.Unlock()
		return nil
	}
	if l.out == nil {
		l.mu.Unlock()
		l.syncMu.Unlock()
		return l.replaceFor(target)
	}
	full := len(l.retired)
	files := append(slices.Clone(l.retired), l.out)
	names := l.newName
	l.newName, l.dirty = false, time.Time{}
	l.mu.Unlock()

	err := l.fsync(files, names)

	l.mu.Lock()
	if err != nil {
		l.tainted = true
	} else {
		l.retired = slices.Delete(l.retired, 0, full)
		l.settleSync(target)
	}
	l.mu.Unlock()
	l.syncMu.Unlock()
	if err != nil {
		return l.abandon(err, target)
	}
	for _, f := range files[:full] {
		f.Close()
	}
	return nil
}

// abandon replaces the segment whose fsync failed, unless a writer that failed too did so already.
func (l *Log) abandon(cause error, target mark) error {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	l.mu.Lock()
	tainted, to := l.tainted, l.written
	done, broken := l.synced.seq >= target.seq, l.broken
	l.mu.Unlock()
	switch {
	case tainted:
		return l.failover("fsync failed", cause, to)
	case done:
		return nil
	case broken != nil:
		return broken
	}
	return refusal(cause)
}

// replaceFor tries again to write what a failure left in memory.
func (l *Log) replaceFor(target mark) error {
	l.role <- struct{}{}
	defer func() { <-l.role }()
	l.mu.Lock()
	gone, to, done := l.out == nil, l.written, l.synced.seq >= target.seq
	l.mu.Unlock()
	switch {
	case done:
		return nil
	case gone:
		return l.replace(to)
	}
	return ErrFailed
}

// fsync asks the kernel once per file, oldest first, and for the directory when names changed. syncMu is held.
func (l *Log) fsync(files []File, names bool) error {
	begin := l.cfg.Now()
	for _, f := range files {
		if err := f.Sync(); err != nil {
			return l.fsyncFailed(err)
		}
	}
	if names {
		if err := l.fs.SyncDir(l.dir); err != nil {
			return l.fsyncFailed(err)
		}
	}
	end := l.cfg.Now()
	l.mu.Lock()
	l.count.lastSync, l.count.lastSyncTook = end.UTC(), end.Sub(begin)
	l.mu.Unlock()
	return nil
}

func (l *Log) fsyncFailed(err error) error {
	l.mu.Lock()
	l.count.fsyncFailures++
	l.mu.Unlock()
	return fmt.Errorf("fsync: %w", err)
}

// settleSync moves the mark of what is known to be on disk. mu is held.
func (l *Log) settleSync(to mark) {
	if to.off <= l.synced.off {
		return
	}
	l.synced = to
	l.pend.release(to.off)
	if l.written.off <= to.off {
		l.dirty = time.Time{}
	}
	if l.round.n > 0 {
		l.signal() // the flusher tells those who wait
	}
}
