package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// windows checks what the digests say of the range, window by window, and then that no number is nowhere.
func (v *verifier) windows(ctx context.Context) error {
	if len(v.hourly) == 0 {
		if v.res.Digests > 0 && !v.doubt {
			v.add(Finding{Kind: NotSealed, At: v.from, Detail: "nothing of that time is sealed"})
		}
		return nil
	}
	first, last := &v.hourly[0], &v.hourly[len(v.hourly)-1]
	v.res.From, v.res.To = first.From, last.To
	if err := v.edges(ctx, first.From, last.To); err != nil {
		return err
	}
	if v.whole && v.from.Before(v.begins) {
		if err := v.judge(ctx, v.from, v.begins, nil); err != nil {
			return err
		}
	}
	for i := range v.hourly {
		h := &v.hourly[i]
		if i > 0 && v.hourly[i-1].To.Before(h.From) { // without a digest, which was told
			if err := v.feed(ctx, v.hourly[i-1].To, h.From, true); err != nil {
				return err
			}
		}
		if err := v.judge(ctx, h.From, h.To, h); err != nil {
			return err
		}
		if v.cfg.Report != nil {
			v.cfg.Report(Progress{Through: h.To, Windows: i + 1, Of: len(v.hourly), Records: v.res.Records, Found: v.res.Found})
		}
	}
	for _, f := range v.gaps.missing() {
		v.add(f)
	}
	return nil
}

// edges notes which numbers there are beside the range.
func (v *verifier) edges(ctx context.Context, from, to time.Time) error {
	if err := errors.Join(v.feed(ctx, from.Add(-edge), from, false), v.feed(ctx, to, to.Add(edge), false)); err != nil {
		return err
	}
	if v.before.Number == 0 || !v.before.trusted {
		return nil
	}
	l, err := v.list(ctx, &v.before)
	if err != nil || l == nil {
		return err
	}
	return drain(l, func(e *entry) {
		if !e.time().Before(from.Add(-edge)) {
			v.gaps.add(e.source, run{e.seq, e.seq}, false)
		}
	})
}

// feed notes the numbers of records that no digest can be asked for.
func (v *verifier) feed(ctx context.Context, from, to time.Time, counts bool) error {
	for d, err := range records(ctx, v.r, from, to) {
		if err != nil {
			return err
		}
		v.gaps.add(source{d.Instance, d.Epoch}, run{d.Seq, d.Seq}, counts)
	}
	return nil
}

// list opens the list of a digest; nil when it is not what the digest says, which is told.
func (v *verifier) list(ctx context.Context, d *link) (*list, error) {
	packed, err := v.r.DigestLeaves(ctx, d.Number)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("verify: %w", err)
	}
	root, records, _, badList := rootOf(packed, d.From)
	if err != nil || badList != nil || records != d.Count || string(root[:]) != string(d.Root) {
		v.add(Finding{Kind: DigestEdited, First: d.Number, At: d.From, Detail: "its list of what it seals is not the one that it was made with"})
		d.trusted = false
		return nil, nil //nolint:nilnil // told
	}
	l, err := openList(packed, d.From)
	if err != nil {
		return nil, fmt.Errorf("verify: digest %d: %w", d.Number, err)
	}
	return l, nil
}

// judge checks [from, to) against its digest and those of what came late; h is nil for the time before the chain.
func (v *verifier) judge(ctx context.Context, from, to time.Time, h *link) error {
	lists, sure, err := v.lists(ctx, from, to, h)
	if err != nil {
		return err
	}
	if h != nil && !h.trusted { // told; it says nothing of what should be there
		return v.feed(ctx, from, to, true)
	}
	j := &judgement{v: v, sure: sure, young: to.After(v.cfg.Now().Add(-LateWithin)), kept: keeping{whole: true, rest: true}}
	if h != nil {
		j.digest, j.kept = h.Number, v.kept[store.Day(from)]
	}
	what := visitor{record: j.record, missing: j.missing, change: j.change, missingChange: j.missingChange}
	if j.kept.rest {
		return compare(ctx, v.r, from, to, lists, what)
	}
	for _, l := range lists {
		if err := drain(l, j.missing); err != nil {
			return err
		}
	}
	return compareChanges(ctx, v.r, from, to, lists, what)
}

