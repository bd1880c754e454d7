package server

import (
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// Limits of a listener. gRPC's own defaults (2^32 streams, connections without end, 16 MiB of headers) are not for a
// service that many share.
const (
	maxStreams = 100
	maxHeaders = 64 << 10
	// A decision request may be this large so that an absurd token is answered with its reason rather than with a gRPC
	// error that the proxy reads as an outage.
	maxDecisionRequest = 4 << 20
	maxAdminRequest    = 64 << 20 // a whole policy
	connectTimeout     = 5 * time.Second
	maxConnectionIdle  = 5 * time.Minute
	maxConnectionAge   = 5 * time.Minute // so that callers spread over new replicas
	connectionGrace    = 30 * time.Second
	minPing            = 20 * time.Second
)

// newGRPC returns a gRPC server with our limits and interceptors, health and reflection.
func newGRPC(creds credentials.TransportCredentials, maxRequest int, in *interceptor, h *health.Server) *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(creds),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: maxConnectionIdle, MaxConnectionAge: maxConnectionAge, MaxConnectionAgeGrace: connectionGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(in.unary),
		grpc.StreamInterceptor(in.stream),
	)
	healthv1.RegisterHealthServer(s, h)
	reflection.Register(s)
	return s
}

// servingNames are the services whose health is that of deciding.
func servingNames() []string {
	return []string{"", verdictv1.DecisionService_ServiceDesc.ServiceName, authv3.Authorization_ServiceDesc.ServiceName}
}
