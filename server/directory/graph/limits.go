package graph

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
)

// Costs in Graph's units (Microsoft Graph, "throttling limits", identity and access): a function of members 2, a list 2,
// less 1 with $select.
const (
	costLookUp = 2
	costPage   = 1

	limitWindow = 10 * time.Second
	// longestRetryAfter bounds what a header can close a tenant for.
	longestRetryAfter = 10 * time.Minute
)

var errThrottled = fmt.Errorf("%w: throttled", directory.ErrUnavailable)

// limits is what a tenant may spend, and whether Graph asked to be left alone.
type limits struct {
	size     float64 // units per window
	left     float64
	filled   time.Time
	closed   time.Time // until then
	silently int       // refusals in a row that did not say for how long
	share    float64   // of Graph's limit, as it last said
}

func newLimits(units int, now time.Time) limits {
	return limits{size: float64(units), left: float64(units), filled: now}
}

// open is nil when Graph did not ask to be left alone.
func (l *limits) open(now time.Time) error {
	if wait := l.closed.Sub(now); wait > 0 {
		return &directory.RetryError{After: wait, Err: errThrottled}
	}
	return nil
}

// spend takes units, or says when there will be enough.
func (l *limits) spend(now time.Time, units int) error {
	if err := l.open(now); err != nil {
		return err
	}
	if passed := now.Sub(l.filled); passed > 0 {
		l.left = min(l.size, l.left+l.size*float64(passed)/float64(limitWindow))
	}
	l.filled = now
	need := float64(units)
	if l.left < need {
		wait := time.Duration((need - l.left) / l.size * float64(limitWindow))
		return &directory.RetryError{
			After: wait + time.Millisecond,
			Err:   fmt.Errorf("%w: the tenant's budget is spent", directory.ErrUnavailable),
		}
	}
	l.left -= need
	return nil
}

// refused closes the tenant for as long as Graph says; without that, for 1 s, 2 s, 4 s … of refusals in a row.
func (l *limits) refused(now time.Time, h http.Header) error {
	wait, err := retryAfter(h.Get("Retry-After"), now)
	if left := l.closed.Sub(now); err != nil && left > 0 {
		wait = left // another part of the batch that closed it
	} else if err != nil {
		wait = time.Second << min(l.silently, 6)
		l.silently++
	}
	if until := now.Add(wait); until.After(l.closed) {
		l.closed = until
	}
	return &directory.RetryError{After: wait, Err: errThrottled}
}

// heard takes note of what an answer says about the limits. The header comes from a share of 0.8 on.
func (l *limits) heard(h http.Header) {
	l.share = 0
	if share, err := strconv.ParseFloat(h.Get("X-Ms-Throttle-Limit-Percentage"), 64); err == nil && share > 0 && share < 100 {
		l.share = share
	}
}

// answered ends a row of refusals.
func (l *limits) answered() { l.silently = 0 }

// retryAfter reads the header in both its forms (RFC 9110, 10.2.3).
func retryAfter(value string, now time.Time) (time.Duration, error) {
	if value == "" {
		return 0, errors.New("absent")
	}
	seconds, err := strconv.ParseUint(value, 10, 32)
	wait := time.Duration(seconds) * time.Second
	if err != nil {
		date, err := http.ParseTime(value)
		if err != nil {
			return 0, errors.New("neither seconds nor a date")
		}
		wait = date.Sub(now)
	}
	return min(max(wait, time.Second), longestRetryAfter), nil
}
