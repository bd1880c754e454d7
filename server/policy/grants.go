package policy

import (
	"hash/maphash"
	"time"
)

// grantTable is the grants of one api by subject. Its shards hold about a thousand grants each, those of one subject
// together, and a change makes anew only the shards it touches.
type grantTable struct {
	directory[shard]
	n int // grants
}

// shard is some subjects and their grants. For each subject there is one run of entries: a head, then one entry for each
// pattern of each of its grants, sorted by pattern. A question reads a run or two, which are a few cache lines, and the
// ids of the grants that matched; subjects and slots are for Resolve and for making the next shard.
type shard struct {
	entries []entry
	grants  []heldGrant
	index   *shardIndex // nil: no subjects
}

// entry is one pattern of one grant, or the head of a run.
type entry struct {
	pattern uint32 // head: how many entries follow
	grant   uint32 // index in shard.grants with flags; head: index in shardIndex.subjects
}

const (
	entryDeny    = 1 << 31 // the grant's effect is deny
	entryLimited = 1 << 30 // the grant has limits
	entryGrant   = entryLimited - 1
)

// heldGrant is what a match needs to know of a grant.
type heldGrant struct {
	id     string
	limits *limits // nil: none
}

// limits say when a grant counts.
type limits struct {
	notBefore, expiresAt time.Time  // zero: open
	condition            *condition // nil: always
}

// shardIndex finds the run of a subject by open addressing.
type shardIndex struct {
	subjects []string
	slots    []slot // a power of two long, at most half taken
}

// slot leads to a head; start is one more than its index in entries, 0: free.
type slot struct {
	print uint32 // some bits of the hash
	start uint32
}

// SubjectRef stands for a subject that has grants in one api of one Snapshot; it means nothing to any other.
type SubjectRef uint64

// run returns the entries of a subject.
func (t *grantTable) run(ref SubjectRef) (*shard, []entry) {
	s := &t.cells[ref>>32].held
	from := s.entries[uint32(ref):] //nolint:gosec // the lower half is the index
	return s, from[1 : 1+from[0].pattern]
}

// subject returns the text of a subject.
func (t *grantTable) subject(ref SubjectRef) string {
	s := &t.cells[ref>>32].held
	return s.index.subjects[s.entries[uint32(ref)].grant] //nolint:gosec // the lower half is the index
}

// subjectHash spreads subjects. The scope is hashed apart because a principal's groups share it.
func subjectHash(kind SubjectKind, scope uint64, id string) uint64 {
	h := maphash.String(seed, id) ^ scope ^ uint64(kind)*0x9e3779b97f4a7c15
	h ^= h >> 32
	return h * 0xd6e8feb86659fd93
}

func scopeHash(scope string) uint64 {
	return maphash.String(seed, scope) * 0xff51afd7ed558ccd
}

func (s Subject) hash() uint64 { return subjectHash(s.Kind, scopeHash(s.Scope), s.ID) }

// lookup finds the subject of that hash.
func (t *grantTable) lookup(hash uint64, kind SubjectKind, scope, id string) (SubjectRef, bool) {
	if t.n == 0 {
		return 0, false
	}
	place := t.place(hash)
	s := &t.cells[place].held
	if s.index == nil {
		return 0, false
	}
	mask := uint64(len(s.index.slots) - 1) //nolint:gosec // G115: a length is not negative
	for i := hash & mask; ; i = (i + 1) & mask {
		sl := s.index.slots[i]
		if sl.start == 0 {
			return 0, false
		}
		if sl.print != fingerprint(hash) {
			continue
		}
		head := s.entries[sl.start-1]
		if isSubject(s.index.subjects[head.grant], kind, scope, id) {
			return SubjectRef(place)<<32 | SubjectRef(sl.start-1), true //nolint:gosec // place is small
		}
	}
}

// fingerprint takes other bits than those that choose cell and slot.
func fingerprint(hash uint64) uint32 { return uint32(hash >> 16) } //nolint:gosec // the cut is meant

// isSubject compares without putting the parts together. No scope of a well-formed text holds a slash, so the first one
// ends it; nor does the tenant of a principal.
func isSubject(text string, kind SubjectKind, scope, id string) bool {
	word := subjectWords[kind]
	if len(text) < len(word) || text[:len(word)] != word {
		return false
	}
	text = text[len(word):]
	if kind == WID || kind == Tenant {
		return text == id
	}
	return len(text) == len(scope)+1+len(id) && text[:len(scope)] == scope && text[len(scope)] == '/' &&
		text[len(scope)+1:] == id
}
