package verdictclient_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/proto/verdictclient"
)

// What the guide tells people to copy lets in whom verdict lets in, and nobody else.
func TestTheFunctionOfTheGuide(t *testing.T) {
	for name, tc := range map[string]struct {
		authorization string
		answer        *verdictv1.CheckResponse
		err           error
		status        int
		body          string
		asked         int64
	}{
		"who is allowed gets the report": {
			authorization: "bearer t", status: 200, body: "a report for oid-1", asked: 1,
			answer: &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW, Principal: &verdictv1.Principal{ObjectId: "oid-1"}},
		},
		"who is refused learns why": {
			authorization: "Bearer t", status: 403, body: "no grant; decision d-1", asked: 1,
			answer: &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_DENY, HttpStatus: 403, Detail: "no grant", DecisionId: "d-1"},
		},
		"an answer without an effect is a refusal": {
			authorization: "Bearer t", status: 500, body: "; decision ", asked: 1, answer: &verdictv1.CheckResponse{HttpStatus: 500},
		},
		"where nothing was decided nobody is let in": {authorization: "Bearer t", status: 503, err: status.Error(codes.Internal, "x"), asked: 1},
		"without a token verdict is not asked":       {status: 401},
		"nor with another scheme":                    {authorization: "Basic t", status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := stub{answer: func(_ context.Context, req *verdictv1.CheckRequest) (*verdictv1.CheckResponse, error) {
				if req.GetToken() != "t" || req.GetApi() != "orders" || req.GetPermission().GetName() != "reports.run" {
					t.Errorf("asked %v", req)
				}
				return tc.answer, tc.err
			}}
			f := &reports{verdict: dial(t, verdictclient.Config{Target: serve(t, &s), Timeout: 5 * time.Second})}
			got, err := f.handle(t.Context(), event{Headers: map[string]string{"authorization": tc.authorization}})
			if err != nil || got.StatusCode != tc.status || got.Body != tc.body || s.asked.Load() != tc.asked {
				t.Errorf("answers %+v %v after %d questions, want %d %q", got, err, s.asked.Load(), tc.status, tc.body)
			}
		})
	}
}

// The guide has the example letter by letter, from the function's type to its last line.
func TestTheGuideHasTheExample(t *testing.T) {
	guide, err := os.ReadFile("../../docs/aws-lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// reports is")
	code, _, _ = strings.Cut(code, "// A Lambda function without a gateway")
	_, block, _ := strings.Cut(string(guide), "```go\n")
	block, _, _ = strings.Cut(block, "```")
	if want := "// reports is" + code; code == "" || !strings.Contains(block, strings.TrimSpace(want)) {
		t.Error("docs/aws-lambda.md does not have the code of example_test.go; copy it there")
	}
}
