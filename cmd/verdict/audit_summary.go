package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// auditSummaryCmd counts decisions.
type auditSummaryCmd struct {
	auditFlags
	timeFlags
	filterFlags

	By     string `env:"-" enum:"reason,route,principal,grant,all" default:"reason" help:"Count by reason (unless set), route, principal or grant, or all together." placeholder:"WHAT"`
	Bucket span   `env:"-" help:"Count apart for each such time, at least 1m; none: once." placeholder:"TIME"`
	Top    uint32 `env:"-" default:"20" help:"At most this many, those with most denials first; 20 unless set, at most 1000." placeholder:"N"`
	Wide   bool   `env:"-" help:"Print keys whole, however long the line."`
}

var dimensions = map[string]verdictv1.Dimension{
	"reason": verdictv1.Dimension_DIMENSION_REASON, "route": verdictv1.Dimension_DIMENSION_ROUTE,
	"principal": verdictv1.Dimension_DIMENSION_PRINCIPAL, "grant": verdictv1.Dimension_DIMENSION_GRANT,
	"all": verdictv1.Dimension_DIMENSION_UNSPECIFIED,
}

// summaryTime is what a summary is about when no time is given.
const summaryTime = 24 * time.Hour

// Run prints the counts.
func (c *auditSummaryCmd) Run(s *surroundings) error {
	f, err := c.filter()
	if err != nil {
		return err
	}
	now := time.Now()
	if f.From, f.To, err = c.bounds(now, summaryTime); err != nil {
		return err
	}
	if c.Top < 1 || c.Top > maxPage {
		return usage(errors.New("--top: not within 1 and 1000"))
	}
	if c.Bucket != 0 && time.Duration(c.Bucket) < time.Minute {
		return usage(errors.New("--bucket: less than 1m"))
	}
	req := &verdictv1.SummarizeRequest{Filter: f, By: dimensions[c.By], Limit: c.Top}
	if c.Bucket != 0 {
		req.Bucket = durationpb.New(time.Duration(c.Bucket))
	}
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		var resp *verdictv1.SummarizeResponse
		err := c.call(s.ctx, func(ctx context.Context) (err error) {
			resp, err = client.Summarize(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		out := newScreen(s.stdout, c.Wide)
		if c.JSON {
			for _, n := range resp.GetCounts() {
				if err := out.json(n); err != nil {
					return err
				}
			}
			return nil
		}
		end := now
		if f.To != nil {
			end = f.To.AsTime()
		}
		return out.summary(resp, c.By, f.From.AsTime(), end, time.Duration(c.Bucket))
	})
}

// barWidth is room for a bar or a line over time.
const barWidth = 30

// summary prints a line a key or, when all is counted together, a line a bucket.
func (s *screen) summary(r *verdictv1.SummarizeResponse, by string, from, to time.Time, bucket time.Duration) error {
	if len(r.GetCounts()) == 0 {
		_, err := fmt.Fprintf(s.to, "no decision from %s to %s UTC matches\n", from.UTC().Format(time.DateTime), to.UTC().Format(time.DateTime))
		return err
	}
	heading := []string{strings.ToUpper(by), "ALLOWED", "DENIED", ""}
	if by == "all" && bucket > 0 {
		heading[0] = "FROM (UTC)"
	} else if bucket > 0 {
		heading[3] = "EVERY " + span(bucket).String()
	}
	var keys []*keyed
	most := uint64(0)
	for _, n := range r.GetCounts() {
		key := keyWord(n.GetKey(), by)
		if by == "all" {
			key = "all"
			if bucket > 0 {
				key = second(n.GetBucket())
			}
		}
		if len(keys) == 0 || keys[len(keys)-1].key != key { // counts come key by key
			keys = append(keys, &keyed{key: key})
		}
		k := keys[len(keys)-1]
		k.add(n, from, to, bucket)
		most = max(most, k.allowed+k.denied)
	}
	rows := make([][]field, len(keys))
	for i, k := range keys {
		picture := barOf(k.allowed+k.denied, most, barWidth)
		if by != "all" && bucket > 0 {
			picture = sparkline(k.times, barWidth)
		}
		key := k.key
		if !s.wide {
			key = cut(plain(key), screenWidth-barWidth-2*12-6)
		}
		rows[i] = []field{
			{text: key},
			{text: strconv.FormatUint(k.allowed, 10), right: true},
			{text: strconv.FormatUint(k.denied, 10), right: true},
			{text: picture},
		}
	}
	if err := s.table(heading, rows); err != nil {
		return err
	}
	if r.GetMore() {
		_, err := fmt.Fprintln(s.to, "there are more; see --top")
		return err
	}
	return nil
}

// keyed is the counts of a key, in all and by bucket.
type keyed struct {
	key             string
	allowed, denied uint64
	times           []uint64
}

// mostBuckets is more than the API gives.
const mostBuckets = 2002

func (k *keyed) add(n *verdictv1.Count, from, to time.Time, bucket time.Duration) {
	k.allowed += n.GetAllowed()
	k.denied += n.GetDenied()
	if bucket <= 0 {
		return
	}
	first := from.UnixMicro() / bucket.Microseconds()
	if k.times == nil {
		last := (to.UnixMicro() - 1) / bucket.Microseconds()
		k.times = make([]uint64, min(max(last-first+1, 1), mostBuckets))
	}
	if i := n.GetBucket().AsTime().UnixMicro()/bucket.Microseconds() - first; i >= 0 && i < int64(len(k.times)) {
		k.times[i] += n.GetAllowed() + n.GetDenied()
	}
}

// keyWord is a key for people.
func keyWord(key, by string) string {
	switch {
	case key == "" && by == "principal":
		return "(nobody was proven)"
	case key == "" && by == "route":
		return "(no api)"
	case strings.HasSuffix(key, "/") && by == "route":
		return key + " (no route)"
	case by == "reason":
		return strings.TrimPrefix(key, reasonPrefix)
	default:
		return key
	}
}
