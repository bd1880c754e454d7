package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// awsCredentialsCmd asks for credentials of AWS, as a credential_process of AWS's own programs does. docs/aws-credentials.md is
// its guide.
type awsCredentialsCmd struct {
	serverFlags
	tokenFlags

	Alias      string `env:"-" help:"Alias of the role; --list has yours." placeholder:"NAME"`
	Duration   span   `env:"-" help:"How long the credentials last, 15m to what the alias allows; none: 15m." placeholder:"TIME"`
	Explain    bool   `env:"-" help:"Print what STS would be asked for, and ask for nothing."`
	List       bool   `env:"-" help:"Print the aliases that you may use, and ask for nothing."`
	ToTerminal bool   `env:"-" help:"Print credentials even to a terminal, where they stay in its history."`
}

// validate reports all problems at once.
func (c *awsCredentialsCmd) validate() (err error) {
	switch {
	case c.List && (c.Explain || c.Alias != ""):
		err = errors.New("--list, --explain, --alias: --list stands alone")
	case !c.List && c.Alias == "":
		err = errors.New("--alias: none given; --list prints those that you may use")
	}
	if c.Duration != 0 && time.Duration(c.Duration)%time.Second != 0 {
		err = errors.Join(err, errors.New("--duration: give whole seconds"))
	}
	if err = errors.Join(err, c.tokenFlags.validate()); err != nil {
		return usage(err)
	}
	return nil
}

// Run prints credentials, or what would be asked for.
func (c *awsCredentialsCmd) Run(s *surroundings) error {
	if err := c.validate(); err != nil {
		return err
	}
	if !c.List && !c.Explain && !c.ToTerminal && isTerminal(s.stdout) {
		return usage(errors.New("credentials are not printed to a terminal: use this as credential_process of a profile in ~/.aws/config, or give --to-terminal"))
	}
	remote := c.remote()
	conn, err := remote.dial()
	if err != nil {
		return c.reword(err)
	}
	defer conn.Close()
	client := verdictv1.NewCredentialsServiceClient(conn)
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(c.Timeout))
	defer cancel()
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.List:
		return c.list(ctx, s, client, token)
	case c.Explain:
		return c.explain(ctx, s, client, token)
	}
	return c.issue(ctx, s, client, token)
}

// duration is the flag as calls want it.
func (c *awsCredentialsCmd) duration() *durationpb.Duration {
	if c.Duration == 0 {
		return nil
	}
	return durationpb.New(time.Duration(c.Duration))
}

// process is what AWS's programs read of a credential_process (AWS, "Sourcing credentials with an external process").
type process struct {
	Version         int
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string // RFC 3339
}

func (c *awsCredentialsCmd) issue(ctx context.Context, s *surroundings, client verdictv1.CredentialsServiceClient, token string) error {
	resp, err := client.Issue(ctx, &verdictv1.IssueRequest{Token: token, Alias: c.Alias, Duration: c.duration()})
	if err != nil {
		return c.failed(err)
	}
	if resp.GetDecision().GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		return refused(resp.GetDecision())
	}
	got := resp.GetCredentials()
	if got.GetAccessKeyId() == "" || got.GetSecretAccessKey() == "" || got.GetSessionToken() == "" || got.GetExpiresAt() == nil {
		return fmt.Errorf("%s allowed it and sent no credentials; decision %s", c.Server, plain(resp.GetDecision().GetDecisionId()))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(process{
		Version: 1, AccessKeyID: got.GetAccessKeyId(), SecretAccessKey: got.GetSecretAccessKey(), SessionToken: got.GetSessionToken(),
		Expiration: got.GetExpiresAt().AsTime().Format(time.RFC3339),
	}); err != nil {
		return err
	}
	_, err = s.stdout.Write(text.Bytes())
	return err
}

