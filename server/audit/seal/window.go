package seal

import (
	"context"
	"errors"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// shortest is the shortest part of a window. What is more than a digest should hold within it goes into one all the same.
const shortest = time.Second

// sealNext seals the next window, or part of one, if its time has come.
func (s *Sealer) sealNext(ctx context.Context) (did bool, err error) {
	from := s.tip.through
	if s.tip.number == 0 {
		if from, err = s.begin(ctx); err != nil || from.IsZero() {
			return false, err
		}
	}
	due := s.cfg.Now().Add(-s.cfg.Delay)
	end := from.Truncate(s.cfg.Every).Add(s.cfg.Every)
	if end.After(due) {
		return false, nil
	}
	for {
		to := end
		if part := (s.cfg.Every / time.Duration(s.parts)).Truncate(time.Microsecond); s.parts > 1 && from.Add(part).Before(end) {
			to = from.Add(part)
		}
		limit := s.cfg.Most
		smallest := s.cfg.Every/time.Duration(2*s.parts) < shortest
		if smallest {
			limit = 0
		}
		b, err := s.gather(ctx, from, to, limit)
		if errors.Is(err, errTooMany) {
			s.parts *= 2
			continue
		}
		if err != nil {
			return false, err
		}
		if b.records < s.cfg.Most/4 && s.parts > 1 {
			s.parts /= 2 // traffic is less by now
		}
		return true, s.append(ctx, b, store.DigestHourly)
	}
}

// begin is where the chain begins: with the window of the oldest record or change; zero: there is none.
func (s *Sealer) begin(ctx context.Context) (time.Time, error) {
	var oldest time.Time
	l, err := s.store.RecordsInWindow(ctx, time.Time{}, time.Time{}, store.DecisionCursor{}, 1)
	if err != nil {
		return oldest, err
	}
	if len(l) > 0 {
		oldest = l[0].At
	}
	for c, err := range s.store.ChangesInWindow(ctx, time.Time{}, time.Time{}) {
		if err != nil {
			return oldest, err
		}
		if oldest.IsZero() || c.Change.At.Before(oldest) {
			oldest = c.Change.At
		}
		break
	}
	return oldest.Truncate(s.cfg.Every), nil
}

// gather bundles all that is in [from, to). errTooMany when there are more records than limit; 0: as many as there are.
func (s *Sealer) gather(ctx context.Context, from, to time.Time, limit uint64) (*bundle, error) {
	b := newBundle(from, to, limit)
	err := compare(ctx, s.store, from, to, nil, visitor{
		record: func(d *store.Decision, e entry, _ *entry) error {
			s.ownLeaf(ctx, d, &e)
			if err := b.record(d, &e); err != nil {
				return err
			}
			return s.everySoOften(ctx, b.records)
		},
		change: func(c changeEntry, _ *changeEntry) error {
			b.change(&c)
			return nil
		},
	})
	return b, err
}

// everySoOften keeps the lease while a long window is read.
func (s *Sealer) everySoOften(ctx context.Context, n uint64) error {
	if n%page != 0 {
		return nil
	}
	return s.keepLease(ctx)
}

// ownLeaf looks whether a record is what its own leaf says, which was made with it: if not, it was changed before it was sealed.
func (s *Sealer) ownLeaf(ctx context.Context, d *store.Decision, e *entry) {
	if len(d.Leaf) != 0 && [len(e.leaf)]byte(d.Leaf) != e.leaf {
		s.finding(ctx, "record was changed before it was sealed", "id", d.ID, "at", d.At)
	}
}
