package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/modeltest"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// asked is a verdict that answers as a test says, and remembers what it was asked.
type asked struct {
	mu       sync.Mutex
	requests []*verdictv1.CheckRequest
	answer   func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error)
}

func (a *asked) Check(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
	a.mu.Lock()
	a.requests = append(a.requests, req)
	a.mu.Unlock()
	return a.answer(ctx, req)
}

func (a *asked) last() *verdictv1.HttpRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.requests) == 0 {
		return nil
	}
	return a.requests[len(a.requests)-1].GetHttp()
}

// routes reads "GET,POST /a/{id}" lines; those that begin with - are refused, with ? allowed only from 10.0.0.1.
func routes(lines ...string) *modeltest.Policy {
	p := &modeltest.Policy{}
	for _, l := range lines {
		text := strings.TrimLeft(l, "-?")
		methods, template, _ := strings.Cut(text, " ")
		p.Routes = append(p.Routes, modeltest.Route{
			ID: "r:" + template, Methods: strings.Split(methods, ","), Template: template, Permitted: text == l, Conditional: l[0] == '?',
		})
	}
	return p
}

// allowedFrom is the address that conditional routes of the model ask for.
const allowedFrom = "10.0.0.1"

// decides is a verdict that decides by a policy for each token; others are invalid.
func decides(policies map[string]*modeltest.Policy) *asked {
	return &asked{answer: func(_ context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		resp := &verdictv1.CheckResponse{
			Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_SIGNATURE_INVALID, HttpStatus: 401, DecisionId: "0190-decision", Revision: 7, Api: "orders",
		}
		p := policies[req.GetToken()]
		if p == nil {
			return resp, nil
		}
		http := req.GetHttp()
		route, allowed := p.Decide(http.GetMethod(), http.GetPath(), http.GetPathEncoding() == verdictv1.PathEncoding_PATH_ENCODING_DECODED)
		allowed = allowed && (route.Permitted || http.GetSourceIp() == allowedFrom)
		resp.Principal = &verdictv1.Principal{
			Kind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER, TenantId: "t-1", ObjectId: "oid-1", ClientId: "c-1", DisplayName: "Zoë\r\nX",
		}
		resp.Reason, resp.HttpStatus = verdictv1.Reason_REASON_NO_GRANT, 403
		if route != nil {
			resp.Route = route.ID
		}
		if allowed {
			resp.Effect, resp.Reason, resp.HttpStatus = verdictv1.Effect_EFFECT_ALLOW, verdictv1.Reason_REASON_ALLOWED_BY_GRANT, 200
			resp.Grants = []string{"g-1", "g-2"}
			if route.Permitted {
				resp.Ttl = durationpb.New(120e9)
			}
		}
		if req.GetIncludePermittedRoutes() {
			resp.PermittedRoutes = listed(p)
		}
		return resp, nil
	}}
}

func listed(p *modeltest.Policy) *verdictv1.PermittedRoutes {
	list := &verdictv1.PermittedRoutes{Ttl: durationpb.New(120e9)}
	for _, r := range p.Routes {
		one := &verdictv1.PermittedRoute{Id: r.ID, Methods: r.Methods, Template: r.Template}
		if r.Permitted {
			list.Permitted = append(list.Permitted, one)
		} else {
			list.Refused = append(list.Refused, one)
		}
	}
	return list
}

// answers is a verdict with one answer or error.
func answers(resp *verdictv1.CheckResponse, err error) *asked {
	return &asked{answer: func(context.Context, *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) { return resp, err }}
}

// configure reads settings beside a target, given as NAME=value without the prefix.
func configure(t testing.TB, env ...string) *config {
	t.Helper()
	vars := map[string]string{"VERDICT_TARGET": "verdict.internal:7300"}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		vars[prefix+name] = value
	}
	cfg, err := readConfig(vars)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// output is what the function did with one event.
type output struct {
	body   []byte
	failed string
	iam    iamAnswer
	simple *bool
	values map[string]string // context
	log    map[string]any
}

// invocation handles one event in this process.
func invocation(t testing.TB, cfg *config, p checker, event []byte, logged *bytes.Buffer) output {
	t.Helper()
	from := logged.Len()
	a := newAuthorizer(p, cfg, slog.New(slog.NewJSONHandler(logged, nil)))
	body, err := a.Handle(context.Background(), lambda.Invocation{RequestID: "req-1", Event: event})
	out := output{body: body}
	var failed *lambda.Failure
	switch {
	case errors.As(err, &failed):
		out.failed = failed.Text
	case err != nil:
		t.Fatalf("an error that is no failure: %v", err)
	}
	if body != nil {
		var parsed struct {
			IsAuthorized *bool `json:"isAuthorized"`
			Context      map[string]string
		}
		if json.Unmarshal(body, &out.iam) != nil || json.Unmarshal(body, &parsed) != nil {
			t.Fatalf("not an answer: %s", body)
		}
		out.simple, out.values = parsed.IsAuthorized, parsed.Context
	}
	line := logged.Bytes()[from:]
	if bytes.Count(line, []byte("\n")) != 1 || json.Unmarshal(line, &out.log) != nil {
		t.Fatalf("not one line of JSON: %q", line)
	}
	return out
}

// resources are the Resources of one effect, without the ARN before the method.
func (o *output) resources(effect string) (list []string) {
	for _, s := range o.iam.PolicyDocument.Statement {
		if s.Effect != effect {
			continue
		}
		for _, r := range s.Resource {
			list = append(list, strings.TrimPrefix(r, stagePrefix+"prod/"))
		}
	}
	return list
}
