package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// line is what is logged of an event, once it is answered. It has no field for anything that a client wrote.
type line struct {
	requestID string // Lambda's
	event     string // kind
	effect    string // allow, deny; none when the answer is an error
	reason    string // verdict's, or one of this function in lower case
	code      string // gRPC code when verdict gave no answer
	note      string // what an operator should know beside

	decisionID, principal, api, route string
	revision                          uint64
}

// decided takes down what verdict said.
func (l *line) decided(resp *verdictv1.CheckResponse) {
	l.decisionID, l.api, l.route, l.revision = resp.GetDecisionId(), resp.GetApi(), resp.GetRoute(), resp.GetRevision()
	l.principal, l.reason = principalID(resp), reasonName(resp.GetReason())
}

// reasonName is a reason as verdict's own log and docs/reasons.md have it.
func reasonName(r verdictv1.Reason) string { return strings.TrimPrefix(r.String(), "REASON_") }

func (l *line) write(ctx context.Context, log *slog.Logger, took time.Duration, bytes int, err error) {
	attrs := make([]slog.Attr, 0, 16)
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	add("request_id", l.requestID)
	add("event", l.event)
	add("effect", l.effect)
	add("reason", l.reason)
	add("code", l.code)
	add("decision_id", l.decisionID)
	add("principal", l.principal)
	add("api", l.api)
	add("route", l.route)
	add("note", l.note)
	if l.revision > 0 {
		attrs = append(attrs, slog.Uint64("revision", l.revision))
	}
	attrs = append(attrs, slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.Int("bytes", bytes))
	level := slog.LevelInfo
	var failed *lambda.Failure
	switch {
	case errors.As(err, &failed):
		add("failure", failed.Type)
		if failed != errUnauthorized {
			level = slog.LevelError
			add("error", failed.Text)
		}
	case l.note != "":
		level = slog.LevelWarn
	}
	log.LogAttrs(ctx, level, "answered", attrs...)
}
