package credentials_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/access"
	"github.com/verdict-authz/verdict/server/call"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	tid     = "11111111-1111-4111-8111-111111111111"
	aliceID = "bbbbbbbb-0001-4000-8000-000000000001"
	client  = "33333333-3333-4333-8333-333333333333"

	tokenCanary  = "CANARY-of-the-token"
	secretCanary = "CANARY-of-the-secret-key"
	sessionMark  = "CANARY-of-the-session-token"
	keyIDCanary  = "CANARYKEYID"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// The operator's file of these tests.
const rolesFile = `
api: aws
roles:
  reader:
    role_arn: arn:aws:iam::123456789012:role/reader
    description: Read the reports
    max_duration: 1h
    tags: {principal: "{principal.id}", cost-centre: "{alias}/4711"}
    transitive_tag_keys: [principal]
    policy: |
      {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::reports/{principal.tenant}/{principal.id}/${aws:PrincipalTag/team}/*"}]}
    policy_arns: [arn:aws:iam::aws:policy/ReadOnlyAccess]
  deployer:
    role_arn: arn:aws:iam::123456789012:role/ci/deployer
    action: web_identity
    max_duration: 12h
    region: eu-central-1
  guarded: {role_arn: "arn:aws:iam::123456789012:role/guarded"}
  barred: {role_arn: "arn:aws:iam::123456789012:role/barred"}
  nobodys: {role_arn: "arn:aws:iam::123456789012:role/nobodys"}
  forbidden: {role_arn: "arn:aws:iam::123456789012:role/forbidden"}
  undeclared: {role_arn: "arn:aws:iam::123456789012:role/undeclared"}
`

// The policy of these tests: alice may have reader, deployer and what the file has not (orphan), and guarded when the
// condition holds.
func snapshot(t *testing.T) *policy.Snapshot {
	t.Helper()
	alice := "user:" + tid + "/" + aliceID
	snap, err := policy.Compile(policy.Facts{
		Revision: 7,
		APIs: []policy.API{{
			ID: "aws", Audiences: []string{"aud"}, Scopes: []policy.ScopeRule{{Scope: "All", Permissions: []string{"assume.*"}}},
			Permissions: []string{"assume.reader", "assume.deployer", "assume.orphan", "assume.guarded", "assume.barred", "assume.nobodys", "assume.forbidden"},
		}},
		Grants: []policy.Grant{
			{ID: "g-some", API: "aws", Subject: alice, Permissions: []string{"assume.reader", "assume.deployer", "assume.orphan"}, Effect: policy.Allow},
			{ID: "g-guarded", API: "aws", Subject: alice, Permissions: []string{"assume.guarded"}, Effect: policy.Allow, Condition: `resource.id.endsWith(":role/guarded")`},
			{ID: "g-barred", API: "aws", Subject: alice, Permissions: []string{"assume.barred"}, Effect: policy.Allow, Condition: `resource.id == "another"`},
			{ID: "g-forbidden", API: "aws", Subject: alice, Permissions: []string{"assume.forbidden"}, Effect: policy.Deny},
			{ID: "g-app", API: "aws", Subject: "app:" + tid + "/" + client, Permissions: []string{"assume.reader"}, Effect: policy.Allow},
		},
	}, condition.Compile)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

type source struct{ snap *policy.Snapshot }

func (s source) Current() *policy.Snapshot             { return s.snap }
func (s source) Stale(time.Time) bool                  { return false }
func (s source) WaitFor(context.Context, uint64) error { return nil }

// verifier accepts alice's and an application's token.
type verifier struct{}

func (verifier) Verify(_ context.Context, token string, _ entra.Expect) (*entra.Token, entra.Refusal) {
	p := policy.Principal{Kind: policy.PrincipalUser, TenantID: tid, ObjectID: aliceID, ClientID: client, Scopes: []string{"All"}}
	switch {
	case strings.HasPrefix(token, "app"):
		p = policy.Principal{Kind: policy.PrincipalApp, TenantID: tid, ObjectID: client, ClientID: client}
	case !strings.HasPrefix(token, tokenCanary):
		return nil, entra.Refusal{Reason: policy.TokenExpired, Detail: "exp"}
	}
	return &entra.Token{Principal: p, DisplayName: "Alice", ExpiresAt: now.Add(time.Hour)}, entra.Refusal{}
}

type revocations struct{}

func (revocations) Check(revocation.Facts) (*store.Revocation, bool) { return nil, true }
func (revocations) Stale(time.Time) bool                             { return false }

// recorder keeps records.
type recorder struct {
	mu   sync.Mutex
	kept []store.Decision
}

func (r *recorder) Record(d store.Decision, _ policy.Keeping) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, d)
	return nil
}

