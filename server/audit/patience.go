package audit

import (
	"context"
	"sync/atomic"
	"time"
)

// patience is how long whoever records waits for disk or store: least, and twice that at most. All share a context that
// is renewed all the time, since one of its own would cost each record more than its write.
type patience struct {
	least  time.Duration
	now    atomic.Pointer[context.Context]
	cancel context.CancelFunc // of now; renew's
}

// newPatience begins it; renew must follow.
func newPatience(least time.Duration) *patience {
	p := &patience{least: least}
	p.again()
	return p
}

func (p *patience) ctx() context.Context { return *p.now.Load() }

func (p *patience) again() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*p.least)
	p.now.Store(&ctx)
	p.cancel = cancel
}

// renew sees to it until ended is closed; then nobody waits any longer.
func (p *patience) renew(ended <-chan struct{}) {
	tick := time.NewTicker(p.least)
	defer tick.Stop()
	before, last := func() {}, func() {} // of contexts that may be in use still
	for {
		select {
		case <-tick.C:
			before() // has ended
			before, last = last, p.cancel
			p.again()
		case <-ended:
			before()
			last()
			p.cancel()
			return
		}
	}
}
