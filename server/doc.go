// Package server is the house around the doors: listeners and their TLS, gRPC limits and interceptors, health, and the
// order of starting and stopping. It wires collaborators together and decides nothing itself.
//
// Two gRPC listeners: decisions (envoy.service.auth.v3.Authorization, verdict.v1.DecisionService), which proxies and functions
// call, and administration (verdict.v1.PolicyService, RevocationService, AuditService, SystemService), which is loopback or a Unix socket
// only. Both have the gRPC health service and reflection. A third, over HTTP, has health and metrics for those who watch.
package server
