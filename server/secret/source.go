package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Config tunes a Source. The zero value is usable.
type Config struct {
	Every   time.Duration    // between two polls, a fifth more or less; 0 means 60s, of a file 5s
	Grace   time.Duration    // how long after a change the value before is at hand; 0 means 15m
	Timeout time.Duration    // of one fetch, whoever waits for it; 0 means 5s
	Pause   time.Duration    // between two refreshes, and before a secret that was never read is tried again; 0 means 2s
	Now     func() time.Time // nil means time.Now
}

const (
	defaultEvery   = time.Minute
	fileEvery      = 5 * time.Second // which costs one small read
	defaultGrace   = 15 * time.Minute
	defaultTimeout = 5 * time.Second
	defaultPause   = 2 * time.Second
)

func (c Config) complete(ref Ref) (Config, error) {
	if c.Every < 0 || c.Grace < 0 || c.Timeout < 0 || c.Pause < 0 {
		return c, errors.New("secret: every, grace, timeout and pause must not be negative")
	}
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if ref.Scheme == File {
		set(&c.Every, fileEvery)
	}
	set(&c.Every, defaultEvery)
	set(&c.Grace, defaultGrace)
	set(&c.Timeout, defaultTimeout)
	set(&c.Pause, defaultPause)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Source is one secret as it changes. It is safe for concurrent use.
type Source struct {
	ref     Ref
	fetcher Fetcher
	log     *slog.Logger
	cfg     Config

	current atomic.Pointer[reading]
	flight  singleflight.Group

	mu        sync.Mutex
	stats     Stats
	refreshed time.Time // when a refresh was last begun
	failure   error     // of the last fetch; nil: it went well
	failedAt  time.Time // when that was
	warning   string    // that was logged
	watchers  map[int]func(Value)
	nextWatch int
}

// reading is what was last read. It is not changed once it is published.
type reading struct {
	value    Value
	since    time.Time // when the value came to be; zero: unknown
	previous Value     // zero: none was seen here
	asked    bool      // the place was asked for the previous one
}

// Stats say how a Source fares.
type Stats struct {
	Ref       string    // the reference
	FetchedAt time.Time // when it was last read; zero: never
	ChangedAt time.Time // when another value was found than before; zero: never
	Failures  uint64    // fetches that failed
	Problem   string    // why the last one did; "" when it did not. It holds nothing secret
}

// NewSource makes a Source. Nothing is read yet.
func NewSource(ref Ref, fetchers Fetchers, log *slog.Logger, cfg Config) (*Source, error) {
	if log == nil {
		return nil, errors.New("secret: no logger")
	}
	fetcher, err := fetchers.of(ref)
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.complete(ref); err != nil {
		return nil, err
	}
	return &Source{
		ref: ref, fetcher: fetcher, log: log, cfg: cfg,
		stats: Stats{Ref: ref.String()}, watchers: map[int]func(Value){},
	}, nil
}

// Ref is what s reads.
func (s *Source) Ref() Ref { return s.ref }

// Get is the secret as it was last read. Only the first call waits for a fetch, and it may fail.
func (s *Source) Get(ctx context.Context) (Value, error) {
	if r := s.current.Load(); r != nil {
		return r.value, nil
	}
	if err := s.failedJustNow(); err != nil {
		return Value{}, err
	}
	if err := s.fetch(ctx); err != nil {
		return Value{}, err
	}
	return s.current.Load().value, nil
}

// Refresh reads the secret now. It is for those whom a server has refused. Calls at one time share a fetch; within a Pause
// after one there is no other, and they are told how that went.
func (s *Source) Refresh(ctx context.Context) error {
	return wait(ctx, s.flight.DoChan("refresh", func() (any, error) {
		if soon, failure := s.refreshedJustNow(); soon {
			return nil, failure
		}
		return nil, s.fetch(context.WithoutCancel(ctx))
	}))
}

// Previous is the value before the current one, for Grace after the change. Where the change was not seen here, because it
// was before the first fetch, the place where the secret is kept is asked, if it knows.
func (s *Source) Previous(ctx context.Context) (Value, bool) {
	r := s.current.Load()
	if r == nil || r.since.IsZero() || s.cfg.Now().After(r.since.Add(s.cfg.Grace)) {
		return Value{}, false
	}
	p, ok := s.fetcher.(Predecessor)
	if !r.previous.IsZero() || r.asked || !ok {
		return r.previous, !r.previous.IsZero()
	}
	done := s.flight.DoChan("previous", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
		defer cancel()
		return s.before(ctx, p, r)
	})
	select {
	case <-ctx.Done():
		return Value{}, false
	case got := <-done:
		v, _ := got.Val.(Value)
		return v, got.Err == nil && !v.IsZero()
	}
}

