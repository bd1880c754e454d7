package seal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// lateState is what is known of the windows that records may still come late into.
type lateState struct {
	next      time.Time         // begin of the window that is looked at next
	changes   map[uint64]uint64 // by digest, how many changes it seals
	explained map[time.Time]tally
}

// tally is what a window had when it was last compared record by record.
type tally struct{ records, changes, digests uint64 }

// window is a sealed span and the digests that name what is in it.
type window struct {
	from, to time.Time
	digests  []store.Digest
}

// lookForLate looks at some of the windows, so many that all have their turn within latePass, from the newest to the oldest
// and from there anew; or at all of them. What is in none of their digests goes into a backfill digest.
func (s *Sealer) lookForLate(ctx context.Context, all bool) error {
	if s.tip.number == 0 || s.tip.through.IsZero() {
		return nil
	}
	horizon := s.cfg.Now().Add(-LateWithin)
	windows, err := s.windows(ctx, horizon)
	if err != nil || len(windows) == 0 {
		return err
	}
	n := len(windows)
	if !all {
		n = min(n, 1+int(time.Duration(n)*s.cfg.Look/latePass))
	}
	at := len(windows) - 1
	if i := slices.IndexFunc(windows, func(w window) bool { return w.from.Equal(s.late.next) }); i >= 0 {
		at = i
	}
	for range n {
		if err := s.keepLease(ctx); err != nil {
			return err
		}
		if err := s.fill(ctx, windows[at]); err != nil {
			return err
		}
		if at--; at < 0 {
			at = len(windows) - 1
		}
		s.late.next = windows[at].from
	}
	s.forget(horizon, windows)
	return nil
}

// forget drops what is known of windows that are no longer looked at.
func (s *Sealer) forget(horizon time.Time, windows []window) {
	oldest := s.tip.number
	for _, w := range windows {
		for _, d := range w.digests {
			oldest = min(oldest, d.Number)
		}
	}
	maps.DeleteFunc(s.late.changes, func(digest, _ uint64) bool { return digest < oldest })
	maps.DeleteFunc(s.late.explained, func(from time.Time, _ tally) bool {
		return from.Before(horizon) && !from.Equal(windows[0].from)
	})
}

