package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// chain checks every digest there is: its number, its signature, that it names the one before, that its window follows; and
// its copy, if there are copies. It keeps those that the range needs: a window's after that before.
func (v *verifier) chain(ctx context.Context) error {
	const limit = 500
	var previous *link
	unknown := make(map[string]*Finding) // by key id
	for after := uint64(0); ; {
		l, err := v.r.Digests(ctx, time.Time{}, time.Time{}, after, limit)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		for i := range l {
			one, err := v.link(ctx, l[i], previous, unknown)
			if err != nil {
				return err
			}
			v.place(one)
			previous = &one
		}
		if len(l) < limit {
			break
		}
		after = l[len(l)-1].Number
	}
	for _, f := range unknown {
		v.add(*f)
	}
	if previous == nil {
		v.add(Finding{Kind: NotSealed, At: v.from, Detail: "there is no digest"})
	}
	return v.copiesAfter(ctx, previous)
}

// link checks one digest. What follows from a fault that was told is not told again.
func (v *verifier) link(ctx context.Context, d store.Digest, previous *link, unknown map[string]*Finding) (link, error) {
	v.res.Digests++
	one := link{Digest: d, trusted: true}
	before := uint64(0)
	if previous != nil {
		before = previous.Number
	}
	follows := d.Number == before+1
	if !follows {
		v.broken, v.jumped = true, true
		v.add(Finding{Kind: DigestMissing, First: before + 1, Last: d.Number - 1})
	}
	fault := v.ring.fault(&d)
	if _, known := v.ring[d.KeyID]; !known {
		// Of a key that was not given there are many digests: one finding a key.
		one.trusted = false
		if f := unknown[d.KeyID]; f != nil {
			f.Last = d.Number
		} else {
			unknown[d.KeyID] = &Finding{Kind: DigestEdited, First: d.Number, Last: d.Number, At: d.From, Detail: fault}
		}
		fault = ""
	}
	one, fault, err := v.compareCopy(ctx, one, fault)
	if err != nil {
		return one, err
	}
	switch {
	case fault != "":
		v.add(Finding{Kind: DigestEdited, First: d.Number, At: d.From, Detail: fault})
	case one.trusted && follows && (previous == nil || previous.trusted) && !v.names(&one, previous):
		v.add(Finding{Kind: DigestEdited, First: d.Number, At: d.From, Detail: "it names another digest before it than the one that is there"})
	}
	return one, nil
}

// names says whether d names the digest before it, and the first none.
func (v *verifier) names(d, previous *link) bool {
	if previous == nil {
		return len(d.Previous) == 0
	}
	h := Hash(&previous.Digest)
	return bytes.Equal(d.Previous, h[:])
}

// compareCopy looks at the copy of a digest. When the store's was edited and its copy is good, that takes its place.
func (v *verifier) compareCopy(ctx context.Context, one link, fault string) (link, string, error) {
	good := one.trusted && fault == ""
	if v.cfg.Copies == nil {
		one.trusted = good
		return one, fault, nil
	}
	c, err := v.cfg.Copies.Copy(ctx, one.Number)
	switch {
	case errors.Is(err, store.ErrNotFound):
		one.trusted = good
		return one, fault, nil
	case errors.Is(err, ErrContradicts):
		v.add(Finding{Kind: CopyDiffers, First: one.Number, At: one.From, Detail: "the copy cannot be read"})
		one.trusted = good
		return one, fault, nil
	case err != nil:
		return one, fault, err
	}
	same := bytes.Equal(signed(&c), signed(&one.Digest)) && bytes.Equal(c.Signature, one.Signature)
	copyFault := v.ring.fault(&c)
	switch {
	case same:
		v.res.Copies++
		one.trusted = good
	case good && copyFault == "":
		v.add(Finding{Kind: CopyDiffers, First: one.Number, At: one.From, Detail: "both are signed: the store's was made again"})
		one.trusted = false // the copy could not be rewritten
	case good:
		v.add(Finding{Kind: CopyDiffers, First: one.Number, At: one.From, Detail: "of the copy: " + copyFault})
	case copyFault == "":
		if fault == "" {
			fault = "its copy says something else"
		}
		return link{Digest: c, trusted: true}, fault + "; its copy is intact", nil
	default:
		v.add(Finding{Kind: CopyDiffers, First: one.Number, At: one.From, Detail: "of the copy: " + copyFault})
		one.trusted = false
	}
	return one, fault, nil
}

// place keeps what the range needs of the chain, and looks whether windows follow one another. A digest that cannot be
// believed has no window: where it was, nothing is judged.
func (v *verifier) place(one link) {
	if v.res.Digests == 1 {
		v.whole = one.Number == 1 && one.trusted && one.Kind == store.DigestHourly
		v.begins = one.From
	}
	if !one.trusted {
		v.doubt = v.doubt || v.meets(&one)
		v.jumped = true
		if one.Kind == store.DigestBackfill {
			v.backfill = append(v.backfill, one)
		}
		return
	}
	if one.Kind == store.DigestBackfill {
		if v.meets(&one) {
			v.res.Late += one.Count
		}
		v.backfill = append(v.backfill, one)
		return
	}
	if last := v.res.SealedThrough; !last.IsZero() && !one.From.Equal(last) && !v.jumped {
		v.broken = true
		v.add(Finding{Kind: DigestMissing, At: last, Detail: "no digest is of the time up to " + one.From.Format(time.RFC3339)})
	}
	v.res.SealedThrough, v.jumped = one.To, false
	switch {
	case v.meets(&one):
		v.hourly = append(v.hourly, one)
	case len(v.hourly) == 0:
		v.before = one
	}
}

// meets says whether the window of a digest meets the range.
func (v *verifier) meets(d *link) bool {
	return d.To.After(v.from) && (v.to.IsZero() || d.From.Before(v.to))
}

// copiesAfter tells of copies of digests that are younger than the newest of the store: its end was cut off.
func (v *verifier) copiesAfter(ctx context.Context, newest *link) error {
	if v.cfg.Copies == nil {
		return nil
	}
	there := uint64(0)
	if newest != nil {
		there = newest.Number
	}
	all, err := v.cfg.Copies.Numbers(ctx)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	// One that was made while the chain was read is no finding.
	latest, err := v.r.LatestDigest(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("verify: %w", err)
	}
	there = max(there, latest.Number)
	for _, n := range all {
		if n <= there {
			continue
		}
		f := Finding{Kind: CopyOnly, First: n, Detail: "the store does not have it"}
		if c, err := v.cfg.Copies.Copy(ctx, n); err == nil {
			f.At = c.From
		}
		v.add(f)
	}
	return nil
}
