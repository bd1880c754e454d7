package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// order of the resources in a round. Groups come last: who is in them is known by then.
var order = []store.MirrorResource{store.MirrorResourceUsers, store.MirrorResourceServicePrincipals, store.MirrorResourceGroups}

// eventBatch is how many events are handed on at once.
const eventBatch = 500

// run is one round of a tenant under way.
type run struct {
	*Syncer
	tenant  *tenant
	state   store.MirrorState
	applied time.Time // when state was newly made, by this run
	lost    bool      // a link of state is no longer known: nothing between two full looks
}

// round makes one round under the lease, which it renews until it is done.
func (y *Syncer) round(ctx context.Context, t *tenant) error {
	state, err := y.lease(ctx, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		y.renew(ctx, t, cancel)
	}()
	defer func() { <-renewed }()
	defer cancel(nil)
	if err := y.tell(ctx, t); err != nil { // what one before us applied and did not tell
		return err
	}
	r := &run{Syncer: y, tenant: t, state: state, applied: y.cfg.Now()}
	if err := r.make(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
			return cause
		}
		return err
	}
	return y.tell(ctx, t)
}

func (y *Syncer) lease(ctx context.Context, t *tenant) (store.MirrorState, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	state, err := y.store.LeaseMirror(ctx, t.id, y.cfg.Holder, y.cfg.Lease)
	if errors.Is(err, store.ErrConflict) {
		return state, fmt.Errorf("%w: %w", ErrElsewhere, err)
	}
	return state, err
}

// renew keeps the lease until ctx ends, or ends ctx when another has it. A store that is away for a while is no reason: the
// store refuses a round without a lease.
func (y *Syncer) renew(ctx context.Context, t *tenant, give func(error)) {
	tick := time.NewTicker(max(y.cfg.Lease/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := y.lease(ctx, t); errors.Is(err, ErrElsewhere) {
				give(err)
				return
			}
		}
	}
}

// make reads what there is and applies it.
func (r *run) make(ctx context.Context) error {
	began := r.cfg.Now()
	full := r.state.Round == 0 || began.Sub(r.state.FullAt) >= r.cfg.FullResync || began.Before(r.state.FullAt)
	all, err := r.collect(ctx, full, r.between)
	if err != nil {
		return err
	}
	if r.cfg.Now().Sub(began) > r.cfg.Poll {
		// Reading took so long that what was read first is old by now. The links tell what changed since.
		began = r.cfg.Now()
		for i := range all {
			if err := r.read.walk(ctx, r.tenant.id, &all[i], nothing); err != nil {
				return err
			}
		}
	}
	return r.apply(ctx, began, all)
}

// nothing is to be done between pages.
func nothing(context.Context, bool) error { return nil }

// collect reads all resources: all there is, or what changed since the newest round.
func (r *run) collect(ctx context.Context, full bool, each func(ctx context.Context, full bool) error) ([]found, error) {
	var collected []found
	for _, resource := range order {
		all := full || resource == store.MirrorResourceGroups && r.state.Resync
		link, err := r.read.pinned(resource, r.state.Links[resource])
		if all || err != nil { // no link, or one of another cloud
			link, all = r.read.start(resource), true
		}
		got, err := r.read.read(ctx, r.tenant.id, resource, link, all, each)
		if err != nil {
			return nil, err
		}
		r.lost = r.lost || got.full && !all
		collected = append(collected, got)
	}
	return collected, nil
}

// between makes small rounds while a full look takes its time, so that the copy does not grow old over it.
func (r *run) between(ctx context.Context, full bool) error {
	if !full || r.lost || r.state.Round == 0 || r.state.Resync || r.cfg.Now().Sub(r.applied) < r.cfg.Poll {
		return nil
	}
	began, stop := r.cfg.Now(), errors.New("a link is no longer known")
	all, err := r.collect(ctx, false, func(_ context.Context, full bool) error {
		if full {
			return stop
		}
		return nil
	})
	switch {
	case errors.Is(err, stop):
		r.lost = true
		return nil
	case err != nil:
		return err
	}
	return r.apply(ctx, began, all)
}

// apply makes what was read since began the newest round.
func (r *run) apply(ctx context.Context, began time.Time, all []found) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	round := store.MirrorRound{Tenant: r.tenant.id, Holder: r.cfg.Holder, After: r.state.Round, Began: began, Applied: r.cfg.Now()}
	for _, got := range all {
		round.Parts = append(round.Parts, got.fold.part(got.full, got.link))
	}
	head, err := r.store.ApplyMirror(ctx, round)
	if err != nil {
		return err
	}
	full, groups := true, false
	links := make(map[store.MirrorResource]string, len(round.Parts))
	for _, part := range round.Parts {
		full = full && part.Full
		groups = groups || part.Full && part.Resource == store.MirrorResourceGroups
		links[part.Resource] = part.Link
	}
	r.state.MirrorHead, r.state.Links, r.applied = head, links, round.Applied
	r.state.Resync = r.state.Resync && !groups
	if full {
		r.state.FullAt = round.Began
		r.log.Info("mirror read in full", "tenant", r.tenant.id.String(), "round", head.Round, "took_ms", round.Applied.Sub(round.Began).Milliseconds())
	}
	r.tenant.mu.Lock()
	defer r.tenant.mu.Unlock()
	s := &r.tenant.state
	s.Round, s.SyncedAt, s.FullAt = head.Round, head.SyncedAt, r.state.FullAt
	return nil
}

// tell hands on what happened, oldest first, and forgets what was taken.
func (y *Syncer) tell(ctx context.Context, t *tenant) error {
	for {
		some, err := y.store.MirrorEvents(ctx, t.id, eventBatch)
		if err != nil || len(some) == 0 {
			return err
		}
		last := some[len(some)-1].Seq
		if y.cfg.Events == nil {
			last = store.MaxRevision
		} else if err := y.cfg.Events(ctx, t.id.String(), translated(some)); err != nil {
			return fmt.Errorf("hand on what principals lost: %w", err)
		}
		if err := y.store.DropMirrorEvents(ctx, t.id, last); err != nil {
			return err
		}
	}
}

func translated(some []store.MirrorEvent) []PrincipalEvent {
	events := make([]PrincipalEvent, len(some))
	for i, e := range some {
		events[i] = PrincipalEvent{ObjectID: e.Object.String(), Kind: e.Kind, At: e.At}
	}
	return events
}
