package metrics

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/verdict-authz/verdict/server/policy"
)

// doors are the names that doors give themselves in decision records. A name that is not here is counted as otherDoor, so
// that no caller can make labels; a test keeps the list complete.
var doors = [...]string{"ext_authz", "check", "credentials", "credentials-explain", otherDoor}

const otherDoor = "other"

// Effects and reasons as indexes.
const (
	effects = 2
	reasons = 256 // policy.Reason is a byte
)

// buckets of decision times, in seconds: a decision from memory takes tens of microseconds, one that waits for a key up to
// two seconds.
var buckets = []float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5,
}

// decisions counts answers. It is safe for concurrent use; add allocates nothing and takes no lock.
type decisions struct {
	counts  [len(doors)][effects][reasons]atomic.Uint64
	desc    *prometheus.Desc
	seconds prometheus.Histogram
}

func newDecisions() *decisions {
	return &decisions{
		desc: decisionsTotal.desc(),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: decisionSeconds.Name, Help: decisionSeconds.Help, Buckets: buckets,
		}),
	}
}

func (d *decisions) add(door string, effect policy.Effect, reason policy.Reason, took time.Duration) {
	d.counts[doorIndex(door)][effectIndex(effect)][reason].Add(1)
	d.seconds.Observe(took.Seconds())
}

func doorIndex(door string) int {
	for i := range doors[:len(doors)-1] {
		if doors[i] == door {
			return i
		}
	}
	return len(doors) - 1
}

// effectIndex counts whatever is not an allow as a deny.
func effectIndex(e policy.Effect) int {
	if e == policy.Allow {
		return int(policy.Allow)
	}
	return int(policy.Deny)
}

// Describe implements prometheus.Collector.
func (d *decisions) Describe(to chan<- *prometheus.Desc) {
	to <- d.desc
	d.seconds.Describe(to)
}

// Collect implements prometheus.Collector. Every reason of the closed list is there from the start, with the effect that
// it belongs to, so that the first of a kind is an increase; other combinations appear when they happen.
func (d *decisions) Collect(to chan<- prometheus.Metric) {
	for i, door := range doors {
		for _, effect := range [effects]policy.Effect{policy.Deny, policy.Allow} {
			counts := &d.counts[i][effect]
			send := func(reason policy.Reason, n uint64) {
				to <- prometheus.MustNewConstMetric(d.desc, prometheus.CounterValue, float64(n), door, effect.String(), reason.String())
			}
			listed := map[policy.Reason]bool{}
			for _, reason := range policy.Reasons() {
				listed[reason] = true
				if n := counts[reason].Load(); n > 0 || door != otherDoor && natural(effect, reason) {
					send(reason, n)
				}
			}
			var unlisted uint64 // a fault of ours, and to be seen
			for reason := range counts {
				if !listed[policy.Reason(reason)] {
					unlisted += counts[reason].Load()
				}
			}
			if unlisted > 0 {
				send(policy.ReasonNone, unlisted)
			}
		}
	}
	d.seconds.Collect(to)
}

// natural says whether a decision with the reason has this effect.
func natural(e policy.Effect, r policy.Reason) bool {
	return strings.HasPrefix(r.String(), "ALLOWED_") == (e == policy.Allow)
}
