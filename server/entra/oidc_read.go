package entra

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// value is what a mapped claim turned out to be. Texts are views of the payload.
type value struct {
	kind    jsontext.Kind // 0: absent
	text    []byte        // of '"'
	texts   [][]byte      // of '['
	allText bool          // of '[': nothing but texts that can identify something
	number  int64         // of '0'
	integer bool          // of '0'
}

// values are the claims of one token by the mapping of its provider.
type values struct {
	*mapping
	all []value
}

var absent value

// of is the claim with that role.
func (v *values) of(r role) *value {
	if i := v.claim[r]; i >= 0 {
		return &v.all[i]
	}
	return &absent
}

// holds says whether the condition of that role is there and met.
func (v *values) holds(r role) bool {
	if v.claim[r] < 0 {
		return false
	}
	is, c := v.of(r), v.conditions[r]
	switch {
	case c.absent:
		return is.kind == 0
	case c.equal:
		return is.kind == '"' && string(is.text) == c.value
	}
	return is.kind != 0
}

// readMapped reads the claims that m names. Names that differ from one of them in case only count as a repetition.
func (r *reader) readMapped(m *mapping, text []byte) (*values, Refusal) {
	v := &values{mapping: m, all: make([]value, len(m.names))}
	folded := make([]bool, len(m.names))
	if err := r.open(text, maxClaimsDepth); err != nil {
		return nil, asClaimsRefusal(err)
	}
	for {
		name, more, err := r.next()
		if err != nil {
			return nil, asClaimsRefusal(err)
		}
		if !more {
			return v, accepted
		}
		var into *value
		for i, known := range m.names {
			if !strings.EqualFold(known, string(name)) {
				continue
			}
			if folded[i] {
				return nil, claimDuplicate
			}
			folded[i] = true
			if known == string(name) {
				into = &v.all[i]
			}
		}
		if err := r.value(into); err != nil {
			return nil, asClaimsRefusal(err)
		}
	}
}

// value reads one value, into v unless that is nil.
func (r *reader) value(v *value) (err error) {
	if v == nil {
		return r.skip()
	}
	switch v.kind = r.kind(); v.kind {
	case '"':
		v.text, err = r.str()
	case '[':
		v.allText, err = r.texts(&v.texts)
	case '0':
		v.number, v.integer, err = r.integer()
	default:
		err = r.skip()
	}
	return err
}
