package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// One statement a key: what is grouped by is not a parameter. Width 0 is one bucket, at @begin. The remainder of a division
// has the sign of what is divided, hence twice.
const (
	summaryFrom = `CASE @width WHEN 0 THEN @begin ELSE at - ((at % @width) + @width) % @width END AS bucket,
       sum((allowed <> 0) * (1 + repeats)) AS allowed, sum((allowed = 0) * (1 + repeats)) AS denied, min(at) AS first, max(at) AS last`

	summaryRank = `
GROUP BY 1, 2), keys AS (
SELECT key, row_number() OVER (ORDER BY sum(denied) DESC, sum(allowed) DESC, key) AS rank
FROM counted
GROUP BY key)
SELECT c.bucket, c.key, c.allowed, c.denied, c.first, c.last, k.rank
FROM counted AS c
JOIN keys AS k ON k.key = c.key
WHERE k.rank <= @limit + 1
ORDER BY k.rank, c.bucket`

	sqlSummarize = `
WITH counted AS MATERIALIZED (
SELECT '' AS key, ` + summaryFrom + `
FROM decisions
WHERE ` + matches + summaryRank

	sqlSummarizeByReason = `
WITH counted AS MATERIALIZED (
SELECT CAST(reason AS TEXT) AS key, ` + summaryFrom + `
FROM decisions
WHERE ` + matches + summaryRank

	sqlSummarizeByRoute = `
WITH counted AS MATERIALIZED (
SELECT CASE WHEN api = '' THEN '' ELSE api || '/' || route END AS key, ` + summaryFrom + `
FROM decisions
WHERE ` + matches + summaryRank

	sqlSummarizeByPrincipal = `
WITH counted AS MATERIALIZED (
SELECT CASE WHEN principal_id = '' THEN '' ELSE tenant_id || '/' || principal_id END AS key, ` + summaryFrom + `
FROM decisions
WHERE ` + matches + summaryRank

	sqlSummarizeByGrant = `
WITH counted AS MATERIALIZED (
SELECT g.value AS key, ` + summaryFrom + `
FROM decisions, json_each(grants) AS g
WHERE ` + matches + summaryRank
)

var summaries = map[store.Dimension]string{
	store.ByNothing: sqlSummarize, store.ByReason: sqlSummarizeByReason, store.ByRoute: sqlSummarizeByRoute,
	store.ByPrincipal: sqlSummarizeByPrincipal, store.ByGrant: sqlSummarizeByGrant,
}

const sqlGrantUse = `
SELECT grant_id, min(first_at), max(last_at), count(*)
FROM (
    SELECT grant_id, tenant_id, principal_id, min(first_at) AS first_at, max(last_at) AS last_at
    FROM grant_use
    WHERE day >= @day
    GROUP BY grant_id, tenant_id, principal_id)
GROUP BY grant_id
ORDER BY grant_id`

// Summarize implements store.DecisionCounter.
func (s *Store) Summarize(ctx context.Context, f store.DecisionFilter, by store.Dimension, bucket time.Duration, limit int) ([]store.Count, bool, error) {
	doing := "summarize decisions"
	query, ok := summaries[by]
	if !ok || bucket < 0 || bucket%time.Microsecond != 0 {
		return nil, false, fmt.Errorf("%s by %q in buckets of %v: %w", doing, by, bucket, store.ErrInvalid)
	}
	if limit <= 0 {
		return nil, false, nil
	}
	begin := sql.NullInt64{Int64: ceilMicro(f.From), Valid: !f.From.IsZero()}
	more := false
	counts, err := collect(ctx, s.read, func(r scanner) (c store.Count, err error) {
		var rank int
		var bucket, first, last sql.NullInt64
		err = r.Scan(&bucket, &c.Key, &c.Allowed, &c.Denied, &first, &last, &rank)
		c.Bucket, c.First, c.Last = timeOf(bucket), timeOf(first), timeOf(last)
		more = more || rank > limit
		return c, err
	}, query, append(filterArgs(f), sql.Named("width", bucket.Microseconds()), sql.Named("begin", begin), sql.Named("limit", limit))...)
	if err != nil {
		return nil, false, s.asStoreError(ctx, doing, err)
	}
	return store.WithinLimit(counts, more), more, nil
}

// GrantUse implements store.DecisionCounter.
func (s *Store) GrantUse(ctx context.Context, from time.Time) ([]store.GrantUse, error) {
	l, err := collect(ctx, s.read, func(r scanner) (u store.GrantUse, err error) {
		var first, last int64
		err = r.Scan(&u.Grant, &first, &last, &u.Principals)
		u.First, u.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		return u, err
	}, sqlGrantUse, sql.Named("day", store.Day(from).UnixMicro()))
	return l, s.asStoreError(ctx, "read grant use", err)
}
