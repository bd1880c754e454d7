package audit

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
)

// commits is who waits for the store to have their record. While the writer is busy with one write, those who come
// meanwhile gather, and the next write is for all of them.
type commits struct {
	n     atomic.Int64  // of those who wait
	hurry chan struct{} // has a token when somebody began to wait since the writer last looked

	mu      sync.Mutex
	waiting map[string]*waiter // by the id of the record
}

// waiter waits for one record.
type waiter struct {
	id   string
	done chan error // has room for the one outcome
	next *waiter    // for a record with the same id
}

func newCommits() *commits {
	return &commits{hurry: make(chan struct{}, 1), waiting: make(map[string]*waiter)}
}

// any tells whether somebody waits, so that the writer does not.
func (c *commits) any() bool { return c.n.Load() > 0 }

// join is called before the record is where the writer may find it.
func (c *commits) join(id string) *waiter {
	w := &waiter{id: id, done: make(chan error, 1)}
	c.mu.Lock()
	w.next = c.waiting[id]
	c.waiting[id] = w
	c.n.Add(1)
	c.mu.Unlock()
	return w
}

// urge is called once the record is there.
func (c *commits) urge() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// leave gives up waiting; false when the outcome came before, and is in w.done.
func (c *commits) leave(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := (*waiter)(nil)
	for at := c.waiting[w.id]; at != nil; before, at = at, at.next {
		if at != w {
			continue
		}
		switch {
		case before != nil:
			before.next = w.next
		case w.next != nil:
			c.waiting[w.id] = w.next
		default:
			delete(c.waiting, w.id)
		}
		c.n.Add(-1)
		return true
	}
	return false
}

// settle tells those who wait for one of ds that the store has it.
func (c *commits) settle(ds []store.Decision) {
	if !c.any() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		c.tell(ds[i].ID, nil)
	}
}

// refuse tells those who wait for the record that the store will never have it.
func (c *commits) refuse(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(id, err)
}

// tell wakes who waits for the record. mu is held.
func (c *commits) tell(id string, err error) {
	w := c.waiting[id]
	if w == nil {
		return
	}
	delete(c.waiting, id)
	for ; w != nil; w = w.next {
		w.done <- err
		c.n.Add(-1)
	}
}

// commit keeps d and waits until the store has it.
func (r *Recorder) commit(d *store.Decision, lose bool) error {
	w, ctx := r.commits.join(d.ID), r.patience.ctx()
	if err := r.put(ctx, d, spool.ModeSpool); err != nil {
		r.commits.leave(w)
		return r.refusals.answer(err, lose)
	}
	r.commits.urge()
	var err error
	select {
	case err = <-w.done:
	case <-ctx.Done():
		if r.commits.leave(w) {
			err = fmt.Errorf("%w: not committed in time, but may be written all the same: %w", ErrFailed, ctx.Err())
			return r.refusals.late(err, lose)
		}
		err = <-w.done
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: the store refuses it: %w", ErrFailed, err)
	return r.refusals.known(err, lose)
}
