package pep

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxProofs bounds the tokens that are remembered. Each instance of a function has one of its own, for minutes.
const maxProofs = 4096

// proof is that a token was proven. It is good until the token ends, and as long as its key is published.
type proof struct {
	role string
	ends time.Time
	from *source
	kid  string
	key  *signingKey
}

// proofs are tokens that were proven, by their SHA-256. What is kept says who somebody is, never what that one may.
type proofs struct {
	most int
	mu   sync.RWMutex
	kept map[[sha256.Size]byte]proof
}

func newProofs(most int) *proofs {
	return &proofs{most: most, kept: map[[sha256.Size]byte]proof{}}
}

func (p *proofs) find(id [sha256.Size]byte, now time.Time) (role string, ok bool) {
	p.mu.RLock()
	known, ok := p.kept[id]
	p.mu.RUnlock()
	if !ok || !now.Before(known.ends) || !known.from.publishes(known.kid, known.key) {
		return "", false
	}
	return known.role, true
}

// keep remembers a proof. When there is no room another one goes: one that has ended, if a short look finds it, else any.
func (p *proofs) keep(id [sha256.Size]byte, known proof, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= p.most {
		const look = 16
		looked := 0
		var victim [sha256.Size]byte
		for other, o := range p.kept {
			ended := !now.Before(o.ends)
			if looked == 0 || ended {
				victim = other
			}
			if looked++; looked == look || ended {
				break
			}
		}
		delete(p.kept, victim)
	}
	p.kept[id] = known
}
