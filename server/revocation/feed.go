package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verdict-authz/verdict/server/follow"
	"github.com/verdict-authz/verdict/store"
)

// Config tunes a Feed. The zero value is usable.
type Config struct {
	Poll    time.Duration    // between two looks at the store; 0 means 500ms
	MaxAge  time.Duration    // how long a set that is not known to be current is not stale; 0 means 30s
	Timeout time.Duration    // longest that a look may take; 0 means 5s
	Now     func() time.Time // nil means time.Now
}

// Source is where revocations come from; every store.Store is one.
type Source interface {
	RevocationsSince(ctx context.Context, seq uint64) (store.RevocationDelta, error)
	Notify(ctx context.Context) <-chan struct{}
}

// Feed keeps the revocations in memory current with the store. Run does the work; everything else is safe for concurrent
// use with it and never waits for the store.
type Feed struct {
	source Source
	log    *slog.Logger
	cfg    Config

	current atomic.Pointer[set]
	checked atomic.Int64 // Unix nanoseconds at which current was last known to be current; 0: never
	pace    *follow.Pace

	mu      sync.Mutex
	problem string
}

// Status says how following goes.
type Status struct {
	Revocations int       // in force here
	Seq         uint64    // of the last change that is known
	CheckedAt   time.Time // UTC instant at which they were last known to be current; zero: never
	Problem     string    // what is wrong now, for operators; empty: nothing
}

// NewFeed returns a feed that knows nothing yet; Run fetches.
func NewFeed(from Source, log *slog.Logger, cfg Config) (*Feed, error) {
	if from == nil || log == nil {
		return nil, errors.New("revocation feed: a store and a logger are needed")
	}
	for _, d := range []struct {
		knob      *time.Duration
		otherwise time.Duration
	}{
		{&cfg.Poll, 500 * time.Millisecond},
		{&cfg.MaxAge, 30 * time.Second},
		{&cfg.Timeout, 5 * time.Second},
	} {
		if *d.knob < 0 {
			return nil, fmt.Errorf("revocation feed: negative duration %v", *d.knob)
		}
		if *d.knob == 0 {
			*d.knob = d.otherwise
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Feed{source: from, log: log, cfg: cfg, pace: follow.NewPace(cfg.Poll)}, nil
}

// Check returns the revocation that refuses a token, nil for none; of several the one with the latest NotBefore. known is
// false while no revocations have ever been loaded. The revocation is shared: do not write to it.
func (f *Feed) Check(t Facts) (hit *store.Revocation, known bool) {
	s := f.current.Load()
	if s == nil {
		return nil, false
	}
	return s.check(&t), true
}

// Stale tells whether no revocations were ever loaded, or those in force were last known to be current longer ago than
// Config.MaxAge.
func (f *Feed) Stale(now time.Time) bool {
	checked := f.checked.Load()
	return checked == 0 || now.Sub(time.Unix(0, checked)) > f.cfg.MaxAge
}

// Kick makes Run look soon, for one who has just changed something.
func (f *Feed) Kick() { f.pace.Kick() }

// Status returns how following goes now.
func (f *Feed) Status() Status {
	var st Status
	f.mu.Lock()
	st.Problem = f.problem
	f.mu.Unlock()
	if s := f.current.Load(); s != nil {
		st.Revocations, st.Seq = s.len(), s.seq
	}
	if checked := f.checked.Load(); checked != 0 {
		st.CheckedAt = time.Unix(0, checked).UTC()
	}
	return st
}

// Run follows until ctx ends, and returns its error. It is called once.
func (f *Feed) Run(ctx context.Context) error { return f.pace.Run(ctx, f.source.Notify(ctx), f.look) }

// look brings the set up to what the store has, or notes why it cannot. What has expired goes either way.
func (f *Feed) look(ctx context.Context) {
	asked := f.cfg.Now() // what is current now may not be any more when the answer comes
	next, err := f.next(ctx)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		if now := f.current.Load(); now != nil {
			f.current.Store(now.prune(f.cfg.Now()))
		}
		f.note(err.Error())
		return
	}
	f.current.Store(next.prune(f.cfg.Now())) // before the time: who sees the time sees the set
	f.checked.Store(asked.UnixNano())
	f.note("")
}

// next returns the set as the store has it: the current one with what changed since, or a whole new one.
func (f *Feed) next(ctx context.Context) (*set, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	now := f.current.Load()
	if now != nil {
		d, err := f.source.RevocationsSince(ctx, now.seq)
		if !errors.Is(err, store.ErrNotFound) {
			if err != nil {
				return nil, fmt.Errorf("read revocations since change %d: %w", now.seq, err)
			}
			return now.apply(d)
		}
		f.log.WarnContext(ctx, "revocations were set back, they are read anew", "seq", now.seq)
	}
	d, err := f.source.RevocationsSince(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("read all revocations: %w", err)
	}
	return new(set).apply(d)
}

// note keeps what is wrong, if anything, and logs when that begins and ends.
func (f *Feed) note(problem string) {
	f.mu.Lock()
	was := f.problem
	f.problem = problem
	f.mu.Unlock()
	switch {
	case problem == "" && was != "":
		f.log.Info("revocations are followed again", "seq", f.Status().Seq)
	case problem != "" && was == "":
		f.log.Error("revocations are not followed", "problem", problem, "checked_at", f.Status().CheckedAt.Format(time.RFC3339))
	}
}
