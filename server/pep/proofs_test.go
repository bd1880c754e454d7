package pep

import (
	"crypto/sha256"
	"testing"
	"time"
)

func TestProofsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	key := &signingKey{}
	from := newSource("https://a.example", nil, func() time.Time { return now }, nil)
	from.current.Store(&keySet{map[string]*signingKey{"k": key}, now})
	p := newProofs(8)
	id := func(i int) [sha256.Size]byte { return sha256.Sum256([]byte{byte(i)}) }
	for i := range 100 {
		ends := now.Add(time.Minute)
		if i == 3 { // the first to go when there is no room
			ends = now
		}
		p.keep(id(i), proof{role: "r", ends: ends, from: from, kid: "k", key: key}, now)
		if len(p.kept) > 8 {
			t.Fatalf("%d proofs are kept", len(p.kept))
		}
		if _, ok := p.find(id(i), now); ok != (i != 3) {
			t.Errorf("proof %d: found %v", i, ok)
		}
		if _, there := p.kept[id(3)]; i == 8 && there {
			t.Error("one that has ended stayed, and another went")
		}
	}
}
