package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/modeltest"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// What no line of the log may hold, whatever the event.
const (
	good     = "eyJ0b2tlbg.good.c2ln"
	bad      = "eyJ0b2tlbg.bad.c2ln"
	secret   = "secret"
	clientIP = "203.0.113.77"
)

// orders is the policy of the cases: what the bearer of good may use.
func orders() *modeltest.Policy {
	return routes("GET /orders", "GET /orders/{id}", "-DELETE /orders/{id}", "GET /a:b/c:d", "GET /v1/accounts", "GET /p/{id}", "-GET /p/admin", "GET /a/admin", "GET /$connect")
}

// caseOf is one row of the catalogue.
type caseOf struct {
	shape  string // of gateway; raw instead: the event as it is
	raw    string
	ask    clientRequest // GET /orders/1 with the token good unless it says otherwise
	env    []string
	p      *asked // nil: decides by orders
	stage  string
	change func(event map[string]any)

	status int
	failed string
	reason string // of the log
	silent bool   // verdict is not asked
	check  func(t *testing.T, out output, p *asked)
}

func bearer(token string) clientRequest {
	return clientRequest{method: "GET", path: "/orders/1", authorization: token}
}

func asking(method, path string) clientRequest {
	return clientRequest{method: method, path: path, authorization: "Bearer " + good}
}

func allowsOnly(resources ...string) func(*testing.T, output, *asked) {
	return func(t *testing.T, out output, _ *asked) {
		t.Helper()
		if got := out.resources("Allow"); !slices.Equal(got, resources) {
			t.Errorf("allows %q, want %q", got, resources)
		}
	}
}

// onlyTemplates says that no resource has anything of a path that was sent.
func onlyTemplates(t *testing.T, out output, _ *asked) {
	t.Helper()
	known := map[string]bool{}
	for _, r := range orders().Routes {
		for _, m := range r.Methods {
			known[m+regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(r.Template, "*")] = true
		}
	}
	for _, r := range out.resources("Allow") {
		if !known[r] {
			t.Errorf("%q is of no template", r)
		}
	}
}

func askedPath(path string, encoding verdictv1.PathEncoding) func(*testing.T, output, *asked) {
	return func(t *testing.T, _ output, p *asked) {
		t.Helper()
		if got := p.last(); got.GetPath() != path || got.GetPathEncoding() != encoding {
			t.Errorf("verdict was asked about %q, %v", got.GetPath(), got.GetPathEncoding())
		}
	}
}

func all(checks ...func(*testing.T, output, *asked)) func(*testing.T, output, *asked) {
	return func(t *testing.T, out output, p *asked) {
		t.Helper()
		for _, c := range checks {
			c(t, out, p)
		}
	}
}

func wide(n int) *modeltest.Policy {
	p := orders()
	for i := range n {
		p.Routes = append(p.Routes, routes(fmt.Sprintf("GET /resource-%03d/{id}", i)).Routes...)
	}
	return p
}

func only(p *modeltest.Policy) *asked { return decides(map[string]*modeltest.Policy{good: p}) }

const (
	raw     = verdictv1.PathEncoding_PATH_ENCODING_RAW
	decoded = verdictv1.PathEncoding_PATH_ENCODING_DECODED
)

var kept = []string{"MODE=grant-set", "API=orders", "CACHE_TTL=60s"}

