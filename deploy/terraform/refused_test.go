package terraform_test

import (
	"fmt"
	"strings"
	"testing"
)

// function is a module's output, as the modules for the gateways take it.
func function(mode, answer string, ttl int) string {
	return fmt.Sprintf(`{ name = "f", alias = "live", invoke_arn = "arn", mode = %q, answer = %q, cache_ttl_s = %d, token_query = null }`, mode, answer, ttl)
}

// TestMistakesAreToldBeforeAnythingIsMade plans a module for each mistake and finds the text that tells of it at the module that made it.
func TestMistakesAreToldBeforeAnythingIsMade(t *testing.T) {
	const good = "\n  package  = \"../../../dist/verdict-authorizer-arm64.zip\"\n"
	lambda := func(settings string) string {
		out := "\n  source = \"../verdict-authorizer\"" + good
		if !strings.Contains(settings, "verdict ") {
			out += "  verdict = { target = \"verdict.internal:7300\" }\n"
		}
		if !strings.Contains(settings, "gateways ") {
			out += "  gateways = { a = { api_id = \"a1b2c3\" } }\n"
		}
		return out + "  " + settings + "\n"
	}
	httpAPI := func(authorizer, routes string) string {
		return fmt.Sprintf("\n  source = \"../verdict-authorizer/modules/http\"\n  api_id = \"a\"\n  execution_arn = \"arn\"\n"+
			"  authorizers = { verdict = { %s } }\n  routes = { %s }\n", authorizer, routes)
	}
	exact := "function = " + function("exact", "simple", 0)
	kept := "function = " + function("exact", "simple", 30)
	guarded := `"GET /a" = { integration_id = "i", authorizer = "verdict" }`
	rest := func(f, settings string) string {
		return fmt.Sprintf("\n  source = \"../verdict-authorizer/modules/rest\"\n  rest_api_id = \"a\"\n  execution_arn = \"arn\"\n  function = %s\n  %s\n", f, settings)
	}
	cases := map[string]struct {
		module string
		text   string // part of what is said; "": it is accepted
	}{
		"a TTL below 0":                     {lambda(`cache_ttl_s = -1`), "from 0 to 3600"},
		"a TTL above an hour":               {lambda("cache_ttl_s = 3601\n answer = \"simple\""), "from 0 to 3600"},
		"half a second of TTL":              {lambda("cache_ttl_s = 0.5\n answer = \"simple\""), "from 0 to 3600"},
		"an exact policy that is kept":      {lambda(`cache_ttl_s = 30`), "refuses every other method"},
		"a grant set that is not kept":      {lambda(`mode = "grant-set"`), "set cache_ttl_s"},
		"a grant set as a yes or no":        {lambda("mode = \"grant-set\"\n answer = \"simple\"\n cache_ttl_s = 30"), "set answer to iam"},
		"kept for more than one host":       {lambda("answer = \"simple\"\n cache_ttl_s = 30"), "under each of its domain names"},
		"a mode that is none":               {lambda(`mode = "all"`), "exact or grant-set"},
		"no gateway":                        {lambda(`gateways = {}`), "at least one API"},
		"some gateways mapped, others not":  {lambda(`gateways = { a = { api_id = "a", verdict_api = "x" }, b = { api_id = "b" } }`), "for all gateways or for none"},
		"a stage without an api":            {lambda(`gateways = { a = { api_id = "a", stage = "prod" } }`), "only of use beside verdict_api"},
		"a target without port":             {lambda(`verdict = { target = "verdict.internal" }`), "host:port"},
		"a certificate without key":         {lambda("files_zip = \"../../../dist/verdict-authorizer-arm64.zip\"\n verdict = { target = \"v:1\", cert_file = \"c.pem\" }"), "or neither"},
		"files without a zip":               {lambda(`verdict = { target = "v:1", ca_file = "ca.pem" }`), "come from files_zip"},
		"plaintext with a token of AWS":     {lambda(`verdict = { target = "v:1", plaintext = true, sts_audience = "verdict" }`), "excludes what needs TLS"},
		"a timeout that cuts the answer":    {lambda(`timeout_s = 2`), "at least a second longer"},
		"a timeout beyond the gateway's":    {lambda(`timeout_s = 11`), "at most 10"},
		"no concurrency at all":             {lambda(`reserved_concurrency = 0`), "every request with 500"},
		"a package of another architecture": {lambda(`architecture = "x86_64"`), "other architecture"},
		"a retention that CloudWatch lacks": {lambda(`log_retention_days = 31`), "CloudWatch keeps logs"},
		"declared routes in exact mode":     {lambda(`gateway_routes = "declared"`), "only with mode grant-set"},
		"a base path that ends in a slash":  {lambda(`base_path = "/shop/"`), "does not end in one"},
		"a VPC without subnets":             {lambda(`vpc = { subnet_ids = [], security_group_ids = ["sg-1"] }`), "at least one subnet"},

		"a route that says neither":                {httpAPI(exact, `"GET /a" = { integration_id = "i" }`), "names its authorizer, or says public"},
		"a route that says both":                   {httpAPI(exact, `"GET /a" = { integration_id = "i", authorizer = "verdict", public = true }`), "names its authorizer, or says public"},
		"a route that says it is not public":       {httpAPI(exact, `"GET /a" = { integration_id = "i", public = false }`), "names its authorizer, or says public"},
		"a route that leaves public null":          {httpAPI(exact, `"GET /a" = { integration_id = "i", public = null }`), "names its authorizer, or says public"},
		"an authorizer that is not there":          {httpAPI(exact, `"GET /a" = { integration_id = "i", authorizer = "other" }`), "not in authorizers"},
		"an authorizer without a name":             {httpAPI(exact, `"GET /a" = { integration_id = "i", authorizer = "" }`), "not in authorizers"},
		"a public $default":                        {httpAPI(exact, `"$default" = { integration_id = "i", public = true }`), "cannot be public"},
		"a public greedy route":                    {httpAPI(exact, `"ANY /{proxy+}" = { integration_id = "i", public = true }`), "cannot be public"},
		"a route key without method":               {httpAPI(exact, `"/a" = { integration_id = "i", authorizer = "verdict" }`), "A route key is"},
		"a public route that says so":              {httpAPI(exact, guarded+`, "GET /h" = { integration_id = "i", public = true }`), ""},
		"kept without identity sources":            {httpAPI(kept+", identity_sources = []", guarded), "everybody's"},
		"kept without the token":                   {httpAPI(kept+`, identity_sources = ["$context.routeKey"]`, guarded), "$request.header.Authorization"},
		"kept without the route":                   {httpAPI(kept+`, identity_sources = ["$request.header.Authorization"]`, guarded), "$context.routeKey"},
		"kept for one path of many":                {httpAPI(kept+`, identity_sources = ["$request.header.Authorization", "$context.routeKey"]`, `"GET /a/{id}" = { integration_id = "i", authorizer = "verdict" }`), "$context.path"},
		"kept for one method of many":              {httpAPI(kept+`, identity_sources = ["$request.header.Authorization", "$context.routeKey"]`, `"ANY /a" = { integration_id = "i", authorizer = "verdict" }`), "$context.httpMethod"},
		"kept with all that it depends on":         {httpAPI(kept+`, identity_sources = ["$request.header.authorization", "$context.routeKey"]`, guarded), ""},
		"a grant set needs no route":               {httpAPI("function = "+function("grant-set", "iam", 30)+`, identity_sources = ["$request.header.Authorization"]`, guarded), ""},
		"an exact policy kept by an HTTP API":      {httpAPI("function = "+function("exact", "iam", 30), guarded), "answers simple, or in mode grant-set"},
		"a TTL that an HTTP API lacks":             {httpAPI("function = "+function("exact", "simple", 3601), guarded), "0 to 3600"},
		"a yes or no for a REST API":               {rest(function("exact", "simple", 0), ""), "must be iam"},
		"an exact policy kept by a REST API":       {rest(function("exact", "iam", 30), ""), "must be grant-set"},
		"a grant set kept under no token":          {rest(function("grant-set", "iam", 30), `identity_sources = ["context.httpMethod"]`), "Authorization"},
		"a TOKEN authorizer with two sources":      {rest(function("exact", "iam", 0), "type = \"TOKEN\"\n identity_sources = [\"method.request.header.Authorization\", \"method.request.header.Host\"]"), "one identity source"},
		"an origin with a path":                    {rest(function("exact", "iam", 0), `cors_origin = "https://a.example/x"`), "an origin"},
		"an origin that breaks out of its quotes":  {rest(function("exact", "iam", 0), `cors_origin = "https://a.example' 'b"`), "an origin"},
		"a REST API that is kept as it should be":  {rest(function("grant-set", "iam", 300), ""), ""},
		"a yes or no for a WebSocket API":          {"\n  source = \"../verdict-authorizer/modules/websocket\"\n  api_id = \"a\"\n  execution_arn = \"arn\"\n  connect_integration_id = \"i\"\n  function = " + function("exact", "simple", 0) + "\n", "must be iam"},
		"a WebSocket API with no source for token": {"\n  source = \"../verdict-authorizer/modules/websocket\"\n  api_id = \"a\"\n  execution_arn = \"arn\"\n  connect_integration_id = \"i\"\n  identity_sources = []\n  function = " + function("exact", "iam", 0) + "\n", "at least one identity source"},
	}
	modules, wrong := map[string]string{}, []string{}
	for name, tc := range cases {
		modules[name] = tc.module
		if tc.text != "" {
			wrong = append(wrong, name)
		}
	}
	said := refusals(t, modules, wrong)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.text == "" && len(said[name]) > 0 {
				t.Errorf("refused: %q", said[name])
			}
			if tc.text != "" && !strings.Contains(strings.Join(said[name], "\n"), tc.text) {
				t.Errorf("said %q, want %q", said[name], tc.text)
			}
		})
	}
}

