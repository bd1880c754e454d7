package main

import (
	"strings"
	"testing"
	"time"
)

func TestReadConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		env  string // without prefix, separated by blanks
		want string // names that are complained about, in order; "": none
	}{
		"a target is enough":                          {env: "TARGET=v:7300"},
		"a target is required":                        {want: "VERDICT_TARGET"},
		"a target has a port":                         {env: "TARGET=verdict.internal", want: "VERDICT_TARGET"},
		"a target is no URL":                          {env: "TARGET=https://verdict.internal:7300", want: "VERDICT_TARGET"},
		"a target may be an address":                  {env: "TARGET=[fd00::1]:7300"},
		"a name that is misspelt":                     {env: "TARGET=v:1 CACHE_TLL=60s", want: "VERDICT_CACHE_TLL"},
		"a certificate needs its key":                 {env: "TARGET=v:1 CERT_FILE=a", want: "VERDICT_CERT_FILE, VERDICT_KEY_FILE"},
		"plaintext has no identity":                   {env: "TARGET=v:1 PLAINTEXT=true STS_AUDIENCE=x", want: "VERDICT_PLAINTEXT"},
		"an exact policy is not kept":                 {env: "TARGET=v:1 API=orders CACHE_TTL=60s", want: "VERDICT_CACHE_TTL"},
		"a yes or no may be":                          {env: "TARGET=v:1 API=orders CACHE_TTL=60s ANSWER=simple"},
		"a grant set may be":                          {env: "TARGET=v:1 APIS=abc=orders CACHE_TTL=60s MODE=grant-set GATEWAY_ROUTES=declared"},
		"a yes that is kept is for every domain name": {env: "TARGET=v:1 CACHE_TTL=60s ANSWER=simple", want: "VERDICT_CACHE_TTL"},
		"and so is a grant set":                       {env: "TARGET=v:1 CACHE_TTL=60s MODE=grant-set", want: "VERDICT_CACHE_TTL"},
		"a grant set must be":                         {env: "TARGET=v:1 MODE=grant-set", want: "VERDICT_MODE"},
		"the gateway's routes are about grant sets":   {env: "TARGET=v:1 GATEWAY_ROUTES=declared", want: "VERDICT_GATEWAY_ROUTES"},
		"one way to name the api":                     {env: "TARGET=v:1 API=orders APIS=abc=orders", want: "VERDICT_API, VERDICT_APIS"},
		"an api of the map needs a name":              {env: "TARGET=v:1 APIS=abc/prod", want: "VERDICT_APIS"},
		"an api of the map occurs once":               {env: "TARGET=v:1 APIS=abc=x,abc=y", want: "VERDICT_APIS"},
		"an account has twelve digits":                {env: "TARGET=v:1 ALLOWED_APIS=123:abc", want: "VERDICT_ALLOWED_APIS"},
		"no star on the list":                         {env: "TARGET=v:1 ALLOWED_APIS=123456789012:*", want: "VERDICT_ALLOWED_APIS"},
		"times are within reason":                     {env: "TARGET=v:1 TIMEOUT=1m IDLE_LIMIT=never CACHE_TTL=2h", want: "VERDICT_TIMEOUT VERDICT_IDLE_LIMIT VERDICT_CACHE_TTL"},
		"the gateway counts in seconds":               {env: "TARGET=v:1 API=orders CACHE_TTL=1500ms ANSWER=simple", want: "VERDICT_CACHE_TTL"},
		"a base path ends without a slash":            {env: "TARGET=v:1 BASE_PATH=/shop/", want: "VERDICT_BASE_PATH"},
		"yes is not true":                             {env: "TARGET=v:1 ALLOW_TEST_INVOKE=yes", want: "VERDICT_ALLOW_TEST_INVOKE"},
		"a limit that would cut every policy is none": {env: "TARGET=v:1 POLICY_LIMIT=10", want: "VERDICT_POLICY_LIMIT"},
		"all problems at once": {
			env: "KEY_FILE=k MODE=both ANSWER=none GATEWAY_ROUTES=some USAGE_KEY=x", want: "VERDICT_MODE VERDICT_ANSWER VERDICT_USAGE_KEY VERDICT_GATEWAY_ROUTES VERDICT_TARGET VERDICT_CERT_FILE, VERDICT_KEY_FILE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			vars := map[string]string{"PATH": "/bin", "AWS_REGION": "eu-central-1"}
			for _, e := range strings.Fields(tc.env) {
				key, value, _ := strings.Cut(e, "=")
				vars[prefix+key] = value
			}
			_, err := readConfig(vars)
			var got []string
			if err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					got = append(got, strings.Split(line, ": ")[0])
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("complains %v, want %q", err, tc.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	c := configure(t)
	if c.client.Timeout != 2*time.Second || c.client.IdleLimit != time.Minute || c.policyLimit != 6144 || c.cacheTTL != 0 || c.grantSet || c.simple || c.allowTestInvoke {
		t.Errorf("defaults are %+v", c)
	}
}

// What a kept yes or no depends on must be in the key under which it is kept.
func TestUncovered(t *testing.T) {
	const token = "Bearer x"
	for name, tc := range map[string]struct {
		routeKey string
		identity []string
		want     string
	}{
		"a route without parameters needs token and route":      {routeKey: "GET /orders", identity: []string{token, "GET /orders"}},
		"the route is missing":                                  {routeKey: "GET /orders", identity: []string{token}, want: "$context.routeKey"},
		"the token is missing":                                  {routeKey: "GET /orders", identity: []string{"GET /orders"}, want: "$request.header.Authorization"},
		"all is missing":                                        {routeKey: "GET /orders", want: "$request.header.Authorization and $context.routeKey"},
		"a parameter needs the path":                            {routeKey: "GET /orders/{id}", identity: []string{token, "GET /orders/{id}"}, want: "$context.path"},
		"and with it all is there":                              {routeKey: "GET /orders/{id}", identity: []string{token, "GET /orders/{id}", "/orders/1"}},
		"any method needs the method":                           {routeKey: "ANY /orders", identity: []string{token, "ANY /orders"}, want: "$context.httpMethod"},
		"the default route says nothing":                        {routeKey: "$default", identity: []string{token, "$default"}, want: "$context.httpMethod and $context.path"},
		"the default route with all that it stands for, listed": {routeKey: "$default", identity: []string{token, "$default", "GET", "/orders/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := &question{method: "GET", identity: tc.identity}
			q.RouteKey, q.RawPath, q.Headers = tc.routeKey, "/orders/1", map[string]string{"authorization": token}
			if got := q.uncovered(); got != tc.want {
				t.Errorf("lacks %q, want %q", got, tc.want)
			}
		})
	}
}
