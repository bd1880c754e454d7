package directory

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Status is how the directory fares, for SystemService.
type Status struct {
	Mode    Mode
	Sources []SourceStatus // the source, then the fallback, as far as there are
}

// SourceStatus is how one source fares. Its texts hold no secret and no id of a principal.
type SourceStatus struct {
	Name        string    // as in Membership.Source; empty until it answered once
	LastSuccess time.Time // zero: none yet. A principal that it does not know is an answer too
	LastFailure time.Time // zero: none yet
	LastError   string    // of the last failure
	Successes   uint64
	Failures    uint64
	InARow      uint64 // failures since the last success
	Kept        int    // principals in the cache, about
	Waiting     int    // lookups that run
	ServedStale uint64 // answers from the cache past their time, because the source was away
}

// Status reports how the sources fare.
func (r *Resolver) Status() Status {
	st := Status{Mode: r.cfg.Mode}
	for _, t := range []*tracked{r.source, r.fallback} {
		if t == nil {
			continue
		}
		s := t.health.status()
		if t.cached != nil {
			s.Kept, s.Waiting, s.ServedStale = t.cached.state()
		}
		st.Sources = append(st.Sources, s)
	}
	return st
}

// health counts what a source answers.
type health struct {
	mu sync.Mutex
	s  SourceStatus
}

func (h *health) status() SourceStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.s
}

// watched passes questions on and counts the answers.
type watched struct {
	source Source
	health *health
	now    func() time.Time
}

func (w *watched) Groups(ctx context.Context, who Caller) (Membership, error) {
	m, err := w.source.Groups(ctx, who)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return m, err // nobody waits any more, which says nothing of the source
	}
	now := w.now().UTC()
	h := w.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil || errors.Is(err, ErrUnknownPrincipal) || errors.Is(err, ErrPrincipalDisabled) {
		h.s.Successes++
		h.s.InARow = 0
		h.s.LastSuccess = now
		if err == nil {
			h.s.Name = m.Source
		}
		return m, err
	}
	h.s.Failures++
	h.s.InARow++
	h.s.LastFailure = now
	h.s.LastError = err.Error()
	return m, err
}
