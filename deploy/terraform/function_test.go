package terraform_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// everything is the module with all its settings in use; alike, so that the function accepts them together.
const everything = `
module "all" {
  source = "../verdict-authorizer"

  package     = "../../../dist/verdict-authorizer-arm64.zip"
  files_zip   = "../../../dist/verdict-authorizer-arm64.zip"
  name        = "all"
  mode        = "grant-set"
  cache_ttl_s = 60

  verdict = {
    target       = "verdict.internal:7300"
    ca_file      = "ca.pem"
    cert_file    = "client.pem"
    key_file     = "client.key.pem"
    server_name  = "verdict.example"
    sts_audience = "verdict"
    timeout_s    = 1.5
    idle_limit_s = 30
  }

  gateways = {
    orders  = { api_id = "a1b2c3", stage = "prod", verdict_api = "orders" }
    again   = { api_id = "a1b2c3", stage = "test", verdict_api = "orders-test" }
    billing = { api_id = "d4e5f6", verdict_api = "billing" }
  }

  vpc                     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  gateway_routes          = "declared"
  policy_limit_bytes      = 8192
  base_path               = "/shop"
  token_query             = "token"
  allow_test_invoke       = true
  usage_key               = "principal"
  context_name            = true
  reserved_concurrency    = 50
  provisioned_concurrency = 5
  permissions_boundary    = "arn:aws:iam::123456789012:policy/boundary"
  tags                    = { team = "identity" }
}

module "plain" {
  source   = "../verdict-authorizer"
  package  = "../../../dist/verdict-authorizer-arm64.zip"
  name     = "plain"
  verdict  = { target = "verdict.internal:7300", plaintext = true }
  gateways = { orders = { api_id = "a1b2c3" } }
  alarms   = null
}
`

// planText plans a configuration that is no example.
func planText(t *testing.T, text string) (plan, []diagnostic) {
	t.Helper()
	dir := filepath.Join(tree(t), "text")
	write(t, filepath.Join(dir, "main.tf"), text)
	return startTerraform(t).plan(t, dir)
}

// planEverything plans it once for all tests.
func planEverything(t *testing.T) plan {
	t.Helper()
	if p, ok := plans["everything"]; ok {
		return p
	}
	p, problems := planText(t, everything)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	plans["everything"] = p
	return p
}

// at returns the resource of an address.
func (p plan) at(t *testing.T, address string) planned {
	t.Helper()
	r, ok := p[address]
	if !ok {
		t.Fatalf("%s is not planned", address)
	}
	return r
}

func environment(t *testing.T, function planned) map[string]string {
	t.Helper()
	var blocks []struct{ Variables map[string]string }
	encoded, err := json.Marshal(function.Values["environment"])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &blocks); err != nil || len(blocks) != 1 {
		t.Fatalf("%s: %d blocks of environment (%v)", function.Address, len(blocks), err)
	}
	return blocks[0].Variables
}

func TestSettingsBecomeTheEnvironmentOfTheFunction(t *testing.T) {
	p := planEverything(t)
	for address, want := range map[string]map[string]string{
		"module.all.aws_lambda_function.this": {
			"VERDICT_TARGET": "verdict.internal:7300", "VERDICT_CA_FILE": "/opt/ca.pem", "VERDICT_CERT_FILE": "/opt/client.pem",
			"VERDICT_KEY_FILE": "/opt/client.key.pem", "VERDICT_SERVER_NAME": "verdict.example", "VERDICT_STS_AUDIENCE": "verdict",
			"VERDICT_TIMEOUT": "1.5s", "VERDICT_IDLE_LIMIT": "30s",
			"VERDICT_ALLOWED_APIS": "123456789012:a1b2c3,123456789012:d4e5f6",
			"VERDICT_APIS":         "a1b2c3/prod=orders,a1b2c3/test=orders-test,d4e5f6=billing",
			"VERDICT_MODE":         "grant-set", "VERDICT_ANSWER": "iam", "VERDICT_CACHE_TTL": "60s", "VERDICT_GATEWAY_ROUTES": "declared",
			"VERDICT_POLICY_LIMIT": "8192", "VERDICT_BASE_PATH": "/shop", "VERDICT_TOKEN_QUERY": "token", "VERDICT_ALLOW_TEST_INVOKE": "true",
			"VERDICT_USAGE_KEY": "principal", "VERDICT_CONTEXT_NAME": "true",
		},
		"module.plain.aws_lambda_function.this": {
			"VERDICT_TARGET": "verdict.internal:7300", "VERDICT_PLAINTEXT": "true", "VERDICT_TIMEOUT": "2s", "VERDICT_IDLE_LIMIT": "60s",
			"VERDICT_ALLOWED_APIS": "123456789012:a1b2c3", "VERDICT_MODE": "exact", "VERDICT_ANSWER": "iam", "VERDICT_CACHE_TTL": "0s",
			"VERDICT_POLICY_LIMIT": "6144", "VERDICT_USAGE_KEY": "none",
		},
	} {
		if diff := cmp.Diff(want, environment(t, p.at(t, address))); diff != "" {
			t.Errorf("%s (-want +planned):\n%s", address, diff)
		}
	}
}

