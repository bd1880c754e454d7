package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
SELECT EXISTS (SELECT 1 FROM changes WHERE revision = @revision)`

const sqlSteps = `
SELECT kind, key, before IS NOT NULL, after IS NOT NULL
FROM changes
WHERE revision > @from
ORDER BY revision, seq`

func headOf(ctx context.Context, tx *sql.Tx) (head uint64, err error) {
	err = tx.QueryRowContext(ctx, sqlHead).Scan(&head)
	return head, err
}

// Head implements store.PolicyReader.
func (s *Store) Head(ctx context.Context) (head uint64, err error) {
	err = s.read.QueryRowContext(ctx, sqlHead).Scan(&head)
	return head, s.asStoreError(ctx, "read head", err)
}

// Load implements store.PolicyReader.
func (s *Store) Load(ctx context.Context) (f store.Facts, err error) {
	err = s.reading(ctx, "load policy", func(tx *sql.Tx) error {
		if f.Revision, err = headOf(ctx, tx); err != nil {
			return err
		}
		if f.APIs, err = collect(ctx, tx, scanAPI, sqlLoadAPIs); err != nil {
			return err
		}
		if f.Routes, err = collect(ctx, tx, scanRoute, sqlLoadRoutes); err != nil {
			return err
		}
		f.Grants, err = collect(ctx, tx, scanGrant, sqlLoadGrants)
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
	err = s.reading(ctx, fmt.Sprintf("changes since %d", from), func(tx *sql.Tx) error {
		d = store.Delta{From: from}
		if d.To, err = headOf(ctx, tx); err != nil || d.To == from {
			return err
		}
		if from > d.To {
			return fmt.Errorf("the newest revision is %d: %w", d.To, store.ErrNotFound)
		}
		var there bool
		if err := tx.QueryRowContext(ctx, sqlHasChanges, sql.Named("revision", number(from+1))).Scan(&there); err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("the history of revision %d is gone: %w", from+1, store.ErrNotFound)
		}
		since := sql.Named("from", number(from))
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

func scanStep(r scanner) (st store.Step, err error) {
	err = r.Scan(&st.Kind, &st.Key, &st.Before, &st.After)
	return st, err
}

// Revisions implements store.PolicyReader.
func (s *Store) Revisions(ctx context.Context, before uint64, limit int) ([]store.Revision, error) {
	if before == 0 {
		before = store.MaxRevision
	}
	l, err := collect(ctx, s.read, scanRevision, sqlListRevisions, sql.Named("before", number(before)), sql.Named("limit", max(limit, 0)))
	return l, s.asStoreError(ctx, "list revisions", err)
}

func scanRevision(r scanner) (rev store.Revision, err error) {
	var at int64
	err = r.Scan(&rev.Number, &at, &rev.Actor, &rev.Reason, &rev.Ticket)
	rev.At = time.UnixMicro(at).UTC()
	return rev, err
}
