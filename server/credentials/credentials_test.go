package credentials_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

func TestIssue(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	resp, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tokenCanary, Alias: "reader", Duration: durationpb.New(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	c, id := resp.GetCredentials(), resp.GetDecision().GetDecisionId()
	if c.GetAccessKeyId() != keyIDCanary || c.GetSecretAccessKey() != secretCanary || c.GetSessionToken() != sessionMark ||
		!c.GetExpiresAt().AsTime().Equal(now.Add(15*time.Minute)) || c.GetPackedPolicyPercent() != 12 || c.GetAssumedRoleArn() == "" {
		t.Error("not the credentials that STS made")
	}
	if resp.GetDecision().GetEffect() != verdictv1.Effect_EFFECT_ALLOW || resp.GetDecision().GetTtl() != nil {
		t.Errorf("decision %v; it is not to be kept", resp.GetDecision())
	}
	want := &verdictv1.AwsSession{
		Alias: "reader", RoleArn: "arn:aws:iam::123456789012:role/reader", Action: "AssumeRole", SessionName: id, SourceIdentity: aliceID,
		Tags: map[string]string{"principal": aliceID, "cost-centre": "reader/4711", "verdict-decision-id": id},
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::reports/` +
			tid + `/` + aliceID + `/${aws:PrincipalTag/team}/*"}]}`,
		PolicyArns: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, Duration: durationpb.New(time.Hour), Region: "eu-west-1",
	}
	if !proto.Equal(resp.GetSession(), want) {
		t.Errorf("session %v\nwant    %v", resp.GetSession(), want)
	}
	if s := w.sts.asked[0]; s.Name != id || s.Region != "eu-west-1" || !slices.Equal(s.TransitiveTags, []string{"principal"}) ||
		s.Tags[0].Key != "cost-centre" {
		t.Errorf("STS was asked %+v", s)
	}
	if r := w.recorder.kept; len(r) != 1 || r[0].ID != id || !r[0].Allowed || r[0].Door != "credentials" || r[0].API != "aws" ||
		r[0].Resource != want.RoleArn || !slices.Equal(r[0].Permissions, []string{"assume.reader"}) || !slices.Equal(r[0].Grants, []string{"g-some"}) {
		t.Errorf("records %+v", r)
	}
}

func TestWebIdentityCarriesTheCallersTokenAndNothingOfVerdict(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	resp, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tokenCanary, Alias: "deployer", Duration: durationpb.New(12 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if w.sts.tokens[0].Reveal() != tokenCanary {
		t.Error("not the caller's token")
	}
	want := &verdictv1.AwsSession{
		Alias: "deployer", RoleArn: "arn:aws:iam::123456789012:role/ci/deployer", Action: "AssumeRoleWithWebIdentity",
		SessionName: resp.GetDecision().GetDecisionId(), Duration: durationpb.New(12 * time.Hour), Region: "eu-central-1",
	}
	if !proto.Equal(resp.GetSession(), want) {
		t.Errorf("session %v\nwant    %v", resp.GetSession(), want)
	}
	_, err = w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tokenCanary + strings.Repeat("x", 20_000), Alias: "deployer"})
	if grpcstatus.Code(err) != codes.FailedPrecondition {
		t.Errorf("a token that STS would not take: %v", err)
	}
}

func TestExplainAsksNobody(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	resp, err := w.Explain(t.Context(), &verdictv1.ExplainRequest{Token: tokenCanary, Alias: "reader"})
	if err != nil || resp.GetSession().GetDuration().AsDuration() != 15*time.Minute || resp.GetSession().GetSourceIdentity() != aliceID {
		t.Errorf("%v, %v", resp, err)
	}
	if len(w.sts.asked) != 0 || len(w.recorder.kept) != 1 || w.recorder.kept[0].Door != "credentials-explain" {
		t.Errorf("STS %v, records %+v", w.sts.asked, w.recorder.kept)
	}
}

func TestAnApplicationMayHaveCredentials(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	resp, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: "app", Alias: "reader"})
	if err != nil || resp.GetCredentials() == nil || w.sts.asked[0].SourceIdentity != client {
		t.Errorf("%v %v", resp.GetDecision(), err)
	}
}

// Whoever is refused cannot tell an alias of the file from one that is not there.
func TestARefusalTellsNothingOfAliases(t *testing.T) {
	aliases := map[string]policy.Reason{ // what the record says
		"nobodys": policy.NoGrant, "forbidden": policy.DeniedByGrant, "undeclared": policy.PermissionUnknown, "not-there": policy.PermissionUnknown,
	}
	for name, tc := range map[string]struct {
		token string
		want  verdictv1.Reason
	}{
		"to whom has no grant":          {tokenCanary, verdictv1.Reason_REASON_NO_GRANT},
		"to whom has no token in force": {"expired", verdictv1.Reason_REASON_TOKEN_EXPIRED},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, credentials.Config{})
			var first *verdictv1.CheckResponse
			for alias, recorded := range aliases {
				w.recorder.kept = nil
				resp, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tc.token, Alias: alias})
				if err != nil || resp.GetCredentials() != nil || resp.GetSession() != nil || resp.GetDecision().GetReason() != tc.want {
					t.Fatalf("%s: %v %v", alias, resp, err)
				}
				if tc.token != tokenCanary && recorded != policy.PermissionUnknown {
					recorded = policy.TokenExpired
				}
				if r := w.recorder.kept[0]; r.Reason != int16(recorded) || r.Allowed {
					t.Errorf("%s: record %+v", alias, r)
				}
				d := resp.GetDecision()
				if text := strings.ReplaceAll(fmt.Sprint(d.GetMissingPermissions()), alias, "ALIAS"); tc.token == tokenCanary && text != "[assume.ALIAS]" {
					t.Errorf("%s: missing %s", alias, text)
				}
				d.DecisionId, d.MissingPermissions = "", nil
				if first == nil {
					first = d
				}
				if !proto.Equal(d, first) {
					t.Errorf("%s differs:\n%v\n%v", alias, d, first)
				}
				listed, err := w.Explain(t.Context(), &verdictv1.ExplainRequest{Token: tc.token, Alias: alias})
				if err != nil || listed.GetSession() != nil || listed.GetDecision().GetReason() != tc.want {
					t.Errorf("%s: explained %v %v", alias, listed, err)
				}
			}
			if len(w.sts.asked) != 0 {
				t.Error("STS was asked")
			}
		})
	}
}

func TestListTargets(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	resp, err := w.ListTargets(t.Context(), &verdictv1.ListTargetsRequest{Token: tokenCanary})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range resp.GetTargets() {
		got = append(got, fmt.Sprint(target.GetAlias(), " ", target.GetMaxDuration().AsDuration(), " ", target.GetDescription()))
	}
	if want := []string{"deployer 12h0m0s ", "guarded 15m0s ", "reader 1h0m0s Read the reports"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if resp, err = w.ListTargets(t.Context(), &verdictv1.ListTargetsRequest{Token: "expired"}); err != nil || len(resp.GetTargets()) != 0 ||
		resp.GetDecision().GetReason() != verdictv1.Reason_REASON_TOKEN_EXPIRED {
		t.Errorf("%v %v", resp, err)
	}
}

// reason is the code of an error, its ErrorInfo and the fields that it is about.
func reason(err error) string {
	s := grpcstatus.Convert(err)
	text := s.Code().String()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			text += " " + d.GetReason() + d.GetMetadata()["code"]
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				text += " " + v.GetField()
			}
		}
	}
	return text
}

func TestWhatIsAllowedAndCannotBeHad(t *testing.T) {
	for name, tc := range map[string]struct {
		alias    string // "": reader
		duration time.Duration
		sts      func(*sts)
		want     string // reason
		text     string // contained in the message
		asked    bool
	}{
		"longer than the alias allows":        {alias: "guarded", duration: time.Hour, want: "InvalidArgument duration INVALID_REQUEST", text: "15m0s at most"},
		"longer than role chaining":           {duration: 2 * time.Hour, want: "InvalidArgument duration INVALID_REQUEST", text: "role chaining ends after an hour"},
		"shorter than STS gives":              {duration: time.Minute, want: "InvalidArgument duration INVALID_REQUEST"},
		"half a second":                       {duration: 15*time.Minute + time.Second/2, want: "InvalidArgument duration INVALID_REQUEST"},
		"a grant for what is not in the file": {alias: "orphan", want: "FailedPrecondition ROLE_UNKNOWN", text: "alias orphan"},
		"STS refuses": {sts: func(s *sts) {
			s.err = fmt.Errorf("assume role: %w", &credentials.RefusedError{Code: "AccessDenied", Action: "sts:TagSession", RequestID: "r-1"})
		}, want: "FailedPrecondition STS_REFUSEDAccessDenied", text: "alias reader: STS refuses: AccessDenied", asked: true},
		"STS is away":            {sts: func(s *sts) { s.err = fmt.Errorf("%w: Throttling", credentials.ErrUnavailable) }, want: "Unavailable STS_UNAVAILABLE", asked: true},
		"STS takes too long":     {sts: func(s *sts) { s.wait = true }, want: "Unavailable STS_UNAVAILABLE", asked: true},
		"little room is left":    {sts: func(s *sts) { s.issued.PackedPolicyPercent = 91 }, want: "FailedPrecondition PACKED_POLICY_TOO_LARGE", text: "alias reader: its tags and session policy take 91%", asked: true},
		"credentials have ended": {sts: func(s *sts) { s.issued.ExpiresAt = now }, want: "Unavailable STS_UNAVAILABLE", asked: true},
		"no credentials came":    {sts: func(s *sts) { s.issued = credentials.Issued{} }, want: "Unavailable STS_UNAVAILABLE", asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, credentials.Config{Timeout: 50 * time.Millisecond})
			if tc.sts != nil {
				tc.sts(w.sts)
			}
			req := &verdictv1.IssueRequest{Token: tokenCanary, Alias: "reader"}
			if tc.alias != "" {
				req.Alias = tc.alias
			}
			if tc.duration != 0 {
				req.Duration = durationpb.New(tc.duration)
			}
			resp, err := w.Issue(t.Context(), req)
			if resp != nil || reason(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%q %v, want %q", reason(err), err, tc.want)
			}
			if strings.Contains(err.Error(), "Throttling") || strings.Contains(err.Error(), "TagSession") {
				t.Errorf("the cause is for the log: %v", err)
			}
			if (len(w.sts.asked) > 0) != tc.asked {
				t.Errorf("STS was asked %v", w.sts.asked)
			}
			if tc.asked {
				return
			}
			_, err = w.Explain(t.Context(), &verdictv1.ExplainRequest{Token: req.GetToken(), Alias: req.GetAlias(), Duration: req.GetDuration()})
			if reason(err) != tc.want {
				t.Errorf("explained as %q", reason(err))
			}
		})
	}
}

func TestTheLogHasWhatTheCallerIsNotTold(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	w.sts.err = &credentials.RefusedError{Code: "AccessDenied", Action: "sts:TagSession", RequestID: "r-1"}
	_, _ = w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tokenCanary, Alias: "reader"})
	for _, want := range []string{`"aws_code":"AccessDenied"`, `"aws_action":"sts:TagSession"`, `"aws_request_id":"r-1"`, `"alias":"reader"`} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("no %s in %s", want, w.log.String())
		}
	}
}

func TestTheCallersDeadlineIsKept(t *testing.T) {
	w := newWorld(t, credentials.Config{})
	w.sts.wait = true
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := w.service.Issue(ctx, &verdictv1.IssueRequest{Token: tokenCanary, Alias: "reader"})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestEachPrincipalHasALimitOfItsOwn(t *testing.T) {
	w := newWorld(t, credentials.Config{PerMinute: 6, Burst: 2})
	issue := func(token string) string {
		_, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: token, Alias: "reader"})
		return reason(err)
	}
	const over = "ResourceExhausted RATE_LIMITED"
	for i, want := range []string{"OK", "OK", over, over} {
		if got := issue(tokenCanary); got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
	}
	if got := issue("app"); got != "OK" {
		t.Errorf("another principal: %s", got)
	}
	if _, err := w.Explain(t.Context(), &verdictv1.ExplainRequest{Token: tokenCanary, Alias: "reader"}); err != nil {
		t.Errorf("to explain costs nothing: %v", err)
	}
	for i, want := range []string{"OK", over} {
		w.clock = now.Add(10 * time.Second)
		if got := issue(tokenCanary); got != want {
			t.Errorf("10 s later, call %d: %s, want %s", i, got, want)
		}
	}
	if len(w.sts.asked) != 4 {
		t.Errorf("STS was asked %d times", len(w.sts.asked))
	}
}

// No token and no credential is in a log line, an error or a record, whatever happens.
func TestSecretsStayOutOfLogsErrorsAndRecords(t *testing.T) {
	w := newWorld(t, credentials.Config{Burst: 50, PerMinute: 600})
	var said strings.Builder
	for _, change := range []func(){
		func() {}, func() { w.sts.issued.PackedPolicyPercent = 95 }, func() { w.sts.issued.ExpiresAt = time.Time{} },
		func() { w.sts.err = &credentials.RefusedError{Code: "AccessDenied"} }, func() { w.sts.err = credentials.ErrUnavailable },
	} {
		w.sts.issued, w.sts.err = good(), nil
		change()
		for _, alias := range []string{"reader", "deployer", "orphan", "nobodys", "undeclared"} {
			resp, err := w.Issue(t.Context(), &verdictv1.IssueRequest{Token: tokenCanary, Alias: alias})
			fmt.Fprintln(&said, err, resp.GetDecision(), resp.GetSession())
			explained, err := w.Explain(t.Context(), &verdictv1.ExplainRequest{Token: tokenCanary, Alias: alias})
			fmt.Fprintln(&said, err, explained)
		}
	}
	for i := range w.sts.asked {
		fmt.Fprintf(&said, "%v %+v %#v\n", w.sts.asked[i], w.sts.asked[i], w.sts.tokens[i])
	}
	fmt.Fprintf(&said, "%+v\n%#v\n", w.recorder.kept, good())
	said.WriteString(w.log.String())
	if strings.Count(said.String(), "\n") < 100 || w.log.Len() == 0 {
		t.Fatal("too little was said for this test to mean anything")
	}
	for _, secret := range []string{tokenCanary, secretCanary, sessionMark} {
		if i := strings.Index(said.String(), secret); i >= 0 {
			t.Errorf("%s was said: %s", secret, said.String()[max(0, i-200):i+40])
		}
	}
	if strings.Contains(w.log.String(), keyIDCanary) || strings.Contains(fmt.Sprintf("%+v", w.recorder.kept), keyIDCanary) {
		t.Error("the access key id was said")
	}
}

func TestAnAllowThatIsAboutNobodyGivesNothing(t *testing.T) {
	for name, caller := range map[string]*entra.Token{
		"nobody was proven":                  nil,
		"a kind of caller that is not known": {Principal: policy.Principal{TenantID: tid, ObjectID: aliceID}},
		"a caller without an id":             {Principal: policy.Principal{Kind: policy.PrincipalUser, TenantID: tid}},
	} {
		t.Run(name, func(t *testing.T) {
			to := &sts{issued: good()}
			answer := pdp.Answer{ID: "d", Effect: policy.Allow, Reason: policy.AllowedPublic, Caller: caller}
			s, err := credentials.New(fixed{answer}, to, load(t, rolesFile), respond, slog.New(slog.NewTextHandler(io.Discard, nil)), credentials.Config{Region: "eu-west-1"})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Issue(t.Context(), &verdictv1.IssueRequest{Token: "t", Alias: "reader"})
			if err != nil || resp.GetCredentials() != nil || resp.GetDecision().GetEffect() != verdictv1.Effect_EFFECT_DENY || len(to.asked) > 0 {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	roles, log := load(t, rolesFile), slog.New(slog.DiscardHandler)
	for name, tc := range map[string]struct {
		cfg   credentials.Config
		roles *credentials.Roles
		want  string
	}{
		"no file":                     {cfg: credentials.Config{Region: "eu-west-1"}, want: "required"},
		"no region for some":          {roles: roles, want: "roles.reader: in which region is STS?"},
		"a region that is none":       {cfg: credentials.Config{Region: "http://x"}, roles: roles, want: "is no region"},
		"a region of another country": {cfg: credentials.Config{Region: "cn-north-1"}, roles: roles, want: "roles.reader: its partition is aws, and region cn-north-1 is of aws-cn"},
		"a limit below zero":          {cfg: credentials.Config{Region: "eu-west-1", Burst: -1}, roles: roles, want: "below zero"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := credentials.New(fixed{}, &sts{}, tc.roles, respond, log, tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
