package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// checker decides; a verdictclient.Client is one.
type checker interface {
	Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error)
}

// authorizer answers events of API Gateway.
type authorizer struct {
	verdict checker
	cfg     *config
	log     *slog.Logger
}

func newAuthorizer(verdict checker, cfg *config, log *slog.Logger) *authorizer {
	return &authorizer{verdict: verdict, cfg: cfg, log: log}
}

// Failures, which are not kept by the gateway. The text of errUnauthorized is the gateway's word for 401, letter by letter.
var (
	errUnauthorized = &lambda.Failure{Type: "Unauthorized", Text: "Unauthorized"}
	errPanic        = &lambda.Failure{Type: "Panic", Text: "the authorizer failed; its log says where"}
)

// failure is an error of the settings or of verdict; text is for the operator.
func failure(kind, text string) error { return &lambda.Failure{Type: kind, Text: text} }

// Handle implements lambda.Handler.
func (a *authorizer) Handle(ctx context.Context, in lambda.Invocation) (answer []byte, err error) {
	began := time.Now()
	l := &line{requestID: in.RequestID, effect: "none"}
	defer func() {
		if p := recover(); p != nil { // its value may hold what a client sent: the log has its type and the place
			answer, err = nil, errPanic
			l.note = fmt.Sprintf("%T at %s", p, place(debug.Stack()))
		}
		if err != nil {
			answer, l.effect = nil, "none"
		}
		l.write(ctx, a.log, time.Since(began), len(answer), err)
	}()
	body, err := a.answer(ctx, in.Event, l)
	if err != nil {
		return nil, err
	}
	return encode(body)
}

// answer is what the gateway is told: an *iamAnswer or a *simpleAnswer.
func (a *authorizer) answer(ctx context.Context, raw []byte, l *line) (any, error) {
	q, err := read(raw, a.cfg.basePath)
	l.event = q.kind.String()
	if err != nil {
		return nil, err
	}
	api, known := a.cfg.apiOf(q)
	switch {
	case q.arnBytes > execapi.MaxARN:
		return a.refuse(q, l, "arn_too_long"), nil
	case len(a.cfg.allowed) > 0 && !a.cfg.allowed[q.arn.Account+":"+q.arn.API]:
		return a.refuse(q, l, "api_not_allowed"), nil
	case !known:
		return a.refuse(q, l, "api_unmapped"), nil
	}
	if a.simple(q) && a.cfg.cacheTTL > 0 {
		if lacks := q.uncovered(); lacks != "" {
			return nil, failure("Settings", "answers are kept, so the authorizer's identity sources must include "+lacks+"; or set its TTL and VERDICT_CACHE_TTL to 0s")
		}
	}
	c := q.credential(a.cfg.tokenQuery)
	switch {
	case c.problem == ambiguous:
		return a.refuse(q, l, c.problem), nil
	case c.token == "":
		return a.unauthorized(q, nil, l, c.problem)
	}
	resp, err := a.verdict.Check(ctx, q.request(api, c.token, a.wantsRoutes(q)))
	if err != nil {
		return nil, unreachable(err, l)
	}
	l.decided(resp)
	return a.translate(q, resp, l)
}

// wantsRoutes says whether the answer needs to know templates.
func (a *authorizer) wantsRoutes(q *question) bool {
	return !a.simple(q) && q.arn.Method != execapi.Connect && q.arn.Method != execapi.Default
}

// simple says whether the answer is a yes or no.
func (a *authorizer) simple(q *question) bool { return a.cfg.simple && q.kind == http2 }

// translate turns a decision into an answer. Only the one exact effect is an allow; what verdict could not decide is an error,
// since the gateway would keep a refusal.
func (a *authorizer) translate(q *question, resp *verdictv1.CheckResponse, l *line) (any, error) {
	allowed := resp.GetEffect() == verdictv1.Effect_EFFECT_ALLOW
	switch {
	case !allowed && resp.GetHttpStatus() >= 500:
		return nil, failure("Undecided", "verdict could not decide: "+reasonName(resp.GetReason()))
	case !allowed && (resp.GetHttpStatus() == 401 || resp.GetHttpStatus() == 431):
		return a.unauthorized(q, resp, l, reasonName(resp.GetReason()))
	case q.arn.TestInvoke() && (!a.cfg.allowTestInvoke || q.arn.Stage == "*"):
		l.reason = "test_invoke"
		return a.denied(q, resp, l), nil
	case a.simple(q):
		return a.yesOrNo(resp, allowed, l)
	}
	return a.policy(q, resp, allowed, l)
}

// refuse is a refusal that verdict was not asked for.
func (a *authorizer) refuse(q *question, l *line, reason string) any {
	l.reason = reason
	return a.denied(q, nil, l)
}

// unauthorized is the answer to a caller who is not known. HTTP APIs have no word for it: their 401 is a missing identity source.
func (a *authorizer) unauthorized(q *question, resp *verdictv1.CheckResponse, l *line, reason string) (any, error) {
	l.reason = reason
	if q.kind.httpAPI() {
		return a.denied(q, resp, l), nil
	}
	return nil, errUnauthorized
}

// encode writes an answer as JSON, with < and > as they are: patterns hold them.
func encode(body any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		return nil, failure("Internal", "the answer cannot be written")
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// place is the function and line that panicked, from a stack: without the arguments of anything.
func place(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, text := range lines {
		if !strings.HasPrefix(text, "panic(") {
			continue
		}
		for j := i + 2; j+1 < len(lines); j += 2 { // past those of the Go runtime, such as of a nil dereference
			name, _, _ := strings.Cut(lines[j], "(")
			if !strings.HasPrefix(name, "runtime.") {
				at, _, _ := strings.Cut(strings.TrimSpace(lines[j+1]), " ")
				return at[strings.LastIndexByte(at, '/')+1:]
			}
		}
	}
	return "an unknown place"
}
