package trail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// tailBatch is how many records a tail reads at once.
const tailBatch = 500

// tail is one TailDecisions under way.
type tail struct {
	service *Service
	filter  store.DecisionFilter
	cursor  store.TailCursor
	stream  grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]
	sent    time.Time // when something was sent last
}

// TailDecisions sends decision records as they are kept, until the context of the stream ends.
func (s *Service) TailDecisions(req *verdictv1.TailDecisionsRequest, stream grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]) error {
	ctx := stream.Context()
	t, err := s.begin(ctx, req)
	if err != nil {
		return err
	}
	select {
	case s.tails <- struct{}{}:
		defer func() { <-s.tails }()
	default:
		return grpcstatus.Errorf(codes.ResourceExhausted, "tail decisions: this replica sends to %d already; try again, or ask another replica", s.cfg.MaxTails)
	}
	t.stream = stream
	// The first message tells where the tail begins, so that a break before the first record misses none.
	if err := t.heartbeat(); err != nil {
		return err
	}
	for {
		more, err := t.send(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := t.wait(ctx); err != nil {
			return err
		}
	}
}

// begin reads where to begin, and what to send.
func (s *Service) begin(ctx context.Context, req *verdictv1.TailDecisionsRequest) (*tail, error) {
	var vs []status.Violation
	since := instant(req.GetSince(), "since", &vs)
	filter := filterOf(unbounded{req.GetFilter()}, "filter.", &vs)
	cursor, err := store.ParseTailCursor(req.GetResumeToken())
	if err != nil {
		vs = append(vs, status.Violation{Field: "resume_token", Text: "not one that came with a record; leave it out to begin now, or say since when"})
	}
	if len(vs) > 0 {
		return nil, status.Invalid(vs...)
	}
	if req.GetResumeToken() == "" {
		if cursor, err = s.store.TailFrom(ctx, since); err != nil {
			return nil, fmt.Errorf("tail decisions: %w", err)
		}
	}
	return &tail{service: s, filter: filter, cursor: cursor}, nil
}

// send sends what there is, at most a batch, and says whether there may be more at once.
func (t *tail) send(ctx context.Context) (more bool, err error) {
	found, err := t.service.store.DecisionsAfter(ctx, t.cursor, t.filter, tailBatch)
	if err != nil {
		if ctx.Err() != nil {
			return false, ended(ctx)
		}
		return false, fmt.Errorf("tail decisions: %w", err)
	}
	for i := range found.Records {
		t.cursor.Advance(found.Records[i])
		if err := t.message(shape.Proto(&found.Records[i].Decision)); err != nil {
			return false, err
		}
	}
	t.cursor = found.Cursor
	if t.service.cfg.Now().Sub(t.sent) >= t.service.cfg.Heartbeat {
		return found.More, t.heartbeat()
	}
	return found.More, nil
}

// heartbeat tells how far the tail is, with no record.
func (t *tail) heartbeat() error { return t.message(nil) }

func (t *tail) message(d *verdictv1.DecisionRecord) error {
	if err := t.stream.Send(&verdictv1.TailDecisionsResponse{Decision: d, ResumeToken: t.cursor.String()}); err != nil {
		if ctx := t.stream.Context(); ctx.Err() != nil {
			return ended(ctx)
		}
		return fmt.Errorf("tail decisions: send: %w", err)
	}
	t.sent = t.service.cfg.Now()
	return nil
}

// wait waits about as long as Poll says: replicas and tails do not ask all at once.
func (t *tail) wait(ctx context.Context) error {
	poll := min(t.service.cfg.Poll, t.service.cfg.Heartbeat)
	timer := time.NewTimer(poll*3/4 + rand.N(poll/2+1)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ended(ctx)
	case <-timer.C:
		return nil
	}
}

// ended is why the context ended, as an error of its own: what it cut short is of no interest.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("tail decisions: %w", context.DeadlineExceeded)
	}
	return fmt.Errorf("tail decisions: %w", context.Canceled)
}
