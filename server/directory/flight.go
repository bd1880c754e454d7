package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// maxAttempts bounds how often one lookup asks.
const maxAttempts = 4

// flight is one lookup that several callers may wait for. It ends by its own clock, not by theirs.
type flight struct {
	done chan struct{} // closed when m and err are there
	m    Membership
	err  error

	mu      sync.Mutex
	until   time.Time     // the source will not answer before; zero: it may at any time
	cause   error         // of that
	changed chan struct{} // closed when until changes
}

// join finds the lookup that runs for k or starts one.
func (c *Cached) join(k key, who Caller) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[k]; f != nil {
		return f, nil
	}
	switch {
	case c.closed:
		return nil, fmt.Errorf("%w: the directory is closed", ErrUnavailable)
	case len(c.flights) >= c.cfg.Lookups:
		return nil, fmt.Errorf("%w: %d lookups run already", ErrUnavailable, len(c.flights))
	}
	f := &flight{done: make(chan struct{}), changed: make(chan struct{})}
	// A lookup may have ended since the caller looked.
	if e, ok := c.kept.GetIfPresent(k); ok {
		if m, ok, err := c.known(e); ok || err != nil {
			f.m, f.err = m, err
			close(f.done)
			return f, nil
		}
	}
	c.flights[k] = f
	c.done.Go(func() { c.fly(k, who, f) })
	return f, nil
}

// fly looks up, keeps what it finds and lets the waiting go on.
func (c *Cached) fly(k key, who Caller, f *flight) {
	ctx, cancel := context.WithTimeout(c.life, c.cfg.Lookup)
	defer cancel()
	f.m, f.err = c.lookUp(ctx, who, f)
	c.mu.Lock()
	if c.life.Err() == nil {
		c.settle(k, f.m, f.err)
	}
	delete(c.flights, k)
	c.mu.Unlock()
	close(f.done)
}

// lookUp asks the source until it answers or there is no more sense in it.
func (c *Cached) lookUp(ctx context.Context, who Caller, f *flight) (Membership, error) {
	for attempt := 1; ; attempt++ {
		m, err := c.ask(ctx, who)
		var later *RetryError
		if !errors.As(err, &later) || attempt == maxAttempts {
			return m, err
		}
		deadline, _ := ctx.Deadline() // every lookup has one
		left := time.Until(deadline)
		if left <= later.After {
			return Membership{}, err
		}
		f.postpone(deadline.Add(later.After-left), err)
		timer := time.NewTimer(later.After)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Membership{}, err
		}
	}
}

// ask asks once. It makes of every failure one that the contract knows, a panic included: one bad answer must not end the
// process.
func (c *Cached) ask(ctx context.Context, who Caller) (m Membership, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.LogAttrs(ctx, slog.LevelError, "directory lookup panicked",
				slog.String("panic", fmt.Sprintf("%T", p)), slog.String("stack", string(debug.Stack())))
			m, err = Membership{}, fmt.Errorf("%w: the lookup panicked", ErrUnavailable)
		}
	}()
	m, err = c.source.Groups(ctx, who)
	switch {
	case err == nil && m.At.IsZero():
		m.At = c.now()
	case err == nil:
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknownPrincipal), errors.Is(err, ErrPrincipalDisabled):
		return Membership{}, err
	default:
		return Membership{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !sorted(m.Groups) {
		m.Groups = Normalize(m.Groups)
	}
	return m, nil
}

// postpone tells those who wait that there is no answer before t.
func (f *flight) postpone(t time.Time, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until, f.cause = t, cause
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *flight) prospect() (until time.Time, cause error, changed <-chan struct{}) { //nolint:staticcheck // the error is a part of the prospect, not the outcome of the call
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.until, f.cause, f.changed
}

// wait waits for f as long as ctx allows, and no longer than is of use. With an older answer at hand it keeps half of the
// time for what the caller has to do with it.
func (c *Cached) wait(ctx context.Context, f *flight, e *entry) (Membership, error) {
	limit, limited := ctx.Deadline()
	var patience <-chan time.Time
	if limited && e != nil && !e.m.At.IsZero() {
		half := time.Until(limit) / 2
		limit = limit.Add(-half)
		timer := time.NewTimer(half)
		defer timer.Stop()
		patience = timer.C
	}
	for {
		until, cause, changed := f.prospect()
		if limited && until.After(limit) {
			return c.rather(e, cause)
		}
		select {
		case <-f.done:
			if f.err != nil {
				return c.rather(e, f.err)
			}
			return f.m, nil
		case <-changed:
		case <-patience:
			return c.rather(e, fmt.Errorf("%w: the source does not answer in time", ErrUnavailable))
		case <-ctx.Done():
			return c.rather(e, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx)))
		}
	}
}
