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
	auditRefused = Metric{"verdict_audit_refused_total", counterKind,
		"Decision records that could not be kept, whose decisions were denied.", nil}
	auditLate = Metric{"verdict_audit_late_total", counterKind,
		"Of these and the lost: records that were to be committed in the store before the answer, and were not in time.", nil}
	auditAggregated = Metric{"verdict_audit_aggregated_total", counterKind,
		"Decisions of floods that were counted rather than recorded one by one.", nil}
	auditSpoolBytes = Metric{"verdict_audit_spool_bytes", gaugeKind,
		"Size of the spool on disk.", nil}
	auditSpoolMax = Metric{"verdict_audit_spool_max_bytes", gaugeKind,
		"Most that the spool may take; 0: there is none.", nil}
	auditOldest = Metric{"verdict_audit_oldest_age_seconds", gaugeKind,
		"Time that the oldest record has waited in the spool; 0: none waits.", nil}
	auditDays = Metric{"verdict_audit_partitions_days", gaugeKind,
		"Days after today that have a partition for their records; -1: not known yet.", nil}
	auditDigestAge = Metric{"verdict_audit_digest_age_seconds", gaugeKind,
		"Time since the end of the newest sealed window of any replica; +Inf: none. Only with --audit-seal-key.", nil}
	auditFindings = Metric{"verdict_audit_seal_findings_total", counterKind,
		"What the sealer found changed or gone that should not be; the log has each. Only with --audit-seal-key.", nil}
	exportLag = Metric{"verdict_audit_export_lag_seconds", gaugeKind,
		"Age of the oldest record that waits to be exported, on the replica that exports; 0: none waits.", []string{"exporter"}}
	exported = Metric{"verdict_audit_exported_total", counterKind,
		"Decision records exported.", []string{"exporter"}}
	exportRefused = Metric{"verdict_audit_export_refused_total", counterKind,
		"Decision records that the receiver will never take; the log has each.", []string{"exporter"}}
	exportFailures = Metric{"verdict_audit_export_failures_total", counterKind,
		"Tries to export that failed.", []string{"exporter"}}

	pepCalls = Metric{"verdict_pep_calls_total", counterKind,
		"Calls for decisions by what is known of who calls: admitted, unidentified, not_allowed or unavailable.", []string{"outcome"}}
	secretProblems = Metric{"verdict_secret_problems", gaugeKind,
		"Secrets whose last read failed; the last good value stays in use.", nil}

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
		auditQueued, auditWritten, auditLost, auditRefused, auditLate, auditAggregated,
		auditSpoolBytes, auditSpoolMax, auditOldest, auditDays, auditDigestAge, auditFindings,
		exportLag, exported, exportRefused, exportFailures,
		pepCalls, secretProblems,
		keys, keysAge, keyRefreshFailures, unknownKid,
		buildInfo,
	}
}

// desc is m in Prometheus' own words.
func (m Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }
