package pdp_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
	"github.com/verdict-authz/verdict/store"
)

const (
	tid   = "11111111-1111-4111-8111-111111111111"
	alice = "bbbbbbbb-0001-4000-8000-000000000001"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// source is a fixed policy.
type source struct {
	snap  *policy.Snapshot
	stale bool
	next  *policy.Snapshot // WaitFor moves to it
	until time.Time        // deadline that WaitFor was given
}

func (s *source) Current() *policy.Snapshot { return s.snap }
func (s *source) Stale(time.Time) bool      { return s.stale }
func (s *source) WaitFor(ctx context.Context, revision uint64) error {
	s.until, _ = ctx.Deadline()
	if s.next == nil || s.next.Revision() < revision {
		<-ctx.Done()
		return ctx.Err()
	}
	s.snap = s.next
	return nil
}

// verifier accepts the token "good" and refuses, fails or panics for others.
type verifier struct{ seen []string }

func (v *verifier) Verify(_ context.Context, token string, want entra.Expect) (*entra.Token, entra.Refusal) {
	v.seen = append(v.seen, token)
	caller := entra.Token{DisplayName: "Alice", TokenID: "uti-1", ExpiresAt: now.Add(time.Hour), Principal: policy.Principal{
		Kind: policy.PrincipalUser, TenantID: tid, ObjectID: alice, ClientID: "client", Scopes: []string{"All"},
	}}
	switch {
	case token == "good" && slices.Equal(want.Audiences, []string{"aud"}):
		return &caller, entra.Refusal{}
	case token == "overage":
		caller.Overage = true
		return &caller, entra.Refusal{}
	case token == "panic":
		panic("boom")
	case token == "nothing":
		return nil, entra.Refusal{}
	}
	return nil, entra.Refusal{Reason: policy.SignatureInvalid, Detail: "signature: does not verify"}
}

// recorder keeps records, or refuses them.
type recorder struct {
	kept   []store.Decision
	wanted []policy.Keeping
	err    error
}

func (r *recorder) Record(d store.Decision, want policy.Keeping) error {
	if r.err == nil {
		d.Subjects, d.Scopes, d.GrantSubjects = slices.Clone(d.Subjects), slices.Clone(d.Scopes), slices.Clone(d.GrantSubjects)
		r.kept = append(r.kept, d)
		r.wanted = append(r.wanted, want)
	}
	return r.err
}

func facts(revision uint64) policy.Facts {
	route := func(id, template string, req policy.Requirement, permission string, methods ...string) policy.Route {
		r := policy.Route{API: "orders", ID: id, Methods: methods, Template: template, Requirement: req}
		if permission != "" {
			r.Permissions = []string{permission}
		}
		return r
	}
	grant := func(id, permission string) policy.Grant {
		return policy.Grant{ID: id, API: "orders", Subject: "user:" + tid + "/" + alice, Permissions: []string{permission}, Effect: policy.Allow}
	}
	return policy.Facts{
		Revision: revision,
		APIs: []policy.API{
			{ID: "orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example.com"}, Permissions: []string{"orders.read", "orders.write", "orders.delete"},
				Scopes: []policy.ScopeRule{{Scope: "All", Permissions: []string{"orders.*"}}}},
			{ID: "sealed", Audiences: []string{"aud"}, Hosts: []string{"sealed.example.com"}, RequireSNIMatch: true},
		},
		Routes: []policy.Route{
			route("health", "/healthz", policy.RequirePublic, "", "GET"),
			route("read", "/orders/{id}", policy.RequireAllOf, "orders.read", "GET"),
			route("write", "/orders/{id}", policy.RequireAllOf, "orders.write", "POST"),
			route("delete", "/orders/{id}", policy.RequireAllOf, "orders.delete", "DELETE"),
			route("slash", "/slash/", policy.RequirePublic, "", "GET"),
			route("batch", "/orders/all:batch", policy.RequireAllOf, "orders.delete", "GET"),
			{API: "sealed", ID: "open", Methods: []string{"GET"}, Template: "/open", Requirement: policy.RequirePublic},
		},
		Grants: []policy.Grant{grant("g-read", "orders.read"), grant("g-write", "orders.write")},
	}
}

