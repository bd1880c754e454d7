package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
)

// next reads a batch from the spool: at once while there is a full one, else when records were added and have waited for
// others to share their write.
func (b *backlog) next(ctx context.Context) []store.Decision {
	pause := firstBackoff
	for {
		if b.last != fullBatch && !b.linger(ctx) {
			return nil
		}
		ds, err := b.fetch()
		if len(ds) > 0 {
			return ds
		}
		b.done() // past what was no record, or what it could not pass the last time
		if b.ended.Load() && (err != nil || b.last == nothing) {
			return nil
		}
		if err == nil {
			continue
		}
		b.failed(err)
		if !b.pause(ctx, min(pause, b.cfg.Backoff)) {
			return nil
		}
		pause = min(2*pause, b.cfg.Backoff)
	}
}

// linger waits until there may be records, and then for Config.Wait so that they share a write, unless somebody waits for
// the store, or for the end; false when ctx ended.
func (b *backlog) linger(ctx context.Context) bool {
	if b.last != shortBatch && !b.awaitRecords(ctx) {
		return false
	}
	if b.commits.any() {
		return true
	}
	timer := time.NewTimer(b.cfg.Wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.commits.hurry:
	case <-b.closing:
	case <-ctx.Done():
		return false
	}
	return true
}

// awaitRecords waits until some were added, or for the end; false when ctx ended.
func (b *backlog) awaitRecords(ctx context.Context) bool {
	var again <-chan time.Time
	if b.moved { // the checkpoint could not follow
		again = time.After(b.cfg.Backoff)
	}
	select {
	case <-b.wake:
	case <-b.closing:
	case <-again:
	case <-ctx.Done():
		return false
	}
	return true
}

// pause waits for d, or for the end; false when ctx ended.
func (b *backlog) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.closing:
	case <-ctx.Done():
		return false
	}
	return true
}

// more implements source. What cannot be read now is next's to say.
func (b *backlog) more() []store.Decision {
	ds, _ := b.fetch()
	return ds
}

// fetch reads at most a batch. Records that are missing or are none are counted as lost. A record of a newer verdict
// ends the reading for good: it is kept for whoever can read it.
func (b *backlog) fetch() ([]store.Decision, error) {
	if b.stuck != nil {
		return nil, b.stuck
	}
	got, err := b.spool.Next(b.cfg.Batch)
	if err != nil {
		b.last = fullBatch // there may be
		return nil, err
	}
	switch {
	case len(got.Records) == b.cfg.Batch:
		b.last = fullBatch
	case b.through.Less(got.Through):
		b.last = shortBatch
	default:
		b.last = nothing
	}
	through, lost := got.Through, uint64(0)
	for _, g := range got.Gaps { // which the spool has logged
		n, _ := g.Records() // at a torn end there is no telling; as a rule nobody was told of what is missing there
		lost += n
	}
	var ds []store.Decision
	for _, rec := range got.Records {
		d, err := decodeDecision(rec.Data)
		if errors.Is(err, errNewer) {
			b.stuck = fmt.Errorf("spool record %s: %w", rec.Seq, err)
			through = spool.Seq{Epoch: rec.Seq.Epoch, N: rec.Seq.N - 1}
			break
		}
		if err != nil {
			b.log.Error("audit record in the spool unreadable and lost", "seq", rec.Seq.String(), "error", err)
			lost++
			continue
		}
		d.Instance, d.Epoch, d.Seq = b.instance, rec.Seq.Epoch, rec.Seq.N
		ds = append(ds, d)
	}
	b.passed(through, len(ds), lost)
	if len(ds) == 0 {
		return nil, b.stuck
	}
	return ds, nil
}

// passed notes how far the spool was read, and what came of it.
func (b *backlog) passed(through spool.Seq, records int, lost uint64) {
	b.moved = b.moved || b.through.Less(through)
	b.through = through
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hand += uint64(records) //nolint:gosec // never negative
	b.count.Lost += lost
	if through.Epoch == b.epoch {
		b.read = through.N
	}
}

// done moves the checkpoint of the spool behind what was read, all of which is accounted for. When that fails the records
// are safe all the same: they may be read again, and the store knows them.
func (b *backlog) done() {
	if !b.moved {
		return
	}
	if err := b.spool.Advance(b.through); err != nil {
		if !b.stays {
			b.log.Warn("spool checkpoint cannot be moved, segments stay", "through", b.through.String(), "error", err)
		}
		b.stays = true
		return
	}
	b.moved, b.stays = false, false
}
