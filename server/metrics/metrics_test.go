package metrics_test

import (
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/metrics"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
)

const tid = "11111111-1111-4111-8111-111111111111"

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// owners are what is exported, as the test sets it.
type owners struct {
	policy snapshot.Status
	audit  audit.Stats
	trail  metrics.TrailStats
	keys   []metrics.KeyStats
}

func (o *owners) Status() snapshot.Status        { return o.policy }
func (o *owners) Stats() audit.Stats             { return o.audit }
func (o *owners) TrailStats() metrics.TrailStats { return o.trail }
func (o *owners) KeyStats() []metrics.KeyStats   { return o.keys }

func newRegistry(t testing.TB, o *owners) *metrics.Registry {
	t.Helper()
	r, err := metrics.New(metrics.Sources{Policy: o, Audit: o, Trail: o, Keys: o, Version: "v1.2.3", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scrape is what a scraper is sent.
func scrape(t testing.TB, r *metrics.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %v %s", w.Code, err, body)
	}
	return string(body)
}

// value is that of a series as a scrape writes it.
func value(t testing.TB, text, series string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no series %s", series)
	return 0
}

func TestWhatOwnersSayIsExported(t *testing.T) {
	o := &owners{
		policy: snapshot.Status{Revision: 7, CheckedAt: now.Add(-3 * time.Second), Refused: 9},
		audit: audit.Stats{Queued: 3, Written: 40, Lost: 2, Refused: 8, Late: 1, Aggregated: 99, SpoolBytes: 1000, SpoolMaxBytes: 2000,
			OldestAge: 1500 * time.Millisecond},
		trail: metrics.TrailStats{
			Through: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Seals: true, SealedThrough: now.Add(-time.Hour), Findings: 2,
			Exports:  []metrics.ExportStats{{Name: "otlp", Lag: 90 * time.Second, Exported: 10, Refused: 1, Failures: 3}, {Name: "kafka"}},
			Admitted: 5, Unidentified: 4, NotAllowed: 3, Unavailable: 2, SecretProblems: 1,
		},
		keys: []metrics.KeyStats{{Tenant: tid, Usable: 5, FetchedAt: now.Add(-time.Hour), Failures: 4, UnknownKids: 6}, {Tenant: "okta"}},
	}
	r := newRegistry(t, o)
	for series, want := range map[string]float64{
		"verdict_policy_revision":                                                       7,
		"verdict_policy_age_seconds":                                                    3,
		"verdict_policy_refused_revision":                                               9,
		"verdict_audit_queued":                                                          3,
		"verdict_audit_written_total":                                                   40,
		"verdict_audit_lost_total":                                                      2,
		"verdict_audit_refused_total":                                                   8,
		"verdict_audit_late_total":                                                      1,
		"verdict_audit_aggregated_total":                                                99,
		"verdict_audit_spool_bytes":                                                     1000,
		"verdict_audit_spool_max_bytes":                                                 2000,
		"verdict_audit_oldest_age_seconds":                                              1.5,
		"verdict_audit_partitions_days":                                                 7,
		"verdict_audit_digest_age_seconds":                                              3600,
		"verdict_audit_seal_findings_total":                                             2,
		`verdict_audit_export_lag_seconds{exporter="otlp"}`:                             90,
		`verdict_audit_export_lag_seconds{exporter="kafka"}`:                            0,
		`verdict_audit_exported_total{exporter="otlp"}`:                                 10,
		`verdict_audit_export_refused_total{exporter="otlp"}`:                           1,
		`verdict_audit_export_failures_total{exporter="otlp"}`:                          3,
		`verdict_pep_calls_total{outcome="admitted"}`:                                   5,
		`verdict_pep_calls_total{outcome="not_allowed"}`:                                3,
		"verdict_secret_problems":                                                       1,
		`verdict_keys{tenant="` + tid + `"}`:                                            5,
		`verdict_keys_age_seconds{tenant="` + tid + `"}`:                                3600,
		`verdict_key_refresh_failures_total{tenant="` + tid + `"}`:                      4,
		`verdict_unknown_kid_total{tenant="` + tid + `"}`:                               6,
		`verdict_keys_age_seconds{tenant="okta"}`:                                       math.Inf(1),
		`verdict_keys{tenant="okta"}`:                                                   0,
		"verdict_decision_seconds_count":                                                0,
		`verdict_decisions_total{door="check",effect="deny",reason="KEYS_UNAVAILABLE"}`: 0,
	} {
		if got := value(t, scrape(t, r), series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	o.policy.CheckedAt = time.Time{}
	if got := value(t, scrape(t, r), "verdict_policy_age_seconds"); !math.IsInf(got, 1) {
		t.Errorf("a policy that was never there is %v s old", got)
	}
	o.policy.CheckedAt = now.Add(time.Minute)
	if got := value(t, scrape(t, r), "verdict_policy_age_seconds"); got != 0 {
		t.Errorf("a clock that went back makes an age of %v", got)
	}
	if text := scrape(t, r); !strings.Contains(text, `verdict_build_info{go_version="go1.`) || !strings.Contains(text, `version="v1.2.3"} 1`) {
		t.Error("no build info")
	}
}

func TestDecisionsAreCounted(t *testing.T) {
	r := newRegistry(t, &owners{})
	r.Observe("ext_authz", policy.Allow, policy.AllowedByGrant, 40*time.Microsecond)
	r.Observe("ext_authz", policy.Allow, policy.AllowedByGrant, 40*time.Microsecond)
	r.Observe("check", policy.Deny, policy.NoGrant, time.Millisecond)
	r.Observe("a door\nthat nobody knows", policy.Deny, policy.NoGrant, 0)
	r.Observe("check", policy.Effect(9), policy.Reason(200), 0) // faults of ours are seen, and are denies
	r.Observe("check", policy.Deny, policy.ReasonNone, 0)
	r.Observe("check", policy.Deny, policy.AllowedByGrant, 0)
	text := scrape(t, r)
	for series, want := range map[string]float64{
		`verdict_decisions_total{door="ext_authz",effect="allow",reason="ALLOWED_BY_GRANT"}`: 2,
		`verdict_decisions_total{door="check",effect="deny",reason="NO_GRANT"}`:              1,
		`verdict_decisions_total{door="other",effect="deny",reason="NO_GRANT"}`:              1,
		`verdict_decisions_total{door="check",effect="deny",reason="REASON_UNSPECIFIED"}`:    2,
		`verdict_decisions_total{door="check",effect="deny",reason="ALLOWED_BY_GRANT"}`:      1,
		`verdict_decisions_total{door="ext_authz",effect="deny",reason="NO_GRANT"}`:          0,
		"verdict_decision_seconds_count":                                                     7,
		`verdict_decision_seconds_bucket{le="5e-05"}`:                                        6,
	} {
		if got := value(t, text, series); got != want {
			t.Errorf("%s = %v, want %v", series, got, want)
		}
	}
	for _, never := range []string{"nobody knows", `effect="allow",reason="NO_GRANT"`, `door="other",effect="allow"`} {
		if strings.Contains(text, never) {
			t.Errorf("%q is exported", never)
		}
	}
}

// Every door that names itself in decision records has a label.
func TestEveryDoorHasALabel(t *testing.T) {
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^const door = "([^"]+)"`)
	found := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			found++
			r := newRegistry(t, &owners{})
			r.Observe(string(m[1]), policy.Deny, policy.NoGrant, 0)
			if strings.Contains(scrape(t, r), `door="other"`) {
				t.Errorf("%s: the door %s has no label", f, m[1])
			}
		}
	}
	if found < 2 {
		t.Errorf("found %d doors", found)
	}
}

// docs/metrics.md has every metric with its kind, its labels and its text, and no other.
func TestTheDocumentHasEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(verdict_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]*) \\|$")
	var documented []metrics.Metric
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		var labels []string
		for label := range strings.SplitSeq(m[3], ",") {
			if label = strings.Trim(label, " `"); label != "" {
				labels = append(labels, label)
			}
		}
		documented = append(documented, metrics.Metric{Name: m[1], Kind: m[2], Labels: labels, Help: m[4]})
	}
	if !slices.EqualFunc(documented, metrics.Catalogue(), func(a, b metrics.Metric) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Help == b.Help && slices.Equal(a.Labels, b.Labels)
	}) {
		var want strings.Builder
		for _, m := range metrics.Catalogue() {
			labels := ""
			if len(m.Labels) > 0 {
				labels = "`" + strings.Join(m.Labels, "`, `") + "`"
			}
			want.WriteString("| `" + m.Name + "` | " + m.Kind + " | " + labels + " | " + m.Help + " |\n")
		}
		t.Errorf("docs/metrics.md should have\n%s", want.String())
	}
	// What names a metric anywhere else in the page names one that is there.
	for _, name := range regexp.MustCompile(`verdict_[a-z_]+`).FindAllString(string(page), -1) {
		if !slices.ContainsFunc(metrics.Catalogue(), func(m metrics.Metric) bool { return strings.HasPrefix(name, m.Name) }) {
			t.Errorf("docs/metrics.md names %s, which is not there", name)
		}
	}
}

// The registry has what the catalogue says, and nothing else of ours.
func TestTheRegistryHasTheCatalogue(t *testing.T) {
	text := scrape(t, newRegistry(t, &owners{
		keys: []metrics.KeyStats{{Tenant: tid}}, trail: metrics.TrailStats{Seals: true, Exports: []metrics.ExportStats{{Name: "otlp"}}},
	}))
	var got []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE verdict_"); ok {
			got = append(got, "verdict_"+strings.TrimSpace(rest))
		}
	}
	var want []string
	for _, m := range metrics.Catalogue() {
		want = append(want, m.Name+" "+m.Kind)
		if !strings.Contains(text, "# HELP "+m.Name+" "+m.Help+"\n") {
			t.Errorf("%s is exported with another text", m.Name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("exported %v, want %v", got, want)
	}
	for _, runtime := range []string{"go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(text, runtime) {
			t.Errorf("no %s", runtime)
		}
	}
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	if _, err := metrics.New(metrics.Sources{}); err == nil {
		t.Error("a registry without sources was made")
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	r := newRegistry(t, &owners{})
	if n := testing.AllocsPerRun(100, func() {
		r.Observe("check", policy.Deny, policy.NoGrant, 42*time.Microsecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	r := newRegistry(b, &owners{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Observe("ext_authz", policy.Allow, policy.AllowedByGrant, 42*time.Microsecond)
		}
	})
}