// sts gives out what it holds, and keeps what it was asked.
type sts struct {
	issued credentials.Issued
	err    error
	wait   bool // until the context ends

	asked  []credentials.Session
	tokens []secret.Value
}

func (s *sts) Assume(ctx context.Context, session *credentials.Session, token secret.Value) (credentials.Issued, error) {
	s.asked, s.tokens = append(s.asked, *session), append(s.tokens, token)
	if s.wait {
		<-ctx.Done()
		return credentials.Issued{}, credentials.ErrUnavailable
	}
	return s.issued, s.err
}

func good() credentials.Issued {
	return credentials.Issued{
		AccessKeyID: keyIDCanary, SecretAccessKey: secret.NewValue([]byte(secretCanary)), SessionToken: secret.NewValue([]byte(sessionMark)),
		ExpiresAt: now.Add(15 * time.Minute), ARN: "arn:aws:sts::123456789012:assumed-role/reader/x", PackedPolicyPercent: 12,
	}
}

// world is the service behind a gRPC server, as server has it, with everything behind it but STS.
type world struct {
	verdictv1.CredentialsServiceClient
	sts      *sts
	recorder *recorder
	log      bytes.Buffer
	clock    time.Time
	service  *credentials.Server
}

func load(t *testing.T, content string) *credentials.Roles {
	t.Helper()
	roles, err := credentials.LoadRoles(write(t, "roles.yaml", content))
	if err != nil {
		t.Fatal(err)
	}
	return roles
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fixed answers with one answer.
type fixed struct{ answer pdp.Answer }

func (f fixed) Decide(context.Context, *pdp.Question) pdp.Answer { return f.answer }
func (f fixed) DecideAll(_ context.Context, qs []pdp.Question) []pdp.Answer {
	return make([]pdp.Answer, len(qs))
}
func (f fixed) Permissions(context.Context, *pdp.Question) (held, conditional []string, a pdp.Answer) {
	return nil, nil, f.answer
}

// respond is the decision service's own translation, by way of its Check.
func respond(a *pdp.Answer) *verdictv1.CheckResponse {
	s, err := access.New(fixed{*a}, access.Config{MaxTTL: time.Hour})
	if err != nil {
		panic(err)
	}
	resp, err := s.Check(context.Background(), &verdictv1.CheckRequest{})
	if err != nil {
		panic(err)
	}
	return resp
}

func newWorld(t *testing.T, cfg credentials.Config) *world {
	t.Helper()
	w := &world{sts: &sts{issued: good()}, recorder: &recorder{}, clock: now}
	log := slog.New(slog.NewJSONHandler(&w.log, nil))
	decider, err := pdp.New(source{snapshot(t)}, verifier{}, revocations{}, w.recorder, log, pdp.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Region, cfg.Now = "eu-west-1", func() time.Time { return w.clock }
	if w.service, err = credentials.New(decider, w.sts, load(t, rolesFile), respond, log, cfg); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, c := call.With(ctx)
		resp, err := next(ctx, req)
		attrs := c.Attrs()
		if err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
		}
		log.LogAttrs(ctx, slog.LevelInfo, "call", attrs...)
		return resp, status.FromError(err)
	}))
	verdictv1.RegisterCredentialsServiceServer(s, w.service)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(lis)
	}()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		<-done
	})
	w.CredentialsServiceClient = verdictv1.NewCredentialsServiceClient(conn)
	return w
}
