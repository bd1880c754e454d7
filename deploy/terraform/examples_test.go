package terraform_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planExample plans an example as someone would who follows it, once for all tests.
func planExample(t *testing.T, name string) plan {
	t.Helper()
	if p, ok := plans[name]; ok {
		return p
	}
	vars := []string{"verdict_target=verdict.internal:7300"}
	if name != "websocket" {
		vars = append(vars, "backend_url=https://orders.example.com")
	}
	p, problems := startTerraform(t).plan(t, filepath.Join(tree(t), "examples", name), vars...)
	for _, d := range problems {
		t.Errorf("%s: %s (%s:%d)", d.Summary, d.Detail, d.Range.Filename, d.Range.Start.Line)
	}
	if t.Failed() {
		t.FailNow()
	}
	plans[name] = p
	return p
}

// plans are what was planned without a problem, by what. Tests only read them, and one at a time.
var plans = map[string]plan{}

var examples = []string{"http", "rest", "websocket"}

func TestEveryAuthorizerMayInvokeItsFunctionAndNothingElseMay(t *testing.T) {
	for _, name := range examples {
		t.Run(name, func(t *testing.T) {
			p := planExample(t, name)
			executionARN := map[string]string{}
			for _, api := range slices.Concat(p.of("aws_apigatewayv2_api"), p.of("aws_api_gateway_rest_api")) {
				executionARN[api.text("id")] = api.text("execution_arn")
			}
			var want, got []string
			for _, a := range slices.Concat(p.of("aws_apigatewayv2_authorizer"), p.of("aws_api_gateway_authorizer")) {
				api := a.text("api_id") + a.text("rest_api_id")
				if !strings.HasSuffix(a.text("authorizer_uri"), ":live/invocations") {
					t.Errorf("%s invokes %s, not the alias", a.Address, a.text("authorizer_uri"))
				}
				if executionARN[api] == "" {
					t.Fatalf("%s is of the API %q, which is not planned", a.Address, api)
				}
				_, function, _ := strings.Cut(strings.TrimSuffix(a.text("authorizer_uri"), ":live/invocations"), ":function:")
				want = append(want, function+" for "+executionARN[api]+"/authorizers/"+a.text("id"))
			}
			for _, permission := range p.of("aws_lambda_permission") {
				got = append(got, permission.text("function_name")+" for "+permission.text("source_arn"))
				if permission.text("principal") != "apigateway.amazonaws.com" || permission.text("qualifier") != "live" || permission.text("action") != "lambda:InvokeFunction" {
					t.Errorf("%s: %v", permission.Address, permission.Values)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if len(want) == 0 {
				t.Error("no authorizer is planned")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("permissions (-wanted by the authorizers +planned):\n%s", diff)
			}
		})
	}
}

func TestOnlyWhatSaysSoIsPublic(t *testing.T) {
	for name, want := range map[string][]string{
		"http":      {"GET /healthz"},
		"rest":      {"OPTIONS orders MOCK", "OPTIONS {id} MOCK"},
		"websocket": {"$default"}, // reached by those alone who came in by $connect
	} {
		t.Run(name, func(t *testing.T) {
			p := planExample(t, name)
			mock := map[string]string{}
			for _, i := range p.of("aws_api_gateway_integration") {
				mock[i.text("resource_id")+i.text("http_method")] = i.text("type")
			}
			var public []string
			guarded := 0
			for _, r := range p.of("aws_apigatewayv2_route") {
				switch r.text("authorization_type") {
				case "CUSTOM":
					guarded++
					if r.text("authorizer_id") == "" {
						t.Errorf("%s has no authorizer", r.Address)
					}
				default:
					public = append(public, r.text("route_key"))
				}
			}
			for _, m := range p.of("aws_api_gateway_method") {
				switch m.text("authorization") {
				case "CUSTOM":
					guarded++
					if m.text("authorizer_id") == "" {
						t.Errorf("%s has no authorizer", m.Address)
					}
				default:
					id := m.text("resource_id")
					public = append(public, m.text("http_method")+" "+strings.TrimPrefix(id, "id-")+" "+mock[id+m.text("http_method")])
				}
			}
			slices.Sort(public)
			if diff := cmp.Diff(want, public); diff != "" {
				t.Errorf("public routes (-want +planned):\n%s", diff)
			}
			if guarded == 0 {
				t.Error("no route is guarded")
			}
		})
	}
}

func TestKeptAnswersAreKeptUnderWhatTheyDependOn(t *testing.T) {
	type authorizer struct {
		TTL      float64
		Sources  []any
		Simple   bool
		Identity string
	}
	for name, want := range map[string]map[string]authorizer{
		"http": {
			"kept": {TTL: 30, Simple: true, Sources: []any{"$context.path", "$context.routeKey", "$request.header.Authorization"}},
			// Not kept: it must only be there.
			"exact": {TTL: 0, Simple: true, Sources: []any{"$request.header.Authorization"}},
		},
		"rest":      {"verdict": {TTL: 30, Identity: "method.request.header.Authorization"}},
		"websocket": {"verdict": {TTL: -1, Sources: []any{"route.request.querystring.token"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := planExample(t, name)
			got := map[string]authorizer{}
			for _, a := range slices.Concat(p.of("aws_apigatewayv2_authorizer"), p.of("aws_api_gateway_authorizer")) {
				ttl, said := a.Values["authorizer_result_ttl_in_seconds"].(float64)
				if !said { // the gateway's default is 300 seconds, but for WebSocket APIs, which keep nothing
					ttl = -1
				}
				sources, _ := a.Values["identity_sources"].([]any)
				simple, _ := a.Values["enable_simple_responses"].(bool)
				got[a.text("name")] = authorizer{TTL: ttl, Sources: sources, Simple: simple, Identity: a.text("identity_source")}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("authorizers (-want +planned):\n%s", diff)
			}
		})
	}
}

func TestRefusalsCanBeReadByBrowsersAndTold(t *testing.T) {
	p := planExample(t, "rest")
	got := map[string]string{}
	for _, r := range p.of("aws_api_gateway_gateway_response") {
		parameters, _ := r.Values["response_parameters"].(map[string]any)
		if parameters["gatewayresponse.header.Access-Control-Allow-Origin"] != "'https://app.example.com'" {
			t.Errorf("%s: a page of the origin cannot read it: %v", r.Address, parameters)
		}
		templates, _ := r.Values["response_templates"].(map[string]any)
		body, _ := templates["application/json"].(string)
		// As the gateway fills it in: the message with its quotation marks, the others without.
		filled := strings.NewReplacer("$context.error.messageString", `"Message"`, "$context", "value").Replace(body)
		var values map[string]any
		if err := json.Unmarshal([]byte(filled), &values); err != nil {
			t.Errorf("%s: %q is no JSON: %v", r.Address, filled, err)
		}
		got[r.text("response_type")] = r.text("status_code")
		if r.text("response_type") == "ACCESS_DENIED" && !strings.Contains(body, "$context.authorizer.verdict_decision_id") {
			t.Errorf("a refusal does not name its decision: %s", body)
		}
	}
	want := map[string]string{"UNAUTHORIZED": "401", "ACCESS_DENIED": "403", "DEFAULT_4XX": "", "DEFAULT_5XX": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gateway responses (-want +planned):\n%s", diff)
	}
}

func TestAccessLogsSayWhyAndNotWhat(t *testing.T) {
	for _, name := range []string{"http", "rest"} {
		t.Run(name, func(t *testing.T) {
			p := planExample(t, name)
			stages := slices.Concat(p.of("aws_apigatewayv2_stage"), p.of("aws_api_gateway_stage"))
			if len(stages) != 1 {
				t.Fatalf("%d stages", len(stages))
			}
			settings, _ := json.Marshal(stages[0].Values["access_log_settings"])
			for _, wanted := range []string{"$context.authorizer.error", "$context.authorizer.verdict_decision_id"} {
				if !strings.Contains(string(settings), wanted) {
					t.Errorf("the access log lacks %s", wanted)
				}
			}
			for _, kept := range []string{"$context.path", "$context.identity", "$context.protocol", "querystring", "header"} {
				if strings.Contains(string(settings), kept) {
					t.Errorf("the access log has %s", kept)
				}
			}
		})
	}
}
