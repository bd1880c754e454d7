package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

type tailStream = grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]

// trail is a fake trail of decisions 0 to n-1, whose resume token is the number of the next. It breaks as a test wants.
type trail struct {
	n int

	mu     sync.Mutex
	opened []*verdictv1.TailDecisionsRequest
	breaks map[int]error // before the decision of that number, once
	beats  map[int]bool  // a heartbeat before the decision of that number
}

func (r *trail) serve(req *verdictv1.TailDecisionsRequest, stream tailStream) error {
	r.mu.Lock()
	r.opened = append(r.opened, proto.CloneOf(req))
	r.mu.Unlock()
	from := 0
	if req.GetResumeToken() != "" {
		from, _ = strconv.Atoi(req.GetResumeToken())
	}
	for i := from; i < r.n; i++ {
		if bad, err := r.broken(i); bad {
			return err
		}
		if r.beats[i] {
			if err := stream.Send(&verdictv1.TailDecisionsResponse{ResumeToken: strconv.Itoa(i)}); err != nil {
				return err
			}
		}
		if err := stream.Send(&verdictv1.TailDecisionsResponse{Decision: auditRecord(i), ResumeToken: strconv.Itoa(i + 1)}); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// broken says whether the stream breaks before decision i, and how: an end in order is no error.
func (r *trail) broken(i int) (bad bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err, bad = r.breaks[i]
	delete(r.breaks, i)
	return bad, err
}

func (r *trail) requests() []*verdictv1.TailDecisionsRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// wantTail checks that JSON lines are the decisions from 0 on, each once and in order.
func wantTail(t *testing.T, out string, n int) {
	t.Helper()
	i := 0
	for line := range strings.Lines(out) {
		var d struct{ ID string }
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.ID != auditID(i) {
			t.Fatalf("line %d is %s %v", i, line, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d decisions, want %d", i, n)
	}
}

func TestAuditTailGoesOnAfterABreak(t *testing.T) {
	for name, breaks := range map[string]map[int]error{
		"no break": nil,
		"a server that goes away, before the first and in the middle": {0: status.Error(codes.Unavailable, "x"), 3: status.Error(codes.Unavailable, "x")},
		"a server that ends in order":                                 {2: nil},
		"a fault and a busy server":                                   {1: status.Error(codes.Internal, "x"), 4: status.Error(codes.ResourceExhausted, "x")},
	} {
		t.Run(name, func(t *testing.T) {
			r := &trail{n: 6, breaks: breaks, beats: map[int]bool{3: true}}
			want := len(breaks) + 1
			code, out, errs := askAudit(t, &fakeAudit{tail: r.serve}, "tail", "--json", "--limit", "6")
			if code != exitOK || errs != "" {
				t.Errorf("%d %s", code, errs)
			}
			wantTail(t, out, 6)
			if n := len(r.requests()); n != want {
				t.Errorf("opened %d times, want %d", n, want)
			}
		})
	}
}

// Before the first token only time can say where to begin: a tail that was broken there begins again when it began at first.
func TestAuditTailMissesNothingBeforeItsFirstToken(t *testing.T) {
	r := &trail{n: 1, breaks: map[int]error{0: status.Error(codes.Unavailable, "x")}}
	began := time.Now()
	code, _, errs := askAudit(t, &fakeAudit{tail: r.serve}, "tail", "--json", "--limit", "1", "--route", "read")
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	opened := r.requests()
	if len(opened) != 2 || opened[0].Since != nil || opened[1].Since == nil {
		t.Fatalf("opened with %v", opened)
	}
	if since := opened[1].GetSince().AsTime(); since.Before(began.Add(-time.Second)) || since.After(began.Add(5*time.Second)) {
		t.Errorf("begins again at %s, began %s", since, began)
	}
	for _, req := range opened {
		if req.GetFilter().GetRoute() != "read" {
			t.Errorf("the filter is lost: %v", req)
		}
	}
}

func TestAuditTailBeginsWhenAsked(t *testing.T) {
	r := &trail{n: 1}
	code, _, errs := askAudit(t, &fakeAudit{tail: r.serve}, "tail", "--limit", "1", "--from", "2026-11-20T00:00:00Z")
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	if want := timestamppb.New(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)); !proto.Equal(r.requests()[0].GetSince(), want) {
		t.Errorf("since %v", r.requests()[0].GetSince())
	}
}

// A restart of the server is no end: the tail waits for it to come back and goes on where it was.
func TestAuditTailOutlivesARestart(t *testing.T) {
	r := &trail{n: 2}
	at, stop := serveAudit(t, &fakeAudit{tail: r.serve}, "")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var out, errs output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"audit", "tail", "--admin", at, "--json", "--limit", "5"}, nil, &out, &errs)
	}()
	waitFor(t, func() bool { return strings.Count(out.String(), "\n") == 2 })
	stop()
	waitFor(t, func() bool { return strings.Contains(errs.String(), "connection lost") })
	again := &trail{n: 5}
	serveAudit(t, &fakeAudit{tail: again.serve}, at)
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("%d %s", code, errs.String())
		}
	case <-ctx.Done():
		t.Fatal("does not end")
	}
	wantTail(t, out.String(), 5)
	if token := again.requests()[0].GetResumeToken(); token != "2" {
		t.Errorf("goes on from %q", token)
	}
	if n := strings.Count(errs.String(), "connection lost"); n != 1 {
		t.Errorf("told %d times:\n%s", n, errs.String())
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(startTimeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("time is up")
		}
	}
}

func TestAuditTailEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error // of every attempt
		want  string
		opens int
	}{
		"a bad filter":                          {status.Error(codes.InvalidArgument, "filter.tenant_id: too long"), "filter.tenant_id: too long", 1},
		"a caller that may not":                 {status.Error(codes.PermissionDenied, "no"), "refuses this to the caller", 1},
		"a server with too many tails":          {status.Error(codes.ResourceExhausted, "64 tails are open"), "gives no more of this: 64 tails are open", 1},
		"a server that faults again and again":  {status.Error(codes.Internal, "fault"), "Internal: fault", mostFaults},
		"a server that does not know the calls": {status.Error(codes.Unimplemented, "x"), "does not know this call", 1},
	} {
		t.Run(name, func(t *testing.T) {
			opens := 0
			f := &fakeAudit{tail: func(*verdictv1.TailDecisionsRequest, tailStream) error {
				opens++
				return tc.err
			}}
			code, _, errs := askAudit(t, f, "tail", "--json")
			if code != exitFailed || !strings.Contains(errs, tc.want) || opens != tc.opens {
				t.Errorf("%d after %d: %s", code, opens, errs)
			}
		})
	}
}

func TestAuditTailIsInterruptedQuietly(t *testing.T) {
	r := &trail{n: 1}
	at, _ := serveAudit(t, &fakeAudit{tail: r.serve}, "")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, errs output
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"audit", "tail", "--admin", at}, nil, &out, &errs) }()
	waitFor(t, func() bool { return strings.Count(out.String(), "\n") == 2 }) // a heading and a decision
	interrupt()
	select {
	case code := <-ended:
		if code != exitOK || errs.String() != "" {
			t.Errorf("%d %s", code, errs.String())
		}
	case <-time.After(startTimeout):
		t.Fatal("does not end")
	}
}

func TestAuditTailOfNobody(t *testing.T) {
	at, stop := serveAudit(t, &fakeAudit{}, "")
	stop()
	code, _, errs := askAuditAt(t, at, "tail")
	if code != exitFailed || !strings.Contains(errs, "no answer from "+at+": is verdict running there") {
		t.Errorf("%d %s", code, errs)
	}
}

// closed is a reader's end of a pipe that is gone.
type closed struct{ bytes.Buffer }

func (*closed) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAuditTailEndsWhenNobodyReads(t *testing.T) {
	r := &trail{n: 3}
	at, _ := serveAudit(t, &fakeAudit{tail: r.serve}, "")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var errs bytes.Buffer
	code := run(ctx, []string{"audit", "tail", "--json", "--admin", at}, nil, &closed{}, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "broken pipe") {
		t.Errorf("%d %s", code, errs.String())
	}
	if n := len(r.requests()); n != 1 {
		t.Errorf("opened %d times", n)
	}
}
