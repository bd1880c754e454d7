package seal

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// errTooMany says that a window has more records than a digest should.
var errTooMany = errors.New("too many records for a digest")

// bundle is a digest in the making: what goes into it is in memory as its list only.
type bundle struct {
	from, to          time.Time
	limit             uint64 // of records; 0: none
	list              *packer
	tree              tree
	records, changes  uint64
	sources           map[source]*store.SequenceRange
	revFirst, revLast uint64
}

func newBundle(from, to time.Time, limit uint64) *bundle {
	return &bundle{from: from, to: to, limit: limit, list: newPacker(from), sources: make(map[source]*store.SequenceRange)}
}

// record adds a record; errTooMany when the bundle is full.
func (b *bundle) record(d *store.Decision, e *entry) error {
	if b.limit != 0 && b.records == b.limit {
		return errTooMany
	}
	b.records++
	b.list.record(e)
	b.tree.add(e.leaf)
	if d.Revision != 0 {
		if b.revFirst == 0 {
			b.revFirst = d.Revision
		}
		b.revFirst, b.revLast = min(b.revFirst, d.Revision), max(b.revLast, d.Revision)
	}
	if e.source.instance == "" {
		return nil
	}
	r := b.sources[e.source]
	if r == nil {
		r = &store.SequenceRange{Instance: e.source.instance, Epoch: e.source.epoch, First: e.seq, Last: e.seq}
		b.sources[e.source] = r
	}
	r.First, r.Last = min(r.First, e.seq), max(r.Last, e.seq)
	r.Count++
	return nil
}

func (b *bundle) change(c *changeEntry) {
	b.changes++
	b.list.change(c, b.from)
	b.tree.add(c.leaf)
}

func (b *bundle) empty() bool { return b.records == 0 && b.changes == 0 }

// digest is what the bundle is sealed with, not signed yet. Nothing can be added afterwards.
func (b *bundle) digest(kind store.DigestKind) store.Digest {
	packed := b.list.packed(b.from)
	b.tree.add(leafOfList(packed))
	root := b.tree.root()
	d := store.Digest{
		Kind: kind, From: b.from, To: b.to, Count: b.records, Root: root[:], RevisionFirst: b.revFirst, RevisionLast: b.revLast, Leaves: packed,
	}
	for _, s := range slices.SortedFunc(maps.Keys(b.sources), func(a, b source) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.epoch, b.epoch))
	}) {
		d.Ranges = append(d.Ranges, *b.sources[s])
	}
	return d
}
