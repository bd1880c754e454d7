package sqlite

import (
	"context"
	"database/sql"
	"iter"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlCountInWindow = `
SELECT (SELECT count(*) FROM decisions WHERE at >= @from AND at < @to),
       (SELECT count(*) FROM revisions WHERE at >= @from AND at < @to)
       + (SELECT count(*) FROM revocation_changes WHERE at >= @from AND at < @to)
       + (SELECT count(*) FROM trust_changes WHERE at >= @from AND at < @to)`

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlRevisionsInWindow = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, (SELECT COALESCE(max(seq), 0) FROM changes WHERE revision = r.number)
FROM revisions AS r
WHERE r.at >= @from AND r.at < @to`

const sqlRevocationChangesInWindow = `
SELECT seq, at, actor, reason, ticket, action, id, tenant_id, kind, value, not_before, expires_at
FROM revocation_changes
WHERE at >= @from AND at < @to`

const sqlTrustChangesInWindow = `
SELECT version, at, actor, reason, ticket, action, provider, tenant_id, display_name, kid
FROM trust_changes
WHERE at >= @from AND at < @to`

const sqlFactsOfRevisions = `
SELECT revision, kind, key, COALESCE(before, ''), COALESCE(after, '')
FROM changes
WHERE revision >= @first AND revision <= @last
ORDER BY revision, seq`

const sqlDecisionDays = `
SELECT name, day, detached
FROM decision_days
ORDER BY day, name`

// CountInWindow implements store.DecisionSealer.
func (s *Store) CountInWindow(ctx context.Context, from, to time.Time) (records, changes uint64, err error) {
	err = s.read.QueryRowContext(ctx, sqlCountInWindow, windowArgs(from, to)...).Scan(&records, &changes)
	return records, changes, s.asStoreError(ctx, "count records", err)
}

// DecisionDays implements store.DecisionSealer.
func (s *Store) DecisionDays(ctx context.Context) ([]store.Partition, error) {
	l, err := collect(ctx, s.read, func(r scanner) (p store.Partition, err error) {
		var day int64
		err = r.Scan(&p.Name, &day, &p.Detached)
		p.Day = time.UnixMicro(day).UTC()
		return p, err
	}, sqlDecisionDays)
	return l, s.asStoreError(ctx, "list days", err)
}

// ChangesInWindow implements store.DecisionSealer. Changes are held in memory without their facts, which are read as they
// are asked for.
func (s *Store) ChangesInWindow(ctx context.Context, from, to time.Time) iter.Seq2[store.ChangeLine, error] {
	return func(yield func(store.ChangeLine, error) bool) {
		stopped := false
		err := s.reading(ctx, "read changes", func(tx *sql.Tx) error {
			return changeLines(ctx, tx, from, to, func(l store.ChangeLine) bool {
				stopped = !yield(l, nil)
				return !stopped
			})
		})
		if err != nil && !stopped {
			yield(store.ChangeLine{}, err)
		}
	}
}

func changeLines(ctx context.Context, tx *sql.Tx, from, to time.Time, yield func(store.ChangeLine) bool) error {
	var all []store.ChangeLine
	for _, trail := range []struct {
		query string
		scan  func(scanner) (store.ChangeLine, error)
	}{
		{sqlRevisionsInWindow, scanRevisionHead}, {sqlRevocationChangesInWindow, scanRecordedRevocation}, {sqlTrustChangesInWindow, scanRecordedTrust},
	} {
		l, err := collect(ctx, tx, trail.scan, trail.query, windowArgs(from, to)...)
		if err != nil {
			return err
		}
		all = append(all, l...)
	}
	slices.SortFunc(all, func(a, b store.ChangeLine) int { return store.CompareChanges(a.Change, b.Change) })
	for len(all) > 0 {
		n := store.RunOfRevisions(all)
		if n == 0 {
			if !yield(all[0]) {
				return nil
			}
			n = 1
		} else if more, err := factsOf(ctx, tx, all[:n], yield); err != nil || !more {
			return err
		}
		all = all[n:]
	}
	return nil
}

// factsOf yields the lines of revisions that follow one another, and says whether to go on.
func factsOf(ctx context.Context, tx *sql.Tx, run []store.ChangeLine, yield func(store.ChangeLine) bool) (more bool, err error) {
	rows, err := tx.QueryContext(ctx, sqlFactsOfRevisions, sql.Named("first", number(run[0].Change.Number)),
		sql.Named("last", number(run[len(run)-1].Change.Number)))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	lines := store.LinesOf(run, yield)
	for rows.Next() {
		var revision uint64
		var f store.FactChange
		if err := rows.Scan(&revision, &f.Kind, &f.Key, &f.Before, &f.After); err != nil {
			return false, err
		}
		if !lines.Add(revision, f) {
			return false, nil
		}
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return lines.End(), nil
}

func scanRevisionHead(r scanner) (l store.ChangeLine, err error) {
	var at int64
	c := &l.Change
	err = r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &c.Total)
	c.Trail, c.At = store.TrailPolicy, time.UnixMicro(at).UTC()
	return l, err
}

func scanRecordedRevocation(r scanner) (l store.ChangeLine, err error) {
	var action, id string
	var at, notBefore, expiresAt int64
	var row store.RecordedRevocation
	c := &l.Change
	if err = r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &action, &id, &row.TenantID, &row.Kind, &row.Value,
		&notBefore, &expiresAt); err != nil {
		return l, err
	}
	c.Trail, c.At, c.Total = store.TrailRevocation, time.UnixMicro(at).UTC(), 1
	row.NotBefore, row.ExpiresAt = time.UnixMicro(notBefore), time.UnixMicro(expiresAt)
	l.Fact, err = row.Fact(id, action == "delete")
	return l, err
}

func scanRecordedTrust(r scanner) (l store.ChangeLine, err error) {
	var at int64
	var row store.RecordedTrust
	c := &l.Change
	if err = r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &row.Action, &row.Provider, &row.TenantID, &row.DisplayName,
		&row.Kid); err != nil {
		return l, err
	}
	c.Trail, c.At, c.Total = store.TrailTrust, time.UnixMicro(at).UTC(), 1
	l.Fact, err = row.Fact()
	return l, err
}
