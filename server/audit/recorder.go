package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// What Record can say, for errors.Is.
var (
	ErrFull   = errors.New("audit queue full")
	ErrClosed = errors.New("audit recorder closed")
)

// Recorder takes decision records and writes them behind the decisions' back. It is safe for concurrent use.
type Recorder struct {
	to    store.DecisionAppender
	log   *slog.Logger
	cfg   Config
	queue *queue

	ctx     context.Context // of the writes; ends when Close gives up
	giveUp  context.CancelFunc
	written chan struct{} // closed when the writer has ended
	done    sync.WaitGroup
	once    sync.Once
	lost    error // what Close returns

	mu      sync.Mutex
	lastErr string
	since   time.Time // first failure of the present row of failures

	// probe is the record last written. Writing it again changes nothing, so it tells whether the store works.
	probe store.Decision // writer only
}

// Stats is the account of a Recorder: each record it took is in exactly one of Queued, Written and Lost.
type Stats struct {
	Queued  uint64 // wait, those being written included
	Written uint64
	Lost    uint64 // for want of room with OnFailure Count, refused by the store one by one, or left over by Close
	Refused uint64 // not taken: ErrFull or ErrClosed

	LastError    string    // of the last failed write since the start; for operators, not for callers
	FailingSince time.Time // zero: the last write succeeded
}

// NewRecorder starts a recorder that writes to the given store until Close.
func NewRecorder(to store.DecisionAppender, log *slog.Logger, cfg Config) (*Recorder, error) {
	if to == nil || log == nil {
		return nil, errors.New("audit recorder: a store and a logger are needed")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{
		to: to, log: log, cfg: cfg, queue: newQueue(cfg.Queue, cfg.Batch),
		ctx: ctx, giveUp: cancel, written: make(chan struct{}),
	}
	r.done.Go(r.write)
	r.done.Go(r.report)
	return r, nil
}

// Record takes d and returns at once. The record is a copy, its slices included: the caller may use them again. So may
// it the memory of Method, Host, RawPath, Resource and RequestID, which may be cuts of a request's buffer; the other
// strings are kept as they are. With OnFailure Deny it returns ErrFull when the queue is full and ErrClosed after Close,
// and the decision must not be given; with Count such a record is lost, counted, and the answer is nil.
func (r *Recorder) Record(d store.Decision) error {
	return r.queue.add(&d, r.cfg.OnFailure == Count)
}

// Stats returns the account as it is now.
func (r *Recorder) Stats() Stats {
	s := r.queue.stats()
	r.mu.Lock()
	s.LastError, s.FailingSince = r.lastErr, r.since
	r.mu.Unlock()
	return s
}

// Close takes no further records and writes those that wait, until ctx ends. What could not be written by then is
// counted as lost and told by the error. Further calls wait for the first and return the same.
func (r *Recorder) Close(ctx context.Context) error {
	r.once.Do(func() { r.lost = r.close(ctx) })
	return r.lost
}

func (r *Recorder) close(ctx context.Context) error {
	r.queue.close()
	select {
	case <-r.written:
	case <-ctx.Done():
	}
	r.giveUp()
	r.done.Wait()
	n := r.queue.abandon()
	if n == 0 {
		return nil
	}
	r.log.Error("audit records lost at close", "records", n, "error", r.Stats().LastError)
	return fmt.Errorf("audit: %d records not written: %w", n, context.Cause(ctx))
}

// report says at every interval how many records were lost meanwhile, and a last time at the end.
func (r *Recorder) report() {
	tick := time.NewTicker(r.cfg.Report)
	defer tick.Stop()
	var told uint64
	tell := func() {
		s := r.Stats()
		if s.Lost > told {
			r.log.Error("audit records lost", "records", s.Lost-told, "lost_total", s.Lost, "queued", s.Queued, "error", s.LastError)
			told = s.Lost
		}
	}
	for {
		select {
		case <-tick.C:
			tell()
		case <-r.written:
			tell()
			return
		}
	}
}

// failed notes a failed write; the first of a row is logged.
func (r *Recorder) failed(err error) {
	r.mu.Lock()
	first := r.since.IsZero()
	r.lastErr = err.Error()
	if first {
		r.since = r.cfg.Now().UTC()
	}
	r.mu.Unlock()
	if first {
		r.log.Warn("audit writes fail", "error", err, "queued", r.queue.stats().Queued)
	}
}

// worked notes a write; the first after failures is logged.
func (r *Recorder) worked() {
	r.mu.Lock()
	since := r.since
	r.since = time.Time{}
	r.mu.Unlock()
	if !since.IsZero() {
		r.log.Info("audit writes work again", "failing_since", since, "queued", r.queue.stats().Queued)
	}
}
