// Package s3sink keeps copies of digests in a bucket of S3, or of another store that speaks its protocol. An object is put
// only when there is none of its name (If-None-Match), so a digest is never written over by verdict; that nobody else can is
// up to the bucket: use S3 Object Lock.
package s3sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/verdict-authz/verdict/server/audit/seal"
)

const (
	scheme = "s3://"
	// timeout is for one request; a digest is some kilobytes.
	timeout = 10 * time.Second
	// mostContent bounds what is read of an object that is there already.
	mostContent = 64 << 20
)

// Config tunes a Sink. The zero value is usable.
type Config struct {
	Region      string                  // "": as the environment or the shared configuration of AWS says
	Endpoint    string                  // URL of the service, with buckets in its path; "": that of AWS
	Credentials aws.CredentialsProvider // nil: as the environment, the machine or the pod has them
}

// Sink is a seal.Sink.
type Sink struct {
	bucket, prefix string
	client         *s3.Client
}

var _ seal.Sink = (*Sink)(nil)

// IsURL says whether text names a bucket rather than a folder.
func IsURL(text string) bool { return strings.HasPrefix(text, scheme) }

// New returns the sink of s3://bucket/prefix. It asks nobody yet, save for where it runs when no region is given.
func New(ctx context.Context, url string, cfg Config) (*Sink, error) {
	rest, ok := strings.CutPrefix(url, scheme)
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return nil, errors.New("s3 sink: write s3://bucket/prefix")
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(timeout))}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Credentials != nil {
		options = append(options, config.WithCredentialsProvider(cfg.Credentials))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("s3 sink: %w", err)
	}
	if loaded.Region == "" {
		return nil, errors.New("s3 sink: no region; set AWS_REGION")
	}
	return &Sink{bucket: bucket, prefix: prefix, client: s3.NewFromConfig(loaded, func(o *s3.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = aws.String(cfg.Endpoint), true
		}
	})}, nil
}

// Name implements seal.Sink.
func (s *Sink) Name() string { return strings.TrimSuffix(scheme+s.bucket+"/"+s.prefix, "/") }

// Put implements seal.Sink.
func (s *Sink) Put(ctx context.Context, name string, content []byte) error {
	key := s.prefix + name
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(content), ContentType: aws.String("application/json"), IfNoneMatch: aws.String("*"),
	})
	if err == nil {
		return nil
	}
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() != http.StatusPreconditionFailed {
		return fmt.Errorf("put %s: %w", key, err)
	}
	there, err := s.get(ctx, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(there, content) {
		return fmt.Errorf("%s: %w", key, seal.ErrContradicts)
	}
	return nil
}

func (s *Sink) get(ctx context.Context, key string) ([]byte, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	defer out.Body.Close()
	content, err := io.ReadAll(io.LimitReader(out.Body, mostContent))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	return content, nil
}
