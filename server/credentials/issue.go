package credentials

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/status"
)

// maxPacked is the percentage of the room for tags and policies above which credentials are thrown away: STS packs them in a
// way of its own, so that what fits today by a little may not tomorrow.
const maxPacked = 90

// Issue decides, and if allowed has STS make credentials.
func (s *Server) Issue(ctx context.Context, req *verdictv1.IssueRequest) (*verdictv1.IssueResponse, error) {
	d, err := asked(req.GetDuration())
	if err != nil {
		return nil, err
	}
	a := s.decide(ctx, doorIssue, req.GetToken(), req.GetAlias())
	resp := &verdictv1.IssueResponse{Decision: s.decision(&a)}
	if !a.Allowed() {
		return resp, nil
	}
	session, err := s.session(&a, req.GetAlias(), req.GetToken(), d)
	if err != nil {
		return nil, err
	}
	if err := s.limited(&a); err != nil {
		return nil, err
	}
	issued, err := s.assume(ctx, &session, secret.NewValue([]byte(req.GetToken())))
	if err != nil {
		return nil, err
	}
	resp.Session = described(&session)
	resp.Credentials = &verdictv1.AwsCredentials{
		AccessKeyId: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey.Reveal(), SessionToken: issued.SessionToken.Reveal(),
		ExpiresAt: timestamppb.New(issued.ExpiresAt), AssumedRoleArn: issued.ARN,
		PackedPolicyPercent: uint32(issued.PackedPolicyPercent), //nolint:gosec // 0 to 90 by now
	}
	return resp, nil
}

// Explain says what Issue would do.
func (s *Server) Explain(ctx context.Context, req *verdictv1.ExplainRequest) (*verdictv1.ExplainResponse, error) {
	d, err := asked(req.GetDuration())
	if err != nil {
		return nil, err
	}
	a := s.decide(ctx, doorAsk, req.GetToken(), req.GetAlias())
	resp := &verdictv1.ExplainResponse{Decision: s.decision(&a)}
	if !a.Allowed() {
		return resp, nil
	}
	session, err := s.session(&a, req.GetAlias(), req.GetToken(), d)
	if err != nil {
		return nil, err
	}
	resp.Session = described(&session)
	return resp, nil
}

const fieldDuration = "duration"

// asked is the duration of a request.
func asked(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return defaultDuration, nil
	}
	v := d.AsDuration()
	if d.CheckValid() != nil || v < minDuration || v > maxDuration || v%time.Second != 0 {
		return 0, status.Invalid(status.Violation{Field: fieldDuration, Text: "give whole seconds, 15 minutes to what the alias allows"})
	}
	return v, nil
}

// session is what STS is to be asked for after an allow.
func (s *Server) session(a *pdp.Answer, alias, token string, d time.Duration) (Session, error) {
	r := s.roles.byAlias[alias]
	if r == nil { // the caller may know: it holds the permission
		return Session{}, precondition(reasonNoRole, "alias %s: no role stands behind it; the operator's roles file does not have it", alias)
	}
	if d > r.longest {
		text := "alias " + alias + " allows " + r.longest.String() + " at most"
		if r.action == AssumeRole && d > maxChained {
			text += ", and role chaining ends after an hour in any case"
		}
		return Session{}, status.Invalid(status.Violation{Field: fieldDuration, Text: text})
	}
	if r.action == WebIdentity && len(token) > maxWebIdentity {
		return Session{}, precondition(reasonUnfit, "alias %s: STS takes tokens of %d characters at most", alias, maxWebIdentity)
	}
	session, err := r.session(&a.Caller.Principal, a.ID, s.region, d)
	if err != nil {
		return Session{}, precondition(reasonUnfit, "alias %s: %v", alias, err)
	}
	return session, nil
}

// limited counts a call of the caller.
func (s *Server) limited(a *pdp.Answer) error {
	p := &a.Caller.Principal
	wait, ok := s.limit.take(p.TenantID+"/"+p.ObjectID, s.now())
	if ok {
		return nil
	}
	return &failure{
		code: codes.ResourceExhausted, why: reasonLimited,
		text: "too many credentials were asked for; keep those you have until they end, and try again in " + (wait + time.Second).Truncate(time.Second).String(),
	}
}

// assume asks STS, and takes only what is complete and has room left.
func (s *Server) assume(ctx context.Context, session *Session, token secret.Value) (Issued, error) {
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	issued, err := s.sts.Assume(limited, session, token)
	var refused *RefusedError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return Issued{}, ctx.Err()
	case errors.As(err, &refused):
		s.log.WarnContext(ctx, "sts refused", "decision_id", session.Name, "alias", session.Alias, "aws_code", refused.Code,
			"aws_action", refused.Action, "aws_request_id", refused.RequestID)
		return Issued{}, &failure{codes.FailedPrecondition, reasonRefused, "alias " + session.Alias + ": STS refuses: " + refused.Code, err}
	default:
		return Issued{}, unavailable(session, err)
	}
	switch {
	case issued.PackedPolicyPercent > maxPacked:
		return Issued{}, precondition(reasonPacked, "alias %s: its tags and session policy take %d%% of the room that STS has for them; above %d%% no credentials are given out",
			session.Alias, issued.PackedPolicyPercent, maxPacked)
	case issued.AccessKeyID == "" || issued.SecretAccessKey.IsZero() || issued.SessionToken.IsZero() || issued.PackedPolicyPercent < 0 ||
		!issued.ExpiresAt.After(s.now()):
		return Issued{}, unavailable(session, errIncomplete)
	}
	return issued, nil
}

var errIncomplete = errors.New("its answer has no credentials, or such that have ended")

func unavailable(session *Session, cause error) error {
	return &failure{codes.Unavailable, reasonUnavailable, "alias " + session.Alias + ": STS does not answer as it should; try again shortly", cause}
}

// described is a session for the caller.
func described(s *Session) *verdictv1.AwsSession {
	tags := make(map[string]string, len(s.Tags))
	for _, t := range s.Tags {
		tags[t.Key] = t.Value
	}
	return &verdictv1.AwsSession{
		Alias: s.Alias, RoleArn: s.RoleARN, Action: s.Action.String(), SessionName: s.Name, SourceIdentity: s.SourceIdentity, Tags: tags,
		Policy: s.Policy, PolicyArns: s.PolicyARNs, Duration: durationpb.New(s.Duration), Region: s.Region,
	}
}

// proven says whether an answer is about somebody whom a token named.
func proven(a *pdp.Answer) bool {
	if a.Caller == nil || a.Caller.Principal.ObjectID == "" {
		return false
	}
	kind := a.Caller.Principal.Kind
	return kind == policy.PrincipalUser || kind == policy.PrincipalApp
}
