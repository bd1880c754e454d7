package audit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// write is the writer: it takes batches in order and writes each until nothing of it is left to write.
func (r *Recorder) write() {
	defer close(r.written)
	for {
		ds := r.from.next(r.ctx)
		if ds == nil {
			return
		}
		addLeaves(ds)
		if !r.drain(ds) {
			return
		}
		r.from.done()
	}
}

// drain writes ds, all of it, however long it takes; false when Close gave up before.
func (r *Recorder) drain(ds []store.Decision) bool {
	pause := firstBackoff
	for {
		p := pass{r: r}
		rest := p.write(ds)
		switch {
		case p.works:
			p.giveUp()
			if len(rest) < len(ds) {
				pause = firstBackoff
			}
			ds = rest
		case len(p.refused) > 0 && len(ds) < 2*r.cfg.Batch:
			ds = r.joined(ds)
		}
		if len(ds) == 0 {
			r.trouble.worked()
			return true
		}
		if !r.rest(min(pause, r.cfg.Backoff)) {
			return false
		}
		pause = min(2*pause, r.cfg.Backoff)
	}
}

// rest is the pause between two tries of a failing write; false when Close gave up meanwhile. It is no longer than half
// of what somebody who waits for the store has patience for.
func (r *Recorder) rest(d time.Duration) bool {
	soon := min(d, r.cfg.Patience/2)
	if !r.sleep(soon, nil) {
		return false
	}
	return d == soon || r.commits.any() || r.sleep(d-soon, r.commits.hurry)
}

// sleep waits for d or a token; false when Close gave up.
func (r *Recorder) sleep(d time.Duration, token <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-token:
	case <-r.ctx.Done():
		return false
	}
	return true
}

// joined is ds and the batch after it, if there is one. Records that the store refused, when it has taken none yet, need
// others beside them to tell whose fault it is; they must not hold up the queue by standing alone.
func (r *Recorder) joined(ds []store.Decision) []store.Decision {
	more := r.from.more()
	addLeaves(more)
	return append(slices.Clip(ds), more...)
}

// pass tries a batch once. A batch that is refused for itself is halved until the records at fault stand alone. They are
// given up only when the store takes others, since a store that takes none is at fault itself, whatever it says.
type pass struct {
	r       *Recorder
	works   bool // the store took a record, or says that it never will
	refused []refusal
}

type refusal struct {
	id  string
	err error
}

// write tries ds and returns its tail that was not reached because the store went away.
func (p *pass) write(ds []store.Decision) []store.Decision {
	err := p.r.append(ds)
	if err == nil {
		p.works = true
		p.r.probe = ds[len(ds)-1]
		p.r.from.settle(len(ds), 0)
		p.r.commits.settle(ds)
		return nil
	}
	p.r.trouble.failed(err)
	if away(err) || !p.plausible(err) {
		return ds
	}
	if len(ds) == 1 {
		p.refused = append(p.refused, refusal{ds[0].ID, err})
		return nil
	}
	half := len(ds) / 2
	if rest := p.write(ds[:half]); len(rest) > 0 {
		return ds[half-len(rest):]
	}
	return p.write(ds[half:])
}

// plausible tells whether err can be the records' fault: surely when it says so; not when the store refuses even a
// record that it has.
func (p *pass) plausible(err error) bool {
	if errors.Is(err, store.ErrInvalid) {
		p.works = true
	}
	if p.works || p.r.probe.ID == "" {
		return true
	}
	p.works = p.r.append([]store.Decision{p.r.probe}) == nil
	return p.works
}

// giveUp counts the refused records as lost and names them.
func (p *pass) giveUp() {
	for _, f := range p.refused {
		p.r.log.Error("audit record refused by the store and lost", "decision_id", f.id, "error", f.err)
	}
	p.r.from.settle(0, len(p.refused))
	for _, f := range p.refused {
		p.r.commits.refuse(f.id, f.err)
	}
}

func (r *Recorder) append(ds []store.Decision) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Timeout)
	defer cancel()
	return r.to.AppendDecisions(ctx, ds)
}

// away tells whether err speaks of the store rather than of the records.
func away(err error) bool {
	for _, e := range []error{store.ErrUnavailable, store.ErrSchema, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
