package keep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/server/audit/archive"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
)

// Store is what retention needs of a store, opened as the owner of the tables.
type Store interface {
	store.DecisionKeeper
	store.DecisionSealer
	store.DecisionFollower
	store.Coordinator
}

// Retention says what is kept how long and where the rest goes.
type Retention struct {
	Days      int      // whole days before today that stay; at least 1
	Archive   string   // folder for the archives; "": records are dropped for good, which takes NoArchive
	NoArchive bool     // drop without an archive
	Exporters []string // names of cursors; what one of them has not read stays
	Unsealed  bool     // drop days that are not sealed yet, although others are
}

// Action is what becomes of a partition.
type Action string

// The actions.
const (
	Drop Action = "drop" // detach, archive, prove the archive, drop
	Stay Action = "stay" // is old enough, but Step.Why
)

// Step is what retention does with one partition.
type Step struct {
	Partition store.Partition
	Action    Action
	Why       string // it stays; "" otherwise
}

// Validate reports all problems at once.
func (r *Retention) Validate() (err error) {
	if r.Days < 1 {
		err = errors.Join(err, errors.New("--keep-days: at least one"))
	}
	if (r.Archive == "") != r.NoArchive {
		err = errors.Join(err, errors.New("--archive, --no-archive: give one of them: a folder for the records, or the word that they may go for good"))
	}
	return err
}

// Plan says what Apply would do at now, oldest day first. It changes nothing.
func (r *Retention) Plan(ctx context.Context, s Store, now time.Time) ([]Step, error) {
	parts, err := s.Partitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	end := store.Day(now).AddDate(0, 0, -r.Days) // days before this one go
	var steps []Step
	for _, p := range parts {
		if p.Day.Before(end) {
			steps = append(steps, Step{Partition: p, Action: Drop})
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.Partition.Day.Compare(b.Partition.Day) })
	sealed, err := r.sealedThrough(ctx, s)
	if err != nil {
		return nil, err
	}
	behind, err := r.unread(ctx, s)
	if err != nil {
		return nil, err
	}
	late := now.Add(-seal.LateWithin)
	for i := range steps {
		steps[i].hold(sealed, late, behind)
	}
	return steps, nil
}

// hold lets a step stay that something still needs. Sealed is zero when that does not matter; records that belong before late
// are no longer looked for.
func (st *Step) hold(sealed, late time.Time, behind map[string]time.Time) {
	next := st.Partition.Day.AddDate(0, 0, 1)
	switch {
	case sealed.IsZero():
	case sealed.Before(next):
		st.Action, st.Why = Stay, "not sealed yet; --unsealed lets it go"
		return
	case next.After(late) && !st.Partition.Detached:
		st.Action, st.Why = Stay, "what came late is still being sealed; --unsealed lets it go"
		return
	}
	for name, at := range behind {
		if at.Before(next) && !st.Partition.Detached {
			st.Action, st.Why = Stay, fmt.Sprintf("the exporter %s has not read it yet", name)
			return
		}
	}
}

// sealedThrough is up to when records are sealed; zero when nobody seals, or it does not matter.
func (r *Retention) sealedThrough(ctx context.Context, s Store) (time.Time, error) {
	if r.Unsealed {
		return time.Time{}, nil
	}
	d, err := s.LatestDigest(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the latest digest: %w", err)
	}
	through := d.To
	if d.Kind == store.DigestBackfill { // of an earlier window
		all, err := s.Digests(ctx, d.To, time.Time{}, 0, 100)
		if err != nil {
			return time.Time{}, fmt.Errorf("read digests: %w", err)
		}
		for _, other := range all {
			if other.Kind == store.DigestHourly && other.To.After(through) {
				through = other.To
			}
		}
	}
	return through, nil
}

// unread is, for each exporter that has a cursor and is behind, the time of the first record that it has not read.
func (r *Retention) unread(ctx context.Context, s Store) (map[string]time.Time, error) {
	behind := make(map[string]time.Time)
	for _, name := range r.Exporters {
		text, err := s.Cursor(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the cursor of %s: %w", name, err)
		}
		if text == "" {
			continue
		}
		cursor, err := store.ParseTailCursor(text)
		if err != nil {
			return nil, fmt.Errorf("the cursor of %s: %w", name, err)
		}
		first, err := firstAfter(ctx, s, cursor)
		if err != nil {
			return nil, fmt.Errorf("read after the cursor of %s: %w", name, err)
		}
		if !first.IsZero() {
			behind[name] = first
		}
	}
	return behind, nil
}

// firstAfter is the earliest time among the first records of each source that the cursor does not cover; zero: there are none.
// A source may have many numbers without a record before its next one, such as those of a day that is detached already, and
// then a look finds none of it.
func firstAfter(ctx context.Context, s Store, cursor store.TailCursor) (first time.Time, err error) {
	end, err := s.TailFrom(ctx, time.Time{}) // before the first look: what comes later belongs to no old day
	if err != nil {
		return first, err
	}
	for {
		tail, err := s.DecisionsAfter(ctx, cursor, store.DecisionFilter{}, 256)
		if err != nil {
			return first, err
		}
		cursor = tail.Cursor.Clone()
		for _, rec := range tail.Records {
			if first.IsZero() || rec.Decision.At.Before(first) {
				first = rec.Decision.At
			}
			cursor.Advance(store.TailRecord{Source: rec.Source, Position: end.Seen[rec.Source]}) // the next of it are younger
		}
		if !tail.More {
			return first, nil
		}
	}
}

// Result is what became of a step.
type Result struct {
	Step
	Archive archive.Manifest // zero without one
}

// Apply does the steps that Plan says drop, and tells done after each. It can be ended and begun again at any point: a partition
// is dropped only when its archive was read back from the disk and proven.
func (r *Retention) Apply(ctx context.Context, s Store, steps []Step, done func(Result)) error {
	for _, st := range steps {
		if st.Action != Drop {
			continue
		}
		res := Result{Step: st}
		name := st.Partition.Name
		if err := s.DetachPartition(ctx, name); err != nil {
			return fmt.Errorf("detach %s: %w", name, err)
		}
		if r.Archive != "" {
			m, err := archive.Write(r.Archive, name, s.ExportPartition(ctx, name))
			if err != nil {
				return fmt.Errorf("%s is detached and kept: %w", name, err)
			}
			res.Archive = m
		}
		if err := s.DropPartition(ctx, name); err != nil {
			return fmt.Errorf("drop %s: %w", name, err)
		}
		done(res)
	}
	return nil
}
