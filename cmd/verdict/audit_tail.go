package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// auditTailCmd follows decisions.
type auditTailCmd struct {
	auditFlags
	filterFlags

	Since span   `env:"-" help:"Begin with what is no older than this; none: with what comes from now on." placeholder:"TIME"`
	From  moment `env:"-" help:"Begin with this instant: RFC 3339 or a day." placeholder:"INSTANT"`
	Limit int    `env:"-" help:"End after this many; 0: when interrupted." placeholder:"N"`
	Wide  bool   `env:"-" help:"Print ids whole, however long the line."`
}

// The pauses between attempts to go on after a break, each about twice the one before.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// Run prints decisions until it is interrupted.
func (c *auditTailCmd) Run(s *surroundings) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usage(errors.New("--limit: less than 0"))
	}
	now := time.Now()
	times := timeFlags{Since: c.Since, From: c.From}
	since, _, err := times.bounds(now, 0)
	if err != nil {
		return err
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	t := tail{
		client: verdictv1.NewAuditServiceClient(conn), health: healthv1.NewHealthClient(conn), conn: conn, left: c.Limit,
		print:   decisionPrinter{screen: newScreen(s.stdout, c.Wide), json: c.JSON, widths: tailWidths},
		request: &verdictv1.TailDecisionsRequest{Filter: f, Since: since},
		began:   timestamppb.New(now),
		fresh:   true,
	}
	if err := c.call(s.ctx, t.connect); err != nil {
		return c.quietly(s, err)
	}
	if !c.JSON {
		if err := t.print.heading(); err != nil {
			return err
		}
	}
	return c.quietly(s, t.follow(s, &c.remoteFlags))
}

// quietly is err, or nothing when the interrupt is what ended it.
func (c *auditTailCmd) quietly(s *surroundings, err error) error {
	if s.ctx.Err() != nil {
		return nil
	}
	return err
}

// tail is a stream of decisions that is opened anew where it broke.
type tail struct {
	client  verdictv1.AuditServiceClient
	health  healthv1.HealthClient
	conn    *grpc.ClientConn
	request *verdictv1.TailDecisionsRequest
	began   *timestamppb.Timestamp
	print   decisionPrinter
	left    int  // of --limit; 0: no limit
	alive   bool // the stream that is open has had something
	fresh   bool // none has
}

// errEnough says that --limit is reached.
var errEnough = errors.New("enough")

// connect waits until somebody answers, whatever the answer, so that a wrong address is told at once and not tried for ever.
func (t *tail) connect(ctx context.Context) error {
	_, err := t.health.Check(ctx, &healthv1.HealthCheckRequest{})
	if isCode(err, codes.Unavailable, codes.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	return nil
}

// The breaks that may mend by themselves. A server that faults gets a few attempts, one that is away any number.
var (
	away   = []codes.Code{codes.Unavailable, codes.Aborted, codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted}
	faults = []codes.Code{codes.Internal, codes.Unknown}
)

const mostFaults = 5

// final says whether a stream that ended with err, after so many failures in a row, is not worth another attempt.
func (t *tail) final(err error, failures int) bool {
	switch {
	case errors.Is(err, io.EOF): // it goes down in order
		return false
	case isCode(err, codes.ResourceExhausted) && t.fresh:
		return true
	case isCode(err, faults...):
		return failures >= mostFaults
	default:
		return !isCode(err, away...)
	}
}

// follow prints what the stream has, and opens it again when it breaks. A server that goes away, for its connection got old
// or it is restarted, is no end; an answer that would be the same next time is.
func (t *tail) follow(s *surroundings, remote *remoteFlags) error {
	pause, failures := firstPause, 0
	for {
		t.alive = false
		err := t.stream(s.ctx)
		if t.alive {
			t.fresh = false
			pause, failures = firstPause, 0
		}
		failures++
		if errors.Is(err, errEnough) {
			return nil
		}
		if s.ctx.Err() != nil || t.final(err, failures) {
			return remote.explain(err)
		}
		if failures == 2 { // the first is as a rule a connection that got old
			s.log.Warn("connection lost, trying to go on", "address", remote.Admin, "cause", remote.explain(err).Error())
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // spreads clients, keeps no secret
		case <-s.ctx.Done():
			return nil
		}
		pause = min(pause*2, longestPause)
		t.conn.ResetConnectBackoff()
	}
}

// stream prints until the stream breaks. It never returns nil.
func (t *tail) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.client.TailDecisions(ctx, t.request)
	if err != nil {
		return err
	}
	if t.request.GetResumeToken() == "" && t.request.GetSince() == nil {
		// Should it break before the first token, what was kept meanwhile is not passed over.
		t.request.Since = t.began
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		t.alive = true
		if d := resp.GetDecision(); d != nil {
			if err := t.print.page([]*verdictv1.DecisionRecord{d}); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			if t.left > 0 {
				if t.left--; t.left == 0 {
					return errEnough
				}
			}
		}
		if token := resp.GetResumeToken(); token != "" {
			t.request.ResumeToken = token
		}
	}
}
