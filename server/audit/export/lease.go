package export

import (
	"context"
	"fmt"
	"time"
)

// acquire asks for the lease.
func (e *Exporter) acquire(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.LeaseTTL/2)
	defer cancel()
	asked := e.cfg.Now() // the lease is at least as long from here
	held, err = e.store.AcquireLease(ctx, e.key(), e.cfg.Holder, e.cfg.LeaseTTL)
	if err != nil {
		return false, fmt.Errorf("acquire the lease: %w", err)
	}
	if held {
		e.leased = asked
	}
	return held, nil
}

// keepLease renews the lease when a third of it is over: what follows may then take half of it. errTaken when another has it.
func (e *Exporter) keepLease(ctx context.Context) error {
	if since := e.cfg.Now().Sub(e.leased); since >= 0 && since < e.cfg.LeaseTTL/3 {
		return nil
	}
	held, err := e.acquire(ctx)
	if err == nil && !held {
		return errTaken
	}
	return err
}

// rest waits, and keeps the lease meanwhile.
func (e *Exporter) rest(ctx context.Context, d time.Duration) error {
	for d > 0 {
		piece := min(d, e.cfg.LeaseTTL/3)
		if sleep(ctx, piece); ctx.Err() != nil {
			return ctx.Err()
		}
		if err := e.keepLease(ctx); err != nil {
			return err
		}
		d -= piece
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// letGo is for a replica that does not export, or cannot tell.
func (e *Exporter) letGo(ctx context.Context) error {
	was := false
	e.note(func(s *Stats) { was, s.Holding, s.Oldest = s.Holding, false, time.Time{} })
	if was {
		e.log.InfoContext(ctx, "export ends here", "holder", e.cfg.Holder)
	}
	return e.tend(ctx, false)
}

// part is the end: the sink lets go first, then the lease.
func (e *Exporter) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	if err := e.letGo(ctx); err != nil {
		e.failed(err)
	}
	if err := e.store.ReleaseLease(ctx, e.key(), e.cfg.Holder); err != nil {
		e.failed(fmt.Errorf("release the lease: %w", err))
	}
}

func (e *Exporter) tend(ctx context.Context, holding bool) error {
	t, ok := e.sink.(Tender)
	if !ok {
		return nil
	}
	return t.Tend(ctx, holding)
}
