package server

import (
	"context"
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
func (s *Server) notReady() string {
	if s.follower.Current() == nil {
		return "no policy is loaded yet"
	}
	if s.follower.Stale(time.Now()) {
		return "the policy is older than max-policy-age"
	}
	for _, k := range s.verifier.Status() {
		if k.Keys > 0 {
			return ""
		}
	}
	return "no signing keys of any tenant are loaded yet"
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
