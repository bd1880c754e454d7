package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const columnsRevocation = `id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor, created_at, seq, deleted`

const sqlRevocationHead = `
SELECT seq
FROM revocation_head`

const sqlNextRevocationSeq = `
UPDATE revocation_head
SET seq = seq + 1
RETURNING seq`

// Who asks for changes since 0 knows nothing that could have been taken back.
const sqlRevocationsSince = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE seq > @from AND (@from > 0 OR NOT deleted AND expires_at > @now)
ORDER BY seq`

const sqlListRevocations = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE id < @before AND NOT deleted AND expires_at > @now
  AND (@tenant_id = '' OR tenant_id = @tenant_id)
  AND (@kind = '' OR kind = @kind)
  AND (@value = '' OR value = @value)
ORDER BY id DESC
LIMIT @limit`

const sqlFindRevocation = `
SELECT ` + columnsRevocation + `
FROM revocations
WHERE tenant_id = @tenant_id AND kind = @kind AND value = @value AND NOT deleted`

const sqlInsertRevocation = `
INSERT INTO revocations (id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor, created_at, seq, deleted)
VALUES (@id, @tenant_id, @kind, @value, @not_before, @expires_at, @reason, @ticket, @actor, @at, @seq, 0)`

const sqlWidenRevocation = `
UPDATE revocations
SET not_before = @not_before, expires_at = @expires_at, reason = @reason, ticket = @ticket, actor = @actor, seq = @seq
WHERE id = @id`

const sqlDeleteRevocation = `
UPDATE revocations
SET deleted = 1, seq = @seq
WHERE id = @id AND NOT deleted
RETURNING ` + columnsRevocation

// A row that has expired is of no use to a replica, which forgets it by itself; the hour is for clocks that differ.
const sqlForgetRevocations = `
DELETE FROM revocations
WHERE id IN (
    SELECT id
    FROM revocations
    WHERE expires_at < @now - 3600 * 1000000
    ORDER BY expires_at
    LIMIT 10000)`

const sqlForgetRevocation = `
DELETE FROM revocations
WHERE tenant_id = @tenant_id AND kind = @kind AND value = @value AND NOT deleted AND expires_at <= @now`

const sqlInsertRevocationChange = `
INSERT INTO revocation_changes (seq, at, action, id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor)
VALUES (@seq, @at, @action, @id, @tenant_id, @kind, @value, @not_before, @expires_at, @reason, @ticket, @actor)`

// lastID is after all others.
const lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

func scanRevocation(row scanner) (r store.Revocation, err error) {
	var notBefore, expiresAt, createdAt int64
	err = row.Scan(&r.ID, &r.TenantID, &r.Kind, &r.Value, &notBefore, &expiresAt, &r.Reason, &r.Ticket, &r.Actor,
		&createdAt, &r.Seq, &r.Deleted)
	r.NotBefore, r.ExpiresAt, r.CreatedAt = time.UnixMicro(notBefore).UTC(), time.UnixMicro(expiresAt).UTC(), time.UnixMicro(createdAt).UTC()
	return r, err
}

// ListRevocations implements store.RevocationReader.
func (s *Store) ListRevocations(ctx context.Context, f store.RevocationFilter, before string, limit int) ([]store.Revocation, error) {
	if before == "" {
		before = lastID
	}
	l, err := collect(ctx, s.read, scanRevocation, sqlListRevocations, sql.Named("before", before), sql.Named("now", s.now().UnixMicro()),
		sql.Named("tenant_id", f.TenantID), sql.Named("kind", string(f.Kind)), sql.Named("value", f.Value), sql.Named("limit", max(limit, 0)))
	return l, s.asStoreError(ctx, "list revocations", err)
}

// RevocationsSince implements store.RevocationReader.
func (s *Store) RevocationsSince(ctx context.Context, seq uint64) (d store.RevocationDelta, err error) {
	err = s.reading(ctx, fmt.Sprintf("read revocations since %d", seq), func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, sqlRevocationHead).Scan(&d.Seq); err != nil {
			return err
		}
		switch {
		case d.Seq == seq:
			return nil
		case d.Seq < seq:
			return fmt.Errorf("the newest change is %d: %w", d.Seq, store.ErrNotFound)
		}
		d.Changed, err = collect(ctx, tx, scanRevocation, sqlRevocationsSince,
			sql.Named("from", number(seq)), sql.Named("now", s.now().UnixMicro()))
		return err
	})
	if err != nil {
		return store.RevocationDelta{}, err
	}
	return d, nil
}

