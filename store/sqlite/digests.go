package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlRecordsInWindow = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE at >= @from AND at < @to AND (at, id) > (@after_at, @after_id)
ORDER BY at, id
LIMIT @limit`

const sqlSequences = `
SELECT instance, epoch, min(seq), max(seq), count(*)
FROM decisions
WHERE at >= @from AND at < @to AND instance <> ''
GROUP BY instance, epoch
ORDER BY instance, epoch`

const columnsDigest = `number, kind, from_at, to_at, count, root, previous, key_id, signature, ranges, revision_first, revision_last`

// The number is the next one, or nothing is inserted.
const sqlInsertDigest = `
INSERT INTO digests (number, kind, from_at, to_at, count, root, previous, key_id, signature, ranges, revision_first, revision_last, leaves)
SELECT @number, @kind, @from, @to, @count, @root, @previous, @key_id, @signature, @ranges, @revision_first, @revision_last, @leaves
WHERE @number = (SELECT COALESCE(MAX(number), 0) + 1 FROM digests)`

const sqlListDigests = `
SELECT ` + columnsDigest + `
FROM digests
WHERE number > @after AND to_at > @from AND from_at < @to
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
	afterAt := int64(math.MinInt64)
	if after != (store.DecisionCursor{}) {
		afterAt = after.At.UnixMicro()
	}
	l, err := collect(ctx, s.read, scanDecision, sqlRecordsInWindow, append(windowArgs(from, to),
		sql.Named("after_at", afterAt), sql.Named("after_id", after.ID), sql.Named("limit", max(limit, 0)))...)
	return l, s.asStoreError(ctx, "read records", err)
}

// Sequences implements store.DecisionSealer.
func (s *Store) Sequences(ctx context.Context, from, to time.Time) ([]store.SequenceRange, error) {
	l, err := collect(ctx, s.read, func(r scanner) (q store.SequenceRange, err error) {
		err = r.Scan(&q.Instance, &q.Epoch, &q.First, &q.Last, &q.Count)
		return q, err
	}, sqlSequences, windowArgs(from, to)...)
	return l, s.asStoreError(ctx, "read sequences", err)
}

// AppendDigest implements store.DecisionSealer.
func (s *Store) AppendDigest(ctx context.Context, d store.Digest) error {
	const doing = "append digest"
	d, err := d.Canonical()
	if err != nil {
		return s.asStoreError(ctx, doing, err)
	}
	bytes := func(name string, b []byte) sql.NamedArg { return sql.Named(name, append([]byte{}, b...)) }
	changed, err := s.change(ctx, doing, sqlInsertDigest,
		sql.Named("number", number(d.Number)), sql.Named("kind", string(d.Kind)), sql.Named("from", d.From.UnixMicro()), sql.Named("to", d.To.UnixMicro()),
		sql.Named("count", number(d.Count)), bytes("root", d.Root), bytes("previous", d.Previous), sql.Named("key_id", d.KeyID),
		bytes("signature", d.Signature), sql.Named("ranges", jsonOf(d.Ranges)), sql.Named("revision_first", number(d.RevisionFirst)),
		sql.Named("revision_last", number(d.RevisionLast)), bytes("leaves", d.Leaves))
	if err == nil && !changed {
		err = s.asStoreError(ctx, doing, store.ErrConflict)
	}
	return err
}

// Digests implements store.DecisionSealer.
func (s *Store) Digests(ctx context.Context, from, to time.Time, after uint64, limit int) ([]store.Digest, error) {
	l, err := collect(ctx, s.read, scanDigest, sqlListDigests, append(windowArgs(from, to),
		sql.Named("after", number(after)), sql.Named("limit", max(limit, 0)))...)
	return l, s.asStoreError(ctx, "list digests", err)
}

// LatestDigest implements store.DecisionSealer.
func (s *Store) LatestDigest(ctx context.Context) (store.Digest, error) {
	d, err := scanDigest(s.read.QueryRowContext(ctx, sqlLatestDigest))
	return d, s.asStoreError(ctx, "read latest digest", err)
}

func scanDigest(r scanner) (d store.Digest, err error) {
	var from, to int64
	if err = r.Scan(&d.Number, &d.Kind, &from, &to, &d.Count, &d.Root, &d.Previous, &d.KeyID, &d.Signature, listInto(&d.Ranges),
		&d.RevisionFirst, &d.RevisionLast); err != nil {
		return store.Digest{}, err
	}
	d.From, d.To = time.UnixMicro(from).UTC(), time.UnixMicro(to).UTC()
	return d.Canonical()
}

// DigestLeaves implements store.DecisionSealer.
func (s *Store) DigestLeaves(ctx context.Context, n uint64) (leaves []byte, err error) {
	err = s.read.QueryRowContext(ctx, sqlDigestLeaves, sql.Named("number", number(n))).Scan(&leaves)
	return leaves, s.asStoreError(ctx, "read leaves", err)
}
