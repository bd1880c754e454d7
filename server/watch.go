package server

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/metrics"
	"github.com/verdict-authz/verdict/server/web"
)

// webGrace is how long a scrape under way is waited for at the end.
const webGrace = time.Second

// wireWeb makes the metrics and, when it has an address, the listener that serves them and health.
func (s *Server) wireWeb(ctx context.Context, o Options) (*metrics.Registry, error) {
	measured, err := metrics.New(metrics.Sources{Policy: s.follower, Audit: s.recorder, Trail: trailStats{s}, Keys: keyStats{s.verifier}, Version: o.Version})
	if err != nil {
		return nil, err
	}
	if o.HTTP.Address == "" {
		return measured, nil
	}
	handler, err := web.NewHandler(s.unready, measured.Handler(o.Log))
	if err != nil {
		return nil, err
	}
	secure, err := secured(o.HTTP, "h2", "http/1.1")
	if err != nil {
		return nil, fmt.Errorf("http listener: %w", err)
	}
	if s.web, err = web.NewServer(handler, secure, o.Log); err != nil {
		return nil, err
	}
	s.webLis, err = listen(ctx, o.HTTP)
	return measured, err
}

// unready lists why no new question should come here. A server that stops still answers those under way.
func (s *Server) unready() []string {
	all := s.obstacles()
	if s.stopping.Load() {
		all = append(all, "verdict is stopping")
	}
	return all
}

// serveWeb serves health and metrics until stopWeb, if they are served.
func (s *Server) serveWeb() error {
	if s.web == nil {
		return nil
	}
	return s.web.Serve(s.webLis)
}

// stopWeb lets go of those who watch, after everything that they could want to see.
func (s *Server) stopWeb(ctx context.Context) {
	if s.web == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, webGrace)
	defer cancel()
	s.web.Stop(ctx)
}

// HTTPAddr is where health and metrics are served; nil when they are not.
func (s *Server) HTTPAddr() net.Addr {
	if s.webLis == nil {
		return nil
	}
	return s.webLis.Addr()
}

// addresses are the listeners, for the log.
func (s *Server) addresses() []any {
	all := []any{"decision", s.decisionLis.Addr().String(), "admin", s.adminLis.Addr().String()}
	if s.webLis != nil {
		all = append(all, "http", s.webLis.Addr().String())
	}
	return all
}

// keyStats tells the verifier's documents by tenant.
type keyStats struct{ verifier *entra.Verifier }

// KeyStats implements metrics.Keys. A tenant's documents count together; its age is that of the oldest, since that is the
// one whose keys run out first.
func (k keyStats) KeyStats() []metrics.KeyStats {
	var all []metrics.KeyStats
	of := func(tenant string) *metrics.KeyStats {
		i := slices.IndexFunc(all, func(t metrics.KeyStats) bool { return t.Tenant == tenant })
		if i < 0 {
			i = len(all)
			all = append(all, metrics.KeyStats{Tenant: tenant})
		}
		return &all[i]
	}
	seen := map[string]bool{}
	for _, doc := range k.verifier.Status() {
		t := of(doc.Tenant)
		t.Usable += doc.Keys
		if !seen[doc.Tenant] || doc.FetchedAt.Before(t.FetchedAt) { // zero, never, is before all
			t.FetchedAt = doc.FetchedAt
		}
		seen[doc.Tenant] = true
	}
	for _, counts := range k.verifier.Stats() {
		t := of(counts.Tenant)
		t.Failures += counts.Failures
		t.UnknownKids += counts.UnknownKids
	}
	return all
}

// trailStats tells what stands around the records.
type trailStats struct{ s *Server }

// TrailStats implements metrics.Trail.
func (t trailStats) TrailStats() metrics.TrailStats {
	all := metrics.TrailStats{Through: t.s.ahead.Stats().Through}
	if t.s.sealer != nil {
		sealed := t.s.sealer.Stats()
		all.Seals, all.SealedThrough, all.Findings = true, sealed.SealedThrough, sealed.Findings
	}
	for _, e := range t.s.exports {
		now := e.Stats()
		all.Exports = append(all.Exports, metrics.ExportStats{Name: e.Name(), Lag: now.Lag, Exported: now.Exported, Refused: now.Refused, Failures: now.Failures})
	}
	if t.s.gate != nil {
		calls := t.s.gate.Stats()
		all.Admitted, all.Unidentified, all.NotAllowed, all.Unavailable = calls.Admitted, calls.Unidentified, calls.NotAllowed, calls.Unavailable
	}
	all.SecretProblems = len(t.s.secretProblems())
	return all
}
