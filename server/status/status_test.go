package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// The closed list exists in four places that a reader meets: the proto, the engine, this table and the page.
func TestEveryReasonIsKnownEverywhere(t *testing.T) {
	page, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := policy.Reasons()
	if got, want := len(reasons), len(verdictv1.Reason_name)-1; got != want {
		t.Errorf("the engine has %d reasons, the proto %d", got, want)
	}
	for _, r := range reasons {
		t.Run(r.String(), func(t *testing.T) {
			if got := verdictv1.Reason(r).String(); got != "REASON_"+r.String() {
				t.Errorf("number %d is %s in the proto", r, got)
			}
			rule := status.Of(r)
			if rule.Title == "" || rule.Detail == "" || rule.HTTP == 0 {
				t.Errorf("no complete rule: %+v", rule)
			}
			if r != policy.Internal && rule == status.Of(policy.Internal) {
				t.Error("has no rule of its own")
			}
			allow := strings.HasPrefix(r.String(), "ALLOWED")
			if (rule.HTTP == 200) != allow {
				t.Errorf("HTTP %d", rule.HTTP)
			}
			section := regexp.MustCompile(`(?m)^## ` + r.String() + `\n\nHTTP ` + fmt.Sprint(rule.HTTP))
			if !section.Match(page) {
				t.Errorf("docs/reasons.md has no section %q that begins with HTTP %d", r, rule.HTTP)
			}
			if code := status.Code(r, false); !strings.Contains(string(page), "\n## "+code+"\n") {
				t.Errorf("docs/reasons.md has no section for the public code %s", code)
			}
		})
	}
}

func TestErrorsBecomeCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		code   codes.Code
		reason string
		text   string // exact; "" any
	}{
		"a lost race is aborted":                        {fmt.Errorf("commit: %w", store.ErrConflict), codes.Aborted, "REVISION_CONFLICT", "commit: changed meanwhile"},
		"an outage does not tell its cause":             {fmt.Errorf("dial 10.1.2.3: %w", store.ErrUnavailable), codes.Unavailable, "STORE_UNAVAILABLE", "the store cannot be reached; try again, and see the log of verdict for the cause"},
		"what is unknown is internal and tells nothing": {errors.New("secret cause"), codes.Internal, "INTERNAL", "a fault inside verdict; its log has the cause"},
		"a missing fact is not found":                   {store.ErrNotFound, codes.NotFound, "NOT_FOUND", ""},
		"a taken id exists already":                     {store.ErrExists, codes.AlreadyExists, "ALREADY_EXISTS", ""},
		"what others need cannot go":                    {store.ErrReferenced, codes.FailedPrecondition, "STILL_REFERENCED", ""},
		"a deadline is a deadline":                      {fmt.Errorf("load: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := grpcstatus.FromError(status.FromError(tc.err))
			if s.Code() != tc.code {
				t.Errorf("code %s, want %s", s.Code(), tc.code)
			}
			if tc.text != "" && s.Message() != tc.text {
				t.Errorf("text %q, want %q", s.Message(), tc.text)
			}
			info, ok := s.Details()[0].(*errdetails.ErrorInfo)
			if !ok || info.GetReason() != tc.reason || info.GetDomain() != "verdict.v1" {
				t.Errorf("details %v, want reason %s", s.Details(), tc.reason)
			}
		})
	}
	if status.FromError(nil) != nil {
		t.Error("no error became one")
	}
}

func TestViolationsNameEachField(t *testing.T) {
	err := status.FromError(fmt.Errorf("apply: %w", status.Invalid(
		status.Violation{Field: "policy.routes[3].template", Text: "is a catch-all"},
		status.Violation{Field: "policy.grants[0].subject", Text: "is malformed"})))
	s, _ := grpcstatus.FromError(err)
	if s.Code() != codes.InvalidArgument || s.Message() != "policy.routes[3].template: is a catch-all (and 1 more)" {
		t.Fatalf("%s: %s", s.Code(), s.Message())
	}
	bad, ok := s.Details()[0].(*errdetails.BadRequest)
	if !ok || len(bad.GetFieldViolations()) != 2 || bad.GetFieldViolations()[1].GetField() != "policy.grants[0].subject" {
		t.Errorf("details %v", s.Details())
	}
}

func TestChallenges(t *testing.T) {
	for name, tc := range map[string]struct {
		in   status.Refusal
		want string
	}{
		"no credential has no error attribute":            {status.Refusal{Reason: policy.TokenMissing}, `Bearer realm="verdict"`},
		"two credentials are an invalid request":          {status.Refusal{Reason: policy.HeaderAmbiguous}, `Bearer realm="verdict", error="invalid_request", error_description="More than one credential"`},
		"a forged token does not learn why":               {status.Refusal{Reason: policy.SignatureInvalid}, `Bearer realm="verdict", error="invalid_token", error_description="Token not accepted"`},
		"unless verbose":                                  {status.Refusal{Reason: policy.SignatureInvalid, Verbose: true}, `Bearer realm="verdict", error="invalid_token", error_description="SIGNATURE_INVALID"`},
		"an expired token is told":                        {status.Refusal{Reason: policy.TokenExpired}, `Bearer realm="verdict", error="invalid_token", error_description="Token expired"`},
		"a missing scope is named":                        {status.Refusal{Reason: policy.ScopeInsufficient, Scopes: []string{"A", `B"\`}}, `Bearer realm="verdict", error="insufficient_scope", scope="A B"`},
		"a missing grant cannot be mended by a new token": {status.Refusal{Reason: policy.NoGrant}, ``},
		"an outage says nothing of the token":             {status.Refusal{Reason: policy.KeysUnavailable}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(status.Challenges(tc.in), "\n"); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestProblemTellsWhoAndWhat(t *testing.T) {
	body := status.Problem(status.Refusal{
		Reason: policy.NoGrant, DecisionID: "0190-1", Kind: policy.PrincipalUser, Name: `Bob "B" <b>`, TenantID: "t", ObjectID: "o",
		Missing: []string{"orders.write"},
	})
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"type": "https://github.com/verdict-authz/verdict/blob/main/docs/reasons.md#no_grant", "code": "NO_GRANT",
		"status": 403.0, "decision_id": "0190-1", "instance": "urn:uuid:0190-1", "retryable": false,
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	principal, _ := got["principal"].(map[string]any)
	if principal["name"] != `Bob "B" <b>` || principal["kind"] != "user" || principal["id"] != "o" {
		t.Errorf("principal %v", principal)
	}
	if missing, _ := got["missing"].([]any); len(missing) != 1 || missing[0] != "orders.write" {
		t.Errorf("missing %v", got["missing"])
	}
}
