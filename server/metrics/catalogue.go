package metrics

import "github.com/prometheus/client_golang/prometheus"

// The kinds of metric.
const (
	counterKind   = "counter"
	gaugeKind     = "gauge"
	histogramKind = "histogram"
)

// Metric is one metric as operators see it.
type Metric struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Help   string
	Labels []string
}

// Every metric, once. docs/metrics.md has the same list; a test compares them.
var (
	decisionsTotal = Metric{"verdict_decisions_total", counterKind,
		"Decisions given, by door, effect and reason.", []string{"door", "effect", "reason"}}
	decisionSeconds = Metric{"verdict_decision_seconds", histogramKind,
		"Time from question to answer, its record included.", nil}

	policyRevision = Metric{"verdict_policy_revision", gaugeKind,
		"Revision of the policy in use; 0: none, or the empty policy.", nil}
	policyAge = Metric{"verdict_policy_age_seconds", gaugeKind,
		"Time since the policy in use was last known to be the newest; +Inf: never.", nil}
	policyRefused = Metric{"verdict_policy_refused_revision", gaugeKind,
		"Newest revision, when it does not compile and an older one stays in use; 0: none is refused.", nil}

	auditQueued = Metric{"verdict_audit_queued", gaugeKind,
		"Decision records that wait to be written, those being written included.", nil}
	auditWritten = Metric{"verdict_audit_written_total", counterKind,
		"Decision records written to the store.", nil}
	auditLost = Metric{"verdict_audit_lost_total", counterKind,
		"Decision records lost.", nil}

	keys = Metric{"verdict_keys", gaugeKind,
		"Signing keys that can be used; 0: tokens of the tenant are answered with KEYS_UNAVAILABLE.", []string{"tenant"}}
	keysAge = Metric{"verdict_keys_age_seconds", gaugeKind,
		"Time since the tenant's keys were last fetched, of the oldest of its documents; +Inf: one was never fetched.", []string{"tenant"}}
	keyRefreshFailures = Metric{"verdict_key_refresh_failures_total", counterKind,
		"Fetches of the tenant's keys or discovery that failed.", []string{"tenant"}}
	unknownKid = Metric{"verdict_unknown_kid_total", counterKind,
		"Tokens of the tenant that named a key which its issuer does not publish.", []string{"tenant"}}

	buildInfo = Metric{"verdict_build_info", gaugeKind,
		"Always 1; the labels say which build runs.", []string{"version", "go_version"}}
)

// Catalogue returns every metric of verdict's own, in the order of the documentation. The Go runtime's and the process'
// own, go_* and process_*, are exported beside them.
func Catalogue() []Metric {
	return []Metric{
		decisionsTotal, decisionSeconds,
		policyRevision, policyAge, policyRefused,
		auditQueued, auditWritten, auditLost,
		keys, keysAge, keyRefreshFailures, unknownKid,
		buildInfo,
	}
}

// desc is m in Prometheus' own words.
func (m Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }
