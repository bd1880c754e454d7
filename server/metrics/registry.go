package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/verdict-authz/verdict/server/policy"
)

// Limits of scraping: more than a few scrapers at once are a mistake, and none waits longer than they do themselves.
const (
	maxScrapes    = 4
	scrapeTimeout = 10 * time.Second
)

// Sources are what a Registry reads. All but Version and Now are required.
type Sources struct {
	Policy  Policy
	Audit   Audit
	Trail   Trail
	Keys    Keys
	Version string           // of the binary; "" means unknown
	Now     func() time.Time // nil means time.Now
}

// Registry holds every metric of one process. It is safe for concurrent use.
type Registry struct {
	registry  *prometheus.Registry
	decisions *decisions
}

// New returns a registry over its sources, with the metrics of the Go runtime and the process beside verdict's own.
func New(s Sources) (*Registry, error) {
	if s.Policy == nil || s.Audit == nil || s.Trail == nil || s.Keys == nil {
		return nil, errors.New("metrics: policy, audit, trail and keys are required")
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	r := &Registry{registry: prometheus.NewRegistry(), decisions: newDecisions()}
	build := prometheus.MustNewConstMetric(buildInfo.desc(), prometheus.GaugeValue, 1, cmp.Or(s.Version, "unknown"), runtime.Version())
	for _, c := range []prometheus.Collector{
		r.decisions, newOwners(s), constant{build},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return r, nil
}

// Observe counts an answer. It allocates nothing and waits for nothing.
func (r *Registry) Observe(door string, effect policy.Effect, reason policy.Reason, took time.Duration) {
	r.decisions.add(door, effect, reason, took)
}

// Handler serves the metrics in Prometheus' text format, or OpenMetrics for who asks for it. A metric that cannot be read
// is told to log and left out; the others are served.
func (r *Registry) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	})
}

// constant is a metric that never changes, as a collector.
type constant struct{ metric prometheus.Metric }

// Describe implements prometheus.Collector.
func (c constant) Describe(to chan<- *prometheus.Desc) { to <- c.metric.Desc() }

// Collect implements prometheus.Collector.
func (c constant) Collect(to chan<- prometheus.Metric) { to <- c.metric }
