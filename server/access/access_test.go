package access_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/access"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// decider answers with what it holds and keeps the questions.
type decider struct {
	answer pdp.Answer
	asked  []pdp.Question
}

func (d *decider) Decide(_ context.Context, q *pdp.Question) pdp.Answer {
	d.asked = append(d.asked, *q)
	return d.answer
}

func (d *decider) DecideAll(ctx context.Context, qs []pdp.Question) []pdp.Answer {
	answers := make([]pdp.Answer, len(qs))
	for i := range qs {
		answers[i] = d.Decide(ctx, &qs[i])
	}
	return answers
}

func (d *decider) Permissions(ctx context.Context, q *pdp.Question) (held, conditional []string, a pdp.Answer) {
	return []string{"a"}, []string{"b"}, d.Decide(ctx, q)
}

func newDoor(t *testing.T, d *decider, cfg access.Config) *access.Server {
	t.Helper()
	s, err := access.New(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnAnswerIsKeptNoLongerThanItHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		until time.Time
		most  time.Duration
		want  time.Duration
	}{
		"not at all unless the operator says so": {now.Add(time.Hour), 0, 0},
		"as long as the operator says":           {now.Add(time.Hour), time.Minute, time.Minute},
		"not beyond the token or a grant":        {now.Add(10 * time.Second), time.Minute, 10 * time.Second},
		"not when it holds for one question":     {time.Time{}, time.Minute, 0},
		"not when that is over":                  {now.Add(-time.Second), time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &decider{answer: pdp.Answer{Effect: policy.Allow, Reason: policy.AllowedByGrant, At: now, Until: tc.until}}
			resp, err := newDoor(t, d, access.Config{MaxTTL: tc.most}).Check(t.Context(), &verdictv1.CheckRequest{})
			if err != nil || resp.GetTtl().AsDuration() != tc.want {
				t.Errorf("%v %v, want %s", resp.GetTtl(), err, tc.want)
			}
		})
	}
}

