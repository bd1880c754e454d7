package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// errTaken says that another replica exports by now.
var errTaken = errors.New("another replica exports")

// Run exports until ctx ends, whose error it returns. On the way out the sink lets go of what it holds, and then the lease
// ends, so that another replica goes on at once.
func (e *Exporter) Run(ctx context.Context) error {
	defer e.part(ctx)
	pause := firstBackoff
	for ctx.Err() == nil {
		held, err := e.acquire(ctx)
		if err == nil && !held {
			if err = e.letGo(ctx); err == nil {
				e.worked()
			} else {
				e.failed(err)
			}
			pause = firstBackoff
			sleep(ctx, max(e.cfg.Poll, e.cfg.LeaseTTL/6))
			continue
		}
		if err == nil {
			err = e.lead(ctx, &pause)
		}
		if ctx.Err() != nil {
			break
		}
		letGoErr := e.letGo(ctx)
		if errors.Is(err, errTaken) && letGoErr == nil {
			sleep(ctx, e.cfg.Poll)
			continue
		}
		e.failed(errors.Join(err, letGoErr))
		sleep(ctx, e.next(&pause))
	}
	return ctx.Err()
}

// lead exports as long as this replica has the lease. It returns errTaken, or why the cursor cannot be read.
func (e *Exporter) lead(ctx context.Context, pause *time.Duration) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	e.note(func(s *Stats) { s.Holding = true })
	e.log.InfoContext(ctx, "export begins here", "holder", e.cfg.Holder)
	for {
		if err := e.keepLease(ctx); err != nil {
			return err
		}
		more, err := e.step(ctx, pause)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errTaken):
			return err
		case err != nil:
			e.failed(err)
			err = e.rest(ctx, e.wait(err, pause))
		case !more:
			err = e.rest(ctx, e.cfg.Poll)
		}
		if err != nil {
			return err
		}
	}
}

// step exports a batch, if there is one, and says whether there may be more.
func (e *Exporter) step(ctx context.Context, pause *time.Duration) (more bool, err error) {
	tail, err := e.read(ctx)
	if err != nil {
		return false, err
	}
	e.note(func(s *Stats) { s.Oldest = oldest(tail.Records) })
	if len(tail.Records) == 0 {
		if err := e.save(ctx, tail.Cursor); err != nil {
			return false, err
		}
		if !tail.More {
			err = e.tend(ctx, true)
		}
		if err == nil {
			e.worked()
			*pause = firstBackoff
		}
		return tail.More, err
	}
	p := newPass(e, tail.Records)
	err = p.run(ctx)
	if errors.Is(err, errTaken) || p.reached == 0 {
		return false, err
	}
	*pause = firstBackoff
	next := tail.Cursor
	if p.reached < len(tail.Records) {
		next = e.cursor.Clone()
		for _, r := range tail.Records[:p.reached] {
			next.Advance(r)
		}
	}
	if saveErr := e.save(ctx, next); saveErr != nil || err != nil {
		return true, errors.Join(err, saveErr)
	}
	e.worked()
	return true, nil // the next look says whether that was all
}

func (e *Exporter) read(ctx context.Context) (store.Tail, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.LeaseTTL)
	defer cancel()
	tail, err := e.store.DecisionsAfter(ctx, e.cursor, store.DecisionFilter{}, e.cfg.Batch)
	if err != nil {
		return store.Tail{}, fmt.Errorf("read records: %w", err)
	}
	return tail, nil
}

// oldest is the earliest time of records; zero without any.
func oldest(records []store.TailRecord) (at time.Time) {
	for i := range records {
		if t := records[i].Decision.At; at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

// load reads the cursor, and makes one when there is none: an exporter that has begun is waited for by retention, and goes on
// after a restart from where it began.
func (e *Exporter) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.LeaseTTL)
	defer cancel()
	text, err := e.store.Cursor(ctx, e.key())
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	if text != "" {
		c, err := store.ParseTailCursor(text)
		if err != nil {
			return fmt.Errorf("read the cursor: %w", err)
		}
		e.cursor, e.text = c, text
		return nil
	}
	var c store.TailCursor
	if e.cfg.Start == StartNow {
		if c, err = e.store.TailFrom(ctx, time.Time{}); err != nil {
			return fmt.Errorf("find the end of the records: %w", err)
		}
	}
	e.cursor, e.text = store.TailCursor{}, ""
	return e.save(ctx, c)
}

// save moves the cursor. It tries until the store says that it is so, or that another replica has moved it.
func (e *Exporter) save(ctx context.Context, next store.TailCursor) error {
	text := next.String()
	if text == e.text {
		return nil
	}
	for pause := firstBackoff; ; {
		err := e.set(ctx, text)
		if err == nil {
			e.cursor, e.text = next, text
			return nil
		}
		if errors.Is(err, errTaken) || ctx.Err() != nil {
			return err
		}
		e.failed(err)
		if err := e.rest(ctx, e.next(&pause)); err != nil {
			return err
		}
	}
}

// set is one try of save. A conflict with what an earlier try wrote, whose outcome was unknown, is none.
func (e *Exporter) set(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.LeaseTTL/2)
	defer cancel()
	err := e.store.SetCursor(ctx, e.key(), text, e.text)
	if errors.Is(err, store.ErrConflict) {
		var have string
		if have, err = e.store.Cursor(ctx, e.key()); err == nil && have != text {
			return errTaken
		}
	}
	if err != nil {
		return fmt.Errorf("set the cursor: %w", err)
	}
	return nil
}

// next is the pause after a failure; the one after it is twice as long.
func (e *Exporter) next(pause *time.Duration) time.Duration {
	d := min(*pause, e.cfg.Backoff)
	*pause = min(2*d, e.cfg.Backoff)
	return d
}

// wait is next, or what the sink asked for if that is longer.
func (e *Exporter) wait(err error, pause *time.Duration) time.Duration {
	d := e.next(pause)
	if later := (*Later)(nil); errors.As(err, &later) {
		d = max(d, min(later.After, longestLater))
	}
	return d
}
