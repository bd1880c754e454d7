package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/snapshot"
)

// The owners of what is read at each scrape.
type (
	// Policy tells how the policy is; *snapshot.Follower is one.
	Policy interface{ Status() snapshot.Status }
	// Audit tells how recording is; *audit.Recorder is one.
	Audit interface{ Stats() audit.Stats }
	// Trail tells how what stands around the records is.
	Trail interface{ TrailStats() TrailStats }
	// Keys tells how the keys of the issuers are.
	Keys interface{ KeyStats() []KeyStats }
)

// KeyStats is what is exported of one tenant. A tenant is told once.
type KeyStats struct {
	Tenant      string
	Usable      int       // keys that can be used
	FetchedAt   time.Time // of the document that was fetched longest ago; zero: one never was
	Failures    uint64    // of fetches, since the start
	UnknownKids uint64    // tokens that named an unknown key, since the start
}

// TrailStats is what stands around the records: their days, proof and export, who asks, and the secrets of the process.
type TrailStats struct {
	Through       time.Time // last day that has a partition; zero: not known yet
	Seals         bool      // records are sealed
	SealedThrough time.Time // end of the newest sealed window; zero: none
	Findings      uint64    // of the sealer
	Exports       []ExportStats

	Admitted, Unidentified, NotAllowed, Unavailable uint64 // calls by enforcement points

	SecretProblems int
}

// ExportStats is one exporter. It is told once.
type ExportStats struct {
	Name                        string
	Lag                         time.Duration // zero: nothing waits, or another replica exports
	Exported, Refused, Failures uint64
}

// owners reads the owners. It is safe for concurrent use.
type owners struct {
	policy Policy
	audit  Audit
	trail  Trail
	keys   Keys
	now    func() time.Time
	descs  map[string]*prometheus.Desc
}

func newOwners(s Sources) *owners {
	o := &owners{policy: s.Policy, audit: s.Audit, trail: s.Trail, keys: s.Keys, now: s.Now, descs: map[string]*prometheus.Desc{}}
	for _, m := range []Metric{
		policyRevision, policyAge, policyRefused, auditQueued, auditWritten, auditLost, auditRefused, auditLate, auditAggregated,
		auditSpoolBytes, auditSpoolMax, auditOldest, auditDays, auditDigestAge, auditFindings, exportLag, exported, exportRefused,
		exportFailures, pepCalls, secretProblems, keys, keysAge, keyRefreshFailures, unknownKid,
	} {
		o.descs[m.Name] = m.desc()
	}
	return o
}

// Describe implements prometheus.Collector.
func (o *owners) Describe(to chan<- *prometheus.Desc) {
	for _, d := range o.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (o *owners) Collect(to chan<- prometheus.Metric) {
	now := o.now()
	send := func(m Metric, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if m.Kind == counterKind {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(o.descs[m.Name], kind, value, labels...)
	}
	p := o.policy.Status()
	send(policyRevision, float64(p.Revision))
	send(policyAge, age(now, p.CheckedAt))
	send(policyRefused, float64(p.Refused))

	a := o.audit.Stats()
	send(auditQueued, float64(a.Queued))
	send(auditWritten, float64(a.Written))
	send(auditLost, float64(a.Lost))
	send(auditRefused, float64(a.Refused))
	send(auditLate, float64(a.Late))
	send(auditAggregated, float64(a.Aggregated))
	send(auditSpoolBytes, float64(a.SpoolBytes))
	send(auditSpoolMax, float64(a.SpoolMaxBytes))
	send(auditOldest, a.OldestAge.Seconds())
	o.collectTrail(now, send)

	for _, k := range o.keys.KeyStats() {
		send(keys, float64(k.Usable), k.Tenant)
		send(keysAge, age(now, k.FetchedAt), k.Tenant)
		send(keyRefreshFailures, float64(k.Failures), k.Tenant)
		send(unknownKid, float64(k.UnknownKids), k.Tenant)
	}
}

func (o *owners) collectTrail(now time.Time, send func(m Metric, value float64, labels ...string)) {
	t := o.trail.TrailStats()
	days := -1.0
	if !t.Through.IsZero() {
		days = math.Floor(t.Through.Sub(now.UTC().Truncate(24*time.Hour)).Hours() / 24)
	}
	send(auditDays, days)
	if t.Seals {
		send(auditDigestAge, age(now, t.SealedThrough))
		send(auditFindings, float64(t.Findings))
	}
	for _, e := range t.Exports {
		send(exportLag, e.Lag.Seconds(), e.Name)
		send(exported, float64(e.Exported), e.Name)
		send(exportRefused, float64(e.Refused), e.Name)
		send(exportFailures, float64(e.Failures), e.Name)
	}
	for _, c := range []struct {
		outcome string
		calls   uint64
	}{{"admitted", t.Admitted}, {"unidentified", t.Unidentified}, {"not_allowed", t.NotAllowed}, {"unavailable", t.Unavailable}} {
		send(pepCalls, float64(c.calls), c.outcome)
	}
	send(secretProblems, float64(t.SecretProblems))
}

// age is the time since then in seconds, never negative; +Inf when then is never, so that "too old" fires.
func age(now, then time.Time) float64 {
	if then.IsZero() {
		return math.Inf(1)
	}
	return max(0, now.Sub(then).Seconds())
}
