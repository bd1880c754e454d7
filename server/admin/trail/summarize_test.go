package trail_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

func TestSummarize(t *testing.T) {
	s := openSQLite(t)
	twenty(t, s)
	c := ask(t, s)
	whole := &verdictv1.DecisionFilter{From: timestamppb.New(t0)}
	for name, tc := range map[string]struct {
		req  *verdictv1.SummarizeRequest
		want []string // key, seconds after t0 that the bucket begins, allowed, denied
		more bool
	}{
		"all together, up to now, repeats included": {&verdictv1.SummarizeRequest{Filter: whole}, []string{" 0 15/9"}, false},
		"by reason, by its name": {&verdictv1.SummarizeRequest{Filter: whole, By: verdictv1.Dimension_DIMENSION_REASON},
			[]string{"REASON_NO_GRANT 0 0/9", "REASON_ALLOWED_BY_GRANT 0 15/0"}, false},
		"by route": {&verdictv1.SummarizeRequest{Filter: whole, By: verdictv1.Dimension_DIMENSION_ROUTE},
			[]string{"orders/ 0 10/8", "bills/ 0 0/1", "orders/list 0 5/0"}, false},
		"by principal, with a limit": {&verdictv1.SummarizeRequest{Filter: whole, By: verdictv1.Dimension_DIMENSION_PRINCIPAL, Limit: 1},
			[]string{tenant + "/p-1 0 10/8"}, true},
		"by grant, filtered": {&verdictv1.SummarizeRequest{
			Filter: &verdictv1.DecisionFilter{From: whole.GetFrom(), Api: "orders"}, By: verdictv1.Dimension_DIMENSION_GRANT,
		}, []string{"g-1 0 5/0"}, false},
		"in buckets of a minute": {&verdictv1.SummarizeRequest{
			Filter: &verdictv1.DecisionFilter{From: whole.GetFrom(), To: timestamppb.New(t0.Add(4 * time.Second))}, Bucket: durationpb.New(time.Minute),
		}, []string{" 0 8/8"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := c.Summarize(t.Context(), tc.req)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range resp.GetCounts() {
				got = append(got, fmt.Sprintf("%s %v %d/%d", n.GetKey(), n.GetBucket().AsTime().Sub(t0).Seconds(), n.GetAllowed(), n.GetDenied()))
				if n.GetFirst().AsTime().Before(t0) || n.GetLast().AsTime().Before(n.GetFirst().AsTime()) {
					t.Errorf("first %v, last %v", n.GetFirst().AsTime(), n.GetLast().AsTime())
				}
			}
			if !slices.Equal(got, tc.want) || resp.GetMore() != tc.more {
				t.Errorf("got %q, more %v; want %q, %v", got, resp.GetMore(), tc.want, tc.more)
			}
		})
	}
}

func TestSummarizeSaysWhatIsWrong(t *testing.T) {
	c := ask(t, openSQLite(t))
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(t0.Add(d)) }
	const day = 24 * time.Hour
	for name, tc := range map[string]struct {
		from, to *timestamppb.Timestamp
		bucket   *durationpb.Duration
		by       verdictv1.Dimension
		limit    uint32
		want     map[string]string // nil: nothing is
	}{
		"no from":                  {want: map[string]string{"filter.from": "required"}},
		"from in the future":       {from: at(day), want: map[string]string{"filter.from": "in the future"}},
		"to before from":           {from: at(0), to: at(-1 * time.Hour), want: map[string]string{"filter.to": "no record could match"}},
		"92 days":                  {from: at(0), to: at(92 * day)},
		"more than 92 days":        {from: at(0), to: at(92*day + time.Second), want: map[string]string{"filter.to": "92 days"}},
		"more than 92 days to now": {from: at(-92 * day), want: map[string]string{"filter.to": "92 days"}},
		"a bucket of a minute":     {from: at(0), bucket: durationpb.New(time.Minute)},
		"a shorter bucket":         {from: at(0), bucket: durationpb.New(time.Minute - 1), want: map[string]string{"bucket": "at least a minute"}},
		"a bucket with nanoseconds": {from: at(0), bucket: durationpb.New(time.Minute + 1),
			want: map[string]string{"bucket": "whole microseconds"}},
		"a bucket that is none": {from: at(0), bucket: &durationpb.Duration{Seconds: 60, Nanos: -1}, want: map[string]string{"bucket": "at least a minute"}},
		"2000 buckets":          {from: at(0), to: at(1999 * time.Minute), bucket: durationpb.New(time.Minute)},
		"more buckets":          {from: at(0), to: at(2000 * time.Minute), bucket: durationpb.New(time.Minute), want: map[string]string{"bucket": "2001 buckets"}},
		"more counts than an answer holds": {from: at(0), to: at(1999 * time.Minute), bucket: durationpb.New(time.Minute),
			by: verdictv1.Dimension_DIMENSION_GRANT, limit: 101, want: map[string]string{"limit": "101 keys in 2000 buckets"}},
		"as many as it holds": {from: at(0), to: at(1999 * time.Minute), bucket: durationpb.New(time.Minute), by: verdictv1.Dimension_DIMENSION_GRANT},
		"everything at once": {from: at(0), to: at(93 * day), bucket: durationpb.New(time.Second),
			want: map[string]string{"filter.to": "92 days", "bucket": "at least a minute"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Summarize(t.Context(), &verdictv1.SummarizeRequest{
				Filter: &verdictv1.DecisionFilter{From: tc.from, To: tc.to}, Bucket: tc.bucket, By: tc.by, Limit: tc.limit,
			})
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantInvalid(t, err, tc.want)
		})
	}
}
