package export

import (
	"context"
	"errors"

	"github.com/verdict-authz/verdict/store"
)

// pass tries a batch once. A batch that is refused for itself is halved until the records at fault stand alone. These are
// given up only when the sink takes others, since a sink that takes none is at fault itself, whatever it says.
type pass struct {
	e       *Exporter
	ds      []store.Decision
	works   bool // the sink took a record
	reached int  // records from the front that need not be sent again
	refused []refusal
}

type refusal struct {
	id  string
	err error
}

func newPass(e *Exporter, records []store.TailRecord) *pass {
	p := &pass{e: e, ds: make([]store.Decision, len(records))}
	for i, r := range records {
		p.ds[i] = r.Decision
	}
	return p
}

// run sends the batch and returns what ended it before all of it was dealt with.
func (p *pass) run(ctx context.Context) error {
	err := p.send(ctx, 0, len(p.ds))
	if len(p.refused) == 0 {
		return err
	}
	if !p.works && err == nil {
		p.works = p.takesProbe(ctx)
	}
	if p.works {
		p.giveUp()
		return err
	}
	p.reached = 0
	if err == nil {
		err = p.refused[0].err
	}
	return err
}

// send tries the records [lo, hi) and notes how far it came.
func (p *pass) send(ctx context.Context, lo, hi int) error {
	err := p.once(ctx, p.ds[lo:hi])
	var partial *Partial
	switch n := hi - lo; {
	case err == nil:
		p.took(hi, n)
	case errors.As(err, &partial) && partial.Rejected < n:
		p.took(hi, n-partial.Rejected)
		p.e.note(func(s *Stats) { s.Refused += uint64(partial.Rejected) }) //nolint:gosec // not negative
		p.e.log.Error("records of a batch were rejected and are not exported", "rejected", partial.Rejected, "records", n,
			"first_decision_id", p.ds[lo].ID, "last_decision_id", p.ds[hi-1].ID, "why", brief(partial.Why))
	case partial == nil && !errors.Is(err, ErrRefused):
		return err
	case n == 1:
		p.refused = append(p.refused, refusal{p.ds[lo].ID, err})
		p.reached = hi
	default:
		if err := p.send(ctx, lo, lo+n/2); err != nil {
			return err
		}
		return p.send(ctx, lo+n/2, hi)
	}
	return nil
}

func (p *pass) took(hi, n int) {
	p.works, p.reached = true, hi
	p.e.probe = append(p.e.probe[:0], p.ds[hi-1])
	p.e.note(func(s *Stats) { s.Exported += uint64(n) }) //nolint:gosec // not negative
}

// once is one Send, within the lease.
func (p *pass) once(ctx context.Context, ds []store.Decision) error {
	if err := p.e.keepLease(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.e.cfg.LeaseTTL/2)
	defer cancel()
	err := p.e.sink.Send(ctx, ds)
	if partial := (*Partial)(nil); errors.As(err, &partial) && partial.Rejected <= 0 {
		return nil // a warning
	}
	return err
}

// takesProbe tells whether the sink takes a record that it has taken before: then those that it refuses are at fault. The
// price is that record once more.
func (p *pass) takesProbe(ctx context.Context) bool {
	return len(p.e.probe) > 0 && p.once(ctx, p.e.probe) == nil
}

// giveUp passes the refused records and names them.
func (p *pass) giveUp() {
	for _, f := range p.refused {
		p.e.log.Error("record refused by the sink and not exported", "decision_id", f.id, "error", brief(f.err.Error()))
	}
	p.e.note(func(s *Stats) { s.Refused += uint64(len(p.refused)) })
}