func cases() map[string]caseOf {
	two := func(authorization ...string) clientRequest {
		return clientRequest{method: "GET", path: "/orders/1", headers: map[string][]string{"Authorization": authorization}}
	}
	silence := func(t *testing.T, out output, _ *asked) {
		if _, decided := out.log["decision_id"]; decided {
			t.Error("a decision is logged")
		}
	}
	return map[string]caseOf{
		"01 TOKEN, allowed, nothing kept: the resource of the template only": {shape: "rest_token", status: 200, check: allowsOnly("GET/orders/*")},
		"02 TOKEN, denied: an explicit deny": {shape: "rest_token", ask: asking("DELETE", "/orders/1"), status: 403, reason: "NO_GRANT", check: func(t *testing.T, out output, _ *asked) {
			if got := out.resources("Deny"); !slices.Equal(got, []string{"*"}) || out.values["verdict_decision_id"] == "" {
				t.Errorf("denies %q, context %v", got, out.values)
			}
		}},
		"03 TOKEN, an expired token: Unauthorized": {
			shape: "rest_token", status: 401, failed: "Unauthorized", reason: "TOKEN_EXPIRED",
			p: answers(&verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_TOKEN_EXPIRED, HttpStatus: 401, DecisionId: "d"}, nil),
		},
		"04 TOKEN, empty: Unauthorized, verdict is not asked":                {shape: "rest_token", ask: bearer(""), status: 401, failed: "Unauthorized", silent: true, check: silence},
		"04 TOKEN, a scheme alone: Unauthorized, verdict is not asked":       {shape: "rest_token", ask: bearer("Bearer  "), status: 401, failed: "Unauthorized", silent: true},
		"05 TOKEN, the scheme in lower case and two spaces: the same":        {shape: "rest_token", ask: bearer("bearer  " + good), status: 200, check: allowsOnly("GET/orders/*")},
		"06 TOKEN, another scheme: Unauthorized":                             {shape: "rest_token", ask: bearer("Basic " + secret), status: 401, failed: "Unauthorized", silent: true},
		"07 verdict cannot be reached: an error that is not Unauthorized":    {shape: "rest_token", status: 500, failed: "verdict gave no answer: Unavailable", p: answers(nil, status.Error(codes.Unavailable, "dial "+secret))},
		"07 the same of an HTTP API":                                         {shape: "http_2.0", env: []string{"ANSWER=simple"}, status: 500, failed: "verdict gave no answer: Unavailable", p: answers(nil, status.Error(codes.Unavailable, "dial "+secret))},
		"07 verdict answers that it could not decide: an error, so not kept": {shape: "rest_token", status: 500, failed: "verdict could not decide: POLICY_STALE", p: answers(&verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_POLICY_STALE, HttpStatus: 503}, nil)},
		"08 verdict answers too late: an error":                              {shape: "rest_token", status: 500, failed: "verdict gave no answer: DeadlineExceeded", p: answers(nil, status.Error(codes.DeadlineExceeded, "late"))},
		"09 an empty answer is a deny":                                       {shape: "rest_token", status: 403, p: answers(&verdictv1.CheckResponse{}, nil)},
		"09 an effect that nobody knows is a deny":                           {shape: "http_2.0", env: []string{"ANSWER=simple"}, status: 403, p: answers(&verdictv1.CheckResponse{Effect: 77}, nil)},
		"10 REST, the header only among the multi-values": {shape: "rest_request", status: 200, change: func(e map[string]any) {
			delete(e["headers"].(map[string]any), "Authorization")
		}},
		"11 REST, two values of Authorization: a deny": {shape: "rest_request", ask: two("Bearer "+good, "Bearer "+bad), status: 403, reason: "ambiguous_credential", silent: true},
		"12 REST, two spellings of Authorization: a deny": {
			shape: "rest_request", status: 403, reason: "ambiguous_credential", silent: true,
			ask: clientRequest{method: "GET", path: "/orders/1", headers: map[string][]string{"Authorization": {"Bearer " + good}, "authorization": {"Bearer " + bad}}},
		},
		"13 HTTP 2.0, two tokens joined: a deny": {shape: "http_2.0", env: []string{"ANSWER=simple"}, ask: two("Bearer "+good, "Bearer "+bad), status: 403, reason: "ambiguous_credential", silent: true},
		"13 HTTP 2.0, a token in the query beside the header: a deny": {
			shape: "http_2.0", env: []string{"ANSWER=simple"}, status: 403, reason: "ambiguous_credential", silent: true,
			ask: clientRequest{method: "GET", path: "/orders/1", authorization: "Bearer " + good, query: map[string]string{"access_token": bad}},
		},
		"13 REST, a token in the query by another spelling of its name: a deny": {
			shape: "rest_request", status: 403, reason: "ambiguous_credential", silent: true,
			ask: clientRequest{method: "GET", path: "/orders/1", authorization: "Bearer " + good, query: map[string]string{"Access_Token": bad}},
		},
		"14 REST without any header: Unauthorized": {shape: "rest_request", status: 401, failed: "Unauthorized", silent: true, change: func(e map[string]any) {
			e["headers"], e["multiValueHeaders"], e["queryStringParameters"] = nil, nil, nil
		}},
		"15 HTTP 1.0, identitySource a string: a policy": {shape: "http_1.0", env: []string{"ANSWER=simple"}, status: 200, check: allowsOnly("GET/orders/*"), change: func(e map[string]any) { e["identitySource"] = "user1,123" }},
		"15 HTTP 1.0, a token that is not accepted: a deny": {shape: "http_1.0", ask: bearer("Bearer " + bad), status: 403, reason: "SIGNATURE_INVALID", check: func(t *testing.T, out output, _ *asked) {
			if _, told := out.values["verdict_reason"]; told || out.values["verdict_decision_id"] == "" {
				t.Errorf("context %v", out.values)
			}
		}},
		"16 HTTP 2.0, simple, allowed: flat strings": {shape: "http_2.0", env: []string{"ANSWER=simple"}, status: 200, check: func(t *testing.T, out output, _ *asked) {
			if out.values["verdict_grants"] != `["g-1","g-2"]` || out.values["verdict_ttl_s"] != "120" || out.values["verdict_principal"] != "oid-1" {
				t.Errorf("context %v", out.values)
			}
		}},
		"17 HTTP 2.0, simple, denied: no, and no error": {shape: "http_2.0", env: []string{"ANSWER=simple"}, ask: asking("DELETE", "/orders/1"), status: 403, check: func(t *testing.T, out output, _ *asked) {
			if out.simple == nil || *out.simple {
				t.Errorf("answered %s", out.body)
			}
		}},
		"18 HTTP 2.0, policies: with partition and stage of routeArn": {shape: "http_2.0", status: 200, stage: "$default", check: func(t *testing.T, out output, _ *asked) {
			if got := out.iam.PolicyDocument.Statement[0].Resource[0]; got != stagePrefix+"$default/GET/orders/*" {
				t.Errorf("allows %q", got)
			}
		}},
		"19 HTTP 2.0, no identity source and no header: no": {shape: "http_2.0", env: []string{"ANSWER=simple"}, ask: bearer(""), status: 403, silent: true, change: func(e map[string]any) { e["identitySource"] = nil }},
		"20 WebSocket, token in the query: $connect of the stage": {
			shape: "websocket", env: []string{"TOKEN_QUERY=auth"}, status: 200, ask: clientRequest{method: "GET", query: map[string]string{"auth": good}},
			check: all(allowsOnly("$connect"), askedPath("/$connect", raw), func(t *testing.T, out output, _ *asked) {
				if len(out.body) > 8<<10 {
					t.Errorf("%d bytes", len(out.body))
				}
			}),
		},
		"20 WebSocket, token in a query that is not configured: Unauthorized": {shape: "websocket", status: 401, failed: "Unauthorized", silent: true, ask: clientRequest{method: "GET", query: map[string]string{"auth": good}}},
		"20 WebSocket, token in the query and the header: a deny": {
			shape: "websocket", env: []string{"TOKEN_QUERY=auth"}, status: 403, reason: "ambiguous_credential", silent: true,
			ask: clientRequest{method: "GET", authorization: "Bearer " + good, query: map[string]string{"auth": good}},
		},
		"20 REST, a query that is configured is for WebSockets only": {
			shape: "rest_request", env: []string{"TOKEN_QUERY=auth"}, status: 401, failed: "Unauthorized", silent: true, ask: clientRequest{method: "GET", path: "/orders/1", query: map[string]string{"auth": good}},
		},
		"20 WebSocket, headers that pose as a proxy's: verdict is shown them": {
			shape: "websocket", status: 200,
			ask: clientRequest{method: "GET", authorization: "Bearer " + good, headers: map[string][]string{"X-Original-URL": {"/admin"}, "X_Verdict_Principal": {"root"}, "Connection": {"close"}, "Upgrade": {"h2c"}}},
			check: func(t *testing.T, _ output, p *asked) {
				h := p.last()
				if headerOf(h, "X-Original-URL") != "/admin" || headerOf(h, "X_Verdict_Principal") != "root" {
					t.Errorf("asked with %v", h.GetHeaders())
				}
				if headerOf(h, "upgrade") != "websocket" || headerOf(h, "Upgrade") != "" || headerOf(h, "Connection") != "" {
					t.Errorf("the handshake is %v", h.GetHeaders())
				}
			},
		},
		"21 a WebSocket event is not taken for REST": {shape: "websocket", status: 200, check: func(t *testing.T, out output, _ *asked) {
			if out.log["event"] != "websocket" {
				t.Errorf("taken for %v", out.log["event"])
			}
		}},
		"21 REQUEST with neither a method nor a connection: an error": {shape: "rest_request", status: 500, failed: "the event is of no known kind", silent: true, change: func(e map[string]any) { delete(e, "httpMethod") }},
		"22 a version that nobody knows: an error":                    {shape: "http_2.0", status: 500, failed: "the event is of no known kind", silent: true, change: func(e map[string]any) { e["version"] = "3.0" }},
		"23 an empty object: an error":                                {raw: `{}`, status: 500, failed: "the event is of no known kind", silent: true},
		"23 null: an error":                                           {raw: `null`, status: 500, failed: "the event is of no known kind", silent: true},
		"23 an array: an error":                                       {raw: `[{"type":"TOKEN"}]`, status: 500, failed: "the event is not JSON of an API Gateway authorizer", silent: true},
		"23 half an object: an error":                                 {raw: `{"type":"TOKEN"`, status: 500, failed: "the event is not JSON of an API Gateway authorizer", silent: true},
		"23 2.0 with the identitySource of 1.0: an error":             {shape: "http_2.0", status: 500, failed: "identitySource is not an array", silent: true, change: func(e map[string]any) { e["identitySource"] = "a,b" }},
		"24 the partition of China stays":                             {shape: "rest_request", status: 200, change: partition("aws-cn", "cn-north-1"), check: startsWith("arn:aws-cn:execute-api:cn-north-1:")},
		"24 the partition of the US government stays":                 {shape: "rest_request", status: 200, change: partition("aws-us-gov", "us-gov-west-1"), check: startsWith("arn:aws-us-gov:execute-api:us-gov-west-1:")},
		"25 a path with colons and slashes is read whole":             {shape: "rest_token", ask: asking("GET", "/a:b/c:d"), status: 200, check: all(askedPath("/a:b/c:d", raw), allowsOnly("GET/a:b/c:d"))},
		"26 the console's stage null: decided, and denied":            {shape: "rest_request", stage: "null", status: 403, reason: "test_invoke", check: isDecided},
		"26 the console's stage *: decided, and denied, and no star of it in the policy": {shape: "rest_request", stage: "*", status: 403, reason: "test_invoke", check: all(isDecided, func(t *testing.T, out output, _ *asked) {
			if strings.Contains(string(out.body), "/*/") {
				t.Errorf("answered %s", out.body)
			}
		})},
		"26 the console's stage, where the settings want it": {shape: "rest_request", stage: "test-invoke-stage", env: []string{"ALLOW_TEST_INVOKE=true"}, status: 200},
		"27 an api that is not on the list: a deny":          {shape: "rest_request", env: []string{"ALLOWED_APIS=123456789012:other"}, status: 403, reason: "api_not_allowed", silent: true},
		"27 an account that is not on the list: a deny":      {shape: "rest_request", env: []string{"ALLOWED_APIS=999999999999:abc"}, status: 403, reason: "api_not_allowed", silent: true},
		"27 one that is": {shape: "rest_request", env: []string{"ALLOWED_APIS=999999999999:x,123456789012:abc"}, status: 200},
		"27 an api that the map does not have: a deny": {shape: "rest_request", env: []string{"APIS=def=orders,abc/test=orders"}, status: 403, reason: "api_unmapped", silent: true},
		"28 a star in the path, all that is permitted: resources are templates": {shape: "rest_request", env: kept, ask: asking("GET", "/p/*"), p: only(routes("GET /p/{id}", "-GET /p/admin")), status: 200, check: all(allowsOnly("GET/p/*"), func(t *testing.T, out output, _ *asked) {
			if !slices.Contains(out.resources("Deny"), "GET/p/admin") {
				t.Errorf("denies %q", out.resources("Deny"))
			}
		})},
		"28 a star in the path, the one route: resources are templates": {shape: "rest_request", ask: asking("GET", "/p/*"), status: 200, check: onlyTemplates},
		"29 a question mark in the path of an HTTP API":                 {shape: "http_2.0", ask: asking("GET", "/p/a?b"), status: 403, check: onlyTemplates},
		"29 a dollar in the path":                                       {shape: "rest_request", ask: asking("GET", "/p/$"), status: 200, check: onlyTemplates},
		"29 braces in the path":                                         {shape: "http_2.0", ask: asking("GET", "/p/{x}"), status: 200, check: onlyTemplates},
		"29 a policy variable in the path":                              {shape: "http_2.0", ask: asking("GET", "/p/${aws:username}"), status: 200, check: onlyTemplates},
		"30 HTTP API, decoded twice: asked as it is":                    {shape: "http_2.0", ask: asking("GET", "/a/admin"), status: 200, check: askedPath("/a/admin", decoded)},
		"31 REST, an escape, which the guards would refuse: passes, and what lies deeper does not": {
			shape: "rest_request", ask: asking("GET", "/orders/a%20b"), status: 200, check: all(allowsOnly("GET/orders/*"), func(t *testing.T, out output, _ *asked) {
				if denied := out.resources("Deny"); !slices.Contains(denied, "GET/orders/*/*") || slices.Contains(denied, "*%*") {
					t.Errorf("denies %q", denied)
				}
			}),
		},
		"31 REST, escaped dots: verdict sees them raw and refuses": {shape: "rest_request", ask: asking("GET", "/a%2F..%2Fadmin"), status: 403, check: askedPath("/a%2F..%2Fadmin", raw)},
		"32 a slash at the end":  {shape: "http_2.0", ask: asking("GET", "/v1/accounts/"), status: 403, check: askedPath("/v1/accounts/", decoded)},
		"32 two slashes":         {shape: "rest_request", ask: asking("GET", "//v1/accounts"), status: 403, check: askedPath("//v1/accounts", raw)},
		"32 another case":        {shape: "rest_request", ask: asking("GET", "/V1/accounts"), status: 403},
		"32 a path parameter":    {shape: "rest_request", ask: asking("GET", "/v1/accounts;x=1"), status: 403},
		"32 as it is registered": {shape: "rest_request", ask: asking("GET", "/v1/accounts"), status: 200},
		"33 a method override is data": {
			shape: "rest_request", status: 200, check: func(t *testing.T, _ output, p *asked) {
				h := p.last()
				if h.GetMethod() != "GET" || headerOf(h, "X-HTTP-Method-Override") != "DELETE" {
					t.Errorf("asked %v", h)
				}
			},
			ask: clientRequest{method: "GET", path: "/orders/1", authorization: "Bearer " + good, headers: map[string][]string{"X-HTTP-Method-Override": {"DELETE"}, "X-Secret": {secret}, "Cookie": {"session=secret-cookie"}}},
		},
		"34 200 templates are too large: the one route, and a warning": {
			shape: "rest_request", env: append([]string{"GATEWAY_ROUTES=declared"}, kept...), p: only(wide(200)), status: 200,
			check: all(allowsOnly("GET/orders/*"), func(t *testing.T, out output, _ *asked) {
				if note, _ := out.log["note"].(string); !strings.HasPrefix(note, "policy_too_large") || out.log["level"] != "WARN" {
					t.Errorf("logged %v", out.log)
				}
			}),
		},
		"34 a few are not": {shape: "rest_request", env: append([]string{"GATEWAY_ROUTES=declared"}, kept...), p: only(routes("GET /orders/{id}", "GET /orders", "POST /orders", "GET /orders/{id}/items")), status: 200, check: allowsOnly("GET/orders", "GET/orders/*", "GET/orders/*/items", "POST/orders")},
		"34 what cannot be told apart and would be kept is an error": {
			shape: "rest_request", env: kept, p: only(routes("GET /p/{id:int}", "GET /orders/{id}")), ask: asking("GET", "/p/7"), status: 500,
			failed: "the route cannot be told from others by a policy that is kept (route r:/p/{id:int}); set the authorizer's TTL and VERDICT_CACHE_TTL to 0s",
		},
		"35 a resource over 512 characters: a deny": {shape: "rest_request", ask: asking("GET", "/"+strings.Repeat("x", 500)), p: only(routes("GET /" + strings.Repeat("x", 500))), status: 403, reason: "resource_too_long"},
		"35 an ARN over 1600 bytes: a deny":         {shape: "rest_token", ask: asking("GET", "/p/"+strings.Repeat("x", 1600)), status: 403, reason: "arn_too_long", silent: true},
		"35 an ARN of nearly 1600 bytes does not make the answer large": {shape: "rest_token", ask: asking("GET", "/p/"+strings.Repeat("x", 1500)), status: 200, check: func(t *testing.T, out output, _ *asked) {
			if len(out.body) > 3000 {
				t.Errorf("%d bytes", len(out.body))
			}
		}},
		"36 names in the context are escaped": {shape: "http_2.0", env: []string{"ANSWER=simple", "CONTEXT_NAME=true"}, status: 200, check: func(t *testing.T, out output, _ *asked) {
			if out.values["verdict_name"] != "Zo%C3%AB%0D%0AX" {
				t.Errorf("context %v", out.values)
			}
		}},
	}
}

