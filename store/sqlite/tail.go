package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlSpans = `
SELECT instance, epoch, day, first_seq, last_seq
FROM decision_sources
WHERE day >= @day
ORDER BY instance, epoch, day`

const sqlDecisionsOfSource = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_source
WHERE instance = @instance AND epoch = @epoch AND seq > @after AND seq <= @upto
  AND ` + matches + `
ORDER BY seq
LIMIT @limit`

// TailFrom implements store.DecisionFollower.
func (s *Store) TailFrom(ctx context.Context, since time.Time) (store.TailCursor, error) {
	if !since.IsZero() {
		return store.TailCursor{Since: time.UnixMicro(ceilMicro(since)).UTC()}, nil
	}
	spans, err := collect(ctx, s.read, scanSpan, sqlSpans, sinceArg(store.TailCursor{}))
	if err != nil {
		return store.TailCursor{}, s.asStoreError(ctx, "begin tail", err)
	}
	return store.TailAfter(spans), nil
}

func sinceArg(c store.TailCursor) sql.NamedArg {
	return sql.Named("day", store.Day(c.Since).UnixMicro())
}

func scanSpan(r scanner) (sp store.Span, err error) {
	var day int64
	err = r.Scan(&sp.Instance, &sp.Epoch, &day, &sp.First, &sp.Last)
	sp.Day = time.UnixMicro(day).UTC()
	return sp, err
}

// DecisionsAfter implements store.DecisionFollower.
func (s *Store) DecisionsAfter(ctx context.Context, after store.TailCursor, f store.DecisionFilter, limit int) (store.Tail, error) {
	t := store.Tail{Cursor: after.Clone()}
	if limit <= 0 {
		return t, nil
	}
	err := s.reading(ctx, "tail decisions", func(tx *sql.Tx) error {
		spans, err := collect(ctx, tx, scanSpan, sqlSpans, sinceArg(after))
		if err != nil {
			return err
		}
		return t.Read(after.Pending(spans), limit, func(p store.Pending, share int) ([]store.Decision, error) {
			f := f
			f.From, f.To = p.From, p.To
			if after.Since.After(f.From) {
				f.From = after.Since
			}
			return collect(ctx, tx, scanPlaced, sqlDecisionsOfSource, append(filterArgs(f),
				sql.Named("instance", p.Source.Instance), sql.Named("epoch", number(p.Epoch)), sql.Named("after", number(p.After)),
				sql.Named("upto", number(p.Upto)), sql.Named("limit", share))...)
		})
	})
	if err != nil {
		return store.Tail{}, err
	}
	return t, nil
}
