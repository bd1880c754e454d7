package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlListChanges = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, t.total, COALESCE(c.kind, ''), COALESCE(c.key, ''),
       COALESCE(c.before::text, ''), COALESCE(c.after::text, '')
FROM (
    SELECT number, at, actor, reason, ticket
    FROM revisions
    WHERE number < @before
    ORDER BY number DESC
    LIMIT @limit) AS r
CROSS JOIN LATERAL (SELECT COALESCE(max(seq), 0) AS total FROM changes WHERE revision = r.number) AS t
LEFT JOIN changes AS c ON c.revision = r.number AND c.seq <= @facts::integer
ORDER BY r.number DESC, c.seq`

// Changes implements store.ChangeReader.
func (s *Store) Changes(ctx context.Context, before uint64, limit, facts int) ([]store.RevisionChanges, error) {
	if before == 0 {
		before = store.MaxRevision
	}
	lines, err := collect(ctx, s.pool, func(r pgx.Row) (c store.ChangeLine, err error) {
		rev := &c.Revision
		err = r.Scan(&rev.Number, &rev.At, &rev.Actor, &rev.Reason, &rev.Ticket, &c.Total, &c.Fact.Kind, &c.Fact.Key, &c.Fact.Before, &c.Fact.After)
		rev.At = store.Instant(rev.At)
		return c, err
	}, sqlListChanges, pgx.StrictNamedArgs{"before": number(before), "limit": max(limit, 0), "facts": max(facts, 0)})
	return store.GroupChanges(lines), s.asStoreError("list changes", err)
}
