package policy

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sort"
	"strings"
)

// grantIDs finds a grant by its id, for changes; questions do not need it.
type grantIDs struct {
	directory[[]grantID] // of each cell, sorted by id
	n                    int
}

// grantID is where a grant is held.
type grantID struct {
	id      string
	subject uint64 // hash of the subject
	api     uint32 // in Snapshot.apis
}

const maxIDsInCell = 512

func idHash(id string) uint64 { return maphash.String(seed, id) }

// find looks up an id.
func (g *grantIDs) find(id string) (grantID, bool) {
	if g.n == 0 {
		return grantID{}, false
	}
	held := *g.at(idHash(id))
	i, ok := slices.BinarySearchFunc(held, id, func(e grantID, id string) int { return strings.Compare(e.id, id) })
	if !ok {
		return grantID{}, false
	}
	return held[i], true
}

// idRow is an id on its way into the index, or out of it.
type idRow struct {
	grantID
	hash uint64 // of id
	gone bool
}

// change returns the index after some rows, of which none shares its id with another; g stays as it is. Rows are sorted in
// place. A row for a known id replaces it.
func (g *grantIDs) change(rows []idRow) *grantIDs {
	if len(rows) == 0 {
		return g
	}
	next := &grantIDs{n: g.n}
	if g.n == 0 {
		next.directory = newDirectory[[]grantID](bitsFor(len(rows), maxIDsInCell/2))
	} else {
		next.directory = g.clone()
	}
	slices.SortFunc(rows, func(a, b idRow) int {
		if c := cmp.Compare(a.hash, b.hash); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	rewrite(&next.directory, rows, func(r *idRow) uint64 { return r.hash },
		func(at uint64, bits uint8, rows []idRow) {
			old := *next.at(at)
			held := merge(old, rows)
			next.n += len(held) - len(old)
			next.store(at, bits, held)
		})
	return next
}

// merge makes the ids of a cell from the old ones and a change.
func merge(old []grantID, rows []idRow) []grantID {
	slices.SortFunc(rows, func(a, b idRow) int { return strings.Compare(a.id, b.id) })
	held := make([]grantID, 0, len(old)+len(rows))
	for len(old) > 0 || len(rows) > 0 {
		if len(rows) == 0 || len(old) > 0 && old[0].id < rows[0].id {
			held = append(held, old[0])
			old = old[1:]
			continue
		}
		if len(old) > 0 && old[0].id == rows[0].id {
			old = old[1:]
		}
		if !rows[0].gone {
			held = append(held, rows[0].grantID)
		}
		rows = rows[1:]
	}
	return held
}

// store puts the ids of a cell into the directory, split as needed.
func (g *grantIDs) store(at uint64, bits uint8, held []grantID) {
	if len(held) <= maxIDsInCell || bits == maxDirectoryBits {
		g.put(at, bits, held)
		return
	}
	one := uint64(1) << (63 - bits)
	byBit := slices.Clone(held)
	sort.SliceStable(byBit, func(i, j int) bool { return idHash(byBit[i].id)&one < idHash(byBit[j].id)&one })
	middle := sort.Search(len(byBit), func(i int) bool { return idHash(byBit[i].id)&one != 0 })
	g.store(at&^one, bits+1, byBit[:middle:middle])
	g.store(at|one, bits+1, byBit[middle:])
}
