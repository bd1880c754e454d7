package awssm

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/verdict-authz/verdict/server/secret"
)

// previousStage is where AWS moves the version that was AWSCURRENT.
const previousStage = "AWSPREVIOUS"

// Config tunes a Fetcher. The zero value is usable.
type Config struct {
	Region   string       // of references that name none; "" means the library's: AWS_REGION, the profile
	Endpoint string       // takes the place of AWS's address; "" means the library's: AWS_ENDPOINT_URL, else AWS
	Client   *http.Client // nil means the library's own
}

// Fetcher is a secret.Fetcher and a secret.Predecessor. It is safe for concurrent use.
type Fetcher struct {
	cfg Config

	mu      sync.Mutex
	base    *aws.Config                       // loaded with the first fetch
	clients map[string]*secretsmanager.Client // by region
}

var (
	_ secret.Fetcher     = (*Fetcher)(nil)
	_ secret.Predecessor = (*Fetcher)(nil)
)

// New makes a Fetcher. Nothing is loaded and nobody is asked yet.
func New(cfg Config) *Fetcher {
	return &Fetcher{cfg: cfg, clients: map[string]*secretsmanager.Client{}}
}

// Fetch implements secret.Fetcher.
func (f *Fetcher) Fetch(ctx context.Context, ref secret.Ref) (secret.Fetched, error) {
	out, err := f.get(ctx, ref, cmp.Or(ref.Stage, secret.CurrentStage))
	if err != nil {
		return secret.Fetched{}, fmt.Errorf("%s: %w", ref, silent(err))
	}
	value, err := pick(out, ref.Key)
	if err != nil {
		return secret.Fetched{}, fmt.Errorf("%s: %w", ref, err)
	}
	return secret.Fetched{Value: value, Version: aws.ToString(out.VersionId), Since: aws.ToTime(out.CreatedDate)}, nil
}

// FetchPrevious implements secret.Predecessor: what was AWSCURRENT before. Another stage has no predecessor.
func (f *Fetcher) FetchPrevious(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	if cmp.Or(ref.Stage, secret.CurrentStage) != secret.CurrentStage {
		return secret.Value{}, secret.ErrNoPrevious
	}
	out, err := f.get(ctx, ref, previousStage)
	if isAbsent(err) {
		return secret.Value{}, fmt.Errorf("%s: %w", ref, secret.ErrNoPrevious)
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %s: %w", ref, previousStage, silent(err))
	}
	value, err := pick(out, ref.Key)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %s: %w", ref, previousStage, err)
	}
	return value, nil
}

func (f *Fetcher) get(ctx context.Context, ref secret.Ref, stage string) (*secretsmanager.GetSecretValueOutput, error) {
	client, err := f.client(ctx, ref.Region)
	if err != nil {
		return nil, err
	}
	return client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &ref.Name, VersionStage: &stage})
}

// retryer tries thrice within a second or so: a fetch has a few seconds in all, and an error that says AWS's code is worth more
// than one that says that time ran out. Whoever asked comes back anyway.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 500*time.Millisecond })
}

// client is the one for a region; "" means that of the surroundings. What fails is tried again by the next fetch.
func (f *Fetcher) client(ctx context.Context, region string) (*secretsmanager.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.base == nil {
		with := []func(*config.LoadOptions) error{config.WithRetryer(retryer)}
		if f.cfg.Region != "" {
			with = append(with, config.WithRegion(f.cfg.Region))
		}
		if f.cfg.Client != nil {
			with = append(with, config.WithHTTPClient(f.cfg.Client))
		}
		base, err := config.LoadDefaultConfig(ctx, with...)
		if err != nil {
			return nil, errLoad
		}
		f.base = &base
	}
	region = cmp.Or(region, f.base.Region)
	if region == "" {
		return nil, errRegion
	}
	if f.clients[region] == nil {
		made := secretsmanager.NewFromConfig(*f.base, func(o *secretsmanager.Options) {
			o.Region = region
			if f.cfg.Endpoint != "" {
				o.BaseEndpoint = &f.cfg.Endpoint
			}
		})
		if set := made.Options().BaseEndpoint; set != nil && secret.CheckEndpoint(*set) != nil { // by us or by the surroundings
			return nil, errEndpoint
		}
		f.clients[region] = made
	}
	return f.clients[region], nil
}