// before asks for the predecessor of r and keeps the answer.
func (s *Source) before(ctx context.Context, p Predecessor, r *reading) (Value, error) {
	v, err := p.FetchPrevious(ctx, s.ref)
	if err != nil && !errors.Is(err, ErrNoPrevious) {
		s.log.WarnContext(ctx, "previous secret not read", "secret", s.ref.String(), "error", err)
		return Value{}, err
	}
	s.current.CompareAndSwap(r, &reading{value: r.value, since: r.since, previous: v, asked: true})
	return v, nil
}

// OnChange has f called with each new value, one at a time, by whoever found it; f must be quick. The first value is no
// change. It ends with stop.
func (s *Source) OnChange(f func(Value)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextWatch
	s.nextWatch++
	s.watchers[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}
}

// Run polls until ctx ends.
func (s *Source) Run(ctx context.Context) {
	if s.ref.fixed() {
		<-ctx.Done()
		return
	}
	for {
		pause := s.cfg.Every*4/5 + rand.N(s.cfg.Every*2/5+1) //nolint:gosec // G404: spreads polls; nobody gains by guessing
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		_ = s.fetch(ctx) // told in Stats and in the log
	}
}

// Stats says how s fares.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// failedJustNow is the failure of a moment ago, so that a place that is away is not asked by every caller.
func (s *Source) failedJustNow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil && s.cfg.Now().Before(s.failedAt.Add(s.cfg.Pause)) {
		return s.failure
	}
	return nil
}

// refreshedJustNow says whether it is too soon for another refresh, and how the last fetch failed, if it did. When it is not
// too soon, a refresh has begun.
func (s *Source) refreshedJustNow() (soon bool, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if !s.refreshed.IsZero() && now.Before(s.refreshed.Add(s.cfg.Pause)) {
		return true, s.failure
	}
	s.refreshed = now
	return false, nil
}

// fetch reads the secret; calls at one time share it. It goes on when ctx ends: others may wait for it, and what it finds is
// kept.
func (s *Source) fetch(ctx context.Context) error {
	return wait(ctx, s.flight.DoChan("fetch", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
		defer cancel()
		found, err := s.fetcher.Fetch(ctx, s.ref)
		if err == nil && found.Value.IsZero() {
			err = fmt.Errorf("%s: it is empty", s.ref)
		}
		if err != nil {
			s.failed(ctx, err)
			return nil, err
		}
		s.keep(ctx, found)
		return nil, nil
	}))
}

// wait is for a flight, as long as ctx lasts.
func wait(ctx context.Context, done <-chan singleflight.Result) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case got := <-done:
		return got.Err
	}
}

// failed keeps account of a fetch that failed. The first in a row is logged.
func (s *Source) failed(ctx context.Context, err error) {
	s.mu.Lock()
	first := s.failure == nil
	s.failure, s.failedAt = err, s.cfg.Now()
	s.stats.Failures++
	s.stats.Problem = err.Error()
	s.mu.Unlock()
	if first {
		s.log.WarnContext(ctx, "secret not read", "secret", s.ref.String(), "kept", s.current.Load() != nil, "error", err)
	}
}

// keep publishes what was found and tells who watches. Only one fetch at a time gets here.
func (s *Source) keep(ctx context.Context, found Fetched) {
	now := s.cfg.Now()
	old := s.current.Load()
	changed := old != nil && !old.value.Equal(found.Value)
	switch {
	case old == nil:
		s.current.Store(&reading{value: found.Value, since: found.Since})
	case changed:
		s.current.Store(&reading{value: found.Value, since: now, previous: old.value})
	}

	s.mu.Lock()
	recovered := s.failure != nil
	s.failure = nil
	s.stats.Problem = ""
	s.stats.FetchedAt = now
	if changed {
		s.stats.ChangedAt = now
	}
	warn := found.Warning != "" && found.Warning != s.warning
	s.warning = found.Warning
	watchers := slices.Collect(maps.Values(s.watchers))
	s.mu.Unlock()

	log := s.log.With("secret", s.ref.String())
	if recovered {
		log.InfoContext(ctx, "secret read again")
	}
	if warn {
		log.WarnContext(ctx, "secret is exposed", "problem", found.Warning)
	}
	if !changed {
		return
	}
	log.InfoContext(ctx, "secret changed", "version", found.Version)
	for _, tell := range watchers {
		tell(found.Value)
	}
}