func compile(t *testing.T, revision uint64) *policy.Snapshot {
	t.Helper()
	snap, err := policy.Compile(facts(revision), func(string) (policy.Condition, error) { return nil, errors.New("none here") })
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func newPDP(t *testing.T, s *source, r *recorder) *pdp.PDP {
	t.Helper()
	p, err := pdp.New(s, &verifier{}, &revocations{}, r, slog.New(slog.DiscardHandler), pdp.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ask makes a question out of "GET /path" with headers "name: value".
func ask(line string, headers ...string) *pdp.Question {
	method, target, _ := strings.Cut(line, " ")
	q := &pdp.Question{Door: "test", HTTP: &request.Raw{Method: method, Host: "orders.example.com", Target: target}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		q.HTTP.Headers = append(q.HTTP.Headers, request.Header{Name: name, Value: value})
	}
	return q
}

func with(q *pdp.Question, change func(q *pdp.Question)) *pdp.Question {
	change(q)
	return q
}

const good = "authorization: Bearer good"

func TestTheFirstStepThatFailsAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		ask    *pdp.Question
		change func(s *source)
		want   policy.Reason
		detail string // "" any
		rev    uint64
	}{
		"a malformed request, before the missing policy": {ask: ask("GET //orders/1", good), change: func(s *source) { s.snap = nil }, want: policy.RequestMalformed},
		"two credentials": {ask: ask("GET /orders/1", good, good), want: policy.HeaderAmbiguous},
		"no policy yet":   {ask: ask("GET /healthz"), change: func(s *source) { s.snap = nil }, want: policy.PolicyUnavailable},
		"a stale policy, even for a public route":                {ask: ask("GET /healthz"), change: func(s *source) { s.stale = true }, want: policy.PolicyStale},
		"an unknown host":                                        {ask: with(ask("GET /healthz"), func(q *pdp.Question) { q.HTTP.Host = "other.example.com" }), want: policy.APIUnknown, rev: 5},
		"an unknown api id, whatever the host":                   {ask: with(ask("GET /healthz"), func(q *pdp.Question) { q.API = "other" }), want: policy.APIUnknown, rev: 5},
		"no route, before the token":                             {ask: ask("GET /nowhere"), want: policy.RouteUnknown, rev: 5},
		"a trailing slash nobody asked for":                      {ask: ask("GET /orders/1/", good), want: policy.RequestMalformed, detail: "path: trailing slash", rev: 5},
		"a trailing slash the template has":                      {ask: ask("GET /slash/"), want: policy.AllowedPublic, rev: 5},
		"a public route, whatever the token":                     {ask: ask("GET /healthz", "authorization: Bearer bad"), want: policy.AllowedPublic, rev: 5},
		"no token":                                               {ask: ask("GET /orders/1"), want: policy.TokenMissing, rev: 5},
		"a token in the query alone is none":                     {ask: ask("GET /orders/1?access_token=good"), want: policy.TokenMissing, rev: 5},
		"a token in the query too":                               {ask: ask("GET /orders/1?access_token=good", good), want: policy.HeaderAmbiguous, rev: 5},
		"a token in the field and the header":                    {ask: with(ask("GET /orders/1", good), func(q *pdp.Question) { q.Token = "good" }), want: policy.HeaderAmbiguous, rev: 5},
		"a refused token":                                        {ask: ask("GET /orders/1", "authorization: Bearer bad"), want: policy.SignatureInvalid, detail: "signature: does not verify", rev: 5},
		"groups that are not known":                              {ask: ask("GET /orders/1", "authorization: Bearer overage"), want: policy.GroupsUnresolved, rev: 5},
		"a verifier that says nothing":                           {ask: ask("GET /orders/1", "authorization: Bearer nothing"), want: policy.Internal, rev: 5},
		"a panic inside":                                         {ask: ask("GET /orders/1", "authorization: Bearer panic"), want: policy.Internal},
		"a grant":                                                {ask: ask("GET /orders/1", good), want: policy.AllowedByGrant, rev: 5},
		"a bare token":                                           {ask: with(ask("GET /orders/1"), func(q *pdp.Question) { q.Token = "good" }), want: policy.AllowedByGrant, rev: 5},
		"no grant":                                               {ask: ask("DELETE /orders/1", good), want: policy.NoGrant, rev: 5},
		"an upgrade nobody allowed":                              {ask: ask("GET /orders/1", good, "connection: upgrade", "upgrade: websocket"), want: policy.UpgradeNotAllowed, rev: 5},
		"an overriding method that is not granted":               {ask: ask("POST /orders/1", good, "x-http-method-override: DELETE"), want: policy.NoGrant, rev: 5},
		"an overridden method that is not granted":               {ask: ask("DELETE /orders/1", good, "x-http-method-override: GET"), want: policy.NoGrant, rev: 5},
		"an overriding method without a route":                   {ask: ask("GET /healthz", "x-http-method-override: DELETE"), want: policy.RouteUnknown, rev: 5},
		"both methods granted":                                   {ask: ask("POST /orders/1", good, "x-http-method-override: GET"), want: policy.AllowedByGrant, rev: 5},
		"a server name that is another host":                     {ask: with(ask("GET /open"), func(q *pdp.Question) { q.HTTP.Host, q.SNI = "sealed.example.com", "orders.example.com" }), want: policy.RequestMalformed, rev: 5},
		"an unknown server name":                                 {ask: with(ask("GET /open"), func(q *pdp.Question) { q.HTTP.Host = "sealed.example.com" }), want: policy.RequestMalformed, rev: 5},
		"the right server name":                                  {ask: with(ask("GET /open"), func(q *pdp.Question) { q.HTTP.Host, q.SNI = "sealed.example.com", "Sealed.example.com" }), want: policy.AllowedPublic, rev: 5},
		"an escape that every reader of the path resolves alike": {ask: ask("GET /orders/a%40b", good), want: policy.AllowedByGrant, rev: 5},
		"an escape that hides a literal":                         {ask: ask("GET /orders/all%3Abatch", good), want: policy.RequestMalformed, detail: "path: its escapes change the route", rev: 5},
		"a permission":                                           {ask: &pdp.Question{API: "orders", Permission: "orders.read", Token: "good"}, want: policy.AllowedByGrant, rev: 5},
		"a permission nobody declared":                           {ask: &pdp.Question{API: "orders", Permission: "orders.fly", Token: "good"}, want: policy.PermissionUnknown, rev: 5},
		"a permission without an api":                            {ask: &pdp.Question{Permission: "orders.read", Token: "good"}, want: policy.APIUnknown, rev: 5},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := &source{snap: compile(t, 5)}, &recorder{}
			if tc.change != nil {
				tc.change(s)
			}
			a := newPDP(t, s, r).Decide(t.Context(), tc.ask)
			if a.Reason != tc.want || (tc.detail != "" && a.Detail != tc.detail) || a.Revision != tc.rev {
				t.Errorf("%s (%s) on %d, want %s on %d", a.Reason, a.Detail, a.Revision, tc.want, tc.rev)
			}
			if a.Allowed() != strings.HasPrefix(tc.want.String(), "ALLOWED") {
				t.Errorf("effect %s for %s", a.Effect, a.Reason)
			}
			if len(r.kept) != 1 || r.kept[0].ID != a.ID || r.kept[0].Allowed != a.Allowed() || r.kept[0].Reason != int16(a.Reason) {
				t.Errorf("recorded %+v", r.kept)
			}
		})
	}
}

