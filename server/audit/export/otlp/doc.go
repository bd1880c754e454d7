// Package otlp is the sink that speaks OTLP, the protocol of OpenTelemetry: logs over HTTP (protobuf) or gRPC. It sends each
// batch by itself and answers only when the other side did, since the pipelines of OpenTelemetry's own libraries drop what
// waits too long. What the other side does with records that it has acknowledged is up to its configuration.
//
// attributes.go is the whole mapping. Neither headers nor certificates reach an error or a log.
package otlp
