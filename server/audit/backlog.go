package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
)

// backlog is the records that wait in a spool: whoever decides adds to it, the Recorder's writer reads on.
type backlog struct {
	spool    *spool.Log
	log      *slog.Logger
	cfg      Config
	commits  *commits
	failed   func(error) // that records cannot be read
	instance string      // of the spool
	epoch    uint64      // of this process

	buffers sync.Pool     // of *[]byte
	wake    chan struct{} // has a token when records were added since the writer last looked
	closing chan struct{} // closed by close
	ended   atomic.Bool   // closing is closed

	// The writer's.
	through spool.Seq // of what was read
	moved   bool      // the checkpoint is behind that
	stays   bool      // the checkpoint could not be moved, and the log says so
	last    reading   // what came of looking the last time
	stuck   error     // why nothing is read any more

	mu    sync.Mutex
	count Stats  // Written and Lost, of what was read
	hand  uint64 // records that were read and are not settled
	read  uint64 // number of the last record of this epoch that was read
}

// reading is what came of looking into the spool.
type reading uint8

const (
	fullBatch  reading = iota // there may be more
	shortBatch                // what there was
	nothing
)

// bufferLimit is the capacity from which on an encoding buffer is not kept for the next record.
const bufferLimit = 64 << 10

func newBacklog(sp *spool.Log, log *slog.Logger, cfg Config, waiting *commits, failed func(error)) *backlog {
	b := &backlog{
		spool: sp, log: log, cfg: cfg, commits: waiting, failed: failed, instance: sp.Instance().String(), epoch: sp.Status().Epoch,
		wake: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	b.buffers.New = func() any { return new([]byte) }
	return b
}

// add keeps d in the spool as mode says, or says why it cannot.
func (b *backlog) add(ctx context.Context, d *store.Decision, mode spool.Mode) error {
	if b.ended.Load() {
		return ErrClosed
	}
	buf := b.buffers.Get().(*[]byte)
	*buf = appendDecision((*buf)[:0], d)
	_, err := b.spool.Append(ctx, *buf, mode)
	if cap(*buf) <= bufferLimit {
		b.buffers.Put(buf)
	}
	if err != nil {
		return inOurWords(err)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// inOurWords names what the spool said.
func inOurWords(err error) error {
	kind := ErrFailed
	switch {
	case errors.Is(err, spool.ErrFull):
		kind = ErrFull
	case errors.Is(err, spool.ErrClosed):
		kind = ErrClosed
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// settle implements source.
func (b *backlog) settle(written, lost int) {
	b.mu.Lock()
	b.hand -= uint64(written + lost)   //nolint:gosec // never negative
	b.count.Written += uint64(written) //nolint:gosec // never negative
	b.count.Lost += uint64(lost)       //nolint:gosec // never negative
	b.mu.Unlock()
}

// close implements source.
func (b *backlog) close() {
	b.ended.Store(true)
	close(b.closing)
}

// leave closes the spool. What is in it stays there.
func (b *backlog) leave(cause error) error {
	err := b.spool.Close()
	if s := b.stats(); s.OldestAge > 0 || s.Queued > 0 {
		b.log.Info("audit records stay in the spool for the next start", "queued", s.Queued, "spool_bytes", s.SpoolBytes,
			"oldest_age", s.OldestAge.String(), "cause", cause)
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// stats implements source.
func (b *backlog) stats() Stats {
	b.mu.Lock()
	s, hand, read := b.count, b.hand, b.read
	b.mu.Unlock()
	now := b.spool.Status()
	s.Queued = hand + max(now.Appended, read) - read
	s.SpoolBytes, s.SpoolMaxBytes, s.OldestAge, s.Warn = now.Bytes, now.MaxBytes, now.OldestAge, now.Warn
	if now.Failing != nil {
		s.SpoolError = now.Failing.Error()
	}
	return s
}
