package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
)

const awsRoles = `
api: aws
roles:
  reader:
    role_arn: arn:aws:iam::123456789012:role/reader
    description: Read reports
    tags: {principal: "{principal.id}"}
`

// From a token of the issuer to the JSON of a credential_process, through a verdict that runs: the decision, STS and the record.
func TestAWSCredentialsEndToEnd(t *testing.T) {
	isolateAWS(t)
	var mu sync.Mutex
	var sessions []string
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sessions = append(sessions, r.PostFormValue("RoleSessionName")+" "+r.PostFormValue("SourceIdentity"))
		w.Header().Set("Content-Type", "text/xml")
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>CANARY-secret</SecretAccessKey><SessionToken>CANARY-session</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(sts.Close)
	v := startDev(t, "--aws-roles-file", tokenFile(t, awsRoles), "--aws-sts-endpoint", sts.URL, "--aws-sts-region", "eu-west-1", "--aws-per-minute", "2")
	p := example(t)
	p.Apis = append(p.Apis, &verdictv1.Api{
		Id: "aws", Audiences: []string{issuer.DevAudience}, Permissions: []*verdictv1.Permission{{Name: "assume.reader"}},
		Scopes: []*verdictv1.ScopeRule{{Scope: issuer.DevScope, Permissions: []string{"assume.*"}}},
	})
	p.Grants = append(p.Grants, &verdictv1.Grant{
		Id: "alice-assumes", Api: "aws", Subject: "user:" + issuer.DevTenant + "/" + issuer.AliceID, Permissions: []string{"assume.reader"}, Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
	})
	v.apply(t, p)

	ask := func(user string, args ...string) (code int, out, errs string) {
		var stdout, stderr output
		code = run(t.Context(), append([]string{"aws-credentials", "--server", v.decision, "--token-file", tokenFile(t, v.mint(t, "user", user))}, args...), nil, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	code, out, errs := ask("alice", "--alias", "reader")
	var got process
	if code != exitOK || errs != "" || json.Unmarshal([]byte(out), &got) != nil || got.Version != 1 || got.SecretAccessKey != "CANARY-secret" {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if code, out, errs = ask("alice", "--list"); code != exitOK || !strings.Contains(out, "reader") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, errs = ask("alice", "--alias", "reader", "--explain"); code != exitOK || !strings.Contains(out, "tag principal") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	for _, alias := range []string{"reader", "no-such-alias"} {
		if code, out, errs = ask("bob", "--alias", alias); code != exitFailed || out != "" || !strings.Contains(errs, "(NO_GRANT)\nverdict: missing permission: assume."+alias+"\n") {
			t.Errorf("%d %s%s", code, out, errs)
		}
	}
	if code, _, errs = ask("alice", "--alias", "Reader"); code != exitFailed || !strings.Contains(errs, "alias") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs = ask("alice", "--alias", "reader"); code != exitOK {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs = ask("alice", "--alias", "reader"); code != exitFailed || !strings.Contains(errs, "try again in") {
		t.Errorf("a third within a minute: %d %s", code, errs)
	}
	records := v.records(t, &verdictv1.ListDecisionsRequest{Api: "aws", Permission: "assume.reader", Effect: verdictv1.Effect_EFFECT_ALLOW}, 4)
	issued := 0
	for _, r := range records {
		mu.Lock()
		for _, s := range sessions {
			if s == r.GetId()+" "+issuer.AliceID && r.GetDoor() == "credentials" {
				issued++
			}
		}
		mu.Unlock()
	}
	if issued != 2 {
		t.Errorf("%d sessions have a record, want 2: %v", issued, sessions)
	}
	if said := v.errs.String() + v.out.String(); strings.Contains(said, "CANARY") || strings.Contains(said, "eyJ") {
		t.Error("a secret was logged")
	}
	if _, err := verdictv1.NewCredentialsServiceClient(v.dial(t, v.admin)).ListTargets(t.Context(), &verdictv1.ListTargetsRequest{Token: "t"}); status.Code(err) != codes.Unimplemented {
		t.Errorf("on the admin listener: %v", err)
	}
}