// A setting that the module writes and the function does not take would be found out in the account, by every caller at once.
func TestTheFunctionStartsWithTheEnvironmentThatIsPlanned(t *testing.T) {
	p := planEverything(t)
	binary := filepath.Join(t.TempDir(), "bootstrap")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/verdict-authorizer").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, address := range []string{"module.all.aws_lambda_function.this", "module.plain.aws_lambda_function.this"} {
		t.Run(address, func(t *testing.T) {
			vars := environment(t, p.at(t, address))
			for _, name := range []string{"VERDICT_CA_FILE", "VERDICT_CERT_FILE", "VERDICT_KEY_FILE"} {
				delete(vars, name) // there is no layer here
			}
			called := make(chan string, 10)
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				called <- r.URL.Path
				if strings.HasSuffix(r.URL.Path, "/next") {
					<-r.Context().Done() // no event comes
				}
				w.WriteHeader(http.StatusAccepted)
			}))
			defer api.Close()
			cmd := exec.CommandContext(t.Context(), binary)
			cmd.Env = []string{
				"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"), "AWS_REGION=" + region,
				"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example", "AWS_SESSION_TOKEN=example",
			}
			for name, value := range vars {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			log := filepath.Join(t.TempDir(), "log")
			f, err := os.Create(log)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.Stderr = f
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			select {
			case path := <-called:
				if !strings.HasSuffix(path, "/runtime/invocation/next") {
					said, _ := os.ReadFile(log)
					t.Errorf("the function called %s instead of waiting for events\n%s", path, said)
				}
			case <-time.After(20 * time.Second):
				said, _ := os.ReadFile(log)
				t.Errorf("the function did not start\n%s", said)
			}
		})
	}
}

type statement struct {
	Sid, Effect string
	Action      any
	Resource    string
	Condition   map[string]map[string]any
}

func TestTheRoleMayDoWhatTheSettingsNeedAndNoMore(t *testing.T) {
	p := planEverything(t)
	logs := func(name string) statement {
		return statement{
			Sid: "Log", Effect: "Allow", Action: []any{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resource: fmt.Sprintf("arn-/aws/lambda/%s:*", name),
		}
	}
	for module, want := range map[string][]statement{
		"plain": {logs("plain")},
		"all": {
			logs("all"),
			{Sid: "NetworkInterfaces", Effect: "Allow", Resource: "*", Action: []any{
				"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
				"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
			}},
			{Sid: "NotByTheFunction", Effect: "Deny", Action: "ec2:*", Resource: "*", Condition: map[string]map[string]any{
				"ArnEquals": {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:all"},
			}},
			{Sid: "ShowVerdictWhoAsks", Effect: "Allow", Action: "sts:GetWebIdentityToken", Resource: "*", Condition: map[string]map[string]any{
				"ForAllValues:StringEquals": {"sts:IdentityTokenAudience": []any{"verdict"}},
				"Null":                      {"sts:IdentityTokenAudience": "false"},
				"StringEquals":              {"sts:SigningAlgorithm": "RS256"},
				"NumericLessThanEquals":     {"sts:DurationSeconds": 300.0},
			}},
		},
	} {
		t.Run(module, func(t *testing.T) {
			var policy struct{ Statement []statement }
			if err := json.Unmarshal([]byte(p.at(t, "module."+module+".aws_iam_role_policy.this").text("policy")), &policy); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, policy.Statement); diff != "" {
				t.Errorf("policy (-want +planned):\n%s", diff)
			}
		})
	}
	if got := p.at(t, "module.all.aws_lambda_function.this").text("role"); got == "" {
		t.Error("the function has no role")
	}
}

func TestTheFunctionIsWatched(t *testing.T) {
	p := planEverything(t)
	var alarms, counters []string
	for _, a := range p.of("aws_cloudwatch_metric_alarm") {
		alarms = append(alarms, a.text("alarm_name"))
		if a.text("treat_missing_data") != "notBreaching" {
			t.Errorf("%s goes off when nobody calls", a.Address)
		}
	}
	slices.Sort(alarms)
	if diff := cmp.Diff([]string{"all-errors", "all-slow", "all-throttles", "all-undecided"}, alarms); diff != "" {
		t.Errorf("alarms (-want +planned):\n%s", diff)
	}
	for _, f := range p.of("aws_cloudwatch_log_metric_filter") {
		if f.text("log_group_name") == "/aws/lambda/all" {
			counters = append(counters, f.text("name"))
		}
	}
	slices.Sort(counters)
	if diff := cmp.Diff([]string{"all-answers", "all-failures", "all-unauthorized", "all-undecided"}, counters); diff != "" {
		t.Errorf("metric filters (-want +planned):\n%s", diff)
	}
	for _, g := range p.of("aws_cloudwatch_log_group") {
		if g.Values["retention_in_days"] != 30.0 {
			t.Errorf("%s is kept for %v days", g.Address, g.Values["retention_in_days"])
		}
	}
	function := p.at(t, "module.all.aws_lambda_function.this")
	got := map[string]any{}
	for _, name := range []string{"runtime", "handler", "architectures", "timeout", "memory_size", "publish", "reserved_concurrent_executions"} {
		got[name] = function.Values[name]
	}
	want := map[string]any{
		"runtime": "provided.al2023", "handler": "bootstrap", "architectures": []any{"arm64"}, "timeout": 5.0, "memory_size": 256.0,
		"publish": true, "reserved_concurrent_executions": 50.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("function (-want +planned):\n%s", diff)
	}
}
