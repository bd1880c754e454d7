package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// queue holds records in order, in chunks of one batch each. Adding never waits for the store: the lock is held for a
// copy, never for a write.
type queue struct {
	limit, batch int
	wait         time.Duration // longest that a record waits for others
	commits      *commits

	taken *chunk // what next returned; the writer's

	mu     sync.Mutex
	full   []*chunk // oldest first
	open   *chunk   // the one being filled; nil: none
	spare  *chunk   // written and emptied, for use again
	count  Stats    // Queued, Written, Lost; the rest is the Recorder's
	closed bool

	// wake has a token whenever there is something new for the writer: a first record, a full chunk, or the end.
	wake chan struct{}
}

// chunk is up to one batch of records. Slices of the records are cut from the blocks of strs, which are never used
// twice, so that a store may keep what it was given.
type chunk struct {
	records []store.Decision
	strs    []string
}

// strBlock is the number of strings allocated at once for the slices of records.
const strBlock = 1024

func newQueue(limit, batch int, wait time.Duration, waiting *commits) *queue {
	return &queue{limit: limit, batch: batch, wait: wait, commits: waiting, wake: make(chan struct{}, 1)}
}

// add takes a copy of d, or says why it cannot.
func (q *queue) add(d *store.Decision) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if q.count.Queued >= uint64(q.limit) { //nolint:gosec // limit is positive
		return ErrFull
	}
	c := q.open
	if c == nil {
		c = q.spare
		if c == nil {
			c = &chunk{records: make([]store.Decision, 0, q.batch)}
		}
		q.open, q.spare = c, nil
	}
	c.add(d)
	q.count.Queued++
	switch len(c.records) {
	case q.batch:
		q.full, q.open = append(q.full, c), nil
		q.signal()
	case 1:
		q.signal()
	}
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next waits for a batch: a full one, or one that has waited long enough or that somebody waits for; nil at the end.
func (q *queue) next(ctx context.Context) []store.Decision {
	var due <-chan time.Time
	overdue := false
	for {
		c, waiting, closed := q.take(overdue || q.commits.any())
		if c != nil {
			q.taken = c
			return c.records
		}
		if closed {
			return nil
		}
		if waiting && due == nil {
			timer := time.NewTimer(q.wait)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-q.wake:
		case <-q.commits.hurry:
		case <-due:
			overdue = true
		case <-ctx.Done():
			return nil
		}
	}
}

// more takes the next batch, full or not.
func (q *queue) more() []store.Decision {
	c, _, _ := q.take(true)
	if c == nil {
		return nil
	}
	return c.records
}

// take returns the oldest full chunk, or with evenOpen the one being filled; nil when there is none. waiting tells that
// records wait in the open chunk, closed that no more will come.
func (q *queue) take(evenOpen bool) (c *chunk, waiting, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.full) > 0 {
		c = q.full[0]
		q.full = slices.Delete(q.full, 0, 1)
		return c, false, q.closed
	}
	if q.open != nil && (evenOpen || q.closed) {
		c, q.open = q.open, nil
		return c, false, q.closed
	}
	return nil, q.open != nil, q.closed
}

// done has the chunk used again whose records are all accounted for.
func (q *queue) done() {
	c := q.taken
	clear(c.records)
	c.records = c.records[:0]
	q.mu.Lock()
	q.spare = c
	q.mu.Unlock()
}

// settle moves records from waiting to written and lost.
func (q *queue) settle(written, lost int) {
	q.mu.Lock()
	q.count.Queued -= uint64(written + lost) //nolint:gosec // never negative
	q.count.Written += uint64(written)       //nolint:gosec // never negative
	q.count.Lost += uint64(lost)             //nolint:gosec // never negative
	q.mu.Unlock()
}

// close refuses further records.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// leave counts all that still waits as lost.
func (q *queue) leave(cause error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.count.Queued
	q.count.Lost += n
	q.count.Queued = 0
	q.full, q.open = nil, nil
	if n == 0 {
		return nil
	}
	return fmt.Errorf("audit: %d records not written: %w", n, cause)
}

func (q *queue) stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// add copies d with what it refers to that the caller may use again.
func (c *chunk) add(d *store.Decision) {
	c.records = append(c.records, *d)
	kept := &c.records[len(c.records)-1]
	for _, list := range lists(kept) {
		*list = c.keep(*list)
	}
	// These may be cuts of a request's buffer, which a waiting record would hold as a whole or see overwritten.
	own(&kept.Method, &kept.Host, &kept.RawPath, &kept.Resource, &kept.RequestID, &kept.SourceIP)
}

// keep copies list into the current block; nil for none.
func (c *chunk) keep(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	if cap(c.strs)-len(c.strs) < len(list) {
		c.strs = make([]string, 0, max(strBlock, len(list)))
	}
	from := len(c.strs)
	c.strs = append(c.strs, list...)
	return c.strs[from:len(c.strs):len(c.strs)]
}

// own replaces the strings by copies that share one allocation.
func own(fields ...*string) {
	size := 0
	for _, f := range fields {
		size += len(*f)
	}
	if size == 0 {
		return
	}
	var b strings.Builder
	b.Grow(size)
	for _, f := range fields {
		b.WriteString(*f)
	}
	rest := b.String()
	for _, f := range fields {
		n := len(*f)
		*f, rest = rest[:n], rest[n:]
	}
}
