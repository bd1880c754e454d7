package store

import (
	"fmt"
	"slices"
)

// What engines share in making values of rows.

// WithinLimit takes the counts of the last key off when there were more keys than wanted. Counts come key by key.
func WithinLimit(counts []Count, more bool) []Count {
	if !more {
		return counts
	}
	last := counts[len(counts)-1].Key
	return slices.Clip(counts[:slices.IndexFunc(counts, func(c Count) bool { return c.Key == last })])
}

// ChangeLine is a revision with one of its facts; without a Kind it has none to show.
type ChangeLine struct {
	Revision Revision
	Total    uint64
	Fact     FactChange
}

// GroupChanges puts lines together, which come revision by revision.
func GroupChanges(lines []ChangeLine) (all []RevisionChanges) {
	for _, l := range lines {
		if n := len(all); n == 0 || all[n-1].Revision.Number != l.Revision.Number {
			all = append(all, RevisionChanges{Revision: l.Revision, Total: l.Total})
		}
		if l.Fact.Kind != "" {
			last := &all[len(all)-1]
			last.Facts = append(last.Facts, l.Fact)
		}
	}
	return all
}

// Canonical is d in the form it is kept in: no empty lists, instants in UTC and whole microseconds. ErrInvalid when its kind
// is unknown or a number too large.
func (d Digest) Canonical() (Digest, error) {
	if d.Kind != DigestHourly && d.Kind != DigestBackfill {
		return d, fmt.Errorf("digest %d of kind %q: %w", d.Number, d.Kind, ErrInvalid)
	}
	if max(d.Number, d.Count, d.RevisionFirst, d.RevisionLast) > MaxRevision || !storable(d.KeyID) {
		return d, fmt.Errorf("digest %d: a number is too large or the key id is not text: %w", d.Number, ErrInvalid)
	}
	d.From, d.To = Instant(d.From), Instant(d.To)
	d.Root, d.Previous, d.Signature, d.Leaves = list(d.Root), list(d.Previous), list(d.Signature), list(d.Leaves)
	d.Ranges = list(d.Ranges)
	return d, nil
}
