// Package server is the house around the doors: listeners and their TLS, gRPC limits and interceptors, health, and the
// order of starting and stopping. It wires collaborators together and decides nothing itself.
//
// Two listeners: decisions (envoy.service.auth.v3.Authorization, verdict.v1.DecisionService), which proxies and functions
// call, and administration (verdict.v1.PolicyService, AuditService, SystemService), which is loopback or a Unix socket
// only. Both have the gRPC health service and reflection.
package server
