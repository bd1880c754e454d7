package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

const sqlRecordsInWindow = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE at >= @from::timestamptz AND at < @to::timestamptz AND at >= @after_at::timestamptz
  AND (at, id) > (@after_at::timestamptz, @after_id::text::uuid)
ORDER BY decisions.at, decisions.id
LIMIT @limit::bigint`

const sqlSequences = `
SELECT instance, epoch, min(seq), max(seq), count(*)
FROM decisions
WHERE at >= @from::timestamptz AND at < @to::timestamptz AND instance <> ''
GROUP BY instance, epoch
ORDER BY instance, epoch`

const columnsDigest = `number, kind, from_at, to_at, count, root, previous, key_id, signature, ranges, revision_first, revision_last`

// The number is the next one, or nothing is inserted; of two at once the primary key lets one pass.
const sqlInsertDigest = `
INSERT INTO digests (number, kind, from_at, to_at, count, root, previous, key_id, signature, ranges, revision_first, revision_last, leaves)
SELECT @number::bigint, @kind::text, @from::timestamptz, @to::timestamptz, @count::bigint, @root::bytea, @previous::bytea, @key_id::text,
       @signature::bytea, @ranges::text::jsonb, @revision_first::bigint, @revision_last::bigint, @leaves::bytea
WHERE @number::bigint = (SELECT COALESCE(max(number), 0) + 1 FROM digests)`

const sqlListDigests = `
SELECT ` + columnsDigest + `
FROM digests
WHERE number > @after AND to_at > @from::timestamptz AND from_at < @to::timestamptz
ORDER BY number
LIMIT @limit`

const sqlLatestDigest = `
SELECT ` + columnsDigest + `
FROM digests
ORDER BY number DESC
LIMIT 1`

const sqlDigestLeaves = `
SELECT leaves
FROM digests
WHERE number = @number`

// RecordsInWindow implements store.DecisionSealer.
func (s *Store) RecordsInWindow(ctx context.Context, from, to time.Time, after store.DecisionCursor, limit int) ([]store.Decision, error) {
	l, err := collect(ctx, s.pool, scanDecision, sqlRecordsInWindow, windowArgs(from, to, after, limit), asked)
	return l, s.asStoreError("read records", err)
}

func windowArgs(from, to time.Time, after store.DecisionCursor, limit int) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{"from": bound(from, pgtype.NegativeInfinity), "to": bound(to, pgtype.Infinity), "limit": max(limit, 0),
		"after_at": pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, "after_id": noID}
	if after != (store.DecisionCursor{}) {
		args["after_at"], args["after_id"] = instant(after.At), after.ID
	}
	return args
}

// Sequences implements store.DecisionSealer.
func (s *Store) Sequences(ctx context.Context, from, to time.Time) ([]store.SequenceRange, error) {
	l, err := collect(ctx, s.pool, func(r pgx.Row) (q store.SequenceRange, err error) {
		err = r.Scan(&q.Instance, &q.Epoch, &q.First, &q.Last, &q.Count)
		return q, err
	}, sqlSequences, pgx.StrictNamedArgs{"from": bound(from, pgtype.NegativeInfinity), "to": bound(to, pgtype.Infinity)}, asked)
	return l, s.asStoreError("read sequences", err)
}

// AppendDigest implements store.DecisionSealer.
func (s *Store) AppendDigest(ctx context.Context, d store.Digest) error {
	const doing = "append digest"
	d, err := d.Canonical()
	if err != nil {
		return s.asStoreError(doing, err)
	}
	ranges, err := json.Marshal(some(d.Ranges))
	if err != nil {
		return s.asStoreError(doing, err)
	}
	tag, err := s.pool.Exec(ctx, sqlInsertDigest, pgx.StrictNamedArgs{
		"number": number(d.Number), "kind": string(d.Kind), "from": instant(d.From), "to": instant(d.To), "count": number(d.Count),
		"root": some(d.Root), "previous": some(d.Previous), "key_id": d.KeyID, "signature": some(d.Signature), "ranges": string(ranges),
		"revision_first": number(d.RevisionFirst), "revision_last": number(d.RevisionLast), "leaves": some(d.Leaves)})
	if err == nil && tag.RowsAffected() == 0 {
		err = store.ErrConflict
	}
	return s.asStoreError(doing, err)
}

// Digests implements store.DecisionSealer.
func (s *Store) Digests(ctx context.Context, from, to time.Time, after uint64, limit int) ([]store.Digest, error) {
	l, err := collect(ctx, s.pool, scanDigest, sqlListDigests, pgx.StrictNamedArgs{
		"from": bound(from, pgtype.NegativeInfinity), "to": bound(to, pgtype.Infinity), "after": number(after), "limit": max(limit, 0)})
	return l, s.asStoreError("list digests", err)
}

// LatestDigest implements store.DecisionSealer.
func (s *Store) LatestDigest(ctx context.Context) (store.Digest, error) {
	d, err := scanDigest(s.pool.QueryRow(ctx, sqlLatestDigest))
	return d, s.asStoreError("read latest digest", err)
}

func scanDigest(r pgx.Row) (d store.Digest, err error) {
	if err = r.Scan(&d.Number, &d.Kind, &d.From, &d.To, &d.Count, &d.Root, &d.Previous, &d.KeyID, &d.Signature, &d.Ranges,
		&d.RevisionFirst, &d.RevisionLast); err != nil {
		return store.Digest{}, err
	}
	return d.Canonical()
}

// DigestLeaves implements store.DecisionSealer.
func (s *Store) DigestLeaves(ctx context.Context, n uint64) (leaves []byte, err error) {
	err = s.pool.QueryRow(ctx, sqlDigestLeaves, pgx.StrictNamedArgs{"number": number(n)}).Scan(&leaves)
	return leaves, s.asStoreError("read leaves", err)
}
