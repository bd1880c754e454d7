package store

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// TailCursor is how far a tail has come: a position in each source. The zero value is before everything.
type TailCursor struct {
	Since time.Time // records before this instant are left out; zero: none
	Seen  map[Source]Position
}

// Compare orders positions of one source.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, o.Epoch), cmp.Compare(p.Seq, o.Seq))
}

// Compare orders sources: lanes first, then instances by name.
func (s Source) Compare(o Source) int {
	return cmp.Or(strings.Compare(s.Instance, o.Instance), cmp.Compare(s.Lane, o.Lane))
}

// Advance makes c go on after r. The records of a Tail are advanced over in their order.
func (c *TailCursor) Advance(r TailRecord) { c.reach(r.Source, r.Position) }

// Clone is a copy that Advance does not share.
func (c TailCursor) Clone() TailCursor {
	c.Seen = maps.Clone(c.Seen)
	return c
}

// reach moves the source's position forward, never back.
func (c *TailCursor) reach(s Source, p Position) {
	if p.Compare(c.Seen[s]) <= 0 {
		return
	}
	if c.Seen == nil {
		c.Seen = make(map[Source]Position)
	}
	c.Seen[s] = p
}

// tailVersion is the first byte of a cursor in one piece.
const tailVersion = 1

// String is c in one piece, which only ParseTailCursor can read; equal cursors have equal strings. It grows with the number
// of sources, about 20 bytes and the name for each.
func (c TailCursor) String() string {
	b := []byte{tailVersion}
	since := int64(0)
	if !c.Since.IsZero() {
		since = c.Since.UnixMicro()
	}
	b = binary.AppendVarint(b, since)
	b = binary.AppendUvarint(b, uint64(len(c.Seen)))
	for _, s := range slices.SortedFunc(maps.Keys(c.Seen), Source.Compare) {
		b = binary.AppendUvarint(b, uint64(len(s.Instance)))
		b = append(b, s.Instance...)
		p := c.Seen[s]
		for _, n := range []uint64{s.Lane, p.Epoch, p.Seq} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseTailCursor reads what String made; "" is the zero cursor. ErrInvalid when it is something else.
func ParseTailCursor(s string) (TailCursor, error) {
	if s == "" {
		return TailCursor{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	r := tailReader{rest: b, bad: err != nil || len(b) == 0 || b[0] != tailVersion}
	if !r.bad {
		r.rest = r.rest[1:]
	}
	var c TailCursor
	if since := r.signed(); since != 0 {
		c.Since = time.UnixMicro(since).UTC()
	}
	n := r.number()
	switch {
	case n > uint64(len(r.rest)): // each takes several bytes
		r.bad = true
	case n > 0:
		c.Seen = make(map[Source]Position, n)
	}
	for i := uint64(0); i < n && !r.bad; i++ {
		s := Source{Instance: r.text()}
		s.Lane = r.number()
		p := Position{Epoch: r.number(), Seq: r.number()}
		if r.bad || (s.Instance == "") == (s.Lane == 0) || max(s.Lane, p.Epoch, p.Seq) > MaxRevision || p == (Position{}) {
			r.bad = true
			break
		}
		c.Seen[s] = p
	}
	// Only what String makes is taken: one cursor, one text.
	if r.bad || len(r.rest) > 0 || c.String() != s {
		return TailCursor{}, fmt.Errorf("tail cursor: not one of ours: %w", ErrInvalid)
	}
	return c, nil
}

// tailReader takes values off its rest until one is bad.
type tailReader struct {
	rest []byte
	bad  bool
}

func (r *tailReader) take(n int) {
	if n <= 0 {
		r.bad = true
		return
	}
	r.rest = r.rest[n:]
}

func (r *tailReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.take(n)
	return v
}

func (r *tailReader) signed() int64 {
	v, n := binary.Varint(r.rest)
	r.take(n)
	return v
}

func (r *tailReader) text() string {
	n := r.number()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// TailAfter is the cursor that covers the spans, the newest of each source.
func TailAfter(spans []Span) TailCursor {
	var c TailCursor
	for _, sp := range spans {
		src, p := sp.place()
		c.reach(src, p)
	}
	return c
}

// place is whose span it is, and where it ends.
func (sp Span) place() (Source, Position) {
	if sp.Instance == "" {
		return Source{Lane: sp.Epoch}, Position{Seq: sp.Last}
	}
	return Source{Instance: sp.Instance}, Position{Epoch: sp.Epoch, Seq: sp.Last}
}

// Pending is what a source has that a cursor does not cover.
type Pending struct {
	Source    Source
	Epoch     uint64    // of an instance; the lane of the store otherwise
	After     uint64    // numbers of the epoch after this one
	Upto      uint64    // and up to this one
	From, To  time.Time // [From, To): the days that they lie in
	furtherOn bool
}

// tailWindow bounds how many numbers of a source one call looks at: a filter that hardly anything matches does not make it
// long.
const tailWindow = 20_000

// Pending returns a piece of each source of spans that c does not cover, by source. spans are those of the store that end
// after c's positions, sorted by instance, epoch and day.
func (c TailCursor) Pending(spans []Span) []Pending {
	var all []Pending
	for _, sp := range spans {
		src, at := sp.place()
		seen := c.Seen[src]
		if at.Compare(seen) <= 0 || !c.Since.IsZero() && sp.Day.Before(Day(c.Since)) {
			continue
		}
		after := sp.First - 1
		if at.Epoch == seen.Epoch {
			after = max(after, seen.Seq)
		}
		last := len(all) - 1
		switch {
		case last < 0 || all[last].Source != src:
			all = append(all, Pending{Source: src, Epoch: sp.Epoch, After: after, Upto: sp.Last, From: sp.Day, To: sp.Day.AddDate(0, 0, 1)})
		case all[last].Epoch != sp.Epoch:
			all[last].furtherOn = true
		default: // days of an epoch may overlap by some numbers around midnight
			p := &all[last]
			p.After, p.Upto = min(p.After, after), max(p.Upto, sp.Last)
			p.To = sp.Day.AddDate(0, 0, 1)
		}
	}
	for i := range all {
		p := &all[i]
		if p.Upto-p.After > tailWindow {
			p.Upto, p.furtherOn = p.After+tailWindow, true
		}
	}
	return all
}

// Read fills t with at most limit records of what is pending: read returns at most share of p that match, by number. Each
// source has its share, and a record without an instance comes with its lane and place as Epoch and Seq; when there are more of them than records are wanted, chance says whose turn it is.
func (t *Tail) Read(pending []Pending, limit int, read func(p Pending, share int) ([]Decision, error)) error {
	if len(pending) > limit {
		rand.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] }) //nolint:gosec // whose turn it is is no secret
		pending, t.More = pending[:limit], true
	}
	for _, p := range pending {
		share := limit / len(pending)
		found, err := read(p, share)
		if err != nil {
			return err
		}
		if err := t.add(p, found, share); err != nil {
			return err
		}
	}
	t.merge()
	return nil
}

// add takes in what was read of p.
func (t *Tail) add(p Pending, found []Decision, share int) error {
	end := p.Upto
	if len(found) == share { // there may be others in the piece
		end = found[len(found)-1].Seq
		t.More = t.More || end < p.Upto
	}
	t.More = t.More || p.furtherOn
	for _, d := range found {
		at := p.position(d.Seq)
		d, err := d.Canonical()
		if err != nil {
			return err
		}
		t.Records = append(t.Records, TailRecord{Decision: d, Source: p.Source, Position: at})
	}
	t.Cursor.reach(p.Source, p.position(end))
	return nil
}

func (p Pending) position(seq uint64) Position {
	if p.Source.Instance == "" {
		return Position{Seq: seq}
	}
	return Position{Epoch: p.Epoch, Seq: seq}
}

// merge orders the records by At, those of one source as they are.
func (t *Tail) merge() {
	var sources [][]TailRecord
	for i, r := range t.Records {
		if i == 0 || r.Source != t.Records[i-1].Source {
			sources = append(sources, nil)
		}
		sources[len(sources)-1] = append(sources[len(sources)-1], r)
	}
	merged := make([]TailRecord, 0, len(t.Records))
	for range t.Records {
		first := -1
		for i, l := range sources {
			if len(l) > 0 && (first < 0 || l[0].Decision.At.Before(sources[first][0].Decision.At)) {
				first = i
			}
		}
		merged = append(merged, sources[first][0])
		sources[first] = sources[first][1:]
	}
	if len(merged) > 0 {
		t.Records = merged
	}
}
