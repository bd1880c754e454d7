package policy

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// A shard is split when it has over maxShardSubjects subjects, or over maxShardGrants grants and more than a few subjects;
// the grants of one subject always stay together.
const (
	maxShardSubjects = 1024
	maxShardGrants   = 2048
	fewSubjects      = 32
)

// grantRow is a grant on its way into or out of a shard.
type grantRow struct {
	hash     uint64 // of subject
	subject  string
	id       string
	limits   *limits
	patterns []uint32
	deny     bool
	gone     bool // not a grant but the removal of the one with this hash and id
}

func byHashAndSubject(a, b grantRow) int {
	if c := cmp.Compare(a.hash, b.hash); c != 0 {
		return c
	}
	return strings.Compare(a.subject, b.subject)
}

// change returns the table after some rows; t stays as it is. Rows are sorted in place. What is removed is removed before
// anything is added, and must be there.
func (t *grantTable) change(rows []grantRow) *grantTable {
	next := &grantTable{n: t.n}
	if t.n == 0 {
		next.directory = newDirectory[shard](bitsFor(len(rows), maxShardSubjects/2))
	} else {
		next.directory = t.clone()
	}
	slices.SortFunc(rows, byHashAndSubject)
	rewrite(&next.directory, rows, func(r *grantRow) uint64 { return r.hash },
		func(at uint64, bits uint8, rows []grantRow) {
			old := next.at(at)
			kept := old.rows()
			next.n -= len(kept)
			kept = withoutGone(kept, rows)
			for _, r := range rows {
				if !r.gone {
					kept = append(kept, r)
				}
			}
			next.n += len(kept)
			slices.SortFunc(kept, byHashAndSubject)
			next.store(at, bits, kept)
		})
	return next
}

// withoutGone takes out of kept what rows remove.
func withoutGone(kept, rows []grantRow) []grantRow {
	var gone map[string]bool
	for i := range rows {
		if rows[i].gone {
			if gone == nil {
				gone = make(map[string]bool)
			}
			gone[rows[i].id] = true
		}
	}
	if gone == nil {
		return kept
	}
	return slices.DeleteFunc(kept, func(k grantRow) bool { return gone[k.id] })
}

// store puts the sorted rows of a cell into the directory, split as needed.
func (t *grantTable) store(at uint64, bits uint8, rows []grantRow) {
	subjects := 0
	for i := range rows {
		if i == 0 || rows[i].subject != rows[i-1].subject {
			subjects++
		}
	}
	full := subjects > maxShardSubjects || len(rows) > maxShardGrants && subjects > fewSubjects
	if !full || bits == maxDirectoryBits {
		t.put(at, bits, newShard(rows, subjects))
		return
	}
	one := uint64(1) << (63 - bits)
	middle := sort.Search(len(rows), func(i int) bool { return rows[i].hash&one != 0 })
	t.store(at&^one, bits+1, rows[:middle])
	t.store(at|one, bits+1, rows[middle:])
}

// newShard lays out sorted rows.
func newShard(rows []grantRow, subjects int) shard {
	if len(rows) == 0 {
		return shard{}
	}
	entries := subjects
	for i := range rows {
		entries += len(rows[i].patterns)
	}
	s := shard{
		entries: make([]entry, 0, entries),
		grants:  make([]heldGrant, len(rows)),
		index:   &shardIndex{subjects: make([]string, 0, subjects), slots: newSlots(subjects)},
	}
	for i := 0; i < len(rows); {
		first := i
		head := len(s.entries)
		s.entries = append(s.entries, entry{grant: index(len(s.index.subjects))})
		for ; i < len(rows) && rows[i].subject == rows[first].subject; i++ {
			s.hold(i, &rows[i])
		}
		run := s.entries[head+1:]
		s.entries[head].pattern = index(len(run))
		slices.SortFunc(run, func(a, b entry) int { return cmp.Compare(a.pattern, b.pattern) })
		s.index.subjects = append(s.index.subjects, rows[first].subject)
		s.index.add(rows[first].hash, head)
	}
	return s
}

func (s *shard) hold(i int, r *grantRow) {
	s.grants[i] = heldGrant{id: r.id, limits: r.limits}
	grant := index(i)
	if r.deny {
		grant |= entryDeny
	}
	if r.limits != nil {
		grant |= entryLimited
	}
	for _, p := range r.patterns {
		s.entries = append(s.entries, entry{pattern: p, grant: grant})
	}
}

func newSlots(subjects int) []slot {
	n := 2
	for n < 2*subjects {
		n *= 2
	}
	return make([]slot, n)
}

func (x *shardIndex) add(hash uint64, head int) {
	mask := uint64(len(x.slots) - 1) //nolint:gosec // G115: a length is not negative
	i := hash & mask
	for x.slots[i].start != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot{print: fingerprint(hash), start: index(head + 1)}
}

// rows takes a shard apart again, sorted as newShard wants it.
func (s *shard) rows() []grantRow {
	if s.index == nil {
		return nil
	}
	rows := make([]grantRow, len(s.grants))
	counts := make([]int, len(s.grants)+1) // then ends of the patterns of each grant
	s.each(func(_ string, e entry) { counts[e.grant&entryGrant+1]++ })
	for i := range len(s.grants) {
		counts[i+1] += counts[i]
	}
	patterns := make([]uint32, counts[len(s.grants)])
	for i, g := range s.grants {
		rows[i].id, rows[i].limits = g.id, g.limits
		rows[i].patterns = patterns[counts[i]:counts[i]:counts[i+1]]
	}
	s.each(func(subject string, e entry) {
		r := &rows[e.grant&entryGrant]
		r.subject = subject
		r.deny = e.grant&entryDeny != 0
		r.patterns = append(r.patterns, e.pattern)
	})
	for i := range rows {
		if i > 0 && rows[i].subject == rows[i-1].subject {
			rows[i].hash = rows[i-1].hash
			continue
		}
		subject, _ := parseSubject(rows[i].subject)
		rows[i].hash = subject.hash()
	}
	return rows
}

// each calls do for each entry that is not a head.
func (s *shard) each(do func(subject string, e entry)) {
	for i := 0; i < len(s.entries); {
		head := s.entries[i]
		subject := s.index.subjects[head.grant]
		i++
		for end := i + int(head.pattern); i < end; i++ {
			do(subject, s.entries[i])
		}
	}
}
