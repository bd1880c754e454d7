package server

import (
	"context"
	"strings"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// healthPoll is how often readiness is looked at; a probe never asks faster.
const healthPoll = 100 * time.Millisecond

// watchHealth keeps the health service true until ctx ends: serving while decisions can be made.
func (s *Server) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthPoll)
	defer tick.Stop()
	was := "starting"
	for {
		s.setRevocationHealth()
		problem := s.notReady()
		if problem != was {
			s.setHealth(problem == "")
			if problem == "" {
				s.log.InfoContext(ctx, "ready", "revision", s.follower.Status().Revision)
			} else {
				s.log.WarnContext(ctx, "not ready", "cause", problem)
			}
			was = problem
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// notReady says why no decision can be made, "" when it can.
func (s *Server) notReady() string { return strings.Join(s.obstacles(), "; ") }

// obstacles lists what keeps decisions from being made, none when they can be.
func (s *Server) obstacles() []string {
	var all []string
	if s.follower.Current() == nil {
		all = append(all, "no policy is loaded yet")
	} else if s.follower.Stale(time.Now()) {
		all = append(all, "the policy is older than max-policy-age")
	}
	if s.feed.Status().CheckedAt.IsZero() {
		all = append(all, "no revocations are loaded yet")
	}
	if !s.hasKeys() {
		all = append(all, "no signing keys of any tenant are loaded yet")
	}
	return all
}

func (s *Server) hasKeys() bool {
	for _, k := range s.verifier.Status() {
		if k.Keys > 0 {
			return true
		}
	}
	return false
}

// RevocationHealth is the health service that is serving while revocations are current. Decisions of apis that are not
// strict about them go on without, so they are not part of the health of deciding.
const RevocationHealth = "verdict.revocation"

func (s *Server) setRevocationHealth() {
	status := healthv1.HealthCheckResponse_SERVING
	if s.feed.Stale(time.Now()) {
		status = healthv1.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus(RevocationHealth, status)
}

func (s *Server) setHealth(serving bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	for _, name := range servingNames() {
		s.health.SetServingStatus(name, status)
	}
}
