package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// One statement a key: what is grouped by is not a parameter. Width 0 is one bucket, at @from.
const (
	summaryFrom = `CASE WHEN @width::bigint = 0 THEN @from::timestamptz
            ELSE date_bin(make_interval(secs => GREATEST(@width::bigint, 1) / 1e6), at, 'epoch'::timestamptz) END AS bucket,
       COALESCE(sum(1 + repeats) FILTER (WHERE allowed), 0)::bigint AS allowed,
       COALESCE(sum(1 + repeats) FILTER (WHERE NOT allowed), 0)::bigint AS denied, min(at) AS first, max(at) AS last`

	summaryRank = `
GROUP BY 1, 2), keys AS (
SELECT key, row_number() OVER (ORDER BY sum(denied) DESC, sum(allowed) DESC, key) AS rank
FROM counted
GROUP BY key)
SELECT c.bucket, c.key, c.allowed, c.denied, c.first, c.last, k.rank
FROM counted AS c
JOIN keys AS k ON k.key = c.key
WHERE k.rank <= @limit::bigint + 1
ORDER BY k.rank, c.bucket`

	sqlSummarize = `
WITH counted AS MATERIALIZED (
SELECT '' COLLATE "C" AS key, ` + summaryFrom + `
FROM decisions
WHERE ` + matches + summaryRank

	sqlSummarizeByReason = `
WITH counted AS MATERIALIZED (
SELECT reason::text COLLATE "C" AS key, ` + summaryFrom + `
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
SELECT g COLLATE "C" AS key, ` + summaryFrom + `
FROM decisions CROSS JOIN unnest(grants) AS g
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
    WHERE day >= @day::text::date
    GROUP BY grant_id, tenant_id, principal_id) AS u
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
	args := filterArgs(f)
	args["width"], args["limit"] = bucket.Microseconds(), limit
	more := false
	counts, err := collect(ctx, s.pool, func(r pgx.Row) (c store.Count, err error) {
		var rank int
		err = r.Scan((*utc)(&c.Bucket), &c.Key, &c.Allowed, &c.Denied, (*utc)(&c.First), (*utc)(&c.Last), &rank)
		more = more || rank > limit
		return c, err
	}, query, args, asked)
	if err != nil {
		return nil, false, s.asStoreError(doing, err)
	}
	return store.WithinLimit(counts, more), more, nil
}

// GrantUse implements store.DecisionCounter.
func (s *Store) GrantUse(ctx context.Context, from time.Time) ([]store.GrantUse, error) {
	l, err := collect(ctx, s.pool, func(r pgx.Row) (u store.GrantUse, err error) {
		err = r.Scan(&u.Grant, (*utc)(&u.First), (*utc)(&u.Last), &u.Principals)
		return u, err
	}, sqlGrantUse, pgx.StrictNamedArgs{"day": store.Day(from).Format(time.DateOnly)})
	return l, s.asStoreError("read grant use", err)
}
