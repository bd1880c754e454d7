package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/secret"
)

// Config tunes a Client. The zero value is usable.
type Config struct {
	Endpoint string       // takes the place of STS's address in every region; "" means the library's: AWS_ENDPOINT_URL_STS, else AWS
	HTTP     *http.Client // nil means the library's own
}

// Client is a credentials.STS. It is safe for concurrent use.
type Client struct {
	sts    *awssts.Client
	region string
}

var _ credentials.STS = (*Client)(nil)

// New reads the surroundings' configuration of AWS. Nobody is asked yet, and no credentials are looked for.
func New(ctx context.Context, cfg Config) (*Client, error) {
	with := []func(*config.LoadOptions) error{config.WithRetryer(retryer)}
	if cfg.HTTP != nil {
		with = append(with, config.WithHTTPClient(cfg.HTTP))
	}
	base, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil { // its text repeats the files
		return nil, errors.New("sts: the shared configuration of AWS cannot be read; see AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE and AWS_PROFILE")
	}
	c := &Client{region: base.Region, sts: awssts.NewFromConfig(base, func(o *awssts.Options) {
		o.ClientLogMode = 0 // bodies are secrets
		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
		}
	})}
	if set := c.sts.Options().BaseEndpoint; set != nil { // by us or by the surroundings
		if err := secret.CheckEndpoint(*set); err != nil {
			return nil, fmt.Errorf("sts: --aws-sts-endpoint, AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL: %w", err)
		}
	}
	return c, nil
}

// Region is the surroundings' (AWS_REGION, the profile); "": they name none.
func (c *Client) Region() string { return c.region }

// retryer tries thrice within a second or so: the caller waits, and comes back anyway.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 500*time.Millisecond })
}

// Assume implements credentials.STS.
func (c *Client) Assume(ctx context.Context, s *credentials.Session, token secret.Value) (credentials.Issued, error) {
	region := func(o *awssts.Options) { o.Region = s.Region }
	if s.Action == credentials.WebIdentity {
		out, err := c.sts.AssumeRoleWithWebIdentity(ctx, webIdentity(s, token), region)
		if err != nil {
			return credentials.Issued{}, fmt.Errorf("assume role with web identity: %w", silent(err))
		}
		return issued(out.Credentials, out.AssumedRoleUser, out.SessionTokenUtilization, out.PackedPolicySize), nil //nolint:staticcheck // see issued
	}
	out, err := c.sts.AssumeRole(ctx, assumeRole(s), region)
	if err != nil {
		return credentials.Issued{}, fmt.Errorf("assume role: %w", silent(err))
	}
	return issued(out.Credentials, out.AssumedRoleUser, out.SessionTokenUtilization, out.PackedPolicySize), nil //nolint:staticcheck // see issued
}

func assumeRole(s *credentials.Session) *awssts.AssumeRoleInput {
	in := &awssts.AssumeRoleInput{
		RoleArn: &s.RoleARN, RoleSessionName: &s.Name, SourceIdentity: optional(s.SourceIdentity), DurationSeconds: seconds(s.Duration),
		Policy: optional(s.Policy), PolicyArns: policies(s.PolicyARNs), TransitiveTagKeys: s.TransitiveTags,
	}
	for _, t := range s.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: &t.Key, Value: &t.Value})
	}
	if !s.ExternalID.IsZero() {
		in.ExternalId = aws.String(s.ExternalID.Reveal())
	}
	return in
}

func webIdentity(s *credentials.Session, token secret.Value) *awssts.AssumeRoleWithWebIdentityInput {
	return &awssts.AssumeRoleWithWebIdentityInput{
		RoleArn: &s.RoleARN, RoleSessionName: &s.Name, WebIdentityToken: aws.String(token.Reveal()), DurationSeconds: seconds(s.Duration),
		Policy: optional(s.Policy), PolicyArns: policies(s.PolicyARNs),
	}
}

func seconds(d time.Duration) *int32 {
	return aws.Int32(int32(d / time.Second)) //nolint:gosec // at most 12 hours
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func policies(arns []string) (all []types.PolicyDescriptorType) {
	for _, arn := range arns {
		all = append(all, types.PolicyDescriptorType{Arn: &arn})
	}
	return all
}

// issued takes the answer over; what is missing in it is missing there. Of the room that was used, AWS tells how full the
// session token is (SessionTokenUtilization, since 2026), which holds tags and policies; regions and stand-ins that do not know
// that yet tell how full the older, smaller room for them is (PackedPolicySize), which is no limit any more where the other is.
func issued(c *types.Credentials, user *types.AssumedRoleUser, utilization, packed *int32) credentials.Issued {
	if utilization != nil {
		packed = utilization
	}
	out := credentials.Issued{PackedPolicyPercent: int(aws.ToInt32(packed))}
	if user != nil {
		out.ARN = aws.ToString(user.Arn)
	}
	if c != nil {
		out.AccessKeyID, out.ExpiresAt = aws.ToString(c.AccessKeyId), aws.ToTime(c.Expiration).UTC()
		out.SecretAccessKey = secret.NewValue([]byte(aws.ToString(c.SecretAccessKey)))
		out.SessionToken = secret.NewValue([]byte(aws.ToString(c.SessionToken)))
	}
	return out
}
