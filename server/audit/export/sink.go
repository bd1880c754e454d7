package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Sink takes records. It is called by one goroutine.
type Sink interface {
	// Send returns nil when the sink has all of ds for good. Its errors hold no secret. They are of one of four kinds:
	// ErrRefused, *Partial, *Later, and every other, after which the same records are sent again.
	Send(ctx context.Context, ds []store.Decision) error
}

// Tender is a Sink that has something to look after when nothing is sent.
type Tender interface {
	// Tend is called at every poll that found no record, and without holding when this replica is not, or no more, the one
	// that exports: then it lets go of what another needs.
	Tend(ctx context.Context, holding bool) error
}

// ErrRefused says that none of the records were taken, and that something in them, or their size, is why.
var ErrRefused = errors.New("the sink refuses the records")

// Partial says that the sink has what it ever will have of a batch, without naming what it refused.
type Partial struct {
	Rejected int    // so many of the batch
	Why      string // as the sink says; may be empty
}

func (p *Partial) Error() string {
	return fmt.Sprintf("%d records rejected: %s", p.Rejected, brief(p.Why))
}

// Later says that none of the records were taken, and when the sink wants to be asked again.
type Later struct {
	After time.Duration
	Err   error
}

func (l *Later) Error() string { return fmt.Sprintf("%v; again in %s", l.Err, l.After) }

// Unwrap is what happened.
func (l *Later) Unwrap() error { return l.Err }

// longestText bounds what is kept of somebody else's text.
const longestText = 512

// brief is text of others, fit for a log: printable and bounded.
func brief(text string) string {
	clean := make([]rune, 0, min(len(text), longestText))
	for _, r := range text {
		if len(clean) == longestText {
			return string(clean) + "…"
		}
		if r < ' ' || r == 0x7f || r == 0xfffd {
			r = ' '
		}
		clean = append(clean, r)
	}
	return string(clean)
}
