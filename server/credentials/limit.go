package credentials

import (
	"sync"
	"time"
)

// maxCallers bounds the memory of a limiter. Callers are proven, so that nobody fills it with names that do not exist.
const maxCallers = 1 << 16

// limiter lets each caller make some calls at once and then one per interval.
type limiter struct {
	interval time.Duration
	burst    int

	mu   sync.Mutex
	free map[string]time.Time // when a caller has all of its burst again; not there: now
}

func newLimiter(perMinute, burst int) *limiter {
	return &limiter{interval: time.Minute / time.Duration(perMinute), burst: burst, free: map[string]time.Time{}}
}

// take counts a call of a caller. When it is one too many, it is not counted, and wait says in how long there is room.
func (l *limiter) take(caller string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.free[caller]; !known && len(l.free) >= maxCallers {
		for name, at := range l.free {
			if !at.After(now) {
				delete(l.free, name)
			}
		}
		if len(l.free) >= maxCallers { // far more than ever ask within a minute
			return l.interval, false
		}
	}
	at := l.free[caller]
	if at.Before(now) {
		at = now
	}
	at = at.Add(l.interval)
	if over := at.Sub(now) - time.Duration(l.burst)*l.interval; over > 0 {
		return over, false
	}
	l.free[caller] = at
	return 0, true
}