func (c *awsCredentialsCmd) explain(ctx context.Context, s *surroundings, client verdictv1.CredentialsServiceClient, token string) error {
	resp, err := client.Explain(ctx, &verdictv1.ExplainRequest{Token: token, Alias: c.Alias, Duration: c.duration()})
	if err != nil {
		return c.failed(err)
	}
	if resp.GetDecision().GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		return refused(resp.GetDecision())
	}
	w := resp.GetSession()
	var rows [][]field
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, []field{{text: name}, {text: value}})
		}
	}
	row("action", w.GetAction())
	row("role", w.GetRoleArn())
	row("region", w.GetRegion())
	row("duration", span(w.GetDuration().AsDuration()).String())
	row("session name", w.GetSessionName())
	row("source identity", w.GetSourceIdentity())
	keys := make([]string, 0, len(w.GetTags()))
	for key := range w.GetTags() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		row("tag "+key, w.GetTags()[key])
	}
	row("session policy", w.GetPolicy())
	for _, arn := range w.GetPolicyArns() {
		row("managed policy", arn)
	}
	row("allowed by grant", strings.Join(resp.GetDecision().GetGrants(), ", "))
	row("decision", resp.GetDecision().GetDecisionId())
	return newScreen(s.stdout, true).table([]string{"STS would be asked for", ""}, rows)
}

func (c *awsCredentialsCmd) list(ctx context.Context, s *surroundings, client verdictv1.CredentialsServiceClient, token string) error {
	resp, err := client.ListTargets(ctx, &verdictv1.ListTargetsRequest{Token: token})
	if err != nil {
		return c.failed(err)
	}
	if resp.GetDecision().GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		return refused(resp.GetDecision())
	}
	if len(resp.GetTargets()) == 0 {
		_, err := fmt.Fprintln(s.stdout, "there is no alias that you may use")
		return err
	}
	var rows [][]field
	for _, t := range resp.GetTargets() {
		rows = append(rows, []field{{text: t.GetAlias()}, {text: span(t.GetMaxDuration().AsDuration()).String(), right: true}, {text: t.GetDescription()}})
	}
	return newScreen(s.stdout, true).table([]string{"alias", "longest", "for"}, rows)
}

// failed says of the error of a call what to do about it.
func (c *awsCredentialsCmd) failed(err error) error {
	if isCode(err, codes.Unimplemented) {
		return fmt.Errorf("%s gives out no credentials: it was started without --aws-roles-file, or is older than this command, or --server is not its --decision-listen", c.Server)
	}
	remote := c.remote()
	return c.reword(remote.explain(err))
}

// claimsChallenge is that of a WWW-Authenticate value of Entra's kind.
var claimsChallenge = regexp.MustCompile(`\bclaims="([A-Za-z0-9+/=_-]+)"`)

// refused says of a refusal why, and what to do.
func refused(d *verdictv1.CheckResponse) error {
	lines := []string{fmt.Sprintf("refused: %s (%s)", plain(d.GetDetail()), reasonWord(d.GetReason()))}
	if missing := d.GetMissingPermissions(); len(missing) > 0 {
		lines = append(lines, "missing permission: "+plain(strings.Join(missing, ", ")))
	}
	if scopes := d.GetRequiredScopes(); len(scopes) > 0 {
		lines = append(lines, "one of these scopes would do: "+plain(strings.Join(scopes, " ")))
	}
	if needed := d.GetRequiredAuthContext(); needed != "" {
		lines = append(lines, "authentication context: "+plain(needed))
	}
	for _, challenge := range d.GetWwwAuthenticate() {
		if found := claimsChallenge.FindStringSubmatch(challenge); found != nil {
			tenant := ""
			if id := d.GetPrincipal().GetTenantId(); decisionID.MatchString(id) {
				tenant = " --tenant " + id
			}
			lines = append(lines, "sign in again: az login"+tenant+" --scope SCOPE --claims-challenge "+found[1])
			break
		}
	}
	if d.GetRetryable() {
		lines = append(lines, "this may pass: try again shortly")
	}
	if id := d.GetDecisionId(); id != "" {
		lines = append(lines, "decision: "+plain(id))
	}
	return errors.New(strings.Join(lines, "\n"))
}