// lists are those of h and of what came late into [from, to). Sure says that there is
// no other that cannot be believed.
func (v *verifier) lists(ctx context.Context, from, to time.Time, h *link) (lists []*list, sure bool, err error) {
	sure = true
	take := func(d *link) error {
		if d.trusted {
			l, err := v.list(ctx, d)
			if err != nil {
				return err
			}
			if l != nil {
				lists = append(lists, l)
			}
		}
		sure = sure && d.trusted
		return nil
	}
	if h != nil {
		if err := take(h); err != nil {
			return nil, false, err
		}
	}
	for i := range v.backfill {
		if b := &v.backfill[i]; b.From.Before(to) && b.To.After(from) {
			if err := take(b); err != nil {
				return nil, false, err
			}
		}
	}
	return lists, sure, nil
}

// drain reads all records of a list.
func drain(l *list, each func(*entry)) error {
	for {
		e, more, err := l.record()
		if err != nil || !more {
			return err
		}
		each(&e)
	}
}

// judgement is what is found in one window.
type judgement struct {
	v      *verifier
	digest uint64
	kept   keeping
	sure   bool // what no digest names was not there
	young  bool // what no digest names may be in one soon
}

func (j *judgement) record(d *store.Decision, e entry, was *entry) error {
	if was == nil {
		j.v.gaps.add(e.source, run{e.seq, e.seq}, true)
		switch {
		case j.young:
			j.v.res.Waiting++
		case j.sure:
			j.v.add(j.v.doubtful(ofRecord(RecordExtra, &e, j.digest)))
		}
		return nil
	}
	j.v.gaps.add(was.source, run{was.seq, was.seq}, true)
	switch {
	case was.leaf != e.leaf:
		j.v.add(ofRecord(RecordEdited, was, j.digest))
	case len(d.Leaf) != 0 && string(d.Leaf) != string(e.leaf[:]):
		f := ofRecord(RecordEdited, was, j.digest)
		f.Detail = "it is as it was sealed, and not as the leaf says that was written with it"
		j.v.add(f)
	default:
		j.v.res.Records++
	}
	return nil
}

// doubtful says of what is in no digest that it may have been in one that is missing.
func (v *verifier) doubtful(f Finding) Finding {
	f.Detail = "it is in no digest"
	if v.broken {
		f.Detail += ", unless in one that is missing"
	}
	return f
}

func (j *judgement) missing(was *entry) {
	j.v.gaps.add(was.source, run{was.seq, was.seq}, true)
	if !j.kept.whole {
		j.v.away(was.time(), 1)
		return
	}
	j.v.add(ofRecord(RecordMissing, was, j.digest))
}

func (j *judgement) change(c changeEntry, was *changeEntry) error {
	switch {
	case was != nil && was.leaf == c.leaf:
		j.v.res.Changes++
	case was != nil:
		j.v.add(ofChange(ChangeEdited, &c, j.digest))
	case j.young:
		j.v.res.Waiting++
	case j.sure:
		j.v.add(j.v.doubtful(ofChange(ChangeExtra, &c, j.digest)))
	}
	return nil
}

func (j *judgement) missingChange(was *changeEntry) {
	j.v.add(ofChange(ChangeMissing, was, j.digest))
}

func ofRecord(k Kind, e *entry, digest uint64) Finding {
	return Finding{Kind: k, ID: e.uuid(), At: e.time(), Instance: e.source.instance, Epoch: e.source.epoch, First: e.seq, Digest: digest}
}

func ofChange(k Kind, c *changeEntry, digest uint64) Finding {
	return Finding{Kind: k, Trail: c.trail, Number: c.number, At: time.UnixMicro(c.at).UTC(), Digest: digest}
}