// windows are those sealed since horizon, by time; first the time before the chain begins, if anything was put there.
func (s *Sealer) windows(ctx context.Context, horizon time.Time) ([]window, error) {
	var all []window
	if l, err := s.store.RecordsInWindow(ctx, time.Time{}, s.tip.first, store.DecisionCursor{}, 1); err != nil {
		return nil, err
	} else if len(l) > 0 {
		w := window{from: l[0].At.Truncate(s.cfg.Every), to: s.tip.first}
		if w.digests, err = digestsOf(ctx, s.store, w.from, w.to); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	if horizon.Before(s.tip.first) {
		horizon = s.tip.first
	}
	digests, err := digestsOf(ctx, s.store, horizon, s.tip.through)
	if err != nil {
		return nil, err
	}
	for _, d := range digests {
		if d.Kind == store.DigestHourly {
			all = append(all, window{from: d.From, to: d.To, digests: []store.Digest{d}})
		}
	}
	slices.SortFunc(all, func(a, b window) int { return a.from.Compare(b.from) })
	for _, d := range digests {
		if d.Kind == store.DigestHourly {
			continue
		}
		for i := range all {
			if w := &all[i]; w.from.Equal(d.From) && w.to.Equal(d.To) {
				w.digests = append(w.digests, d)
			}
		}
	}
	return all, nil
}

// digestsOf are all whose window meets [from, to), by number, without leaves.
func digestsOf(ctx context.Context, r Reader, from, to time.Time) (all []store.Digest, err error) {
	const limit = 500
	for after := uint64(0); ; {
		l, err := r.Digests(ctx, from, to, after, limit)
		if err != nil {
			return nil, err
		}
		if all = append(all, l...); len(l) < limit {
			return all, nil
		}
		after = l[len(l)-1].Number
	}
}

// fill seals what is in w and in none of its digests.
func (s *Sealer) fill(ctx context.Context, w window) error {
	records, changes, err := s.store.CountInWindow(ctx, w.from, w.to)
	if err != nil {
		return err
	}
	is := tally{records, changes, uint64(len(w.digests))}
	if was, ok := s.late.explained[w.from]; ok && was == is {
		return nil
	}
	var named uint64
	for _, d := range w.digests {
		named += d.Count
	}
	if records == named {
		sealed, err := s.changesOf(ctx, w, changes)
		if err != nil || sealed == changes {
			return err
		}
	}
	b, err := s.whatIsNew(ctx, w)
	if err != nil {
		return err
	}
	if b.empty() { // what is wrong with it was told
		s.late.explained[w.from] = is
		return nil
	}
	return s.append(ctx, b, store.DigestBackfill)
}

// changesOf is how many changes the digests of w seal, none when there are none: then nothing needs to be read.
func (s *Sealer) changesOf(ctx context.Context, w window, there uint64) (n uint64, err error) {
	if there == 0 {
		return 0, nil
	}
	for _, d := range w.digests {
		known, ok := s.late.changes[d.Number]
		if !ok {
			packed, err := s.store.DigestLeaves(ctx, d.Number)
			if err != nil {
				return 0, err
			}
			if _, _, known, err = rootOf(packed, d.From); err != nil {
				return 0, fmt.Errorf("digest %d: %w", d.Number, err)
			}
			s.late.changes[d.Number] = known
		}
		n += known
	}
	return n, nil
}

// whatIsNew bundles what none of the digests of w names, and tells what is no longer as they say.
func (s *Sealer) whatIsNew(ctx context.Context, w window) (*bundle, error) {
	lists, err := s.lists(ctx, w)
	if err != nil {
		return nil, err
	}
	b := newBundle(w.from, w.to, s.cfg.Most)
	var seen, missing uint64
	err = compare(ctx, s.store, w.from, w.to, lists, visitor{
		record: func(d *store.Decision, e entry, was *entry) error {
			seen++
			if was == nil {
				s.ownLeaf(ctx, d, &e)
				if err := b.record(d, &e); err != nil && !errors.Is(err, errTooMany) {
					return err
				}
			} else if was.leaf != e.leaf {
				s.finding(ctx, "sealed record was changed", "id", d.ID, "at", d.At)
			}
			return s.everySoOften(ctx, seen)
		},
		missing: func(was *entry) {
			missing++
			if missing <= 100 {
				s.finding(ctx, "sealed record is gone", "id", was.uuid(), "at", was.time())
			}
		},
		change: func(c changeEntry, was *changeEntry) error {
			switch {
			case was == nil:
				b.change(&c)
			case was.leaf != c.leaf:
				s.finding(ctx, "sealed change was changed", "trail", string(c.trail), "number", c.number)
			}
			return nil
		},
		missingChange: func(was *changeEntry) {
			s.finding(ctx, "sealed change is gone", "trail", string(was.trail), "number", was.number)
		},
	})
	return b, err
}

func (s *Sealer) lists(ctx context.Context, w window) ([]*list, error) {
	var lists []*list
	for _, d := range w.digests {
		packed, err := s.store.DigestLeaves(ctx, d.Number)
		if err != nil {
			return nil, err
		}
		l, err := openList(packed, d.From)
		if err != nil {
			return nil, fmt.Errorf("digest %d: %w", d.Number, err)
		}
		lists = append(lists, l)
	}
	return lists, nil
}

// copy gives the sink the digests that it has not got.
func (s *Sealer) copy(ctx context.Context) error {
	if s.cfg.Sink == nil {
		return nil
	}
	if copied := s.Stats().Copied; copied != 0 && copied == s.tip.number {
		return nil
	}
	name := "audit-seal " + s.cfg.Sink.Name()
	cursor, err := s.store.Cursor(ctx, name)
	if err != nil {
		return err
	}
	done := uint64(0)
	if cursor != "" {
		if done, err = strconv.ParseUint(cursor, 10, 64); err != nil {
			return fmt.Errorf("cursor %s: %w", name, err)
		}
	}
	for {
		l, err := s.store.Digests(ctx, time.Time{}, time.Time{}, done, 100)
		if err != nil {
			return err
		}
		if len(l) == 0 {
			s.note(func(st *Stats) { st.Copied = done })
			return nil
		}
		for i := range l {
			if err := s.copyOne(ctx, &l[i]); err != nil {
				return err
			}
		}
		next := l[len(l)-1].Number
		value := strconv.FormatUint(next, 10)
		if err := s.store.SetCursor(ctx, name, value, cursor); errors.Is(err, store.ErrConflict) {
			return nil // another replica has taken over
		} else if err != nil {
			return err
		}
		done, cursor = next, value
	}
}

func (s *Sealer) copyOne(ctx context.Context, d *store.Digest) error {
	content, err := Encode(d)
	if err != nil {
		return err
	}
	err = s.cfg.Sink.Put(ctx, FileName(d.Number), content)
	if errors.Is(err, ErrContradicts) {
		s.finding(ctx, "a copy of the digest says something else", "digest", d.Number, "sink", s.cfg.Sink.Name())
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy digest %d: %w", d.Number, err)
	}
	return nil
}
