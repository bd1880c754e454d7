package graph

import (
	"context"
	"fmt"
	"sync"

	"github.com/verdict-authz/verdict/server/directory"
)

// tenant asks Graph about the principals of one tenant. Up to Config.Parallel requests run at once; who comes meanwhile
// waits, and the next free request takes all who wait, up to maxBatch.
type tenant struct {
	id     string
	client *Client

	mu      sync.Mutex
	limits  limits
	waiting []*lookup
	running int
	closed  bool
}

// lookup is one principal that somebody waits for.
type lookup struct {
	ctx    context.Context // of who waits
	object string          // path
	answer chan answer     // has room for the one answer
}

type answer struct {
	m   directory.Membership
	err error
}

func newTenant(c *Client, id string) *tenant {
	return &tenant{id: id, client: c, limits: newLimits(c.cfg.Units, c.cfg.Now())}
}

// lookUp waits for its turn and for the answer.
func (t *tenant) lookUp(ctx context.Context, object string) (directory.Membership, error) {
	l := &lookup{ctx: ctx, object: object, answer: make(chan answer, 1)}
	if err := t.enqueue(l); err != nil {
		return directory.Membership{}, err
	}
	select {
	case a := <-l.answer:
		return a.m, a.err
	case <-ctx.Done():
		return directory.Membership{}, fmt.Errorf("%w: %w", directory.ErrUnavailable, ctx.Err())
	}
}

// enqueue refuses at once what Graph would refuse too: an early question counts against the tenant.
func (t *tenant) enqueue(l *lookup) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fmt.Errorf("%w: the client is closed", directory.ErrUnavailable)
	}
	if err := t.limits.open(t.client.cfg.Now()); err != nil {
		return err
	}
	if len(t.waiting) >= t.client.cfg.Waiting {
		return fmt.Errorf("%w: %d principals wait already", directory.ErrUnavailable, len(t.waiting))
	}
	t.waiting = append(t.waiting, l)
	if t.running < t.client.cfg.Parallel {
		t.running++
		t.client.done.Go(t.work)
	}
	return nil
}

// work asks for those who wait until nobody does.
func (t *tenant) work() {
	for {
		batch := t.next()
		if len(batch) == 0 {
			return
		}
		t.ask(batch)
	}
}

// next takes those whose turn it is and pays for them. None: nobody waits, and the worker is gone.
func (t *tenant) next() []*lookup {
	t.mu.Lock()
	defer t.mu.Unlock()
	var batch []*lookup
	for len(t.waiting) > 0 && len(batch) < maxBatch {
		l := t.waiting[0]
		t.waiting[0] = nil
		t.waiting = t.waiting[1:]
		if l.ctx.Err() != nil {
			continue // nobody waits for it any more
		}
		if err := t.limits.spend(t.client.cfg.Now(), costLookUp); err != nil {
			l.answer <- answer{err: err}
			continue
		}
		batch = append(batch, l)
	}
	if len(batch) == 0 {
		t.waiting = nil
		t.running--
	}
	return batch
}

// ask answers all of batch.
func (t *tenant) ask(batch []*lookup) {
	at := t.client.cfg.Now()
	var replies []reply
	if len(batch) == 1 {
		replies = []reply{t.memberGroups(batch[0].object)}
	} else {
		replies = t.batched(batch)
	}
	for i, l := range batch {
		r := replies[i]
		if !r.tooMany {
			l.answer <- answer{m: membership(r.groups, at), err: r.err}
			continue
		}
		t.client.done.Go(func() { // pages take long; the others need not wait for them
			groups, err := t.pages(l.ctx, l.object)
			l.answer <- answer{m: membership(groups, at), err: err}
		})
	}
}

// close answers all who wait.
func (t *tenant) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, l := range t.waiting {
		l.answer <- answer{err: fmt.Errorf("%w: the client is closed", directory.ErrUnavailable)}
	}
	t.waiting = nil
}
