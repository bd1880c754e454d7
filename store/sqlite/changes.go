package sqlite

import (
	"context"
	"database/sql"

	"github.com/verdict-authz/verdict/store"
)

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlListChanges = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, COALESCE((SELECT MAX(seq) FROM changes WHERE revision = r.number), 0),
       COALESCE(c.kind, ''), COALESCE(c.key, ''), COALESCE(c.before, ''), COALESCE(c.after, '')
FROM (
    SELECT number, at, actor, reason, ticket
    FROM revisions
    WHERE number < @before
    ORDER BY number DESC
    LIMIT @limit) AS r
LEFT JOIN changes AS c ON c.revision = r.number AND c.seq <= @facts
ORDER BY r.number DESC, c.seq`

// Changes implements store.ChangeReader.
func (s *Store) Changes(ctx context.Context, before uint64, limit, facts int) ([]store.RevisionChanges, error) {
	if before == 0 {
		before = store.MaxRevision
	}
	lines, err := collect(ctx, s.read, func(r scanner) (c store.ChangeLine, err error) {
		rev, at := &c.Revision, int64(0)
		err = r.Scan(&rev.Number, &at, &rev.Actor, &rev.Reason, &rev.Ticket, &c.Total, &c.Fact.Kind, &c.Fact.Key, &c.Fact.Before, &c.Fact.After)
		rev.At = timeOf(sql.NullInt64{Int64: at, Valid: true})
		return c, err
	}, sqlListChanges, sql.Named("before", number(before)), sql.Named("limit", max(limit, 0)), sql.Named("facts", max(facts, 0)))
	return store.GroupChanges(lines), s.asStoreError(ctx, "list changes", err)
}
