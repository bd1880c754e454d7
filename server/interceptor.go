package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/server/status"
)

// interceptor goes around every call: it recovers, validates verdict's own messages, turns errors into codes and writes the
// one log line, that of a stream when it ends.
type interceptor struct {
	log   *slog.Logger
	rules *rules
	gate  *pep.Gate // of the decision listener; nil: everyone may call who reaches the listener
	// draining ends when streams are to end, since they would outlast any drain; nil: never.
	draining context.Context //nolint:containedctx // it is of the process, not of a call
}

func (i *interceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	ctx, c := call.With(ctx)
	resp, err := i.admitted(ctx, c, req, info.FullMethod, next)
	answer := status.FromError(err)
	i.write(ctx, c, info.FullMethod, answer, err, time.Since(began))
	return resp, answer
}

// admitted calls next for who may ask.
func (i *interceptor) admitted(ctx context.Context, c *call.Call, req any, method string, next grpc.UnaryHandler) (resp any, err error) {
	if err := i.admit(ctx, c, method); err != nil {
		return nil, err
	}
	return i.guarded(ctx, req, next)
}

// admit asks the gate; a panic becomes an error and the process lives: what a gate reads is not yet proven to be anybody's.
func (i *interceptor) admit(ctx context.Context, c *call.Call, method string) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = i.panicked(ctx, cause)
		}
	}()
	if i.gate != nil {
		c.PEP, err = i.gate.Admit(ctx, method)
	}
	return err
}

// stream does the same for streams. One that the drain ends has ended in order: who listens sees its end and goes on with
// another replica.
func (i *interceptor) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	began := time.Now()
	ctx, c := call.With(ss.Context())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := func() bool { return false }
	if i.draining != nil {
		drained = func() bool { return i.draining.Err() != nil }
		defer context.AfterFunc(i.draining, cancel)()
	}
	err := i.admit(ctx, c, info.FullMethod)
	if err == nil {
		err = i.guardedStream(srv, &checkedStream{ss, ctx, i.rules}, next)
	}
	if drained() && ss.Context().Err() == nil && grpcstatus.Code(status.FromError(err)) == codes.Canceled {
		err = nil
	}
	answer := status.FromError(err)
	i.write(ctx, c, info.FullMethod, answer, err, time.Since(began))
	return answer
}

// guarded calls next unless the request is not valid; a panic becomes an error and the process lives.
func (i *interceptor) guarded(ctx context.Context, req any, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			resp, err = nil, i.panicked(ctx, cause)
		}
	}()
	if err := i.rules.checkAny(req); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// guardedStream calls next; a panic becomes an error and the process lives.
func (i *interceptor) guardedStream(srv any, ss grpc.ServerStream, next grpc.StreamHandler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = i.panicked(ss.Context(), cause)
		}
	}()
	return next(srv, ss)
}

// panicked writes down where it was. What a panic says may hold a part of the message, of which tokens are one; what the Go
// runtime says does not.
func (i *interceptor) panicked(ctx context.Context, cause any) error {
	text := fmt.Sprintf("%T", cause)
	if own, ok := cause.(runtime.Error); ok {
		text = own.Error()
	}
	i.log.ErrorContext(ctx, "panic in a call", "cause", text, "stack", string(debug.Stack()))
	return errors.New("panic in a call")
}

// checkedStream validates what it receives; the handler never sees what is not valid.
type checkedStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // as grpc.ServerStream has it
	rules *rules
}

// Context implements grpc.ServerStream.
func (s *checkedStream) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream.
func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.rules.checkAny(m)
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
	case codes.Unauthenticated, codes.PermissionDenied: // who calls may not; the text holds names and settings
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	i.log.LogAttrs(ctx, level, "call", attrs...)
}