func partition(name, region string) func(map[string]any) {
	return func(e map[string]any) {
		e["methodArn"] = strings.Replace(e["methodArn"].(string), "arn:aws:execute-api:eu-central-1:", "arn:"+name+":execute-api:"+region+":", 1)
	}
}

func startsWith(text string) func(*testing.T, output, *asked) {
	return func(t *testing.T, out output, _ *asked) {
		for _, s := range out.iam.PolicyDocument.Statement {
			for _, r := range s.Resource {
				if !strings.HasPrefix(r, text) {
					t.Errorf("resource %q", r)
				}
			}
		}
	}
}

func isDecided(t *testing.T, out output, _ *asked) {
	if out.log["decision_id"] == nil {
		t.Errorf("logged %v", out.log)
	}
}

func headerOf(h *verdictv1.HttpRequest, name string) string {
	for _, f := range h.GetHeaders() {
		if f.GetName() == name {
			return string(f.GetValue())
		}
	}
	return ""
}

// TestCatalogue is the catalogue of cases by number; those about the process are in process_test.go.
func TestCatalogue(t *testing.T) {
	var logged bytes.Buffer
	list := cases()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		tc := list[name]
		t.Run(name, func(t *testing.T) {
			g := gateway{shape: tc.shape, stage: tc.stage, simple: slices.Contains(tc.env, "ANSWER=simple") && tc.shape == "http_2.0"}
			if tc.ask.method == "" {
				tc.ask = bearer("Bearer " + good)
			}
			tc.ask.sourceIP = clientIP
			p := tc.p
			if p == nil {
				p = only(orders())
			}
			event := []byte(tc.raw)
			arn := ""
			if tc.raw == "" {
				fields := map[string]any{}
				if err := json.Unmarshal(g.event(&tc.ask), &fields); err != nil {
					t.Fatal(err)
				}
				if tc.change != nil {
					tc.change(fields)
				}
				event, _ = json.Marshal(fields)
				arn, _ = fields["methodArn"].(string)
				if arn == "" {
					arn, _ = fields["routeArn"].(string)
				}
			}
			out := invocation(t, configure(t, tc.env...), p, event, &logged)
			if got := g.statusOf(out.body, out.failed, arn); got != tc.status {
				t.Errorf("the caller gets %d, want %d; answered %s %q, logged %v", got, tc.status, out.body, out.failed, out.log)
			}
			if out.failed != tc.failed {
				t.Errorf("failed with %q, want %q", out.failed, tc.failed)
			}
			if tc.reason != "" && out.log["reason"] != tc.reason {
				t.Errorf("logged %v, want reason %s", out.log, tc.reason)
			}
			if tc.silent != (len(p.requests) == 0) {
				t.Errorf("verdict was asked %d times", len(p.requests))
			}
			if n, _ := out.log["bytes"].(float64); int(n) != len(out.body) {
				t.Errorf("logged %v for an answer of %d bytes", out.log["bytes"], len(out.body))
			}
			for _, r := range p.requests {
				if text := fmt.Sprint(r); strings.Contains(text, secret) {
					t.Errorf("verdict was told what it need not know: %s", text)
				}
			}
			if tc.check != nil {
				tc.check(t, out, p)
			}
		})
	}
	// 40: nothing of the log tells what a client sent.
	for _, word := range []string{good, bad, secret, clientIP, "/orders/1", "Bearer", "/v1/accounts;", "Zo"} {
		if strings.Contains(logged.String(), word) {
			t.Errorf("40: the log has %q", word)
		}
	}
	if lines := strings.Count(logged.String(), "\n"); lines != len(list) {
		t.Errorf("40: %d lines for %d events", lines, len(list))
	}
}

