package pdp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// prover accepts every token as that of caller, whose client it asks about as package entra does.
type prover struct{ caller entra.Token }

func (v *prover) Verify(_ context.Context, token string, want entra.Expect) (*entra.Token, entra.Refusal) {
	switch {
	case token == "bad":
		return nil, entra.Refusal{Reason: policy.SignatureInvalid}
	case want.ConfidentialClient && v.caller.ClientAuth != "1" && v.caller.ClientAuth != "2":
		return nil, entra.Refusal{Reason: policy.ClientNotAllowed}
	}
	return &v.caller, entra.Refusal{}
}

// groupsOf knows the groups of a directory, and what tokens list is another matter.
type groupsOf struct {
	fresh    []string
	problem  error
	fetching int
}

func (g *groupsOf) Resolve(_ context.Context, who directory.Caller, privileged bool) (directory.Membership, error) {
	if g.problem != nil {
		return directory.Membership{}, g.problem
	}
	if privileged {
		g.fetching++
		return directory.Membership{Groups: g.fresh}, nil
	}
	return directory.Membership{Groups: who.Groups}, nil
}

// routeIDs are the ids of a list of routes, on one line.
func routeIDs(routes []*policy.CompiledRoute) string {
	ids := make([]string, len(routes))
	for i, r := range routes {
		ids[i] = r.ID()
	}
	return strings.Join(ids, " ")
}

// holds is a condition that a test understands: "true", "false", "error", "inside" of 10.0.0.0/8, or a method.
type holds string

func (h holds) Holds(in *policy.Input) (bool, error) {
	switch h {
	case "true", "false":
		return h == "true", nil
	case "error":
		return false, errors.New("no such field")
	case "inside":
		return netip.MustParsePrefix("10.0.0.0/8").Contains(in.SourceIP), nil
	}
	return in.Method == string(h), nil
}

func conditions(source string) (policy.Condition, error) { return holds(source), nil }

