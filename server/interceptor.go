package server

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/status"
)

// interceptor goes around every unary call: it recovers, validates verdict's own messages, turns errors into codes and
// writes the one log line.
type interceptor struct {
	log   *slog.Logger
	rules *rules
}

func (i *interceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	ctx, c := call.With(ctx)
	resp, err := i.guarded(ctx, req, next)
	answer := status.FromError(err)
	i.write(ctx, c, info.FullMethod, answer, err, time.Since(began))
	return resp, answer
}

// guarded calls next unless the request is not valid; a panic becomes an error and the process lives.
func (i *interceptor) guarded(ctx context.Context, req any, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			i.log.ErrorContext(ctx, "panic in a call", "cause", cause, "stack", string(debug.Stack()))
			resp, err = nil, errors.New("panic in a call")
		}
	}()
	if m, ok := req.(proto.Message); ok {
		if err := i.rules.check(m); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

// write writes the call's line: constant message, fixed attribute names, nothing of the request itself.
func (i *interceptor) write(ctx context.Context, c *call.Call, method string, answer, cause error, took time.Duration) {
	code := grpcstatus.Code(answer)
	attrs := append([]slog.Attr{
		slog.String("rpc", strings.TrimPrefix(method, "/")),
		slog.String("code", code.String()),
		slog.Float64("took_ms", float64(took.Microseconds())/1000),
	}, c.Attrs()...)
	if c.PEP != "" {
		attrs = append(attrs, slog.String("pep", c.PEP))
	}
	level := slog.LevelInfo
	switch code { //nolint:exhaustive // the rest is the caller's business
	case codes.Internal, codes.Unknown, codes.Unavailable:
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	i.log.LogAttrs(ctx, level, "call", attrs...)
}