func TestADecisionWithoutARecordIsNotGiven(t *testing.T) {
	for name, line := range map[string]string{"an allow": "GET /healthz", "a deny": "GET /nowhere"} {
		t.Run(name, func(t *testing.T) {
			a := newPDP(t, &source{snap: compile(t, 5)}, &recorder{err: errors.New("full")}).Decide(t.Context(), ask(line))
			if a.Allowed() || a.Reason != policy.AuditUnavailable {
				t.Errorf("%s %s", a.Effect, a.Reason)
			}
		})
	}
}

func TestMinRevisionIsWaitedFor(t *testing.T) {
	q := with(ask("GET /healthz"), func(q *pdp.Question) { q.MinRevision = 6 })
	a := newPDP(t, &source{snap: compile(t, 5), next: compile(t, 6)}, &recorder{}).Decide(t.Context(), q)
	if !a.Allowed() || a.Revision != 6 {
		t.Errorf("%s on %d", a.Reason, a.Revision)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	s := &source{snap: compile(t, 5)}
	a = newPDP(t, s, &recorder{}).Decide(ctx, q)
	if a.Allowed() || a.Reason != policy.RevisionNotReached {
		t.Errorf("%s", a.Reason)
	}
	if end, _ := ctx.Deadline(); end.Sub(s.until) != 10*time.Millisecond {
		t.Errorf("%s of the caller's deadline are left for the reply", end.Sub(s.until))
	}
}

func TestNothingIsBegunWithoutTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
	defer cancel()
	a := newPDP(t, &source{snap: compile(t, 5)}, &recorder{}).Decide(ctx, ask("GET /healthz"))
	if a.Allowed() || a.Reason != policy.DeadlineTooShort {
		t.Errorf("%s", a.Reason)
	}
}

