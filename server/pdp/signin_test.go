package pdp_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/store"
)

// revocations has at most one; the zero value is loaded, current and empty.
type revocations struct {
	hit     *store.Revocation
	unknown bool
	stale   bool
	asked   []revocation.Facts
}

func (r *revocations) Check(t revocation.Facts) (*store.Revocation, bool) {
	r.asked = append(r.asked, t)
	return r.hit, !r.unknown
}
func (r *revocations) Stale(time.Time) bool { return r.stale }

// oneToken accepts every token as that of caller.
type oneToken struct {
	caller entra.Token
	wanted []entra.Expect
}

func (v *oneToken) Verify(_ context.Context, _ string, want entra.Expect) (*entra.Token, entra.Refusal) {
	v.wanted = append(v.wanted, want)
	return &v.caller, entra.Refusal{}
}

// signedIn is Alice, who signed in ten minutes ago and met c1 and c3.
func signedIn() entra.Token {
	return entra.Token{
		TokenID: "uti-1", SessionID: "sid-1", IssuedAt: now.Add(-5 * time.Minute), ExpiresAt: now.Add(time.Hour),
		AuthContexts: []string{"c1", "c3"}, AuthTime: now.Add(-10 * time.Minute), Provider: "contoso",
		Principal: policy.Principal{Kind: policy.PrincipalUser, TenantID: tid, ObjectID: alice, ClientID: "client", Scopes: []string{"All"}},
	}
}