func TestPermittedRoutes(t *testing.T) {
	group := "cccccccc-0001-4000-8000-000000000001"
	grant := func(change func(g *policy.Grant)) func(*policy.Facts) {
		return func(f *policy.Facts) {
			g := policy.Grant{ID: "g-more", API: "orders", Subject: "user:" + tid + "/" + alice, Permissions: []string{"orders.delete"}, Effect: policy.Allow}
			change(&g)
			f.Grants = append(f.Grants, g)
		}
	}
	unmet := func(f *policy.Facts) {
		reads(func(r *policy.Route) { r.AuthContext = "c7" })(f)
		f.Routes[2].MaxTokenAge = time.Minute
	}
	for name, tc := range map[string]struct {
		policy    func(*policy.Facts)
		caller    func(*entra.Token)
		groups    *groupsOf
		revoked   *revocations
		ask       *pdp.Question // nil: GET /orders/1
		want      policy.Reason
		permitted string // "-": no list
		refused   string
	}{
		"what is granted, and what is public": {want: policy.AllowedByGrant, permitted: "health read write slash", refused: "batch delete"},
		"a refused question has the same list": {
			ask: ask("DELETE /orders/1", good), want: policy.NoGrant, permitted: "health read write slash", refused: "batch delete",
		},
		"a public route, by who is known": {ask: ask("GET /healthz", good), want: policy.AllowedPublic, permitted: "health read write slash", refused: "batch delete"},
		"a public route, by nobody":       {ask: ask("GET /healthz"), want: policy.AllowedPublic, permitted: "-"},
		"a public route, by a liar":       {ask: ask("GET /healthz", "authorization: Bearer bad"), want: policy.AllowedPublic, permitted: "-"},
		"a route that nobody knows":       {ask: ask("GET /nowhere", good), want: policy.RouteUnknown, permitted: "health read write slash", refused: "batch delete"},
		"a token that was refused":        {ask: ask("GET /orders/1", "authorization: Bearer bad"), want: policy.SignatureInvalid, permitted: "-"},
		"a malformed request":             {ask: ask("GET //orders/1", good), want: policy.RequestMalformed, permitted: "-"},
		// Who keeps the list would else keep a refusal of everything for the sake of one slash.
		"a path that ends in a slash of its own": {ask: ask("GET /orders/1/", good), want: policy.RequestMalformed, permitted: "health read write slash", refused: "batch delete"},
		"such a path, by nobody":                 {ask: ask("GET /orders/1/"), want: policy.RequestMalformed, permitted: "-"},
		"an api that nobody knows":               {ask: with(ask("GET /orders/1", good), func(q *pdp.Question) { q.API = "other" }), want: policy.APIUnknown, permitted: "-"},
		"a revoked caller":                       {revoked: &revocations{hit: &store.Revocation{ID: "0190", Kind: store.RevokeSession}}, want: policy.TokenRevoked, permitted: "-"},
		"a revoked caller on a public route": {
			revoked: &revocations{hit: &store.Revocation{ID: "0190", Kind: store.RevokeSession}}, ask: ask("GET /healthz", good), want: policy.AllowedPublic, permitted: "-",
		},
		"revocations that were never loaded": {revoked: &revocations{unknown: true}, want: policy.RevocationStale, permitted: "-"},
		"groups that are not known":          {groups: &groupsOf{problem: directory.ErrUnavailable}, want: policy.GroupsUnresolved, permitted: "-"},
		"an account that is disabled":        {groups: &groupsOf{problem: directory.ErrPrincipalDisabled}, want: policy.TokenRevoked, permitted: "-"},
		"a step-up that is not met":          {policy: unmet, want: policy.AuthContextRequired, permitted: "health slash", refused: "batch delete read write"},
		"a step-up that is met": {
			policy: unmet, caller: func(c *entra.Token) { c.AuthContexts, c.AuthTime = []string{"c7"}, now.Add(-time.Second) },
			want: policy.AllowedByGrant, permitted: "health read write slash", refused: "batch delete",
		},
		"a client that did not prove who it is": {
			policy: reads(func(r *policy.Route) { r.ConfidentialClient = true }), want: policy.ClientNotAllowed,
			permitted: "health write slash", refused: "batch delete read",
		},
		"a client that did": {
			policy: reads(func(r *policy.Route) { r.ConfidentialClient = true }), caller: func(c *entra.Token) { c.ClientAuth = "2" }, want: policy.AllowedByGrant,
			permitted: "health read write slash", refused: "batch delete",
		},
		"a route that may switch protocols": {
			policy: reads(func(r *policy.Route) { r.Upgrade = "websocket" }), want: policy.AllowedByGrant, permitted: "health write slash", refused: "batch delete read",
		},
		"a condition of the route, even a true one": {
			policy: reads(func(r *policy.Route) { r.Condition = "true" }), want: policy.AllowedByGrant, permitted: "health write slash", refused: "batch delete read",
		},
		"an allow with a condition": {
			policy: grant(func(g *policy.Grant) { g.Condition = "true" }), ask: ask("DELETE /orders/1", good), want: policy.AllowedByGrant,
			permitted: "health read write slash", refused: "batch delete",
		},
		"an allow with a condition beside one without": {
			policy: grant(func(g *policy.Grant) { g.Permissions, g.Condition = []string{"orders.read"}, "inside" }), want: policy.AllowedByGrant,
			permitted: "health read write slash", refused: "batch delete",
		},
		"a deny with a condition that does not hold now": {
			policy: grant(func(g *policy.Grant) {
				g.Permissions, g.Condition, g.Effect = []string{"orders.read"}, "false", policy.Deny
			}),
			want: policy.AllowedByGrant, permitted: "health write slash", refused: "batch delete read",
		},
		"an api that looks at the connection": {
			policy: func(f *policy.Facts) { f.APIs[0].RequireSNIMatch = true }, ask: with(ask("GET /orders/1", good), func(q *pdp.Question) { q.SNI = q.HTTP.Host }),
			want: policy.AllowedByGrant, permitted: "", refused: "health batch delete read write slash",
		},
		"groups of the token do not do for what is privileged": {
			policy: func(f *policy.Facts) {
				f.APIs[0].Privileged = []string{"orders.delete"}
				grant(func(g *policy.Grant) { g.Subject = "group:" + tid + "/" + group })(f)
			},
			caller: func(c *entra.Token) { c.Principal.Groups = []string{group} }, groups: &groupsOf{}, want: policy.AllowedByGrant,
			permitted: "health read write slash", refused: "batch delete",
		},
		"groups that were fetched do": {
			policy: func(f *policy.Facts) {
				f.APIs[0].Privileged = []string{"orders.delete"}
				grant(func(g *policy.Grant) { g.Subject = "group:" + tid + "/" + group })(f)
			},
			groups: &groupsOf{fresh: []string{group}}, ask: ask("DELETE /orders/1", good), want: policy.AllowedByGrant,
			permitted: "health batch delete read write slash", refused: "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, caller := facts(5), signedIn()
			if tc.policy != nil {
				tc.policy(&f)
			}
			if tc.caller != nil {
				tc.caller(&caller)
			}
			if tc.revoked == nil {
				tc.revoked = &revocations{}
			}
			cfg := pdp.Config{Now: func() time.Time { return now }}
			if tc.groups != nil {
				cfg.Groups = tc.groups
			}
			snap, err := policy.Compile(f, conditions)
			if err != nil {
				t.Fatal(err)
			}
			r := &recorder{}
			p, err := pdp.New(&source{snap: snap}, &prover{caller}, tc.revoked, r, slog.New(slog.DiscardHandler), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if tc.ask == nil {
				tc.ask = ask("GET /orders/1", good)
			}
			if a := p.Decide(t.Context(), tc.ask); a.Permitted != nil {
				t.Error("a list that was not asked for")
			}
			tc.ask.Permitted = true
			a := p.Decide(t.Context(), tc.ask)
			if a.Reason != tc.want {
				t.Errorf("%s (%s), want %s", a.Reason, a.Detail, tc.want)
			}
			if len(r.kept) != 2 {
				t.Errorf("%d records of two questions", len(r.kept))
			}
			if a.Permitted == nil {
				if tc.permitted != "-" {
					t.Fatal("no list")
				}
				return
			}
			if got := routeIDs(a.Permitted.Routes); got != tc.permitted {
				t.Errorf("permitted %q, want %q", got, tc.permitted)
			}
			if got := routeIDs(a.Permitted.Refused); got != tc.refused {
				t.Errorf("refused %q, want %q", got, tc.refused)
			}
			if a.Caller == nil || r.kept[1].PrincipalID != alice {
				t.Error("the list is of a caller whom the record does not name")
			}
		})
	}
}