// 36, for what verdict may say one day.
func TestContextIsFlat(t *testing.T) {
	got := flat(map[string]any{
		"claims": "x", "list": []string{"a", "é", "😀"}, "object": map[string]any{"b": []int{1}}, "line": "a\r\nb%", "none": nil, "empty": "", "yes": true, "n": int64(0),
	})
	want := map[string]string{
		"verdict_claims": "x", "list": `["a","\u00e9","\ud83d\ude00"]`, "object": `{"b":[1]}`, "line": "a%0D%0Ab%25", "yes": "true", "n": "0",
	}
	if !maps.Equal(got, want) {
		t.Errorf("flat = %q\nwant %q", got, want)
	}
}

// 37, in this process: a panic is one failed invocation, and tells nothing of what was sent.
func TestPanicsAreAnswered(t *testing.T) {
	var logged bytes.Buffer
	p := &asked{answer: func(context.Context, *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
		panic(errors.New(good))
	}}
	g := gateway{shape: "rest_token"}
	ask := bearer("Bearer " + good)
	out := invocation(t, configure(t), p, g.event(&ask), &logged)
	if g.statusOf(out.body, out.failed, "") != 500 || strings.Contains(logged.String()+out.failed, good) {
		t.Errorf("failed with %q, logged %s", out.failed, logged.String())
	}
	if note, _ := out.log["note"].(string); !strings.Contains(note, " at cases_test.go:") {
		t.Errorf("the log does not say where: %v", out.log)
	}
}

