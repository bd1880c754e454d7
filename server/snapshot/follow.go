package snapshot

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// look brings the snapshot up to the newest revision, or notes why it cannot.
func (f *Follower) look(ctx context.Context) {
	asked := f.cfg.Now() // what is the newest now may not be any more when the answer comes
	next, err := f.next(ctx)
	if err == nil {
		f.last = nil
		f.checked.Store(asked.UnixNano())
		f.publish(next)
		f.note(0, "")
		return
	}
	if ctx.Err() != nil {
		return
	}
	what := "the store does not answer"
	if r := (*refusal)(nil); errors.As(err, &r) {
		what, err = fmt.Sprintf("revision %d is refused", r.revision), r.err
		f.last = r
	}
	refused := uint64(0)
	if f.last != nil {
		refused = f.last.revision
	}
	f.note(refused, fmt.Sprintf("%s, revision %d stays in use: %v", what, f.revision(), err))
}

// refusal says that a revision does not compile.
type refusal struct {
	revision uint64
	err      error
	retryAt  time.Time
}

func (r *refusal) Error() string { return fmt.Sprintf("revision %d: %v", r.revision, r.err) }
func (r *refusal) Unwrap() error { return r.err }

// next returns the snapshot of the newest revision: the current one, that with the changes since, or a whole new one.
func (f *Follower) next(ctx context.Context) (*policy.Snapshot, error) {
	head, err := f.head(ctx)
	if err != nil {
		return nil, err
	}
	now := f.Current()
	if now != nil && head == now.Revision() {
		return now, nil
	}
	if f.last != nil && f.last.revision == head {
		// Whoever wrote a bad row behind verdict's back may mend it so too, which makes no revision.
		if f.cfg.Now().Before(f.last.retryAt) {
			return nil, f.last
		}
		return f.load(ctx)
	}
	if now == nil || head < now.Revision() { // the start, or the store was set back
		return f.load(ctx)
	}
	delta, err := f.changes(ctx, now.Revision())
	if errors.Is(err, store.ErrNotFound) || err == nil && delta.From != now.Revision() {
		return f.load(ctx)
	}
	if err != nil {
		return nil, err
	}
	return f.built(delta.To, func() (*policy.Snapshot, error) {
		d, err := Delta(delta)
		if err != nil {
			return nil, err
		}
		return now.Apply(d, f.compile)
	})
}

func (f *Follower) head(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	head, err := f.store.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the newest revision: %w", err)
	}
	return head, nil
}

func (f *Follower) changes(ctx context.Context, from uint64) (store.Delta, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	delta, err := f.store.ChangesSince(ctx, from)
	if err != nil {
		return delta, fmt.Errorf("read changes since revision %d: %w", from, err)
	}
	return delta, nil
}

// load makes a snapshot of everything.
func (f *Follower) load(ctx context.Context) (*policy.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.LoadTimeout)
	defer cancel()
	facts, err := f.store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the policy: %w", err)
	}
	return f.built(facts.Revision, func() (*policy.Snapshot, error) {
		p, err := Facts(facts)
		if err != nil {
			return nil, err
		}
		return policy.Compile(p, f.compile)
	})
}

// built makes a snapshot, or a refusal of the revision. A panic is one too: a row that the compiler trips over must not
// take every replica down.
func (f *Follower) built(revision uint64, build func() (*policy.Snapshot, error)) (s *policy.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			f.log.Error("policy compiler panics", "revision", revision, "panic", p, "stack", string(debug.Stack()))
			s, err = nil, fmt.Errorf("the compiler panics: %v", p)
		}
		if err != nil {
			s, err = nil, &refusal{revision: revision, err: err, retryAt: f.cfg.Now().Add(f.cfg.Retry)}
		}
	}()
	return build()
}

// publish makes s the current snapshot and wakes who waits for it.
func (f *Follower) publish(s *policy.Snapshot) {
	before := f.current.Swap(s)
	if before == s {
		return
	}
	f.mu.Lock()
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	c := s.Counts()
	f.log.Info("policy in use", "revision", s.Revision(), "apis", c.APIs, "routes", c.Routes, "grants", c.Grants)
}

// note keeps what is wrong, if anything, and logs when that changes.
func (f *Follower) note(refused uint64, problem string) {
	f.mu.Lock()
	was, wasRefused := f.problem, f.refused
	f.refused, f.problem = refused, problem
	f.mu.Unlock()
	switch {
	case problem == "" && was != "":
		f.log.Info("policy follows the store again", "revision", f.revision())
	case problem != "" && (was == "" || refused != wasRefused):
		f.log.Error("policy does not follow the store", "revision", f.revision(), "refused_revision", refused, "problem", problem,
			"checked_at", f.Status().CheckedAt.Format(time.RFC3339))
	}
}

func (f *Follower) revision() uint64 {
	if s := f.Current(); s != nil {
		return s.Revision()
	}
	return 0
}
