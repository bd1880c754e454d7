package seal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Reader is what proofs are made from and checked against; see store.DecisionSealer.
type Reader interface {
	RecordsInWindow(ctx context.Context, from, to time.Time, after store.DecisionCursor, limit int) ([]store.Decision, error)
	ChangesInWindow(ctx context.Context, from, to time.Time) iter.Seq2[store.ChangeLine, error]
	Digests(ctx context.Context, from, to time.Time, after uint64, limit int) ([]store.Digest, error)
	LatestDigest(ctx context.Context) (store.Digest, error)
	DigestLeaves(ctx context.Context, number uint64) ([]byte, error)
}

// page is how many records are read at once, about a kilobyte each.
const page = 2000

// records yields the records of [from, to), oldest first.
func records(ctx context.Context, r Reader, from, to time.Time) iter.Seq2[*store.Decision, error] {
	return func(yield func(*store.Decision, error) bool) {
		var after store.DecisionCursor
		for {
			l, err := r.RecordsInWindow(ctx, from, to, after, page)
			if err != nil {
				yield(nil, fmt.Errorf("records from %s: %w", from.Format(time.RFC3339), err))
				return
			}
			for i := range l {
				if !yield(&l[i], nil) {
					return
				}
			}
			if len(l) < page {
				return
			}
			after = store.DecisionCursor{At: l[len(l)-1].At, ID: l[len(l)-1].ID}
		}
	}
}

// entryOf is what a list says of a record.
func entryOf(d *store.Decision) (e entry, err error) {
	if e.id, err = idOf(d); err != nil {
		return e, fmt.Errorf("record %q: %w", d.ID, err)
	}
	e.at, e.leaf = d.At.UnixMicro(), Leaf(d)
	if d.Instance != "" {
		e.source, e.seq = source{d.Instance, d.Epoch}, d.Seq
	}
	return e, nil
}

// changes yields the admin changes of [from, to) with their leaves, oldest first.
func changes(ctx context.Context, r Reader, from, to time.Time) iter.Seq2[changeEntry, error] {
	return func(yield func(changeEntry, error) bool) {
		var h changeHash
		var of store.AdminChange // whose facts are being read
		open := false
		end := func() bool {
			return !open || yield(changeEntry{trail: of.Trail, number: of.Number, at: of.At.UnixMicro(), leaf: h.leaf()}, nil)
		}
		for l, err := range r.ChangesInWindow(ctx, from, to) {
			if err != nil {
				yield(changeEntry{}, fmt.Errorf("changes from %s: %w", from.Format(time.RFC3339), err))
				return
			}
			if !open || l.Change.Trail != of.Trail || l.Change.Number != of.Number {
				if !end() {
					return
				}
				of, open = l.Change, true
				h.begin(&of)
			}
			if l.Fact.Kind != "" {
				h.fact(&l.Fact)
			}
		}
		end()
	}
}

// sealed are records that lists name, merged in their order. A record that several lists name comes once.
type sealed struct {
	lists []*list
	heads []*entry // of each list; nil at its end
	last  *entry
}

func merge(lists []*list) (*sealed, error) {
	s := &sealed{lists: lists, heads: make([]*entry, len(lists))}
	for i := range lists {
		if err := s.step(i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *sealed) step(i int) error {
	e, more, err := s.lists[i].record()
	s.heads[i] = nil
	if more && err == nil {
		s.heads[i] = &e
	}
	return err
}

// next returns the next record; nil: there are no more.
func (s *sealed) next() (*entry, error) {
	for {
		first := -1
		for i, h := range s.heads {
			if h != nil && (first < 0 || h.compare(s.heads[first].at, s.heads[first].id) < 0) {
				first = i
			}
		}
		if first < 0 {
			return nil, nil //nolint:nilnil // nil is the end
		}
		e := s.heads[first]
		if err := s.step(first); err != nil {
			return nil, err
		}
		if s.last == nil || s.last.compare(e.at, e.id) != 0 {
			s.last = e
			return e, nil
		}
	}
}

// visitor is told what is in a window. Functions that are nil are not called.
type visitor struct {
	// record is in the store and in a list, or in none: then was is nil. It is as it was sealed when the leaves are the same.
	record func(d *store.Decision, e entry, was *entry) error
	// missing is in a list, and not in the store.
	missing func(was *entry)
	// change is an admin change, in the same way.
	change        func(c changeEntry, was *changeEntry) error
	missingChange func(was *changeEntry)
}

// compare looks at all records of [from, to) and then all changes, beside what the lists say of that time. It holds a page
// of records, and the changes of the lists.
func compare(ctx context.Context, r Reader, from, to time.Time, lists []*list, v visitor) error {
	named, err := merge(lists)
	if err != nil {
		return err
	}
	low, high := from.UnixMicro(), to.UnixMicro()
	was, err := named.next()
	gone := func(until func(*entry) bool) error {
		for err == nil && was != nil && until(was) {
			if was.at >= low && was.at < high {
				v.missing(was)
			}
			was, err = named.next()
		}
		return err
	}
	for d, readErr := range records(ctx, r, from, to) {
		if readErr != nil {
			return readErr
		}
		e, entryErr := entryOf(d)
		if entryErr != nil {
			return entryErr
		}
		if err := gone(func(was *entry) bool { return was.compare(e.at, e.id) < 0 }); err != nil {
			return err
		}
		var same *entry
		if was != nil && was.compare(e.at, e.id) == 0 {
			same = was
		}
		if err := v.record(d, e, same); err != nil {
			return err
		}
		if same != nil {
			if was, err = named.next(); err != nil {
				return err
			}
		}
	}
	if err := gone(func(*entry) bool { return true }); err != nil {
		return err
	}
	return compareChanges(ctx, r, from, to, lists, v)
}

// compareChanges is compare for changes; the records of the lists were read.
func compareChanges(ctx context.Context, r Reader, from, to time.Time, lists []*list, v visitor) error {
	type name struct {
		trail  store.Trail
		number uint64
	}
	named := make(map[name]*changeEntry)
	var order []*changeEntry
	for _, l := range lists {
		for {
			c, more, err := l.change()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if at := time.UnixMicro(c.at); !at.Before(from) && at.Before(to) && named[name{c.trail, c.number}] == nil {
				named[name{c.trail, c.number}] = &c
				order = append(order, &c)
			}
		}
	}
	for c, err := range changes(ctx, r, from, to) {
		if err != nil {
			return err
		}
		key := name{c.trail, c.number}
		if err := v.change(c, named[key]); err != nil {
			return err
		}
		delete(named, key)
	}
	for _, c := range order {
		if named[name{c.trail, c.number}] != nil {
			v.missingChange(c)
		}
	}
	return nil
}

// rootOf is the root of a list: that of the tree of its leaves, records before changes, and last the list itself. It counts
// what is in it.
func rootOf(packed []byte, from time.Time) (root [sha256.Size]byte, records, changes uint64, err error) {
	l, err := openList(packed, from)
	if err != nil {
		return root, 0, 0, err
	}
	var t tree
	for {
		e, more, err := l.record()
		if err != nil {
			return root, 0, 0, err
		}
		if !more {
			break
		}
		records++
		t.add(e.leaf)
	}
	for {
		c, more, err := l.change()
		if err != nil {
			return root, 0, 0, err
		}
		if !more {
			break
		}
		changes++
		t.add(c.leaf)
	}
	t.add(leafOfList(packed))
	return t.root(), records, changes, nil
}

func leafOfList(packed []byte) (leaf [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte{0, listLeaf})
	h.Write(packed)
	h.Sum(leaf[:0])
	return leaf
}
