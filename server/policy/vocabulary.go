package policy

import (
	"slices"
	"strings"
)

// vocabulary is the permissions that an api declares and every pattern that matches one of them, as numbers. A permission
// of n words has n patterns: itself and a wildcard for each shorter run of its words.
type vocabulary struct {
	permissions []permission           // sorted by name
	byName      map[string]*permission // into permissions
	patterns    map[string]uint32      // number by text; numbers stay the same as long as the api lives
	texts       []string               // text by number
	live        []bool                 // by number: matches a declared permission
}

// permission is a declared permission.
type permission struct {
	name     string
	patterns [maxWords]uint32 // the numbers of those that match it
	n        uint8            // how many
	// privileged says that the groups in a token are not fresh enough to carry it.
	privileged bool
	index      uint32 // in vocabulary.permissions
}

// named says whether the pattern matches p.
func (p *permission) named(pattern uint32) bool {
	for i := range p.n {
		if p.patterns[i] == pattern {
			return true
		}
	}
	return false
}

// with returns the vocabulary for other permissions, names being well formed and without repeats. What both know keeps its
// number, so that grants need not be compiled again.
func (v *vocabulary) with(names []string) *vocabulary {
	next := &vocabulary{
		permissions: make([]permission, len(names)),
		byName:      make(map[string]*permission, len(names)),
		patterns:    make(map[string]uint32, len(v.patterns)+len(names)),
		texts:       slices.Clip(v.texts),
	}
	for text, number := range v.patterns {
		next.patterns[text] = number
	}
	names = slices.Clone(names)
	slices.Sort(names)
	for i, name := range names {
		p := &next.permissions[i]
		p.name, p.index = name, index(i)
		next.byName[name] = p
		for at := range len(name) {
			if name[at] == '.' {
				p.add(next.number(name[:at+1] + "*"))
			}
		}
		p.add(next.number(name))
	}
	next.live = make([]bool, len(next.texts))
	for i := range next.permissions {
		p := &next.permissions[i]
		for _, number := range p.patterns[:p.n] {
			next.live[number] = true
		}
	}
	return next
}

func (p *permission) add(number uint32) {
	p.patterns[p.n] = number
	p.n++
}

func (v *vocabulary) number(text string) uint32 {
	number, ok := v.patterns[text]
	if !ok {
		number = index(len(v.texts))
		v.patterns[text] = number
		v.texts = append(v.texts, text)
	}
	return number
}

// pattern returns the number of a pattern that matches a declared permission.
func (v *vocabulary) pattern(text string) (number uint32, ok bool) {
	number, ok = v.patterns[text]
	return number, ok && v.live[number]
}

// lost says whether next lacks a pattern that v has.
func (v *vocabulary) lost(next *vocabulary) bool {
	for number, live := range v.live {
		if live && !next.live[number] {
			return true
		}
	}
	return false
}

// nearest is the declared permission, or for a wildcard the pattern, most like text; empty when nothing is like it.
func (v *vocabulary) nearest(text string) string {
	best, least := "", len(text)/2+1
	consider := func(known string) {
		if d := distance(text, known, least); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	if strings.HasSuffix(text, ".*") {
		for number, known := range v.texts {
			if v.live[number] && strings.HasSuffix(known, ".*") {
				consider(known)
			}
		}
		return best
	}
	for i := range v.permissions {
		consider(v.permissions[i].name)
	}
	return best
}

// distance is the number of letters to insert, delete or change to make b of a; when that is over most, some number over
// most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) > maxPermissionLen || len(b) > maxPermissionLen {
		return most + 1
	}
	var row [maxPermissionLen + 1]int
	for j := range len(b) + 1 {
		row[j] = j //nolint:gosec // G602: j ranges over row
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// permissionSet is some permissions of a vocabulary, a bit each by index.
type permissionSet []uint64

func (s permissionSet) has(p *permission) bool { return s[p.index/64]&(1<<(p.index%64)) != 0 }

// set returns the permissions that some of the patterns match.
func (v *vocabulary) set(patterns []uint32) permissionSet {
	wanted := make([]bool, len(v.texts))
	for _, number := range patterns {
		wanted[number] = true
	}
	s := make(permissionSet, (len(v.permissions)+63)/64)
	for i := range v.permissions {
		p := &v.permissions[i]
		for _, number := range p.patterns[:p.n] {
			if wanted[number] {
				s[p.index/64] |= 1 << (p.index % 64)
			}
		}
	}
	return s
}