// strict is the policy of the other tests with sign-in rules.
func strict(t *testing.T, change func(*policy.Facts)) *policy.Snapshot {
	t.Helper()
	f := facts(5)
	change(&f)
	snap, err := policy.Compile(f, func(string) (policy.Condition, error) { return nil, errors.New("none here") })
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// reads changes the route that reads an order.
func reads(change func(r *policy.Route)) func(*policy.Facts) {
	return func(f *policy.Facts) {
		for i := range f.Routes {
			if f.Routes[i].ID == "read" {
				change(&f.Routes[i])
			}
		}
	}
}

func TestRevocationAndSignInComeAfterTheTokenAndBeforeTheGroups(t *testing.T) {
	context7 := reads(func(r *policy.Route) { r.AuthContext = "c7" })
	context3 := reads(func(r *policy.Route) { r.AuthContext = "c3" })
	age := reads(func(r *policy.Route) { r.MaxTokenAge = 10 * time.Minute })
	both := reads(func(r *policy.Route) { r.AuthContext, r.MaxTokenAge = "c7", time.Minute })
	revokedAt := now.Add(-time.Minute)
	hit := &revocations{hit: &store.Revocation{ID: "0190", Kind: store.RevokeSession, NotBefore: revokedAt}}
	strictly := func(f *policy.Facts) { f.APIs[0].StrictRevocation = true }
	const at = "https://login.example"
	for name, tc := range map[string]struct {
		policy  func(*policy.Facts)
		revoked *revocations
		caller  func(*entra.Token)
		ask     *pdp.Question // nil: GET /orders/1
		want    policy.Reason
		detail  string
		signIn  pdp.SignIn
	}{
		"nothing is asked for": {want: policy.AllowedByGrant},
		"a revoked token": {revoked: hit, want: policy.TokenRevoked, detail: "revoked: session, revocation 0190",
			signIn: pdp.SignIn{NotBefore: revokedAt, Authority: at}},
		"a revoked token, before its sign-in": {revoked: hit, policy: both, want: policy.TokenRevoked, detail: "revoked: session, revocation 0190",
			signIn: pdp.SignIn{NotBefore: revokedAt, Authority: at}},
		"a revoked token asks for a permission": {revoked: hit, ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: "x"},
			want: policy.TokenRevoked, detail: "revoked: session, revocation 0190", signIn: pdp.SignIn{NotBefore: revokedAt, Authority: at}},
		"a revoked token on a public route": {revoked: hit, ask: ask("GET /healthz", good), want: policy.AllowedPublic},
		"revocations that were never loaded, even when the api is not strict": {revoked: &revocations{unknown: true}, want: policy.RevocationStale,
			detail: "revocations: never loaded"},
		"stale revocations":                  {revoked: &revocations{stale: true}, want: policy.AllowedByGrant},
		"stale revocations and a strict api": {revoked: &revocations{stale: true}, policy: strictly, want: policy.RevocationStale, detail: "revocations: too old for a strict api"},
		"a strict api":                       {policy: strictly, want: policy.AllowedByGrant},
		"a revoked token, stale or not": {revoked: &revocations{hit: hit.hit, stale: true}, policy: strictly, want: policy.TokenRevoked,
			detail: "revoked: session, revocation 0190", signIn: pdp.SignIn{NotBefore: revokedAt, Authority: at}},
		"273 a context that was met": {policy: context3, want: policy.AllowedByGrant},
		"274 a context that was not, and the client knows challenges": {policy: context7, caller: func(c *entra.Token) { c.CanChallenge = true }, want: policy.AuthContextRequired, detail: "auth_context: not among acrs",
			signIn: pdp.SignIn{AuthContext: "c7", Authority: at}},
		"275 a context that was not, and the client does not know challenges": {policy: context7, want: policy.AuthContextRequired,
			detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c7", Authority: at}},
		"277 contexts that were no list, and so are none": {policy: context3, caller: func(c *entra.Token) { c.AuthContexts = nil },
			want: policy.AuthContextRequired, detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c3", Authority: at}},
		"a context that is part of another": {policy: reads(func(r *policy.Route) { r.AuthContext = "c33" }), want: policy.AuthContextRequired,
			detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c33", Authority: at}},
		"276 a context of an application, which claims to have it": {policy: context3, caller: func(c *entra.Token) { c.Principal.Kind = policy.PrincipalApp },
			want: policy.AuthContextRequired, detail: "auth_context: not a user", signIn: pdp.SignIn{AuthContext: "c3", Authority: at}},
		"278 a sign-in as old as may be": {policy: age, want: policy.AllowedByGrant},
		"278 a sign-in a second older": {policy: age, caller: func(c *entra.Token) { c.AuthTime = c.AuthTime.Add(-time.Second) },
			want: policy.AuthenticationTooOld, detail: "max_token_age: auth_time too old", signIn: pdp.SignIn{MaxAge: 10 * time.Minute, Authority: at}},
		"a new token of an old sign-in": {policy: age, caller: func(c *entra.Token) { c.IssuedAt, c.AuthTime = now, now.Add(-time.Hour) },
			want: policy.AuthenticationTooOld, detail: "max_token_age: auth_time too old", signIn: pdp.SignIn{MaxAge: 10 * time.Minute, Authority: at}},
		"278 a token that does not say when": {policy: age, caller: func(c *entra.Token) { c.AuthTime = time.Time{} },
			want: policy.AuthenticationTooOld, detail: "max_token_age: no auth_time", signIn: pdp.SignIn{MaxAge: 10 * time.Minute, Authority: at}},
		"276 the age of an application": {policy: age, caller: func(c *entra.Token) { c.Principal.Kind, c.AuthTime = policy.PrincipalApp, now },
			want: policy.AuthenticationTooOld, detail: "max_token_age: not a user", signIn: pdp.SignIn{MaxAge: 10 * time.Minute, Authority: at}},
		"both are told at once, the context first": {policy: both, want: policy.AuthContextRequired, detail: "auth_context: not among acrs",
			signIn: pdp.SignIn{AuthContext: "c7", MaxAge: time.Minute, Authority: at}},
		"a sign-in that does not do, before groups that are not known": {policy: context7, caller: func(c *entra.Token) { c.Overage = true },
			want: policy.AuthContextRequired, detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c7", Authority: at}},
		"a provider without an authority": {policy: context7, caller: func(c *entra.Token) { c.Provider = "other" },
			want: policy.AuthContextRequired, detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c7"}},
		"the overridden route asks too": {policy: context7, ask: ask("POST /orders/1", good, "x-http-method-override: GET"),
			want: policy.AuthContextRequired, detail: "auth_context: not among acrs", signIn: pdp.SignIn{AuthContext: "c7", Authority: at}},
		"a permission has no route to ask for more": {policy: both, ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: "x"}, want: policy.AllowedByGrant},
	} {
		t.Run(name, func(t *testing.T) {
			v := &oneToken{caller: signedIn()}
			if tc.policy == nil {
				tc.policy = func(*policy.Facts) {}
			}
			if tc.caller != nil {
				tc.caller(&v.caller)
			}
			if tc.revoked == nil {
				tc.revoked = &revocations{}
			}
			if tc.ask == nil {
				tc.ask = ask("GET /orders/1", good)
			}
			r := &recorder{}
			p, err := pdp.New(&source{snap: strict(t, tc.policy)}, v, tc.revoked, r, slog.New(slog.DiscardHandler),
				pdp.Config{Now: func() time.Time { return now }, Authorities: map[string]string{"contoso": at}})
			if err != nil {
				t.Fatal(err)
			}
			a := p.Decide(t.Context(), tc.ask)
			if a.Reason != tc.want || a.Detail != tc.detail || a.SignIn != tc.signIn {
				t.Errorf("%s (%s) %+v, want %s (%s) %+v", a.Reason, a.Detail, a.SignIn, tc.want, tc.detail, tc.signIn)
			}
			if len(r.kept) != 1 || r.kept[0].Reason != int16(tc.want) || r.kept[0].Detail != tc.detail {
				t.Errorf("recorded %+v", r.kept)
			}
			if tc.want == policy.TokenRevoked && (a.Caller == nil || r.kept[0].PrincipalID != alice) {
				t.Errorf("the record does not say whose token was revoked: %+v", r.kept)
			}
		})
	}
}

func TestARevocationIsAskedForWithWhatTheTokenProves(t *testing.T) {
	rev := &revocations{}
	p, err := pdp.New(&source{snap: compile(t, 5)}, &oneToken{caller: signedIn()}, rev, &recorder{}, slog.New(slog.DiscardHandler), pdp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p.Permissions(t.Context(), &pdp.Question{API: "orders", Token: "x"})
	p.Decide(t.Context(), ask("GET /orders/1", good))
	p.Decide(t.Context(), ask("GET /orders/1", good)) // every time: proofs may be cached, revocations are not
	want := revocation.Facts{TenantID: tid, ObjectID: alice, ClientID: "client", SessionID: "sid-1", TokenID: "uti-1", IssuedAt: now.Add(-5 * time.Minute)}
	if len(rev.asked) != 3 || rev.asked[0] != want || rev.asked[1] != want || rev.asked[2] != want {
		t.Errorf("asked %+v", rev.asked)
	}
}

func TestAnAnswerHoldsNoLongerThanTheSignIn(t *testing.T) {
	snap := strict(t, reads(func(r *policy.Route) { r.MaxTokenAge = 15 * time.Minute }))
	p, err := pdp.New(&source{snap: snap}, &oneToken{caller: signedIn()}, &revocations{}, &recorder{}, slog.New(slog.DiscardHandler),
		pdp.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if a := p.Decide(t.Context(), ask("GET /orders/1", good)); !a.Until.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("until %v", a.Until)
	}
	if a := p.Decide(t.Context(), ask("POST /orders/1", good)); !a.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("until %v", a.Until)
	}
}

func TestWhatTheApiAndTheRouteExpectReachesTheVerifier(t *testing.T) {
	snap := strict(t, func(f *policy.Facts) {
		f.APIs[0].DenyGuests = true
		reads(func(r *policy.Route) { r.ConfidentialClient = true })(f)
	})
	for name, tc := range map[string]struct {
		ask          *pdp.Question
		confidential bool
	}{
		"the route":            {ask("GET /orders/1", good), true},
		"another route":        {ask("POST /orders/1", good), false},
		"the overridden route": {ask("POST /orders/1", good, "x-http-method-override: GET"), true},
		"a permission":         {&pdp.Question{API: "orders", Permission: "orders.read", Token: "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := &oneToken{caller: signedIn()}
			p, err := pdp.New(&source{snap: snap}, v, &revocations{}, &recorder{}, slog.New(slog.DiscardHandler), pdp.Config{})
			if err != nil {
				t.Fatal(err)
			}
			p.Decide(t.Context(), tc.ask)
			if len(v.wanted) != 1 || !v.wanted[0].DenyGuests || v.wanted[0].ConfidentialClient != tc.confidential {
				t.Errorf("expected %+v", v.wanted)
			}
		})
	}
}