// A refusal that the gateway keeps must not lock its caller out of what is permitted.
func TestRefusalsKeepWhatIsPermitted(t *testing.T) {
	var logged bytes.Buffer
	p := only(routes("GET /orders", "-DELETE /orders", "?GET /reports", "GET /p/{id}"))
	cfg := configure(t, kept...)
	g := gateway{shape: "rest_request", keeps: true, identity: func(r *clientRequest) []string { return []string{r.authorization} }}
	g.invoke = func(event []byte) ([]byte, string) {
		out := invocation(t, cfg, p, event, &logged)
		return out.body, out.failed
	}
	for i, step := range []struct {
		method, path string
		want         int
	}{{"DELETE", "/orders", 403}, {"GET", "/orders", 200}, {"GET", "/nowhere", 403}, {"GET", "/p/1", 200}, {"GET", "/p/a%40b", 403}, {"GET", "/reports", 403}} {
		ask := asking(step.method, step.path)
		if got := g.do(&ask); got != step.want {
			t.Errorf("step %d: %s %s gets %d, want %d", i, step.method, step.path, got, step.want)
		}
	}
	if g.invoked != 1 {
		t.Errorf("asked %d times", g.invoked)
	}
}

// An answer may not be kept when verdict says so.
func TestWhatMayNotBeKept(t *testing.T) {
	for name, env := range map[string][]string{"all that is permitted": kept, "yes or no": {"ANSWER=simple", "API=orders", "CACHE_TTL=60s"}} {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			inner := only(orders())
			p := &asked{answer: func(ctx context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
				resp, err := inner.Check(ctx, req)
				resp = proto.CloneOf(resp)
				resp.Ttl = nil
				if resp.PermittedRoutes != nil {
					resp.PermittedRoutes.Ttl = nil
				}
				return resp, err
			}}
			g := gateway{shape: "rest_request"}
			if env[0] == "ANSWER=simple" {
				g = gateway{
					shape: "http_2.0", simple: true, routeKey: func(*clientRequest) string { return "GET /orders" },
					identity: func(r *clientRequest) []string { return []string{r.authorization, "GET /orders"} },
				}
			}
			ask := asking("GET", "/orders")
			out := invocation(t, configure(t, env...), p, g.event(&ask), &logged)
			if out.failed == "" || out.log["failure"] != "NotKeepable" {
				t.Errorf("answered %s, logged %v", out.body, out.log)
			}
		})
	}
}

