package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
)

// backlog is the records that wait in a spool: whoever decides adds to it, the Recorder's writer reads on.
type backlog struct {
	spool  *spool.Log
	log    *slog.Logger
	cfg    Config
	failed func(error) // that records cannot be read
	epoch  uint64      // of this process

	buffers  sync.Pool                       // of *[]byte
	patience atomic.Pointer[context.Context] // how long Record may wait
	wake     chan struct{}                   // has a token when records were added since the writer last looked
	closing  chan struct{}                   // closed by close
	ended    atomic.Bool                     // closing is closed
	lost     atomic.Uint64                   // not taken, with OnFailure Count
	refused  atomic.Uint64                   // not taken, with OnFailure Deny
	refusal  atomic.Pointer[error]           // why the last of them was not

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

func newBacklog(sp *spool.Log, log *slog.Logger, cfg Config, failed func(error)) *backlog {
	b := &backlog{
		spool: sp, log: log, cfg: cfg, failed: failed, epoch: sp.Status().Epoch,
		wake: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	b.buffers.New = func() any { return new([]byte) }
	ctx := context.Background() // until renewPatience begins
	b.patience.Store(&ctx)
	return b
}

// add keeps d in the spool, or says why it cannot.
func (b *backlog) add(d *store.Decision) error {
	if b.ended.Load() {
		return b.refuse(ErrClosed)
	}
	buf := b.buffers.Get().(*[]byte)
	*buf = appendDecision((*buf)[:0], d)
	_, err := b.spool.Append(*b.patience.Load(), *buf, b.cfg.Durability)
	if cap(*buf) <= bufferLimit {
		b.buffers.Put(buf)
	}
	if err != nil {
		return b.refuse(inOurWords(err))
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

// refuse counts a record that is not kept.
func (b *backlog) refuse(err error) error {
	b.refusal.Store(&err)
	if b.cfg.OnFailure == Count {
		b.lost.Add(1)
		return nil
	}
	b.refused.Add(1)
	return err
}

// renewPatience sees to it that whoever adds waits for Config.Patience at least and twice that at most: a context of its
// own would cost each record more than its write. It ends when ended is closed.
func (b *backlog) renewPatience(ended <-chan struct{}) {
	tick := time.NewTicker(b.cfg.Patience)
	defer tick.Stop()
	before, last := func() {}, func() {} // of contexts that may be in use still
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*b.cfg.Patience)
		b.patience.Store(&ctx)
		select {
		case <-tick.C:
			before() // has ended
			before, last = last, cancel
		case <-ended:
			before()
			last()
			cancel()
			return
		}
	}
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
	s.Lost += b.lost.Load()
	s.Refused = b.refused.Load()
	s.SpoolBytes, s.SpoolMaxBytes, s.OldestAge, s.Warn = now.Bytes, now.MaxBytes, now.OldestAge, now.Warn
	if now.Failing != nil {
		s.SpoolError = now.Failing.Error()
	}
	if err := b.refusal.Load(); err != nil {
		s.LastRefusal = (*err).Error()
	}
	return s
}
