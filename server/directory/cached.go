package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/verdict-authz/verdict/server/policy"
)

// key is everything an answer depends on, in full: two principals never share one.
type key struct {
	tenant, object string
	kind           policy.PrincipalKind
	sid, username  string
}

func (c *Caller) key() key { return key{c.TenantID, c.ObjectID, c.Kind, c.OnPremSID, c.Username} }

// entry is what is kept of a principal. It is immutable.
type entry struct {
	m     Membership // as of the last lookup that answered; the zero At: none did
	fresh time.Time  // until then m is as good as new
	// err is of a lookup since, remembered until pause. It never stands for an empty list.
	err   error
	pause time.Time
}

// weight is about how many bytes are held for e.
func weight(k key, e *entry) uint32 {
	n := 256 + len(k.sid) + len(k.username)
	for _, g := range e.m.Groups {
		n += 16 + len(g)
	}
	return uint32(n) //nolint:gosec // a list of groups is bounded far below 4 GiB by those who read it
}

// Cached keeps what a source answers and lets those who ask for the same principal wait for one lookup.
type Cached struct {
	source Source
	cfg    CacheConfig
	now    func() time.Time
	log    *slog.Logger
	kept   *otter.Cache[key, *entry]
	stale  atomic.Uint64

	life context.Context // of all lookups
	end  context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[key]*flight
}

// NewCached keeps what s answers. Close ends it. A nil now means time.Now.
func NewCached(s Source, cfg CacheConfig, now func() time.Time, log *slog.Logger) (*Cached, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	kept, err := otter.New(&otter.Options[key, *entry]{MaximumWeight: cfg.Bytes, Weigher: weight})
	if err != nil {
		return nil, fmt.Errorf("directory cache: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	c := &Cached{source: s, cfg: cfg, now: now, log: log, kept: kept, flights: map[key]*flight{}}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the lookups that run and waits for them. What is asked afterwards is ErrUnavailable, unless it is kept.
func (c *Cached) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
	c.done.Wait()
	c.kept.StopAllGoroutines()
}

// Forget drops what is kept of a principal, whichever names and identifiers it was asked by.
func (c *Cached) Forget(kind policy.PrincipalKind, tenantID, objectID string) {
	for k := range c.kept.Keys() {
		if k.kind == kind && k.tenant == tenantID && k.object == objectID {
			c.kept.Invalidate(k)
		}
	}
}

// Groups answers from what is kept, else by a lookup. While the source is away it answers with what it last said, for
// HardLife; when the source is only slow, it does so after half of the caller's time.
func (c *Cached) Groups(ctx context.Context, who Caller) (Membership, error) {
	if err := who.check(); err != nil {
		return Membership{}, err
	}
	k := who.key()
	e, _ := c.kept.GetIfPresent(k)
	if m, ok, err := c.known(e); ok || err != nil {
		return m, err
	}
	f, err := c.join(k, who)
	if err != nil {
		return c.rather(e, err)
	}
	return c.wait(ctx, f, e)
}

// known answers from e alone: what is fresh, or what came of a lookup just now.
func (c *Cached) known(e *entry) (m Membership, ok bool, err error) {
	if e == nil {
		return Membership{}, false, nil
	}
	now := c.now()
	switch {
	case !e.m.At.IsZero() && now.Before(e.fresh):
		return e.m, true, nil
	case e.err != nil && now.Before(e.pause):
		m, err = c.rather(e, e.err)
		return m, err == nil, err
	}
	return Membership{}, false, nil
}

// rather is what e holds, if it is not beyond its hard life and the source is just away; else err.
func (c *Cached) rather(e *entry, err error) (Membership, error) {
	if e == nil || e.m.At.IsZero() || !errors.Is(err, ErrUnavailable) || c.now().Sub(e.m.At) > c.cfg.HardLife {
		return Membership{}, err
	}
	c.stale.Add(1)
	return e.m, nil
}

// settle keeps what a lookup found.
func (c *Cached) settle(k key, m Membership, err error) {
	now := c.now()
	switch {
	case err == nil:
		good := c.cfg.Positive
		if len(m.Groups) == 0 {
			good = c.cfg.Empty
		}
		c.kept.Set(k, &entry{m: m, fresh: m.At.Add(good)})
	case errors.Is(err, ErrUnavailable):
		failed := &entry{err: err, pause: now.Add(c.cfg.Pause)}
		if old, ok := c.kept.GetIfPresent(k); ok {
			failed.m, failed.fresh = old.m, old.fresh
		}
		c.kept.Set(k, failed)
	default: // the source knows better than what is kept
		c.kept.Set(k, &entry{err: err, pause: now.Add(c.cfg.Pause)})
	}
}

// state is how many principals are kept, how many lookups run, and how many answers were past their time.
func (c *Cached) state() (kept, running int, stale uint64) {
	c.mu.Lock()
	running = len(c.flights)
	c.mu.Unlock()
	return c.kept.EstimatedSize(), running, c.stale.Load()
}
