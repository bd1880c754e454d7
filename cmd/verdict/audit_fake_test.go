package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

const auditTenant = "11111111-1111-4111-8111-111111111111"

// fakeAudit answers by hand, and keeps what it was asked last.
type fakeAudit struct {
	verdictv1.UnimplementedAuditServiceServer

	decisions []*verdictv1.DecisionRecord // newest first
	explained *verdictv1.ExplainDecisionResponse
	counts    *verdictv1.SummarizeResponse
	changes   []*verdictv1.Change
	review    *verdictv1.AccessReviewResponse
	err       error // of every unary call

	mu    sync.Mutex
	asked proto.Message
	calls int

	tail func(req *verdictv1.TailDecisionsRequest, stream grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]) error
}

func (f *fakeAudit) note(m proto.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = proto.Clone(m)
	f.calls++
}

// last is what was asked last.
func (f *fakeAudit) last() proto.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// paged is a page of all; the token is the number of what came before.
func paged[M any](all []M, size uint32, token string) ([]M, string, error) {
	from := 0
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil {
			return nil, "", status.Error(codes.InvalidArgument, "page_token: not one of ours")
		}
	}
	to := min(from+int(size), len(all))
	next := ""
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}

func (f *fakeAudit) ListDecisions(_ context.Context, req *verdictv1.ListDecisionsRequest) (*verdictv1.ListDecisionsResponse, error) {
	f.note(req)
	if f.err != nil {
		return nil, f.err
	}
	found, next, err := paged(f.decisions, req.GetPageSize(), req.GetPageToken())
	return &verdictv1.ListDecisionsResponse{Decisions: found, NextPageToken: next}, err
}

func (f *fakeAudit) GetDecision(_ context.Context, req *verdictv1.GetDecisionRequest) (*verdictv1.GetDecisionResponse, error) {
	f.note(req)
	for _, d := range f.decisions {
		if d.GetId() == req.GetId() {
			return &verdictv1.GetDecisionResponse{Decision: d}, f.err
		}
	}
	return nil, status.Error(codes.NotFound, "get decision: not found")
}

func (f *fakeAudit) ExplainDecision(_ context.Context, req *verdictv1.ExplainDecisionRequest) (*verdictv1.ExplainDecisionResponse, error) {
	f.note(req)
	return f.explained, f.err
}

func (f *fakeAudit) Summarize(_ context.Context, req *verdictv1.SummarizeRequest) (*verdictv1.SummarizeResponse, error) {
	f.note(req)
	return f.counts, f.err
}

func (f *fakeAudit) AccessReview(_ context.Context, req *verdictv1.AccessReviewRequest) (*verdictv1.AccessReviewResponse, error) {
	f.note(req)
	return f.review, f.err
}

func (f *fakeAudit) ListChanges(_ context.Context, req *verdictv1.ListChangesRequest) (*verdictv1.ListChangesResponse, error) {
	f.note(req)
	if f.err != nil {
		return nil, f.err
	}
	found, next, err := paged(f.changes, req.GetPageSize(), req.GetPageToken())
	return &verdictv1.ListChangesResponse{Changes: found, NextPageToken: next}, err
}

func (f *fakeAudit) FindPseudonyms(_ context.Context, req *verdictv1.FindPseudonymsRequest) (*verdictv1.FindPseudonymsResponse, error) {
	f.note(req)
	return &verdictv1.FindPseudonymsResponse{Pseudonyms: []*verdictv1.Pseudonym{{Month: "2026-10", Pseudonym: "p1"}, {Month: "2026-11", Pseudonym: "p2"}}}, f.err
}

func (f *fakeAudit) TailDecisions(req *verdictv1.TailDecisionsRequest, stream grpc.ServerStreamingServer[verdictv1.TailDecisionsResponse]) error {
	f.note(req)
	return f.tail(req, stream)
}

// serveAudit serves f at a loopback address, or at the given one, until the test ends or stop is called.
func serveAudit(t *testing.T, f *fakeAudit, address string, opts ...grpc.ServerOption) (at string, stop func()) {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	verdictv1.RegisterAuditServiceServer(s, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(lis)
	}()
	stop = func() {
		s.Stop()
		<-done
	}
	t.Cleanup(stop)
	return dialTarget(lis.Addr()), stop
}

// askAudit runs `verdict audit` with args against f.
func askAudit(t *testing.T, f *fakeAudit, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	at, _ := serveAudit(t, f, "")
	return askAuditAt(t, at, args...)
}

func askAuditAt(t *testing.T, at string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	all := append([]string{"audit", args[0], "--admin", at}, args[1:]...)
	code = run(ctx, all, nil, &out, &errs)
	return code, out.String(), errs.String()
}

var auditTime = time.Date(2026, 11, 21, 10, 5, 0, 0, time.UTC)

func auditID(n int) string { return fmt.Sprintf("01932f5e-8c7a-7b3e-9d2f-%012x", n) }

func auditRecord(n int) *verdictv1.DecisionRecord {
	d := &verdictv1.DecisionRecord{
		Id: auditID(n), Time: timestamppb.New(auditTime.Add(-time.Duration(n) * time.Minute)), Effect: verdictv1.Effect_EFFECT_ALLOW,
		Reason: verdictv1.Reason_REASON_ALLOWED_BY_GRANT, Revision: 4, PrincipalKind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER,
		TenantId: auditTenant, PrincipalId: "bbbbbbbb-0001-4000-8000-000000000001", Api: "orders", Route: "read", Method: "GET",
		Template: "/orders/{id:int}", Host: "orders.example.com", Permissions: []string{"orders.read"}, Grants: []string{"readers-read"},
		Door: "check", Took: durationpb.New(150 * time.Microsecond),
	}
	if n%2 == 1 {
		d.Effect, d.Reason, d.Grants = verdictv1.Effect_EFFECT_DENY, verdictv1.Reason_REASON_NO_GRANT, nil
	}
	return d
}

func auditRecords(n int) (all []*verdictv1.DecisionRecord) {
	for i := range n {
		all = append(all, auditRecord(i))
	}
	return all
}
