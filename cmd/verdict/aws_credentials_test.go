package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

const (
	awsToken  = "aaaa.CANARY-token.cccc"
	awsSecret = "CANARY/secret+<>&="
)

// fakeCredentials answers by hand, and keeps what it was asked last.
type fakeCredentials struct {
	verdictv1.UnimplementedCredentialsServiceServer
	decision *verdictv1.CheckResponse // nil: allow
	empty    bool                     // an allow without credentials
	err      error
	asked    proto.Message
}

func (f *fakeCredentials) answer(req proto.Message) (*verdictv1.CheckResponse, error) {
	f.asked = proto.Clone(req)
	if f.decision != nil {
		return f.decision, f.err
	}
	return &verdictv1.CheckResponse{Effect: verdictv1.Effect_EFFECT_ALLOW, DecisionId: auditID(1), Grants: []string{"g-1"}}, f.err
}

func (f *fakeCredentials) Issue(_ context.Context, req *verdictv1.IssueRequest) (*verdictv1.IssueResponse, error) {
	d, err := f.answer(req)
	if err != nil || f.decision != nil || f.empty {
		return &verdictv1.IssueResponse{Decision: d}, err
	}
	return &verdictv1.IssueResponse{Decision: d, Credentials: &verdictv1.AwsCredentials{
		AccessKeyId: "ASIA1", SecretAccessKey: awsSecret, SessionToken: "session", ExpiresAt: timestamppb.New(auditTime.Add(1500 * time.Millisecond)),
	}}, nil
}

func (f *fakeCredentials) Explain(_ context.Context, req *verdictv1.ExplainRequest) (*verdictv1.ExplainResponse, error) {
	d, err := f.answer(req)
	return &verdictv1.ExplainResponse{Decision: d, Session: &verdictv1.AwsSession{
		Action: "AssumeRole", RoleArn: "arn:aws:iam::123456789012:role/r", Region: "eu-west-1", Duration: durationpb.New(15 * time.Minute),
		SessionName: auditID(1), SourceIdentity: "o", Tags: map[string]string{"b": "2", "a": "\x1b[31m"}, Policy: `{"Version":"2012-10-17"}`, PolicyArns: []string{"arn:aws:iam::aws:policy/A"},
	}}, err
}

func (f *fakeCredentials) ListTargets(_ context.Context, req *verdictv1.ListTargetsRequest) (*verdictv1.ListTargetsResponse, error) {
	d, err := f.answer(req)
	return &verdictv1.ListTargetsResponse{Decision: d, Targets: []*verdictv1.Target{
		{Alias: "reader", Description: "Read reports", MaxDuration: durationpb.New(time.Hour)}, {Alias: "x", MaxDuration: durationpb.New(15 * time.Minute)},
	}}, err
}

// serveCredentials serves f on a loopback address until the test ends; without f it is a verdict that has no roles file.
func serveCredentials(t *testing.T, f *fakeCredentials, opts ...grpc.ServerOption) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	if f != nil {
		verdictv1.RegisterCredentialsServiceServer(s, f)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(lis)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return lis.Addr().String()
}

