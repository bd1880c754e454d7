package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// recordVersion is the first byte of a record in the spool. A change of what follows needs a new one, and the old ones
// stay readable: a spool outlives the binary that wrote it.
//
// Version 1 had no Repeats, and only the first textsOf1 texts and listsOf1 lists.
const (
	recordVersion = 2
	textsOf1      = 18
	listsOf1      = 2
)

// What decodeDecision can say.
var (
	errNewer     = errors.New("written by a newer verdict, which can read it")
	errMalformed = errors.New("not a decision record")
)

// texts are the text fields of d in the order of the encoding; new ones come at the end. Instance is the spool's to say.
func texts(d *store.Decision) [19]*string {
	return [...]*string{
		&d.ID, &d.Detail, &d.TenantID, &d.PrincipalID, &d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template, &d.Method,
		&d.Host, &d.RawPath, &d.Resource, &d.Door, &d.PEP, &d.RequestID, &d.AgentParent, &d.AgentFacets, &d.SourceIP,
	}
}

// lists are its lists of texts; new ones come at the end.
func lists(d *store.Decision) [6]*[]string {
	return [...]*[]string{&d.Permissions, &d.Grants, &d.Subjects, &d.Scopes, &d.Missing, &d.GrantSubjects}
}

// appendDecision appends the encoding of d to b: version, allowed (0 or 1), At in microseconds since 1970, Took in
// nanoseconds, Reason, PrincipalKind, Revision, Repeats, the texts, the lists. Numbers are varints as of encoding/binary,
// Revision, Repeats and lengths without a sign; a text is its length and its bytes, a list its length and its texts. The
// place and the leaf are no part of it: where the record lies in the spool says the one, and the two give the other.
func appendDecision(b []byte, d *store.Decision) []byte {
	allowed := byte(0)
	if d.Allowed {
		allowed = 1
	}
	b = append(b, recordVersion, allowed)
	b = binary.AppendVarint(b, d.At.UnixMicro())
	b = binary.AppendVarint(b, int64(d.Took))
	b = binary.AppendVarint(b, int64(d.Reason))
	b = binary.AppendVarint(b, int64(d.PrincipalKind))
	b = binary.AppendUvarint(b, d.Revision)
	b = binary.AppendUvarint(b, d.Repeats)
	for _, s := range texts(d) {
		b = appendText(b, *s)
	}
	for _, list := range lists(d) {
		b = binary.AppendUvarint(b, uint64(len(*list)))
		for _, s := range *list {
			b = appendText(b, s)
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeDecision is the reverse of appendDecision; the memory of b is not kept. errNewer for a version that this binary
// does not know.
func decodeDecision(b []byte) (store.Decision, error) {
	if len(b) < 2 || b[0] == 0 {
		return store.Decision{}, errMalformed
	}
	if b[0] > recordVersion {
		return store.Decision{}, fmt.Errorf("version %d: %w", b[0], errNewer)
	}
	d := store.Decision{Allowed: b[1] == 1}
	r := decoder{rest: b[2:], text: string(b[2:]), bad: b[1] > 1}
	d.At = time.UnixMicro(r.varint()).UTC()
	d.Took = time.Duration(r.varint())
	d.Reason, d.PrincipalKind = r.int16(), r.int16()
	d.Revision = r.uvarint()
	texts, lists := texts(&d), lists(&d)
	nTexts, nLists := len(texts), len(lists)
	if b[0] == 1 {
		nTexts, nLists = textsOf1, listsOf1
	} else {
		d.Repeats = r.uvarint()
	}
	for _, s := range texts[:nTexts] {
		*s = r.string()
	}
	for _, list := range lists[:nLists] {
		*list = r.list()
	}
	if r.bad || len(r.rest) > 0 {
		return store.Decision{}, errMalformed
	}
	return d, nil
}

// decoder reads from the front of rest. After what it cannot read it is bad, and what it returns means nothing.
type decoder struct {
	rest []byte
	text string // ends where rest ends: all texts are cuts of this one copy
	bad  bool
}

func (r *decoder) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

// skip steps over a number of n bytes; 0 or less says that there was none.
func (r *decoder) skip(n int) {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *decoder) int16() int16 {
	v := r.varint()
	if v < math.MinInt16 || v > math.MaxInt16 {
		r.bad = true
	}
	return int16(v) //nolint:gosec // checked
}

func (r *decoder) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	at := len(r.text) - len(r.rest)
	r.rest = r.rest[n:]
	return r.text[at : at+int(n)] //nolint:gosec // no longer than rest
}

// list is nil when it is empty.
func (r *decoder) list() []string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) { // a text takes a byte at least
		r.bad, r.rest = true, nil
		return nil
	}
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}
