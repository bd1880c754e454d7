// Package follow paces those who keep something in memory current with the store: policy, revocations, whom to trust. They look
// at every interval, and sooner when the store hints at a change or somebody here has made one.
package follow

import (
	"context"
	"time"
)

// minGap is the shortest time between two looks, so that hints and waiting callers cannot make of a follower a load on the store.
const minGap = 10 * time.Millisecond

// Pace says when to look. It is safe for concurrent use.
type Pace struct {
	poll time.Duration
	kick chan struct{}
}

// NewPace returns a Pace that looks every poll, which is positive.
func NewPace(poll time.Duration) *Pace { return &Pace{poll: poll, kick: make(chan struct{}, 1)} }

// Kick makes Run look soon, for one who has just changed something.
func (p *Pace) Kick() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Run looks at once and then in time, until ctx ends, and returns its error. It is called once; a hint may be one for several
// changes, or for none.
func (p *Pace) Run(ctx context.Context, hints <-chan struct{}, look func(context.Context)) error {
	tick := time.NewTicker(p.poll)
	defer tick.Stop()
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		look(ctx)
		gap.Reset(min(minGap, p.poll)) // what is asked for meanwhile is one look
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gap.C:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-p.kick:
		case <-hints:
		}
	}
}
