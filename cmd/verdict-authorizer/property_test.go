package main

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/modeltest"
)

// world is a way to set gateway and authorizer up.
type world struct {
	name    string
	env     []string
	gateway gateway
	exact   bool // what verdict allows passes too: nothing is kept
	reaches func(p *modeltest.Policy, r *clientRequest) bool
}

func worlds() []world {
	token := func(r *clientRequest) []string { return []string{r.authorization} }
	keyed := func(r *clientRequest) []string {
		return []string{r.authorization, "ANY /{proxy+}", r.method, r.path}
	}
	greedy := func(*clientRequest) string { return "ANY /{proxy+}" }
	return []world{
		{name: "REST, token, nothing kept", gateway: gateway{shape: "rest_token"}, exact: true},
		{name: "REST, request, nothing kept", gateway: gateway{shape: "rest_request"}, exact: true},
		{
			name: "REST, nothing kept, says who set it up, and the gateway keeps", gateway: gateway{shape: "rest_request", keeps: true, identity: token},
			// What tools that drop the setting make of it. Only routes that a pattern can tell from others are tried.
			reaches: separable,
		},
		{name: "REST, all that is permitted is kept", env: []string{"MODE=grant-set", "API=orders", "CACHE_TTL=60s"}, gateway: gateway{shape: "rest_request", keeps: true, identity: token}},
		{
			name: "REST, all that is permitted is kept, and the gateway has verdict's routes", env: []string{"MODE=grant-set", "API=orders", "CACHE_TTL=60s", "GATEWAY_ROUTES=declared"},
			gateway: gateway{shape: "rest_token", keeps: true, identity: token}, reaches: declared,
		},
		{name: "HTTP 1.0, nothing kept", gateway: gateway{shape: "http_1.0"}, exact: true},
		{name: "HTTP 2.0, policies, nothing kept", gateway: gateway{shape: "http_2.0"}, exact: true},
		{name: "HTTP 2.0, yes or no, nothing kept", env: []string{"ANSWER=simple"}, gateway: gateway{shape: "http_2.0", simple: true}, exact: true},
		{
			name: "HTTP 2.0, yes or no, kept", env: []string{"ANSWER=simple", "API=orders", "CACHE_TTL=60s"},
			gateway: gateway{shape: "http_2.0", simple: true, keeps: true, identity: keyed, routeKey: greedy},
		},
		{
			name: "HTTP 2.0, yes or no, kept by less than it depends on", env: []string{"ANSWER=simple", "API=orders", "CACHE_TTL=60s"},
			gateway: gateway{shape: "http_2.0", simple: true, keeps: true, identity: token, routeKey: greedy},
		},
		{name: "HTTP 2.0, policies, kept", env: []string{"MODE=grant-set", "API=orders", "CACHE_TTL=60s"}, gateway: gateway{shape: "http_2.0", keeps: true, identity: token}},
	}
}

// declared says whether a gateway with a resource for each template of the policy lets the request through.
func declared(p *modeltest.Policy, r *clientRequest) bool {
	have := strings.Split(r.path, "/")
	return slices.ContainsFunc(p.Routes, func(route modeltest.Route) bool {
		want := strings.Split(route.Template, "/")
		for i, w := range want {
			if strings.HasSuffix(w, "...}") {
				return len(have) > i && slices.Contains(route.Methods, r.method)
			}
			if i >= len(have) || w != have[i] && (!strings.HasPrefix(w, "{") || have[i] == "") {
				return false
			}
		}
		return len(want) == len(have) && slices.Contains(route.Methods, r.method)
	})
}

// separable says that the policy has no template that a pattern cannot hold to what it means.
func separable(p *modeltest.Policy, _ *clientRequest) bool {
	return !slices.ContainsFunc(p.Routes, func(r modeltest.Route) bool {
		return strings.Contains(r.Template, ":") || strings.HasSuffix(r.Template, "/") || strings.Count(r.Template, "{") > 1 || r.Conditional || !r.Permitted && strings.Contains(r.Template, "{")
	})
}

// Whatever the gateway keeps and whatever comes after what, nothing passes that verdict, asked directly, would deny; and where
// nothing is kept, all passes that it allows.
func TestNothingPassesThatVerdictDenies(t *testing.T) {
	const sequences, length = 10000, 7
	all := worlds()
	passed, spared := make([]int, len(all)), make([]int, len(all))
	rng := rand.New(rand.NewPCG(20261121, 38))
	for range sequences {
		n := rng.IntN(len(all))
		w := all[n]
		// Two callers of one api: the same routes, permitted otherwise.
		first := modeltest.Random(rng)
		second := &modeltest.Policy{Routes: slices.Clone(first.Routes)}
		for i := range second.Routes {
			second.Routes[i].Permitted, second.Routes[i].Conditional = rng.IntN(2) == 0, false
		}
		policies := map[string]*modeltest.Policy{"token-1": first, "token-2": second}
		a := newAuthorizer(decides(policies), configure(t, w.env...), slog.New(slog.NewTextHandler(io.Discard, nil)))
		g := w.gateway
		g.invoke = func(event []byte) ([]byte, string) {
			body, err := a.Handle(t.Context(), lambda.Invocation{RequestID: "r", Event: event})
			var failed *lambda.Failure
			if errors.As(err, &failed) {
				return nil, failed.Text
			}
			return body, ""
		}
		asked := 0
		for range length {
			r := &clientRequest{method: []string{"GET", "POST"}[rng.IntN(2)], path: first.Path(rng), sourceIP: []string{allowedFrom, "192.0.2.1"}[rng.IntN(2)]}
			token := []string{"token-1", "token-2", "stolen"}[min(rng.IntN(6), 2)]
			if rng.IntN(3) == 0 {
				token = "token-1"
			}
			r.authorization = "Bearer " + token
			p := policies[token]
			if g.shape == "rest_token" {
				r.sourceIP = ""
			}
			if w.reaches != nil && (!w.reaches(first, r) || !w.reaches(second, r)) {
				continue
			}
			asked++
			allowed := false
			var route *modeltest.Route
			if p != nil {
				route, allowed = p.Decide(r.method, r.path, strings.HasPrefix(g.shape, "http"))
				allowed = allowed && (route.Permitted || r.sourceIP == allowedFrom)
			}
			status := g.do(r)
			switch {
			case status == 200 && !allowed:
				t.Fatalf("%s: %s %s as %s passes and verdict denies it\nroutes %+v", w.name, r.method, r.path, token, p)
			case w.exact && allowed && status != 200 && !strings.Contains(r.path, "*"):
				t.Fatalf("%s: %s %s as %s gets %d and verdict allows it\nroutes %+v", w.name, r.method, r.path, token, status, p)
			case status == 200:
				passed[n]++
			}
		}
		spared[n] += asked - g.invoked
	}
	for n, w := range all {
		t.Logf("%-75s %5d passed, %5d answered from what was kept", w.name, passed[n], spared[n])
		hopeless := strings.Contains(w.name, "less than it depends on")
		least := 80
		if w.reaches != nil {
			least = 25
		}
		if !hopeless && passed[n] < least || w.gateway.keeps && !hopeless && spared[n] < 80 {
			t.Errorf("%s: too little passed to tell anything", w.name)
		}
		if hopeless && passed[n] > 0 {
			t.Errorf("%s: %d passed", w.name, passed[n])
		}
	}
}
