package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/store"
)

// A list names what a digest seals, so that verifying can say which record is gone: a mark, the records by At and ID, a zero,
// the changes of administrators by At. About 54 bytes a record. Hashes do not compress, so nothing is compressed.
//
//	record: source (1 none, else 2 + its index), of a new source its instance and epoch, microseconds after the one before
//	        (the first: after the begin of the window), id (16 bytes), of a source the number after the one before, leaf
//	change: trail, number, microseconds after the one before, leaf
const listMark = "VL1"

const (
	endOfRecords = 0
	noSource     = 1
	firstSource  = 2
)

// errList says that a list cannot be read.
var errList = errors.New("the list of a digest is damaged")

// source is where numbers are counted.
type source struct {
	instance string
	epoch    uint64
}

// entry is a record in a list.
type entry struct {
	at     int64 // microseconds since 1970
	id     [16]byte
	source source // none when instance is empty
	seq    uint64
	leaf   [sha256.Size]byte
}

func (e *entry) time() time.Time { return time.UnixMicro(e.at).UTC() }
func (e *entry) uuid() string    { return uuid.UUID(e.id).String() }

// compare orders entries as stores do: by At, then ID.
func (e *entry) compare(at int64, id [16]byte) int {
	switch {
	case e.at < at:
		return -1
	case e.at > at:
		return 1
	}
	return bytes.Compare(e.id[:], id[:])
}

// changeEntry is an admin change in a list.
type changeEntry struct {
	trail  store.Trail
	number uint64
	at     int64
	leaf   [sha256.Size]byte
}

// idOf is a record's id in bytes; the store lets no other text be one.
func idOf(d *store.Decision) (id [16]byte, err error) {
	u, err := uuid.Parse(d.ID)
	return [16]byte(u), err
}

// packer writes a list. Records come first, in order, then changes, in order.
type packer struct {
	b       []byte
	at      int64
	known   map[source]int
	last    []uint64 // number of each known source
	changes bool
}

func newPacker(from time.Time) *packer {
	return &packer{b: []byte(listMark), at: from.UnixMicro(), known: make(map[source]int)}
}

func (p *packer) record(e *entry) {
	i, known := 0, false
	switch {
	case e.source.instance == "":
		p.b = binary.AppendUvarint(p.b, noSource)
	default:
		if i, known = p.known[e.source]; !known {
			i = len(p.last)
			p.known[e.source] = i
			p.last = append(p.last, 0)
		}
		p.b = binary.AppendUvarint(p.b, uint64(firstSource+i))
		if !known {
			p.b = appendText(p.b, e.source.instance)
			p.b = binary.AppendUvarint(p.b, e.source.epoch)
		}
	}
	p.b = binary.AppendUvarint(p.b, uint64(e.at-p.at)) //nolint:gosec // in order, so not negative
	p.at = e.at
	p.b = append(p.b, e.id[:]...)
	if e.source.instance != "" {
		p.b = binary.AppendVarint(p.b, int64(e.seq-p.last[i])) //nolint:gosec // both up to 2^63
		p.last[i] = e.seq
	}
	p.b = append(p.b, e.leaf[:]...)
}

func (p *packer) change(c *changeEntry, from time.Time) {
	p.endRecords(from)
	p.b = appendText(p.b, string(c.trail))
	p.b = binary.AppendUvarint(p.b, c.number)
	p.b = binary.AppendUvarint(p.b, uint64(c.at-p.at)) //nolint:gosec // in order, so not negative
	p.at = c.at
	p.b = append(p.b, c.leaf[:]...)
}

func (p *packer) endRecords(from time.Time) {
	if !p.changes {
		p.changes, p.at = true, from.UnixMicro()
		p.b = binary.AppendUvarint(p.b, endOfRecords)
	}
}

// packed is the list; from is the begin of its window.
func (p *packer) packed(from time.Time) []byte {
	p.endRecords(from)
	return p.b
}

// list reads a list record by record, then change by change. It believes nothing: whoever can write digests wrote it.
type list struct {
	rest  []byte
	from  int64
	at    int64
	known []source
	last  []uint64
	ended bool
}

func openList(packed []byte, from time.Time) (*list, error) {
	rest, ok := bytes.CutPrefix(packed, []byte(listMark))
	if !ok {
		return nil, errList
	}
	return &list{rest: rest, from: from.UnixMicro(), at: from.UnixMicro()}, nil
}

// record returns the next record; false: there are no more.
func (l *list) record() (e entry, more bool, err error) {
	if l.ended {
		return e, false, nil
	}
	code, err := l.number()
	if err != nil {
		return e, false, err
	}
	i := 0
	switch {
	case code == endOfRecords:
		l.ended, l.at = true, l.from
		return e, false, nil
	case code > noSource:
		if i, err = l.sourceOf(code - firstSource); err != nil {
			return e, false, err
		}
		e.source = l.known[i]
	}
	if e.at, err = l.time(); err != nil {
		return e, false, err
	}
	if err := l.bytes(e.id[:]); err != nil {
		return e, false, err
	}
	if code > noSource {
		step, n := binary.Varint(l.rest)
		if n <= 0 {
			return e, false, errList
		}
		l.rest = l.rest[n:]
		l.last[i] += uint64(step) //nolint:gosec // wraps, as the difference did
		e.seq = l.last[i]
	}
	return e, true, l.bytes(e.leaf[:])
}

// sourceOf is the index of a source, which follows when it is the next new one.
func (l *list) sourceOf(code uint64) (int, error) {
	switch known := uint64(len(l.known)); {
	case code > known:
		return 0, errList
	case code == known:
		instance, err := l.text()
		if err != nil {
			return 0, err
		}
		epoch, err := l.number()
		if err != nil || instance == "" {
			return 0, errList
		}
		l.known, l.last = append(l.known, source{instance, epoch}), append(l.last, 0)
	}
	return int(code), nil //nolint:gosec // below the number of sources
}

// change returns the next change, after the last record; false: there are no more.
func (l *list) change() (c changeEntry, more bool, err error) {
	if len(l.rest) == 0 {
		return c, false, nil
	}
	trail, err := l.text()
	if err != nil {
		return c, false, err
	}
	c.trail = store.Trail(trail)
	if c.number, err = l.number(); err != nil {
		return c, false, err
	}
	if c.at, err = l.time(); err != nil {
		return c, false, err
	}
	return c, true, l.bytes(c.leaf[:])
}

func (l *list) number() (uint64, error) {
	v, n := binary.Uvarint(l.rest)
	if n <= 0 {
		return 0, errList
	}
	l.rest = l.rest[n:]
	return v, nil
}

func (l *list) time() (int64, error) {
	step, err := l.number()
	if err != nil || step > math.MaxInt64 || l.at > 0 && int64(step) > math.MaxInt64-l.at {
		return 0, errList
	}
	l.at += int64(step)
	return l.at, nil
}

func (l *list) text() (string, error) {
	size, err := l.number()
	if err != nil || size > uint64(len(l.rest)) {
		return "", errList
	}
	s := string(l.rest[:size])
	l.rest = l.rest[size:]
	return s, nil
}

func (l *list) bytes(to []byte) error {
	if len(l.rest) < len(to) {
		return errList
	}
	copy(to, l.rest)
	l.rest = l.rest[len(to):]
	return nil
}
