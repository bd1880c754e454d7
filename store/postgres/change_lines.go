package postgres

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

const sqlCountInWindow = `
SELECT (SELECT count(*) FROM decisions WHERE at >= @from::timestamptz AND at < @to::timestamptz),
       (SELECT count(*) FROM revisions WHERE at >= @from::timestamptz AND at < @to::timestamptz)
       + (SELECT count(*) FROM revocation_changes WHERE at >= @from::timestamptz AND at < @to::timestamptz)
       + (SELECT count(*) FROM trust_changes WHERE at >= @from::timestamptz AND at < @to::timestamptz)`

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlRevisionsInWindow = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, (SELECT COALESCE(max(seq), 0) FROM changes WHERE revision = r.number)
FROM revisions AS r
WHERE r.at >= @from::timestamptz AND r.at < @to::timestamptz`

const sqlRevocationChangesInWindow = `
SELECT seq, at, actor, reason, ticket, action, id::text, tenant_id, kind, value, not_before, expires_at
FROM revocation_changes
WHERE at >= @from::timestamptz AND at < @to::timestamptz`

const sqlTrustChangesInWindow = `
SELECT version, at, actor, reason, ticket, action, provider, tenant_id, display_name, kid
FROM trust_changes
WHERE at >= @from::timestamptz AND at < @to::timestamptz`

const sqlFactsOfRevisions = `
SELECT revision, kind, key, COALESCE(before::text, ''), COALESCE(after::text, '')
FROM changes
WHERE revision >= @first AND revision <= @last
ORDER BY revision, seq`

const sqlDecisionDays = `
SELECT name, day, detached OR detaching
FROM decision_partitions
ORDER BY day, name`

func betweenArgs(from, to time.Time) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"from": bound(from, pgtype.NegativeInfinity), "to": bound(to, pgtype.Infinity)}
}

// CountInWindow implements store.DecisionSealer.
func (s *Store) CountInWindow(ctx context.Context, from, to time.Time) (records, changes uint64, err error) {
	err = s.pool.QueryRow(ctx, sqlCountInWindow, asked, betweenArgs(from, to)).Scan(&records, &changes)
	return records, changes, s.asStoreError("count records", err)
}

// DecisionDays implements store.DecisionSealer.
func (s *Store) DecisionDays(ctx context.Context) ([]store.Partition, error) {
	l, err := collect(ctx, s.pool, func(r pgx.Row) (p store.Partition, err error) {
		err = r.Scan(&p.Name, &p.Day, &p.Detached)
		p.Day = store.Day(p.Day)
		return p, err
	}, sqlDecisionDays, nil)
	return l, s.asStoreError("list days", err)
}

// ChangesInWindow implements store.DecisionSealer. Changes are held in memory without their facts, which are read as they
// are asked for.
func (s *Store) ChangesInWindow(ctx context.Context, from, to time.Time) iter.Seq2[store.ChangeLine, error] {
	return func(yield func(store.ChangeLine, error) bool) {
		stopped := false
		err := s.changeLines(ctx, from, to, func(l store.ChangeLine) bool {
			stopped = !yield(l, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(store.ChangeLine{}, s.asStoreError("read changes", err))
		}
	}
}

func (s *Store) changeLines(ctx context.Context, from, to time.Time, yield func(store.ChangeLine) bool) error {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	var all []store.ChangeLine
	for _, trail := range []struct {
		query string
		scan  func(pgx.Row) (store.ChangeLine, error)
	}{
		{sqlRevisionsInWindow, scanRevisionHead}, {sqlRevocationChangesInWindow, scanRecordedRevocation}, {sqlTrustChangesInWindow, scanRecordedTrust},
	} {
		l, err := collect(ctx, tx, trail.scan, trail.query, betweenArgs(from, to), asked)
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
func factsOf(ctx context.Context, tx pgx.Tx, run []store.ChangeLine, yield func(store.ChangeLine) bool) (more bool, err error) {
	rows, err := tx.Query(ctx, sqlFactsOfRevisions, pgx.StrictNamedArgs{
		"first": number(run[0].Change.Number), "last": number(run[len(run)-1].Change.Number)})
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

func scanRevisionHead(r pgx.Row) (l store.ChangeLine, err error) {
	c := &l.Change
	err = r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &c.Total)
	c.Trail, c.At = store.TrailPolicy, store.Instant(c.At)
	return l, err
}

func scanRecordedRevocation(r pgx.Row) (l store.ChangeLine, err error) {
	var action, id string
	var row store.RecordedRevocation
	c := &l.Change
	if err = r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &action, &id, &row.TenantID, &row.Kind, &row.Value,
		&row.NotBefore, &row.ExpiresAt); err != nil {
		return l, err
	}
	c.Trail, c.At, c.Total = store.TrailRevocation, store.Instant(c.At), 1
	l.Fact, err = row.Fact(id, action == "delete")
	return l, err
}

func scanRecordedTrust(r pgx.Row) (l store.ChangeLine, err error) {
	var row store.RecordedTrust
	c := &l.Change
	if err = r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &row.Action, &row.Provider, &row.TenantID, &row.DisplayName,
		&row.Kid); err != nil {
		return l, err
	}
	c.Trail, c.At, c.Total = store.TrailTrust, store.Instant(c.At), 1
	l.Fact, err = row.Fact()
	return l, err
}