// refusals plans the modules until Terraform has nothing more to say, without those that it spoke of already: rules about one
// variable are told before those about two, and what resources say comes last, without saying of which module. Then each of the
// wrong ones is planned by itself.
func refusals(t *testing.T, modules map[string]string, wrong []string) map[string][]string {
	t.Helper()
	said := map[string][]string{}
	for range 5 {
		var text strings.Builder
		lines := map[string][2]int{}
		next := 1
		for name, module := range modules {
			if len(said[name]) > 0 {
				continue
			}
			block := "module \"" + label(name) + "\" {" + module + "}\n"
			lines[name] = [2]int{next, next + strings.Count(block, "\n")}
			next = lines[name][1]
			text.WriteString(block)
		}
		_, problems := planText(t, text.String())
		if len(problems) == 0 {
			return said
		}
		before := len(said)
		for _, d := range problems {
			for name, at := range lines {
				inside := d.Range.Filename == "main.tf" && d.Range.Start.Line >= at[0] && d.Range.Start.Line < at[1]
				if inside {
					said[name] = append(said[name], d.Summary+": "+d.Detail)
				}
			}
		}
		if len(said) > before {
			continue
		}
		for _, name := range wrong {
			if len(said[name]) > 0 {
				continue
			}
			_, problems := planText(t, "module \""+label(name)+"\" {"+modules[name]+"}\n")
			for _, d := range problems {
				said[name] = append(said[name], d.Summary+": "+d.Detail)
			}
		}
		if len(said) == before {
			t.Fatalf("problems that are of no module: %v", problems)
		}
	}
	t.Fatal("Terraform found problems five times over")
	return nil
}

// label makes a name of a module.
func label(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}
