package spool

import (
	"context"
	"fmt"
	"runtime"
)

// batch is what one write takes: the frames that were added while the previous write went on. Guarded by Log.mu until
// done is closed.
type batch struct {
	done    chan struct{} // made by the second appender; nil: the first is alone
	orphan  bool          // its first appender gave up waiting to write it; the next to come, or the flusher, does
	settled bool
	err     error
}

// Append keeps record as mode says and returns its number. The bytes are copied. Concurrent appenders share writes and
// fsyncs. ErrFull, ErrFailed and ErrClosed mean that the record is not kept; when ctx ends first, its error means that
// nobody knows.
func (l *Log) Append(ctx context.Context, record []byte, mode Mode) (Seq, error) {
	if len(record) == 0 || len(record) > MaxRecord {
		return Seq{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(record))
	}
	if err := ctx.Err(); err != nil {
		return Seq{}, err
	}
	sum := recordSum(l.seed, record)
	l.mu.Lock()
	for l.pend.end-l.synced.off > pendingBytes && l.admit(len(record)) == nil {
		r := l.askSync()
		l.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return Seq{}, ctx.Err()
		}
		l.mu.Lock()
	}
	if err := l.admit(len(record)); err != nil {
		l.count.refused++
		l.mu.Unlock()
		return Seq{}, err
	}
	seq := Seq{Epoch: l.epoch, N: l.next}
	l.next++
	l.pend.add(sum, seq.N, record)
	if err := l.share(ctx); err != nil { // unlocks
		return Seq{}, err
	}
	if mode == ModeStrict {
		if err := l.awaitSync(ctx, seq.N); err != nil {
			return Seq{}, err
		}
	}
	return seq, nil
}

// admit says whether a record of that size may come. mu is held.
func (l *Log) admit(size int) error {
	switch {
	case l.closed:
		return ErrClosed
	case l.broken != nil && l.cfg.Now().Before(l.retryAt):
		return l.broken
	case l.disk+int64(l.pend.end-l.written.off)+int64(frameHeader+size) > l.cfg.MaxBytes: //nolint:gosec // bounded by pendingBytes
		return fmt.Errorf("%w: limit of %d bytes", ErrFull, l.cfg.MaxBytes)
	}
	return nil
}

// share waits until the frame just added is written: by the first appender of its batch, for all. mu is held, and
// released.
func (l *Log) share(ctx context.Context) error {
	b := l.filling
	switch {
	case b == nil:
		if b = l.spare; b == nil {
			b = new(batch)
		}
		l.filling, l.spare = b, nil
	case b.orphan:
		b.orphan = false
	default:
		if b.done == nil {
			b.done = make(chan struct{})
		}
		done := b.done
		l.mu.Unlock()
		select {
		case <-done:
			return b.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Unlock()

	select {
	case l.role <- struct{}{}:
	case <-ctx.Done():
		l.mu.Lock()
		b.orphan = true
		l.mu.Unlock()
		l.signal()
		return ctx.Err()
	}
	// Who is ready to append now shares this write: without it one core would make one write per record.
	runtime.Gosched()
	l.writeBatch(b)
	<-l.role
	return l.retire(b)
}

// retire returns the result of a written batch, and keeps the batch for use again when nobody else knows of it.
func (l *Log) retire(b *batch) error {
	if b.done != nil {
		return b.err
	}
	err := b.err
	l.mu.Lock()
	*b = batch{}
	l.spare = b
	l.mu.Unlock()
	return err
}

// writeBatch writes b and all that joined it, unless that was done or given up before. The role is held.
func (l *Log) writeBatch(b *batch) {
	l.mu.Lock()
	if b.settled {
		l.mu.Unlock()
		return
	}
	l.filling = nil // who comes now begins the next batch
	from, to := l.written, mark{off: l.pend.end, seq: l.next - 1}
	l.mu.Unlock()

	err := l.put(from, to)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.wrote(to)
		b.settle(nil)
		return
	}
	// Nothing behind the last acknowledged record remains, so that its successor gets the next number. Who joined the
	// next batch meanwhile fails with this one.
	l.count.refused += l.next - 1 - from.seq
	l.pend.truncate(from.off)
	l.next = from.seq + 1
	b.settle(err)
	if next := l.filling; next != nil {
		l.filling = nil
		next.settle(err)
	}
}

// wrote moves the mark of what is acknowledged in ModeSpool. mu is held.
func (l *Log) wrote(to mark) {
	now := l.cfg.Now()
	l.count.appended += to.seq - l.written.seq
	l.marks.add(l.written.seq+1, now)
	l.written = to
	if l.synced == to {
		return
	}
	if l.dirty.IsZero() {
		l.dirty = now
		l.signal()
	} else if to.off-l.synced.off > pendingBytes/2 {
		l.signal()
	}
}

// settle tells all of a batch how it went. mu is held.
func (b *batch) settle(err error) {
	b.settled, b.err = true, err
	if b.done != nil {
		close(b.done)
	}
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
