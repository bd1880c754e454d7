// Package access is the door for everyone who is not Envoy: verdict.v1.DecisionService, asked by Lambda authorizers,
// services and grpcurl. It turns requests into questions of package pdp and answers into responses. A refusal is a normal
// response; a gRPC error means that the call itself was wrong.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/request"
	"github.com/verdict-authz/verdict/server/status"
)

// door is this door's name in decision records.
const door = "check"

// Decider answers questions; *pdp.PDP is one.
type Decider interface {
	Decide(ctx context.Context, q *pdp.Question) pdp.Answer
	DecideAll(ctx context.Context, qs []pdp.Question) []pdp.Answer
	Permissions(ctx context.Context, q *pdp.Question) (held, conditional []string, a pdp.Answer)
}

// Config tunes a Server. The zero value is usable.
type Config struct {
	// MaxTTL is the longest that an answer may be kept by its asker; 0 means not at all.
	MaxTTL time.Duration
	// Verbose tells in detail why a token was not accepted; for development.
	Verbose bool
}

// Server implements verdict.v1.DecisionService.
type Server struct {
	verdictv1.UnimplementedDecisionServiceServer
	decider Decider
	maxTTL  time.Duration
	verbose bool
}

// New returns the door to d.
func New(d Decider, cfg Config) (*Server, error) {
	if d == nil {
		return nil, errors.New("access: a decider is required")
	}
	if cfg.MaxTTL < 0 {
		return nil, errors.New("access: the longest time to keep an answer cannot be negative")
	}
	return &Server{decider: d, maxTTL: cfg.MaxTTL, verbose: cfg.Verbose}, nil
}

// Check answers one question.
func (s *Server) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	if req.GetIncludePermittedRoutes() && req.GetHttp() == nil {
		return nil, status.Invalid(status.Violation{Field: fieldPermitted, Text: "only with http: a permission has no routes; ask ListPermissions"})
	}
	c := call.From(ctx)
	q := question(req, "", c.PEP)
	q.Permitted = req.GetIncludePermittedRoutes()
	a := s.decider.Decide(ctx, &q)
	c.Note(a.LogAttrs()...)
	return s.response(&a), nil
}

const fieldPermitted = "include_permitted_routes"

// checkBatch refuses questions that want the routes listed: each would cost an evaluation a route.
func checkBatch(req *verdictv1.BatchCheckRequest) error {
	var wrong []status.Violation
	for i, check := range req.GetChecks() {
		if check.GetIncludePermittedRoutes() {
			wrong = append(wrong, status.Violation{Field: fmt.Sprintf("checks[%d].%s", i, fieldPermitted), Text: "not in a batch; ask Check"})
		}
	}
	if len(wrong) > 0 {
		return status.Invalid(wrong...)
	}
	return nil
}

// BatchCheck answers each question on one revision.
func (s *Server) BatchCheck(ctx context.Context, req *verdictv1.BatchCheckRequest) (*verdictv1.BatchCheckResponse, error) {
	if err := checkBatch(req); err != nil {
		return nil, err
	}
	c := call.From(ctx)
	qs := make([]pdp.Question, len(req.GetChecks()))
	for i, check := range req.GetChecks() {
		qs[i] = question(check, req.GetToken(), c.PEP)
	}
	resp := &verdictv1.BatchCheckResponse{Checks: make([]*verdictv1.CheckResponse, len(qs))}
	answers := s.decider.DecideAll(ctx, qs)
	for i := range answers {
		resp.Checks[i] = s.response(&answers[i])
	}
	if len(answers) > 0 {
		c.Note(slog.Uint64("revision", answers[0].Revision))
	}
	return resp, nil
}

// ListPermissions says what the caller of a token may do in an api.
func (s *Server) ListPermissions(ctx context.Context, req *verdictv1.ListPermissionsRequest) (*verdictv1.ListPermissionsResponse, error) {
	c := call.From(ctx)
	held, conditional, a := s.decider.Permissions(ctx, &pdp.Question{
		Door: door, PEP: c.PEP, API: req.GetApi(), Token: req.GetToken(), MinRevision: req.GetMinRevision(),
	})
	c.Note(slog.String("effect", a.Effect.String()), slog.String("reason", a.Reason.String()),
		slog.Uint64("revision", a.Revision), slog.String("api", a.API))
	return &verdictv1.ListPermissionsResponse{Permissions: held, ConditionalPermissions: conditional, Decision: s.response(&a)}, nil
}

// question translates one check; fallback is the token of the batch.
func question(req *verdictv1.CheckRequest, fallback, pep string) pdp.Question {
	q := pdp.Question{
		Door: door, PEP: pep, API: req.GetApi(), Token: req.GetToken(), MinRevision: req.GetMinRevision(),
		Permission: req.GetPermission().GetName(), Resource: req.GetPermission().GetResource(),
	}
	http := req.GetHttp()
	if http == nil {
		if q.Token == "" {
			q.Token = fallback
		}
		return q
	}
	q.HTTP = &request.Raw{
		Method: http.GetMethod(), Host: http.GetHost(), Target: http.GetPath(),
		Decoded: http.GetPathEncoding() == verdictv1.PathEncoding_PATH_ENCODING_DECODED,
		Headers: make([]request.Header, len(http.GetHeaders())),
	}
	own := q.Token != ""
	for i, h := range http.GetHeaders() {
		q.HTTP.Headers[i] = request.Header{Name: h.GetName(), Value: string(h.GetValue())}
		own = own || strings.EqualFold(h.GetName(), "authorization")
	}
	if !own { // a question with a credential of its own, in either place, does not take the batch's
		q.Token = fallback
	}
	q.SNI = http.GetSni()
	q.SourceIP, _ = request.SourceIP(http.GetSourceIp())
	return q
}
