package audit

import (
	"log/slog"
	"sync"
	"time"
)

// trouble is what keeps records from the store, now or the last time. Each row of failures is two lines in the log.
type trouble struct {
	log    *slog.Logger
	now    func() time.Time
	queued func() uint64

	mu    sync.Mutex
	last  string
	since time.Time // first failure of the present row; zero: the last try succeeded
}

// failed notes a failure; the first of a row is logged.
func (t *trouble) failed(err error) {
	t.mu.Lock()
	first := t.since.IsZero()
	t.last = err.Error()
	if first {
		t.since = t.now().UTC()
	}
	t.mu.Unlock()
	if first {
		t.log.Warn("audit writes fail", "error", err, "queued", t.queued())
	}
}

// worked notes a success; the first after failures is logged.
func (t *trouble) worked() {
	t.mu.Lock()
	since := t.since
	t.since = time.Time{}
	t.mu.Unlock()
	if !since.IsZero() {
		t.log.Info("audit writes work again", "failing_since", since, "queued", t.queued())
	}
}

// state is the last failure and the beginning of the present row of them.
func (t *trouble) state() (last string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.since
}
