package sts_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/credentials/sts"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

var address = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// startMoto runs the program that VERDICT_TEST_MOTO names and returns its address. Without it the test is skipped, unless
// VERDICT_TEST_REQUIRE lists moto.
func startMoto(t *testing.T) (base string) {
	t.Helper()
	program := os.Getenv("VERDICT_TEST_MOTO")
	if program == "" {
		const text = "VERDICT_TEST_MOTO is not set; .ci/tools.sh moto installs it and .ci/tools.sh --env sets it"
		if slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "moto") {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	// The shell ends the server with standard input, which ends with this process, however that comes.
	const watch = `"$@" </dev/null & pid=$!; cat >/dev/null; kill $pid; wait $pid`
	cmd := exec.Command("/bin/sh", "-c", watch, "watch", program, "-H", "127.0.0.1", "-p", "0")
	cmd.Dir = t.TempDir()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if at := address.FindString(lines.Text()); at != "" {
				found <- at
				break
			}
		}
		_, _ = io.Copy(io.Discard, said) // it logs every request, and would wait for a reader
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-ended
		_ = cmd.Wait() // the server was killed
	})
	select {
	case base = <-found:
	case <-time.After(60 * time.Second):
		t.Fatal("moto did not start in 60 s")
	}
	return base
}

// decider allows everything to one principal.
type decider struct{}

func (decider) Decide(context.Context, *pdp.Question) pdp.Answer {
	return pdp.Answer{ID: decision, Effect: policy.Allow, Reason: policy.AllowedByGrant, Caller: &entra.Token{Principal: policy.Principal{
		Kind: policy.PrincipalUser, TenantID: "11111111-1111-4111-8111-111111111111", ObjectID: "bbbbbbbb-0001-4000-8000-000000000001",
	}}}
}
func (decider) DecideAll(context.Context, []pdp.Question) []pdp.Answer { return nil }
func (d decider) Permissions(ctx context.Context, q *pdp.Question) (held, conditional []string, a pdp.Answer) {
	return nil, nil, d.Decide(ctx, q)
}

const decision = "01932f5e-8c7a-7b3e-9d2f-5a1c4e8b7d60"

const motoFile = `
api: aws
roles:
  tagged:
    role_arn: arn:aws:iam::123456789012:role/r
    max_duration: 1h
    tags: {principal: "{principal.id}"}
    transitive_tag_keys: [principal]
    policy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/{principal.id}/*"}]}'
  web: {role_arn: "arn:aws:iam::123456789012:role/r", max_duration: 1h, action: web_identity}
`

// A second implementation of STS takes what the service asks, and the credentials that it makes are those of the session.
func TestIssueWithTheSTSOfMoto(t *testing.T) {
	base := startMoto(t)
	isolate(t, ownKeys...)
	c, err := sts.New(t.Context(), sts.Config{Endpoint: base})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "roles.yaml")
	if err := os.WriteFile(file, []byte(motoFile), 0o600); err != nil {
		t.Fatal(err)
	}
	roles, err := credentials.LoadRoles(file)
	if err != nil {
		t.Fatal(err)
	}
	respond := func(*pdp.Answer) *verdictv1.CheckResponse { return &verdictv1.CheckResponse{} }
	service, err := credentials.New(decider{}, c, roles, respond, slog.New(slog.DiscardHandler), credentials.Config{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"tagged", "web"} {
		t.Run(alias, func(t *testing.T) {
			began := time.Now()
			resp, err := service.Issue(t.Context(), &verdictv1.IssueRequest{Token: "aaaa.bbbb.cccc", Alias: alias, Duration: durationpb.New(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			got := resp.GetCredentials()
			if ends := got.GetExpiresAt().AsTime(); ends.Before(began.Add(59*time.Minute)) || ends.After(time.Now().Add(61*time.Minute)) {
				t.Errorf("ends at %s", ends)
			}
			asRole := awssts.New(awssts.Options{Region: "eu-west-1", BaseEndpoint: &base, Credentials: aws.CredentialsProviderFunc(
				func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: got.GetAccessKeyId(), SecretAccessKey: got.GetSecretAccessKey(), SessionToken: got.GetSessionToken()}, nil
				})})
			who, err := asRole.GetCallerIdentity(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := "arn:aws:sts::123456789012:assumed-role/r/" + decision; got.GetAssumedRoleArn() != want || *who.Arn != want {
				t.Errorf("session %s, and its credentials are of %s", got.GetAssumedRoleArn(), *who.Arn)
			}
		})
	}
}
