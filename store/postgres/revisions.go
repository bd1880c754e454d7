package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const sqlHead = `
SELECT revision
FROM policy_head`

const sqlListRevisions = `
SELECT number, at, actor, reason, ticket
FROM revisions
WHERE number < @before
ORDER BY number DESC
LIMIT @limit`

const sqlHasChanges = `
SELECT EXISTS (SELECT FROM changes WHERE revision = @revision)`

const sqlSteps = `
SELECT kind, key, before IS NOT NULL, after IS NOT NULL
FROM changes
WHERE revision > @from
ORDER BY revision, seq`

// number is a revision as the database can compare it: one that is too large for it is larger than all there are.
func number(rev uint64) int64 { return int64(min(rev, store.MaxRevision)) }

func headOf(ctx context.Context, tx pgx.Tx) (head uint64, err error) {
	err = tx.QueryRow(ctx, sqlHead).Scan(&head)
	return head, err
}

// Head implements store.PolicyReader.
func (s *Store) Head(ctx context.Context) (head uint64, err error) {
	err = s.pool.QueryRow(ctx, sqlHead).Scan(&head)
	return head, s.asStoreError("read head", err)
}

// Load implements store.PolicyReader.
func (s *Store) Load(ctx context.Context) (f store.Facts, err error) {
	err = s.reading(ctx, "load policy", func(tx pgx.Tx) error {
		if f.Revision, err = headOf(ctx, tx); err != nil {
			return err
		}
		if f.APIs, err = collect(ctx, tx, scanAPI, sqlLoadAPIs, nil); err != nil {
			return err
		}
		if f.Routes, err = collect(ctx, tx, scanRoute, sqlLoadRoutes, nil); err != nil {
			return err
		}
		f.Grants, err = collect(ctx, tx, scanGrant, sqlLoadGrants, nil)
		return err
	})
	if err != nil {
		return store.Facts{}, err
	}
	return f, nil
}

// ChangesSince implements store.PolicyReader. A fact's own revision says whether it was put since; only deletes have to be
// looked up in history.
func (s *Store) ChangesSince(ctx context.Context, from uint64) (d store.Delta, err error) {
	err = s.reading(ctx, fmt.Sprintf("changes since %d", from), func(tx pgx.Tx) error {
		d = store.Delta{From: from}
		if d.To, err = headOf(ctx, tx); err != nil || d.To == from {
			return err
		}
		if from > d.To {
			return fmt.Errorf("the newest revision is %d: %w", d.To, store.ErrNotFound)
		}
		var there bool
		if err := tx.QueryRow(ctx, sqlHasChanges, pgx.StrictNamedArgs{"revision": number(from + 1)}).Scan(&there); err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("the history of revision %d is gone: %w", from+1, store.ErrNotFound)
		}
		since := pgx.StrictNamedArgs{"from": number(from)}
		if d.APIs, err = collect(ctx, tx, scanAPI, sqlAPIsSince, since); err != nil {
			return err
		}
		if d.Routes, err = collect(ctx, tx, scanRoute, sqlRoutesSince, since); err != nil {
			return err
		}
		if d.Grants, err = collect(ctx, tx, scanGrant, sqlGrantsSince, since); err != nil {
			return err
		}
		steps, err := collect(ctx, tx, scanStep, sqlSteps, since)
		d.NetDeletes(steps)
		return err
	})
	if err != nil {
		return store.Delta{}, err
	}
	return d, nil
}

func scanStep(r pgx.Row) (st store.Step, err error) {
	err = r.Scan(&st.Kind, &st.Key, &st.Before, &st.After)
	return st, err
}

// Revisions implements store.PolicyReader.
func (s *Store) Revisions(ctx context.Context, before uint64, limit int) ([]store.Revision, error) {
	if before == 0 {
		before = store.MaxRevision
	}
	l, err := collect(ctx, s.pool, scanRevision, sqlListRevisions, pgx.StrictNamedArgs{"before": number(before), "limit": max(limit, 0)})
	return l, s.asStoreError("list revisions", err)
}

func scanRevision(r pgx.Row) (rev store.Revision, err error) {
	err = r.Scan(&rev.Number, &rev.At, &rev.Actor, &rev.Reason, &rev.Ticket)
	rev.At = store.Instant(rev.At)
	return rev, err
}