func TestABatchIsDecidedOnOneRevision(t *testing.T) {
	s := &source{snap: compile(t, 5), next: compile(t, 6)}
	qs := []pdp.Question{*ask("GET /healthz"), *ask("GET /nowhere"), *ask("GET /orders/1", good)}
	qs[2].MinRevision = 6
	for i, a := range newPDP(t, s, &recorder{}).DecideAll(t.Context(), qs) {
		if a.Revision != 6 {
			t.Errorf("answer %d is on revision %d", i, a.Revision)
		}
	}
}

func TestTheRecordHoldsIDsAndNoSecrets(t *testing.T) {
	r := &recorder{}
	p := newPDP(t, &source{snap: compile(t, 5)}, r)
	p.Decide(t.Context(), ask("GET /orders/secret-id?code=secret-query", good, "x-request-id: req-1", "cookie: secret-cookie"))
	p.Decide(t.Context(), ask("GET /no/where?code=secret-query", good))
	p.Decide(t.Context(), ask("GET /no/%2e%2e/\x01?code=secret-query", good))
	d := r.kept[0]
	if d.PrincipalID != alice || d.TenantID != tid || d.ClientID != "client" || d.TokenID != "uti-1" || d.Template != "/orders/{id}" || d.Route != "read" ||
		d.Method != "GET" || d.Host != "orders.example.com" || d.RawPath != "" || d.RequestID != "req-1" || !slices.Equal(d.Grants, []string{"g-read"}) ||
		!slices.Equal(d.Permissions, []string{"orders.read"}) || d.Door != "test" {
		t.Errorf("record %+v", d)
	}
	if got := r.kept[1].RawPath; got != "/no/where" {
		t.Errorf("a path without a route is kept as %q", got)
	}
	if got := r.kept[2]; got.RawPath == "" || strings.ContainsRune(got.RawPath, 1) || got.Method != "" {
		t.Errorf("a malformed path is kept as %+v", got)
	}
	for _, d := range r.kept {
		all := strings.Join(append([]string{d.RawPath, d.Detail, d.Host, d.Template, d.RequestID, d.Resource}, d.Permissions...), " ")
		for _, secret := range []string{"secret-query", "secret-cookie", "good", "Alice"} {
			if strings.Contains(all, secret) {
				t.Errorf("%q is in the record %+v", secret, d)
			}
		}
	}
}

func TestAnAnswerHoldsNoLongerThanTheToken(t *testing.T) {
	a := newPDP(t, &source{snap: compile(t, 5)}, &recorder{}).Decide(t.Context(), ask("GET /orders/1", good))
	if !a.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("until %v", a.Until)
	}
	a = newPDP(t, &source{snap: compile(t, 5)}, &recorder{}).Decide(t.Context(), ask("POST /orders/1", good, "x-http-method-override: GET"))
	if !a.Until.IsZero() || !slices.Equal(a.Grants, []string{"g-read", "g-write"}) {
		t.Errorf("two verbs: until %v, grants %v", a.Until, a.Grants)
	}
}

func TestPermissionsOfACaller(t *testing.T) {
	r := &recorder{}
	p := newPDP(t, &source{snap: compile(t, 5)}, r)
	held, conditional, a := p.Permissions(t.Context(), &pdp.Question{API: "orders", Token: "good"})
	if !a.Allowed() || !slices.Equal(held, []string{"orders.read", "orders.write"}) || len(conditional) > 0 || len(r.kept) != 1 {
		t.Errorf("%v %v %+v", held, conditional, a)
	}
	held, _, a = p.Permissions(t.Context(), &pdp.Question{API: "orders", Token: "bad"})
	if a.Allowed() || len(held) > 0 || a.Reason != policy.SignatureInvalid {
		t.Errorf("%v %+v", held, a)
	}
}
