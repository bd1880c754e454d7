package spool

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Record is what was appended, under its number.
type Record struct {
	Seq  Seq
	Data []byte
}

// Gap is what cannot be read any more: the records From to To of an epoch, both included. To is 0 at the end of an
// epoch that was not closed in order: then nobody knows whether the unreadable bytes were one record that was being
// written when the process died, or more.
type Gap struct {
	Epoch, From, To uint64
	Bytes           int64 // unreadable ones; 0 when a segment is missing
}

// Records is the number of records lost; false when it is not known.
func (g Gap) Records() (uint64, bool) {
	if g.To == 0 {
		return 0, false
	}
	return g.To - g.From + 1, true
}

// Batch is what Next read: records and gaps, each in order. Through is what to hand to Advance once all of it is safe.
type Batch struct {
	Records []Record
	Gaps    []Gap
	Through Seq
}

// batchBytes and batchGaps end a batch early, so that its size has a limit whatever the records are.
const (
	batchBytes = 16 << 20
	batchGaps  = 1024
)

// cursor is where in which segment the reader is.
type cursor struct {
	seg     *segment
	file    File
	walk    *walker
	damaged int64 // bytes stepped over since the last frame
}

// Next returns up to limit records that follow those it returned before; after Open and Rewind, those that follow the
// checkpoint. It does not wait: with no records and no gaps there is nothing to read now. An error leaves the place
// where it was.
func (l *Log) Next(limit int) (Batch, error) {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	if l.ended {
		return Batch{Through: l.pos}, ErrClosed
	}
	var b Batch
	size := 0
	for len(b.Records) < limit && size < batchBytes && len(b.Gaps) < batchGaps {
		more, err := l.step(&b, &size, limit)
		if err != nil {
			l.dropCursor()
			if len(b.Records)+len(b.Gaps) == 0 {
				return Batch{Through: l.pos}, fmt.Errorf("read spool at %s: %w", l.pos, err)
			}
			break // what was read is good; the next call says the rest
		}
		if !more {
			break
		}
	}
	b.Through = l.pos
	return b, nil
}

// Rewind goes back to the checkpoint.
func (l *Log) Rewind() {
	l.readMu.Lock()
	defer l.readMu.Unlock()
	l.pos = l.checkpoint
	l.dropCursor()
}

// place is where the record that follows a Seq has to be sought.
type place struct {
	pos  Seq      // the reader's, moved to another epoch when its own has no more
	seg  *segment // nil: there is nothing to read
	size int64
	end  uint64 // records from here on are not in seg; 0: seg is the last of an earlier epoch, and says itself
}

// locate finds the record after pos.
func (l *Log) locate(pos Seq) place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := place{pos: pos}
	last := -1 // the last segment of the epoch
	for i, s := range l.segs {
		if s.name.epoch < p.pos.Epoch {
			continue
		}
		if s.name.epoch > p.pos.Epoch {
			if last >= 0 {
				break
			}
			p.pos = Seq{Epoch: s.name.epoch}
		}
		last = i
	}
	if p.pos.Epoch < l.epoch && last < 0 {
		p.pos = Seq{Epoch: l.epoch}
	}
	if last < 0 || p.pos.Epoch == l.epoch && p.pos.N >= l.written.seq {
		return p
	}
	if p.pos.Epoch == l.epoch {
		p.end = l.written.seq + 1
	}
	// Later segments are preferred: a segment repeats what its predecessors did not keep for certain.
	for i := last; i >= 0 && l.segs[i].name.epoch == p.pos.Epoch; i-- {
		s := l.segs[i]
		if p.seg = s; s.name.first <= p.pos.N+1 {
			break
		}
		if i == 0 || l.segs[i-1].name.epoch != p.pos.Epoch {
			break // the records before it are missing; the walk will say so
		}
		if p.end == 0 || s.name.first < p.end {
			p.end = s.name.first
		}
	}
	p.size = p.seg.size
	return p
}

// step reads on in one segment; false when there is nothing more to read now.
func (l *Log) step(b *Batch, size *int, limit int) (bool, error) {
	p := l.locate(l.pos)
	l.pos = p.pos
	if p.seg == nil {
		return false, nil
	}
	c, err := l.open(p)
	if err != nil {
		return false, err
	}
	for len(b.Records) < limit && *size < batchBytes && len(b.Gaps) < batchGaps {
		want := l.pos.N + 1
		if p.end > 0 && want >= p.end {
			return true, nil
		}
		fr, damaged, err := c.walk.next()
		c.damaged += damaged
		if errors.Is(err, io.EOF) {
			l.finish(b, c, p)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if fr.seq < want {
			c.damaged = 0 // long drained, and what was missing there was reported then
			continue
		}
		upTo := fr.seq
		if p.end > 0 {
			upTo = min(upTo, p.end)
		}
		l.missing(b, c, upTo)
		switch {
		case upTo < fr.seq || fr.seq == p.end:
			c.walk.back(fr)
		case len(fr.data) == 0:
			l.pos = Seq{Epoch: l.pos.Epoch + 1} // sealed: nothing follows in this epoch
			return true, nil
		default:
			l.pos.N = fr.seq
			b.Records = append(b.Records, Record{Seq: l.pos, Data: slices.Clone(fr.data)})
			*size += len(fr.data)
		}
	}
	return true, nil
}

// missing reports that the records from the reader's place up to, but not with, a number are gone, if there are any.
func (l *Log) missing(b *Batch, c *cursor, upTo uint64) {
	if want := l.pos.N + 1; want < upTo {
		l.report(b, Gap{Epoch: l.pos.Epoch, From: want, To: upTo - 1, Bytes: c.damaged})
		l.pos.N = upTo - 1
	} else if c.damaged > 0 {
		l.log.Warn("spool bytes unreadable, no record missing", "segment", c.seg.name.String(), "bytes", c.damaged)
	}
	c.damaged = 0
}

// finish says what is missing at the end of a segment, and goes on behind it.
func (l *Log) finish(b *Batch, c *cursor, p place) {
	if p.end > 0 {
		// What a failed write left behind the last record is nobody's.
		if l.pos.N+1 < p.end {
			l.missing(b, c, p.end)
		}
		c.damaged = 0
		return
	}
	if c.damaged > 0 {
		l.report(b, Gap{Epoch: l.pos.Epoch, From: l.pos.N + 1, Bytes: c.damaged})
	}
	l.pos = Seq{Epoch: l.pos.Epoch + 1}
}

func (l *Log) report(b *Batch, g Gap) {
	b.Gaps = append(b.Gaps, g)
	l.log.Error("spool records unreadable", "epoch", g.Epoch, "from", g.From, "to", g.To, "bytes", g.Bytes)
}

// open returns the cursor for a place: the present one, if that is where it is.
func (l *Log) open(p place) (*cursor, error) {
	if c := l.cur; c != nil && c.seg == p.seg {
		c.walk.size = p.size
		return c, nil
	}
	l.dropCursor()
	f, err := l.fs.Open(l.path(p.seg.name.String()))
	if err != nil {
		return nil, err
	}
	l.cur = &cursor{seg: p.seg, file: f, walk: newWalker(f, l.id.seed(p.seg.name.epoch), p.seg.name.first, p.size)}
	return l.cur, nil
}

func (l *Log) dropCursor() {
	if l.cur != nil {
		l.cur.file.Close()
		l.cur = nil
	}
}