func TestPermittedRoutesHoldAsLongAsTheShortestOfThem(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *policy.Facts)
		want   time.Duration
	}{
		"the token":         {func(*policy.Facts) {}, time.Hour},
		"a grant that ends": {func(f *policy.Facts) { f.Grants[1].ExpiresAt = now.Add(time.Minute) }, time.Minute},
		"a deny that begins": {func(f *policy.Facts) {
			f.Grants = append(f.Grants, policy.Grant{
				ID: "later", API: "orders", Subject: "tenant:" + tid, Permissions: []string{"orders.write"}, Effect: policy.Deny, NotBefore: now.Add(2 * time.Minute),
			})
		}, 2 * time.Minute},
		"the sign-in":                       {reads(func(r *policy.Route) { r.MaxTokenAge = 13 * time.Minute }), 3 * time.Minute},
		"not a grant of what is refused":    {func(f *policy.Facts) { f.Routes[2].Upgrade, f.Grants[1].ExpiresAt = "h2c", now.Add(time.Minute) }, time.Hour},
		"a grant that ends after the token": {func(f *policy.Facts) { f.Grants[1].ExpiresAt = now.Add(2 * time.Hour) }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pdp.New(&source{snap: strict(t, tc.change)}, &prover{signedIn()}, &revocations{}, &recorder{}, slog.New(slog.DiscardHandler), pdp.Config{Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			a := p.Decide(t.Context(), with(ask("GET /orders/1", good), func(q *pdp.Question) { q.Permitted = true }))
			if a.Permitted == nil || !a.Permitted.Until.Equal(now.Add(tc.want)) {
				t.Errorf("%+v", a.Permitted)
			}
		})
	}
}

// manyRoutes is an api of 200 routes, of which the caller may use every other.
func manyRoutes(tb testing.TB) *pdp.PDP {
	f := facts(5)
	for i := range 200 {
		f.Routes = append(f.Routes, policy.Route{
			API: "orders", ID: fmt.Sprintf("many-%03d", i), Methods: []string{"GET"}, Template: fmt.Sprintf("/many/%d/{id}", 199-i),
			Requirement: policy.RequireAllOf, Permissions: []string{[]string{"orders.read", "orders.delete"}[i%2]},
		})
	}
	snap, err := policy.Compile(f, conditions)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := pdp.New(&source{snap: snap}, &prover{signedIn()}, &revocations{}, nothing{}, slog.New(slog.DiscardHandler), pdp.Config{Now: func() time.Time { return now }})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// nothing is a recorder that keeps nothing.
type nothing struct{}

func (nothing) Record(store.Decision, policy.Keeping) error { return nil }

func BenchmarkDecide(b *testing.B) {
	for name, permitted := range map[string]bool{"one": false, "permitted of 200 routes": true} {
		b.Run(name, func(b *testing.B) {
			p, q := manyRoutes(b), ask("GET /many/7/x", good)
			q.Permitted = permitted
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(context.Background(), q)
			}
		})
	}
}