func TestAQuestionTakesTheTokenOfItsBatchOnlyWithoutOneOfItsOwn(t *testing.T) {
	http := func(headers ...*verdictv1.Header) *verdictv1.CheckRequest_Http {
		return &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Headers: headers}}
	}
	permission := &verdictv1.CheckRequest_Permission{Permission: &verdictv1.PermissionRequest{Name: "p"}}
	d := &decider{}
	_, err := newDoor(t, d, access.Config{}).BatchCheck(t.Context(), &verdictv1.BatchCheckRequest{Token: "shared", Checks: []*verdictv1.CheckRequest{
		{Question: http()}, {Question: http(), Token: "own"}, {Question: http(&verdictv1.Header{Name: "AUTHORIZATION", Value: []byte("Bearer own")})},
		{Question: permission}, {Question: permission, Token: "own"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"shared", "own", "", "shared", "own"} {
		if d.asked[i].Token != want {
			t.Errorf("question %d has token %q, want %q", i, d.asked[i].Token, want)
		}
	}
}

func TestTheResponseTellsWhatTheAskerMayPassOn(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  pdp.Answer
		verbose bool
		http    int32
		detail  string
		headers int
	}{
		"an allow has no challenge":           {pdp.Answer{Effect: policy.Allow, Reason: policy.AllowedByGrant}, false, 200, "A grant carries the permission.", 0},
		"a forged token does not learn why":   {pdp.Answer{Reason: policy.SignatureInvalid, Detail: "signature: wrong"}, false, 401, "The access token was not accepted. Sign in again for a token of this API; if it persists, give the decision id to whoever runs verdict.", 1},
		"a malformed request is told":         {pdp.Answer{Reason: policy.RequestMalformed, Detail: "path: dot segment"}, false, 400, "The method, host, path or a header is not in canonical form. Send the path without dot segments, double slashes, encoded separators or a trailing slash. (path: dot segment)", 0},
		"verbose tells the check that failed": {pdp.Answer{Reason: policy.TokenExpired, Detail: "exp"}, true, 401, "Request a fresh token. (exp)", 1},
	} {
		t.Run(name, func(t *testing.T) {
			tc.answer.Caller = &entra.Token{DisplayName: "Alice", Principal: policy.Principal{Kind: policy.PrincipalUser, TenantID: "t", ObjectID: "o", ClientID: "c"}}
			resp, err := newDoor(t, &decider{answer: tc.answer}, access.Config{Verbose: tc.verbose}).Check(t.Context(), &verdictv1.CheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetHttpStatus() != tc.http || resp.GetDetail() != tc.detail || len(resp.GetWwwAuthenticate()) != tc.headers {
				t.Errorf("got %v", resp)
			}
			if (resp.GetEffect() == verdictv1.Effect_EFFECT_ALLOW) != (tc.answer.Effect == policy.Allow) || resp.GetReason() != verdictv1.Reason(tc.answer.Reason) {
				t.Errorf("effect %s, reason %s", resp.GetEffect(), resp.GetReason())
			}
			if p := resp.GetPrincipal(); p.GetKind() != verdictv1.PrincipalKind_PRINCIPAL_KIND_USER || p.GetDisplayName() != "Alice" || p.GetTenantId() != "t" || p.GetObjectId() != "o" || p.GetClientId() != "c" {
				t.Errorf("principal %v", p)
			}
		})
	}
}

func TestPermittedRoutesAreAskedForOneRequestAtATime(t *testing.T) {
	http := &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET"}}
	permission := &verdictv1.CheckRequest_Permission{Permission: &verdictv1.PermissionRequest{Name: "p"}}
	for name, tc := range map[string]struct {
		ask  func(s *access.Server) error
		want []string // fields; none: it is taken
	}{
		"a request": {ask: func(s *access.Server) error {
			_, err := s.Check(t.Context(), &verdictv1.CheckRequest{Question: http, IncludePermittedRoutes: true})
			return err
		}},
		"a permission has no routes": {func(s *access.Server) error {
			_, err := s.Check(t.Context(), &verdictv1.CheckRequest{Question: permission, IncludePermittedRoutes: true})
			return err
		}, []string{"include_permitted_routes"}},
		"a batch would cost too much": {func(s *access.Server) error {
			_, err := s.BatchCheck(t.Context(), &verdictv1.BatchCheckRequest{Checks: []*verdictv1.CheckRequest{
				{Question: http}, {Question: http, IncludePermittedRoutes: true}, {Question: permission, IncludePermittedRoutes: true},
			}})
			return err
		}, []string{"checks[1].include_permitted_routes", "checks[2].include_permitted_routes"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &decider{}
			err := tc.ask(newDoor(t, d, access.Config{}))
			var invalid *status.InvalidError
			var fields []string
			if errors.As(err, &invalid) {
				for _, v := range invalid.Violations {
					fields = append(fields, v.Field)
				}
			}
			if (err == nil) != (tc.want == nil) || !slices.Equal(fields, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			switch {
			case tc.want != nil && len(d.asked) > 0:
				t.Error("something was decided all the same")
			case tc.want == nil && (len(d.asked) != 1 || !d.asked[0].Permitted):
				t.Errorf("asked %+v", d.asked)
			}
		})
	}
}

func TestPermittedRoutesAreToldAsAGatewayNeedsThem(t *testing.T) {
	snap, err := policy.Compile(policy.Facts{Revision: 1, APIs: []policy.API{{ID: "a", Audiences: []string{"aud"}}}, Routes: []policy.Route{
		{API: "a", ID: "open", Methods: []string{"GET", "HEAD"}, Template: "/x/{id}", Requirement: policy.RequirePublic},
		{API: "a", ID: "talk", Methods: []string{"GET"}, Template: "/talk", Requirement: policy.RequirePublic, Upgrade: "websocket"},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := snap.APIByID("a").Routes()
	answer := pdp.Answer{Reason: policy.NoGrant, At: now, Permitted: &pdp.Permitted{Routes: all[:1], Refused: all[1:], Until: now.Add(20 * time.Second)}}
	resp, err := newDoor(t, &decider{answer: answer}, access.Config{MaxTTL: time.Minute}).Check(t.Context(), &verdictv1.CheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &verdictv1.PermittedRoutes{
		Permitted: []*verdictv1.PermittedRoute{{Id: "open", Methods: []string{"GET", "HEAD"}, Template: "/x/{id}"}},
		Refused:   []*verdictv1.PermittedRoute{{Id: "talk", Methods: []string{"GET"}, Template: "/talk", Upgrade: "websocket"}},
		Ttl:       durationpb.New(20 * time.Second),
	}
	if got := resp.GetPermittedRoutes(); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if resp.GetTtl() != nil {
		t.Errorf("the answer itself holds for one question only, and has a ttl of %s", resp.GetTtl().AsDuration())
	}
	resp, err = newDoor(t, &decider{answer: answer}, access.Config{}).Check(t.Context(), &verdictv1.CheckRequest{})
	if err != nil || resp.GetPermittedRoutes().GetTtl() != nil {
		t.Errorf("kept for %v though the operator lets nothing be kept: %v", resp.GetPermittedRoutes().GetTtl(), err)
	}
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	if _, err := access.New(nil, access.Config{}); err == nil {
		t.Error("no decider was taken")
	}
	if _, err := access.New(&decider{}, access.Config{MaxTTL: -1}); err == nil {
		t.Error("a negative time was taken")
	}
}