// CreateRevocation implements store.RevocationWriter. The transaction has the file to itself from its begin.
func (s *Store) CreateRevocation(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	if err := r.Validate(); err != nil {
		return store.Revocation{}, fmt.Errorf("create: %w", err)
	}
	r = r.Canonical()
	var kept store.Revocation
	err := s.writing(ctx, "create revocation "+r.ID, func(tx *sql.Tx) error {
		at := store.Instant(s.now())
		if _, err := tx.ExecContext(ctx, sqlForgetRevocations, sql.Named("now", at.UnixMicro())); err != nil {
			return err
		}
		target := []any{sql.Named("tenant_id", r.TenantID), sql.Named("kind", string(r.Kind)), sql.Named("value", r.Value)}
		if _, err := tx.ExecContext(ctx, sqlForgetRevocation, append(target, sql.Named("now", at.UnixMicro()))...); err != nil {
			return err
		}
		var err error
		kept, err = scanRevocation(tx.QueryRowContext(ctx, sqlFindRevocation, target...))
		statement := sqlWidenRevocation
		var args []any
		switch {
		case errors.Is(err, sql.ErrNoRows):
			kept, statement = r, sqlInsertRevocation
			kept.CreatedAt = at
			args = append(target, sql.Named("at", at.UnixMicro()))
		case err != nil:
			return err
		default:
			var wider bool
			if kept, wider = kept.Widen(r); !wider {
				return nil
			}
		}
		kept.Deleted = false
		if err := tx.QueryRowContext(ctx, sqlNextRevocationSeq).Scan(&kept.Seq); err != nil {
			return err
		}
		args = append(args, sql.Named("id", kept.ID), sql.Named("not_before", kept.NotBefore.UnixMicro()),
			sql.Named("expires_at", kept.ExpiresAt.UnixMicro()), sql.Named("reason", kept.Reason), sql.Named("ticket", kept.Ticket),
			sql.Named("actor", kept.Actor), sql.Named("seq", number(kept.Seq)))
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
		return noteRevocation(ctx, tx, "put", kept, at, store.Note{Actor: kept.Actor, Reason: kept.Reason, Ticket: kept.Ticket})
	})
	if err != nil {
		return store.Revocation{}, err
	}
	s.hint()
	return kept, nil
}

// DeleteRevocation implements store.RevocationWriter.
func (s *Store) DeleteRevocation(ctx context.Context, id string, by store.Note) (store.Revocation, error) {
	if err := errors.Join(store.CheckRevocationID(id), by.Validate()); err != nil {
		return store.Revocation{}, fmt.Errorf("delete: %w", err)
	}
	var gone store.Revocation
	err := s.writing(ctx, "delete revocation "+id, func(tx *sql.Tx) error {
		var seq uint64
		err := tx.QueryRowContext(ctx, sqlNextRevocationSeq).Scan(&seq)
		if err != nil {
			return err
		}
		gone, err = scanRevocation(tx.QueryRowContext(ctx, sqlDeleteRevocation, sql.Named("id", id), sql.Named("seq", number(seq))))
		if err != nil {
			return err
		}
		return noteRevocation(ctx, tx, "delete", gone, store.Instant(s.now()), by)
	})
	if err != nil {
		return store.Revocation{}, err
	}
	s.hint()
	return gone, nil
}

// noteRevocation keeps who did what to r and why.
func noteRevocation(ctx context.Context, tx *sql.Tx, action string, r store.Revocation, at time.Time, by store.Note) error {
	_, err := tx.ExecContext(ctx, sqlInsertRevocationChange, sql.Named("seq", number(r.Seq)), sql.Named("at", at.UnixMicro()),
		sql.Named("action", action), sql.Named("id", r.ID), sql.Named("tenant_id", r.TenantID), sql.Named("kind", string(r.Kind)),
		sql.Named("value", r.Value), sql.Named("not_before", r.NotBefore.UnixMicro()), sql.Named("expires_at", r.ExpiresAt.UnixMicro()),
		sql.Named("reason", by.Reason), sql.Named("ticket", by.Ticket), sql.Named("actor", by.Actor))
	return err
}
