package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// How long a change is checked anew because other processes committed meanwhile, and the pauses between, which spread
// those who compete.
const (
	defaultPatience = 10 * time.Second
	longestPause    = 100 * time.Millisecond
)

// edit is a change as the facts at one revision call for it. Without operations there is nothing to do.
type edit struct {
	change store.Change
	blame  blame
}

// errMoved says that the policy has moved on since it was read.
var errMoved = errors.New("the policy moved on")

// write makes the change that prepare works out from the policy at head, and returns the revision: the new one, or head
// when there is nothing to do or on a dry run. prepare may be called again, and returns errMoved when it saw another
// revision than head.
func (s *PolicyService) write(
	ctx context.Context, note *verdictv1.ChangeNote, dry bool, prepare func(ctx context.Context, head uint64) (*edit, error),
) (uint64, error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for other changes: %w", ctx.Err())
	}
	patience := time.NewTimer(s.cfg.Patience)
	defer patience.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, longestPause) {
		revision, err := s.try(ctx, note, dry, prepare)
		if !errors.Is(err, errMoved) {
			return revision, err
		}
		select {
		case <-time.After(rand.N(pause)): //nolint:gosec // G404: spreads those who compete; nobody gains by guessing
		case <-patience.C:
			return 0, fmt.Errorf("others changed the policy all the time for %s, try again: %w", s.cfg.Patience, store.ErrConflict)
		case <-ctx.Done():
			return 0, fmt.Errorf("others changed the policy meanwhile: %w", ctx.Err())
		}
	}
}

func (s *PolicyService) try(
	ctx context.Context, note *verdictv1.ChangeNote, dry bool, prepare func(ctx context.Context, head uint64) (*edit, error),
) (uint64, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return 0, err
	}
	e, err := prepare(ctx, head)
	if err != nil {
		return 0, err
	}
	next, err := s.check(ctx, head, e)
	if err != nil || dry || empty(e.change) {
		return head, err
	}
	c := e.change
	c.Expect, c.Actor, c.Reason, c.Ticket = &head, s.cfg.Actor, note.GetReason(), note.GetTicket()
	revision, err := s.store.Commit(ctx, c)
	switch {
	case errors.Is(err, store.ErrConflict): // the caller's own conditions were checked at head
		return 0, errMoved
	case errors.Is(err, store.ErrInvalid):
		return 0, status.Invalid(status.Violation{Field: e.blame.root, Text: err.Error()})
	case err != nil:
		return 0, err
	}
	if next.Revision() == revision.Number {
		s.made.Store(next)
	}
	s.snapshots.Kick()
	call.From(ctx).Note(slog.Uint64("revision", revision.Number))
	return revision.Number, nil
}

// check compiles the policy that e leads to from head.
func (s *PolicyService) check(ctx context.Context, head uint64, e *edit) (*policy.Snapshot, error) {
	base, err := s.at(ctx, head)
	var invalid *policy.InvalidError
	if errors.As(err, &invalid) {
		return s.mend(ctx, head, e)
	}
	if err != nil || empty(e.change) {
		return base, err
	}
	delta, err := snapshot.Delta(deltaOf(e.change, head))
	if err == nil {
		base, err = base.Apply(delta, s.compile)
	}
	if errors.As(err, &invalid) {
		return nil, e.blame.violations(invalid)
	}
	return base, err
}

// at returns the snapshot of head: one at hand, one at hand with the changes since, or a new one.
func (s *PolicyService) at(ctx context.Context, head uint64) (*policy.Snapshot, error) {
	var best *policy.Snapshot
	for _, have := range []*policy.Snapshot{s.snapshots.Current(), s.made.Load()} {
		if have != nil && have.Revision() <= head && (best == nil || have.Revision() > best.Revision()) {
			best = have
		}
	}
	if best == nil {
		return s.load(ctx, head)
	}
	if best.Revision() == head {
		return best, nil
	}
	changes, err := s.store.ChangesSince(ctx, best.Revision())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.load(ctx, head)
	case err != nil:
		return nil, err
	case changes.To != head:
		return nil, errMoved
	}
	delta, err := snapshot.Delta(changes)
	if err != nil {
		return nil, err
	}
	return best.Apply(delta, s.compile)
}

func (s *PolicyService) load(ctx context.Context, head uint64) (*policy.Snapshot, error) {
	facts, err := s.facts(ctx, head)
	if err != nil {
		return nil, err
	}
	return s.compiled(facts)
}

// facts loads the policy at head.
func (s *PolicyService) facts(ctx context.Context, head uint64) (store.Facts, error) {
	facts, err := s.store.Load(ctx)
	if err == nil && facts.Revision != head {
		err = errMoved
	}
	return facts, err
}

func (s *PolicyService) compiled(f store.Facts) (*policy.Snapshot, error) {
	facts, err := snapshot.Facts(f)
	if err != nil {
		return nil, err
	}
	return policy.Compile(facts, s.compile)
}

// mend compiles the policy that e leads to from a head that does not compile itself. Problems of what the request
// carries are its own; those of other facts were there before.
func (s *PolicyService) mend(ctx context.Context, head uint64, e *edit) (*policy.Snapshot, error) {
	facts, err := s.facts(ctx, head)
	if err != nil {
		return nil, err
	}
	next, err := s.compiled(overlay(facts, e.change))
	var invalid *policy.InvalidError
	if !errors.As(err, &invalid) {
		return next, err
	}
	if own := e.blame.own(invalid); len(own.Problems) > 0 {
		return nil, e.blame.violations(own)
	}
	return nil, fmt.Errorf("the stored policy does not compile at revision %d, and this change does not mend it: %v; "+
		"mend that first, all of it in one ApplyPolicy: %w", head, invalid, status.ErrPrecondition)
}

func empty(c store.Change) bool {
	return len(c.PutAPIs)+len(c.PutRoutes)+len(c.PutGrants)+len(c.DeleteAPIs)+len(c.DeleteRoutes)+len(c.DeleteGrants) == 0
}
