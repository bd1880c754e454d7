package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const columnsRevocation = `id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor, created_at, seq, deleted`

const sqlRevocationHead = `
SELECT seq
FROM revocation_head`

// The time is read after the lock was had.
const sqlNextRevocationSeq = `
UPDATE revocation_head
SET seq = seq + 1
RETURNING seq, clock_timestamp()`

// Who asks for changes since 0 knows nothing that could have been taken back.
const sqlRevocationsSince = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE seq > @from::bigint AND (@from::bigint > 0 OR NOT deleted AND expires_at > clock_timestamp())
ORDER BY seq`

const sqlListRevocations = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE id < @before::uuid AND NOT deleted AND expires_at > clock_timestamp()
  AND (@tenant_id::text = '' OR tenant_id = @tenant_id)
  AND (@kind::text = '' OR kind = @kind)
  AND (@value::text = '' OR value = @value)
ORDER BY id DESC
LIMIT @limit`

const sqlFindRevocation = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE tenant_id = @tenant_id AND kind = @kind AND value = @value AND NOT deleted`

const sqlInsertRevocation = `
INSERT INTO revocations (id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor, created_at, seq, deleted)
VALUES (@id, @tenant_id, @kind, @value, @not_before, @expires_at, @reason, @ticket, @actor, @at, @seq, false)`

const sqlWidenRevocation = `
UPDATE revocations
SET not_before = @not_before, expires_at = @expires_at, reason = @reason, ticket = @ticket, actor = @actor, seq = @seq
WHERE id = @id`

const sqlDeleteRevocation = `
UPDATE revocations
SET deleted = true, seq = @seq
WHERE id = @id AND NOT deleted
RETURNING ` + columnsRevocation

// A row that has expired is of no use to a replica, which forgets it by itself; the hour is for clocks that differ.
const sqlForgetRevocations = `
DELETE FROM revocations
WHERE id IN (
    SELECT id
    FROM revocations
    WHERE expires_at < @now::timestamptz - interval '1 hour'
    ORDER BY expires_at
    LIMIT 10000)`

const sqlForgetRevocation = `
DELETE FROM revocations
WHERE tenant_id = @tenant_id AND kind = @kind AND value = @value AND NOT deleted AND expires_at <= @now`

const sqlInsertRevocationChange = `
INSERT INTO revocation_changes (seq, at, action, id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor)
VALUES (@seq, @at, @action, @id, @tenant_id, @kind, @value, @not_before, @expires_at, @reason, @ticket, @actor)`

const sqlNotifyRevocation = `
SELECT pg_notify('verdict_revision', 'revocation')`

// lastID is after all others.
const lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

func scanRevocation(row pgx.Row) (r store.Revocation, err error) {
	err = row.Scan(&r.ID, &r.TenantID, &r.Kind, &r.Value, &r.NotBefore, &r.ExpiresAt, &r.Reason, &r.Ticket, &r.Actor,
		&r.CreatedAt, &r.Seq, &r.Deleted)
	return r.Canonical(), err
}

// ListRevocations implements store.RevocationReader.
func (s *Store) ListRevocations(ctx context.Context, f store.RevocationFilter, before string, limit int) ([]store.Revocation, error) {
	if before == "" {
		before = lastID
	}
	l, err := collect(ctx, s.pool, scanRevocation, sqlListRevocations, pgx.StrictNamedArgs{
		"before": before, "tenant_id": f.TenantID, "kind": string(f.Kind), "value": f.Value, "limit": max(limit, 0)})
	return l, s.asStoreError("list revocations", err)
}

// RevocationsSince implements store.RevocationReader. Most of the time nothing has changed, and one statement says so.
func (s *Store) RevocationsSince(ctx context.Context, seq uint64) (d store.RevocationDelta, err error) {
	doing := fmt.Sprintf("read revocations since %d", seq)
	if err := s.pool.QueryRow(ctx, sqlRevocationHead).Scan(&d.Seq); err != nil {
		return store.RevocationDelta{}, s.asStoreError(doing, err)
	}
	if d.Seq == seq {
		return d, nil
	}
	err = s.reading(ctx, doing, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sqlRevocationHead).Scan(&d.Seq); err != nil {
			return err
		}
		if d.Seq < seq {
			return fmt.Errorf("the newest change is %d: %w", d.Seq, store.ErrNotFound)
		}
		d.Changed, err = collect(ctx, tx, scanRevocation, sqlRevocationsSince, pgx.StrictNamedArgs{"from": number(seq)})
		return err
	})
	if err != nil {
		return store.RevocationDelta{}, err
	}
	return d, nil
}

// CreateRevocation implements store.RevocationWriter.
func (s *Store) CreateRevocation(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	if err := r.Validate(); err != nil {
		return store.Revocation{}, fmt.Errorf("create: %w", err)
	}
	r = r.Canonical()
	var kept store.Revocation
	err := s.writing(ctx, "create revocation "+r.ID, func(tx pgx.Tx) error {
		seq, at, err := nextRevocationSeq(ctx, tx)
		if err != nil {
			return err
		}
		// From here on this transaction has the row lock, and its statements see all that was committed before.
		target := pgx.StrictNamedArgs{"tenant_id": r.TenantID, "kind": string(r.Kind), "value": r.Value}
		b := new(pgx.Batch)
		b.Queue(sqlForgetRevocations, pgx.StrictNamedArgs{"now": at})
		b.Queue(sqlForgetRevocation, pgx.StrictNamedArgs{
			"tenant_id": r.TenantID, "kind": string(r.Kind), "value": r.Value, "now": at})
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		kept, err = scanRevocation(tx.QueryRow(ctx, sqlFindRevocation, target))
		statement := sqlWidenRevocation
		args := pgx.StrictNamedArgs{}
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			kept, statement = r, sqlInsertRevocation
			kept.CreatedAt = at
			args = pgx.StrictNamedArgs{"tenant_id": r.TenantID, "kind": string(r.Kind), "value": r.Value, "at": at}
		case err != nil:
			return err
		default:
			var wider bool
			if kept, wider = kept.Widen(r); !wider {
				return nil
			}
		}
		kept.Seq, kept.Deleted = seq, false
		for name, value := range map[string]any{
			"id": kept.ID, "not_before": kept.NotBefore, "expires_at": kept.ExpiresAt, "reason": kept.Reason, "ticket": kept.Ticket,
			"actor": kept.Actor, "seq": number(seq),
		} {
			args[name] = value
		}
		if _, err := tx.Exec(ctx, statement, args); err != nil {
			return err
		}
		return noteRevocation(ctx, tx, "put", kept, at, store.Note{Actor: kept.Actor, Reason: kept.Reason, Ticket: kept.Ticket})
	})
	if err != nil {
		return store.Revocation{}, err
	}
	return kept, nil
}

// DeleteRevocation implements store.RevocationWriter.
func (s *Store) DeleteRevocation(ctx context.Context, id string, by store.Note) (store.Revocation, error) {
	if err := errors.Join(store.CheckRevocationID(id), by.Validate()); err != nil {
		return store.Revocation{}, fmt.Errorf("delete: %w", err)
	}
	var gone store.Revocation
	err := s.writing(ctx, "delete revocation "+id, func(tx pgx.Tx) error {
		seq, at, err := nextRevocationSeq(ctx, tx)
		if err != nil {
			return err
		}
		gone, err = scanRevocation(tx.QueryRow(ctx, sqlDeleteRevocation, pgx.StrictNamedArgs{"id": id, "seq": number(seq)}))
		if err != nil {
			return err
		}
		return noteRevocation(ctx, tx, "delete", gone, at, by)
	})
	if err != nil {
		return store.Revocation{}, err
	}
	return gone, nil
}

func nextRevocationSeq(ctx context.Context, tx pgx.Tx) (seq uint64, at time.Time, err error) {
	b := new(pgx.Batch)
	b.Queue(sqlGuardCommit)
	b.Queue(sqlNextRevocationSeq).QueryRow(func(row pgx.Row) error { return row.Scan(&seq, &at) })
	err = tx.SendBatch(ctx, b).Close()
	return seq, store.Instant(at), err
}

// noteRevocation keeps who did what to r and why, and tells the others.
func noteRevocation(ctx context.Context, tx pgx.Tx, action string, r store.Revocation, at time.Time, by store.Note) error {
	b := new(pgx.Batch)
	b.Queue(sqlInsertRevocationChange, pgx.StrictNamedArgs{
		"seq": number(r.Seq), "at": at, "action": action, "id": r.ID, "tenant_id": r.TenantID, "kind": string(r.Kind), "value": r.Value,
		"not_before": r.NotBefore, "expires_at": r.ExpiresAt, "reason": by.Reason, "ticket": by.Ticket, "actor": by.Actor,
	})
	b.Queue(sqlNotifyRevocation)
	return tx.SendBatch(ctx, b).Close()
}
