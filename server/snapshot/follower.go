package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verdict-authz/verdict/server/follow"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// Config tunes a Follower. The zero value is usable.
type Config struct {
	Poll        time.Duration    // between two looks at the newest revision; 0 means 1s
	MaxAge      time.Duration    // how long a policy that is not known to be current may be used; 0 means 1h
	Timeout     time.Duration    // longest a look or a delta may take; 0 means 5s
	LoadTimeout time.Duration    // longest a full load may take; 0 means 1m
	Retry       time.Duration    // between full loads of a refused revision that stays the newest; 0 means 30s
	Now         func() time.Time // nil means time.Now
}

// Follower keeps a policy.Snapshot current with the store. Run does the work; everything else is safe for concurrent use
// with it and never waits for the store.
type Follower struct {
	store   store.PolicyReader
	compile policy.ConditionCompiler
	log     *slog.Logger
	cfg     Config

	current atomic.Pointer[policy.Snapshot]
	checked atomic.Int64 // Unix nanoseconds at which current was last known to be the newest; 0: never
	pace    *follow.Pace

	mu      sync.Mutex
	changed chan struct{} // closed when current changes, and replaced
	refused uint64
	problem string

	last *refusal // nil: the newest revision seen compiles; Run only
}

// Status says how following goes.
type Status struct {
	Revision  uint64    // in use; 0: none, or the empty policy
	CheckedAt time.Time // UTC instant at which it was last known to be the newest; zero: never
	Refused   uint64    // the newest revision seen, which does not compile; 0: none is refused
	Problem   string    // what is wrong now, for operators; empty: nothing
}

// NewFollower returns a follower that has nothing yet; Run fetches.
func NewFollower(from store.PolicyReader, compile policy.ConditionCompiler, log *slog.Logger, cfg Config) (*Follower, error) {
	if from == nil || compile == nil || log == nil {
		return nil, errors.New("snapshot follower: a store, a condition compiler and a logger are needed")
	}
	for _, d := range []struct {
		knob      *time.Duration
		otherwise time.Duration
	}{
		{&cfg.Poll, time.Second},
		{&cfg.MaxAge, time.Hour},
		{&cfg.Timeout, 5 * time.Second},
		{&cfg.LoadTimeout, time.Minute},
		{&cfg.Retry, 30 * time.Second},
	} {
		if *d.knob < 0 {
			return nil, fmt.Errorf("snapshot follower: negative duration %v", *d.knob)
		}
		if *d.knob == 0 {
			*d.knob = d.otherwise
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Follower{
		store: from, compile: compile, log: log, cfg: cfg,
		pace: follow.NewPace(cfg.Poll), changed: make(chan struct{}),
	}, nil
}

// Current returns the snapshot to decide on, nil before the first.
func (f *Follower) Current() *policy.Snapshot { return f.current.Load() }

// Stale tells whether there is no policy, or one that was last known to be current longer ago than Config.MaxAge.
func (f *Follower) Stale(now time.Time) bool {
	checked := f.checked.Load()
	return checked == 0 || now.Sub(time.Unix(0, checked)) > f.cfg.MaxAge
}

// Kick makes Run look for a new revision soon, for one who has just committed.
func (f *Follower) Kick() { f.pace.Kick() }

// WaitFor returns once the current snapshot is at revision or beyond, or an error that wraps that of ctx.
func (f *Follower) WaitFor(ctx context.Context, revision uint64) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		s := f.Current()
		if s != nil && s.Revision() >= revision {
			return nil
		}
		f.Kick()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d: %w", revision, ctx.Err())
		}
	}
}

// Status returns how following goes now.
func (f *Follower) Status() Status {
	var st Status
	f.mu.Lock()
	st.Refused, st.Problem = f.refused, f.problem
	f.mu.Unlock()
	if s := f.Current(); s != nil {
		st.Revision = s.Revision()
	}
	if checked := f.checked.Load(); checked != 0 {
		st.CheckedAt = time.Unix(0, checked).UTC()
	}
	return st
}

// Run follows until ctx ends, and returns its error. It is called once.
func (f *Follower) Run(ctx context.Context) error {
	return f.pace.Run(ctx, f.store.Notify(ctx), f.look)
}