// A public route, asked for with a token that is not accepted, names no template.
func TestNobodyOnAPublicRoute(t *testing.T) {
	var logged bytes.Buffer
	p := answers(&verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW, Reason: verdictv1.Reason_REASON_ALLOWED_PUBLIC, HttpStatus: 200, Route: "health"}, nil)
	ask := bearer("Bearer " + bad)
	g := gateway{shape: "rest_request"}
	if out := invocation(t, configure(t), p, g.event(&ask), &logged); out.failed != "Unauthorized" {
		t.Errorf("answered %s %q", out.body, out.failed)
	}
}

// What the gateway puts before a path is taken away where the ARN has the path without it, and nowhere else.
func TestPathWithoutStageAndBasePath(t *testing.T) {
	for name, tc := range map[string]struct{ path, arn, env, want string }{
		"as it is":                                    {path: "/orders/1", arn: "/orders/1", want: "/orders/1"},
		"the stage of an HTTP API":                    {path: "/prod/orders/1", arn: "/orders/1", want: "/orders/1"},
		"the root of a stage":                         {path: "/prod", arn: "/", want: "/"},
		"a base path that is configured":              {path: "/shop/orders/1", arn: "/orders/1", env: "BASE_PATH=/shop", want: "/orders/1"},
		"a base path that is not":                     {path: "/shop/orders/1", arn: "/orders/1", want: "/shop/orders/1"},
		"a route that is called like the stage stays": {path: "/prod/orders", arn: "/prod/orders", want: "/prod/orders"},
		"a path that merely begins like the stage":    {path: "/production", arn: "/uction", want: "/production"},
	} {
		t.Run(name, func(t *testing.T) {
			var env []string
			if tc.env != "" {
				env = []string{tc.env}
			}
			p, ask := only(orders()), asking("GET", tc.arn)
			fields := map[string]any{}
			g := gateway{shape: "http_2.0"}
			if err := json.Unmarshal(g.event(&ask), &fields); err != nil {
				t.Fatal(err)
			}
			fields["rawPath"] = tc.path
			event, _ := json.Marshal(fields)
			var logged bytes.Buffer
			invocation(t, configure(t, env...), p, event, &logged)
			if got := p.last().GetPath(); got != tc.want {
				t.Errorf("verdict was asked about %q, want %q", got, tc.want)
			}
		})
	}
}