// askAWS runs the command with args.
func askAWS(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var c struct {
		AWSCredentials awsCredentialsCmd `cmd:"" name:"aws-credentials"`
	}
	parser, err := kong.New(&c, kong.Name("verdict"), kong.DefaultEnvars(prefix))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append([]string{"aws-credentials"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = parsed.Run(&surroundings{ctx: ctx, stdout: &out, log: slog.New(slog.DiscardHandler)})
	return out.String(), err
}

func tokenFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWSCredentialsPrintsWhatACredentialProcessMust(t *testing.T) {
	f := &fakeCredentials{}
	out, err := askAWS(t, "--server", serveCredentials(t, f), "--alias", "reader", "--duration", "30m", "--token-file", tokenFile(t, awsToken+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"` + awsSecret + `","SessionToken":"session","Expiration":"2026-11-21T10:05:01Z"}` + "\n"
	if out != want || !json.Valid([]byte(out)) {
		t.Errorf("%s\n%s", out, want)
	}
	if !proto.Equal(f.asked, &verdictv1.IssueRequest{Token: awsToken, Alias: "reader", Duration: durationpb.New(30 * time.Minute)}) {
		t.Errorf("asked %v", f.asked)
	}
}

func TestAWSCredentialsTakesATokenFromWhereItIs(t *testing.T) {
	az := `{"accessToken": "` + awsToken + `", "expiresOn": "2026-11-21"}`
	for name, tc := range map[string]struct {
		args []string
		want string // of the error; "": none
	}{
		"a file":                       {[]string{"--token-file", tokenFile(t, " "+awsToken+"\r\n")}, ""},
		"a file as az writes it":       {[]string{"--token-file", tokenFile(t, az)}, ""},
		"a file of a token endpoint":   {[]string{"--token-file", tokenFile(t, strings.Replace(az, "accessToken", "access_token", 1))}, ""},
		"a command":                    {[]string{"--token-command", "echo  " + awsToken}, ""},
		"a command that prints JSON":   {[]string{"--token-command", "cat '" + tokenFile(t, az) + "'"}, ""},
		"a command is no script":       {[]string{"--token-command", "echo a.b.c; echo CANARY"}, "--token-command: no access token there"},
		"a command that fails":         {[]string{"--token-command", "false"}, "--token-command: false: exit status 1"},
		"a command that is not there":  {[]string{"--token-command", "/nonexistent/az x"}, "--token-command: /nonexistent/az:"},
		"a command that prints no end": {[]string{"--token-command", "head -c 1000000 /dev/zero"}, "no access token there"},
		"a command that does not end":  {[]string{"--token-command", "sleep 20", "--timeout", "200ms"}, "sleep did not end in time"},
		"a file that is not there":     {[]string{"--token-file", "/nonexistent/token"}, "--token-file: open"},
		"a file of something else":     {[]string{"--token-file", tokenFile(t, "CANARY of something else")}, "no access token there; it has three parts"},
		"JSON of something else":       {[]string{"--token-file", tokenFile(t, `{"CANARY": "CANARY"}`)}, "no access token there"},
		"what only begins like JSON":   {[]string{"--token-file", tokenFile(t, `{CANARY`)}, "neither a token nor JSON that has one"},
		"nowhere":                      {nil, "--token-file, --token-command: give one of them"},
		"two places":                   {[]string{"--token-file", "x", "--token-command", "y"}, "give one of them"},
		"a command with half a quote":  {[]string{"--token-command", "echo 'x"}, "a quote that does not end"},
		"a command of nothing":         {[]string{"--token-command", "''"}, "no command"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeCredentials{}
			out, err := askAWS(t, append([]string{"--server", serveCredentials(t, f), "--alias", "reader"}, tc.args...)...)
			switch {
			case tc.want == "":
				if req, ok := f.asked.(*verdictv1.IssueRequest); err != nil || !ok || req.GetToken() != awsToken || req.GetDuration() != nil {
					t.Errorf("%v, asked %v", err, f.asked)
				}
			case err == nil || !strings.Contains(err.Error(), tc.want) || out != "" || f.asked != nil:
				t.Errorf("%v; printed %q, asked %v", err, out, f.asked)
			}
			if strings.Contains(fmt.Sprint(err), "CANARY") {
				t.Errorf("what was read is in %v", err)
			}
		})
	}
}

func TestAWSCredentialsSaysWhatToDoAboutARefusal(t *testing.T) {
	noGrant := &verdictv1.CheckResponse{
		Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_NO_GRANT, Detail: "No grant gives you the missing permission.",
		MissingPermissions: []string{"assume.reader"}, DecisionId: auditID(1),
	}
	stronger := &verdictv1.CheckResponse{
		Reason: verdictv1.Reason_REASON_AUTH_CONTEXT_REQUIRED, Detail: "Sign in again.", RequiredAuthContext: "c3", DecisionId: auditID(2),
		Principal:       &verdictv1.Principal{TenantId: auditTenant},
		WwwAuthenticate: []string{`Bearer realm="x", error="insufficient_claims", claims="eyJhIjoxfQ=="`, `Bearer error="insufficient_user_authentication"`},
	}
	for _, mode := range []string{"", "--explain"} {
		for name, tc := range map[string]struct {
			fake *fakeCredentials
			want []string // in the error
		}{
			"no grant": {&fakeCredentials{decision: noGrant}, []string{
				"refused: No grant gives you the missing permission. (NO_GRANT)\nmissing permission: assume.reader\ndecision: " + auditID(1),
			}},
			"a stronger sign-in": {&fakeCredentials{decision: stronger}, []string{
				"(AUTH_CONTEXT_REQUIRED)", "authentication context: c3", "sign in again: az login --tenant " + auditTenant + " --scope SCOPE --claims-challenge eyJhIjoxfQ==",
			}},
			"what steers a terminal": {&fakeCredentials{decision: &verdictv1.CheckResponse{Detail: "\x1b[2J", Retryable: true}}, []string{`refused: \u001b[2J`, "try again shortly"}},
			"STS refuses":            {&fakeCredentials{err: status.Error(codes.FailedPrecondition, "alias reader: STS refuses: AccessDenied")}, []string{"alias reader: STS refuses: AccessDenied"}},
			"STS is away": {&fakeCredentials{err: unavailableSTS(t)}, []string{
				" cannot answer now: alias reader: STS does not answer",
			}},
			"too many":                 {&fakeCredentials{err: status.Error(codes.ResourceExhausted, "keep those you have")}, []string{"gives no more of this: keep those you have"}},
			"no certificate":           {&fakeCredentials{err: status.Error(codes.Unauthenticated, "no certificate")}, []string{"show a client certificate with --server-cert and --server-key"}},
			"a verdict without a file": {nil, []string{"gives out no credentials: it was started without --aws-roles-file"}},
		} {
			t.Run(name+mode, func(t *testing.T) {
				args := []string{"--server", serveCredentials(t, tc.fake), "--alias", "reader", "--token-file", tokenFile(t, awsToken)}
				if mode != "" {
					args = append(args, mode)
				}
				out, err := askAWS(t, args...)
				if err == nil || out != "" {
					t.Fatalf("%v; printed %q", err, out)
				}
				for _, want := range tc.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in %v", want, err)
					}
				}
				if strings.Contains(err.Error(), "admin") || strings.Contains(err.Error(), "CANARY") {
					t.Errorf("%v", err)
				}
			})
		}
	}
	if _, err := askAWS(t, "--server", serveCredentials(t, &fakeCredentials{empty: true}), "--alias", "x", "--token-file", tokenFile(t, awsToken)); err == nil ||
		!strings.Contains(err.Error(), "allowed it and sent no credentials") {
		t.Errorf("%v", err)
	}
}

func unavailableSTS(t *testing.T) error {
	t.Helper()
	s, err := status.New(codes.Unavailable, "alias reader: STS does not answer").WithDetails(&errdetails.ErrorInfo{Reason: "STS_UNAVAILABLE"})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func TestAWSCredentialsExplainsAndLists(t *testing.T) {
	at := serveCredentials(t, &fakeCredentials{})
	out, err := askAWS(t, "--server", at, "--alias", "reader", "--explain", "--token-file", tokenFile(t, awsToken))
	want := `STS would be asked for
action                  AssumeRole
role                    arn:aws:iam::123456789012:role/r
region                  eu-west-1
duration                15m
session name            ` + auditID(1) + `
source identity         o
tag a                   \u001b[31m
tag b                   2
session policy          {"Version":"2012-10-17"}
managed policy          arn:aws:iam::aws:policy/A
allowed by grant        g-1
decision                ` + auditID(1) + "\n"
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = askAWS(t, "--server", at, "--list", "--token-file", tokenFile(t, awsToken))
	if want = "alias   longest  for\nreader       1h  Read reports\nx           15m\n"; err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAWSCredentialsOverTLS(t *testing.T) {
	a := newCertifier(t)
	a.issue(t, "caller", nil)
	at := serveCredentials(t, &fakeCredentials{}, a.serverTLS(t))
	base := []string{"--server", at, "--alias", "reader", "--token-file", tokenFile(t, awsToken)}
	if out, err := askAWS(t, append(base, "--server-ca", a.file("ca.crt"), "--server-cert", a.file("caller.crt"), "--server-key", a.file("caller.key"))...); err != nil || out == "" {
		t.Errorf("%v", err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"half a certificate":          {append(base, "--server-ca", a.file("ca.crt"), "--server-key", "x"), "--server-cert, --server-key: give both or neither"},
		"another machine in the open": {[]string{"--server", "verdict.example:7300", "--alias", "x", "--token-file", "x"}, "--server: verdict.example:7300 is another machine; give --server-ca"},
		"no address":                  {[]string{"--server", "x", "--alias", "x", "--token-file", "x"}, `--server: "x": give host:port or unix:/path`},
		"no alias":                    {[]string{"--token-file", "x"}, "--alias: none given"},
		"too much":                    {[]string{"--token-file", "x", "--list", "--explain"}, "--list stands alone"},
		"a fraction":                  {[]string{"--token-file", "x", "--alias", "x", "--duration", "15m0.5s"}, "--duration: give whole seconds"},
		"nobody there":                {[]string{"--server", "127.0.0.1:1", "--alias", "x", "--token-file", tokenFile(t, awsToken)}, "is that its --decision-listen?"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := askAWS(t, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAWSCredentialsAreNotPrintedToATerminal(t *testing.T) {
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	f := &fakeCredentials{}
	c := awsCredentialsCmd{
		serverFlags: serverFlags{Server: serveCredentials(t, f), Timeout: span(startTimeout)},
		tokenFlags:  tokenFlags{TokenFile: tokenFile(t, awsToken)}, Alias: "reader",
	}
	s := &surroundings{ctx: t.Context(), stdout: terminal, log: slog.New(slog.DiscardHandler)}
	if err := c.Run(s); err == nil || !strings.Contains(err.Error(), "are not printed to a terminal") || f.asked != nil {
		t.Errorf("%v, asked %v", err, f.asked)
	}
	c.ToTerminal = true
	if err := c.Run(s); err != nil || f.asked == nil {
		t.Errorf("%v", err)
	}
}

func TestWordsOfACommand(t *testing.T) {
	for in, want := range map[string]string{
		"az account get-access-token":  `["az" "account" "get-access-token"]`,
		`a "b c" 'd "e' "" f"g h"i  j`: `["a" "b c" "d \"e" "" "fg hi" "j"]`,
		`C:\az.cmd $HOME $(x) ; *`:     `["C:\\az.cmd" "$HOME" "$(x)" ";" "*"]`,
	} {
		if got, err := words(in); err != nil || fmt.Sprintf("%q", got) != want {
			t.Errorf("%s: %q %v, want %s", in, got, err, want)
		}
	}
}
