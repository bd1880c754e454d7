package trail

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	maxSummary  = 92 * 24 * time.Hour
	maxBuckets  = 2000
	maxCounts   = 200_000 // buckets times keys, some ten MiB in one answer
	defaultKeys = 100
)

var dimensions = map[verdictv1.Dimension]store.Dimension{
	verdictv1.Dimension_DIMENSION_UNSPECIFIED: store.ByNothing,
	verdictv1.Dimension_DIMENSION_REASON:      store.ByReason,
	verdictv1.Dimension_DIMENSION_ROUTE:       store.ByRoute,
	verdictv1.Dimension_DIMENSION_PRINCIPAL:   store.ByPrincipal,
	verdictv1.Dimension_DIMENSION_GRANT:       store.ByGrant,
}

// Summarize counts decisions over time and by what they are about.
func (s *Service) Summarize(ctx context.Context, req *verdictv1.SummarizeRequest) (*verdictv1.SummarizeResponse, error) {
	by, ok := dimensions[req.GetBy()]
	if !ok {
		return nil, status.Invalid(status.Violation{Field: "by", Text: "not one of the dimensions"})
	}
	keys := int(req.GetLimit())
	if keys == 0 {
		keys = defaultKeys
	}
	filter, bucket, err := s.span(req, by, keys)
	if err != nil {
		return nil, err
	}
	counts, more, err := s.store.Summarize(ctx, filter, by, bucket, keys)
	if err != nil {
		return nil, fmt.Errorf("summarize: %w", err)
	}
	resp := &verdictv1.SummarizeResponse{Counts: make([]*verdictv1.Count, len(counts)), More: more}
	for i, c := range counts {
		resp.Counts[i] = &verdictv1.Count{
			Bucket: timestamppb.New(c.Bucket), Key: keyText(by, c.Key), Allowed: c.Allowed, Denied: c.Denied,
			First: timestamppb.New(c.First), Last: timestamppb.New(c.Last),
		}
	}
	return resp, nil
}

// span is what to count and in which buckets; everything that is wrong is told at once.
func (s *Service) span(req *verdictv1.SummarizeRequest, by store.Dimension, keys int) (store.DecisionFilter, time.Duration, error) {
	var vs []status.Violation
	wrong := func(field, format string, args ...any) {
		vs = append(vs, status.Violation{Field: field, Text: fmt.Sprintf(format, args...)})
	}
	f := filterOf(req.GetFilter(), "filter.", &vs)
	if len(vs) > 0 {
		return f, 0, status.Invalid(vs...)
	}
	if f.To.IsZero() {
		f.To = store.Instant(s.cfg.Now())
	}
	switch {
	case f.From.IsZero():
		wrong("filter.from", "required: from when on to count")
	case !f.From.Before(f.To):
		wrong("filter.from", "in the future; without to, what is counted ends now")
	case f.To.Sub(f.From) > maxSummary:
		wrong("filter.to", "more than 92 days after from; count them piece by piece")
	}
	if req.GetBucket() == nil {
		return f, 0, invalidIf(vs)
	}
	bucket := req.GetBucket().AsDuration()
	if err := req.GetBucket().CheckValid(); err != nil || bucket < time.Minute || bucket%time.Microsecond != 0 {
		wrong("bucket", "at least a minute, in whole microseconds")
	}
	if len(vs) > 0 {
		return f, 0, status.Invalid(vs...)
	}
	// The first bucket may begin before from, and the last end after to.
	switch buckets := int(f.To.Sub(f.From)/bucket) + 1; {
	case buckets > maxBuckets:
		wrong("bucket", "%d buckets, and at most %d can be told; take wider ones", buckets, maxBuckets)
	case by != store.ByNothing && buckets*keys > maxCounts:
		wrong("limit", "%d keys in %d buckets, and at most %d counts can be told; take fewer keys or wider buckets", keys, buckets, maxCounts)
	}
	return f, bucket, invalidIf(vs)
}

// keyText is a key as callers read it.
func keyText(by store.Dimension, key string) string {
	if by != store.ByReason {
		return key
	}
	n, err := strconv.ParseInt(key, 10, 16)
	if err != nil {
		return key
	}
	return verdictv1.Reason(n).String()
}
