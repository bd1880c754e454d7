package entra

import (
	"sync"
)

// scratch is what one Verify needs and the next one reuses. Nothing that leaves Verify shares its memory.
type scratch struct {
	encoded   []byte
	header    []byte
	payload   []byte
	signature []byte
	json      reader
	claims    claims
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch {
	s, _ := scratches.Get().(*scratch)
	return s
}

// free clears the texts that the token left, so that a later fault cannot show them, and gives s back.
func (s *scratch) free() {
	clear(s.encoded[:cap(s.encoded)])
	clear(s.header[:cap(s.header)])
	clear(s.payload[:cap(s.payload)])
	clear(s.signature[:cap(s.signature)])
	s.json.close()
	s.claims.clear()
	scratches.Put(s)
}
