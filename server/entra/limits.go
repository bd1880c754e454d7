package entra

import (
	"sync"
	"time"
)

// emergencies is how many refreshes a source may start beyond the regular one while the last failed or no keys are to
// be had. They come back one per interval.
const emergencies = 3

// budget limits the refreshes that tokens can cause. Not for concurrent use.
type budget struct {
	every   time.Duration
	regular time.Time // when the last refresh was started
	spent   bool      // regular is set
	extra   int
	since   time.Time // from which extra grows
}

func (b *budget) full(every time.Duration) { b.every, b.extra = every, emergencies }

// take says whether a refresh may start now: one per interval, and in an emergency as long as extra lasts. A clock that
// went back starts a new interval.
func (b *budget) take(now time.Time, emergency bool) bool {
	since := now.Sub(b.regular)
	if !b.spent || since >= b.every || since < 0 {
		b.regular, b.spent = now, true
		return true
	}
	if !emergency {
		return false
	}
	if b.extra < emergencies {
		switch grown := now.Sub(b.since); {
		case grown < 0:
			b.since = now
		case grown >= b.every:
			b.extra = min(emergencies, b.extra+int(grown/b.every))
			b.since = now
		}
	}
	if b.extra == 0 {
		return false
	}
	if b.extra == emergencies {
		b.since = now
	}
	b.extra--
	return true
}

// unknownKeys remembers key ids that a fresh document did not have, so that asking again costs nothing. It is bounded
// and shared by all sources of a Verifier.
type unknownKeys struct {
	mu   sync.Mutex
	max  int
	life time.Duration
	till map[unknownKey]time.Time
}

type unknownKey struct {
	source *source
	kid    string
}

func newUnknownKeys(most int, life time.Duration) *unknownKeys {
	return &unknownKeys{max: most, life: life, till: make(map[unknownKey]time.Time)}
}

func (u *unknownKeys) has(s *source, kid []byte, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	till, ok := u.till[unknownKey{s, string(kid)}]
	return ok && now.Before(till)
}

// forget forgets the unknown keys of s.
func (u *unknownKeys) forget(s *source) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k := range u.till {
		if k.source == s {
			delete(u.till, k)
		}
	}
}

// add remembers kid. When there is no room, a few others go first: the ones that ended if it finds them, else any.
func (u *unknownKeys) add(s *source, kid []byte, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.till) >= u.max {
		const look = 16
		looked := 0
		var victim unknownKey
		for k, till := range u.till {
			if looked == 0 || !now.Before(till) {
				victim = k
			}
			if looked++; looked == look || !now.Before(till) {
				break
			}
		}
		delete(u.till, victim)
	}
	u.till[unknownKey{s, string(kid)}] = now.Add(u.life)
}
