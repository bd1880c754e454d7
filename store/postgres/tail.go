package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// Where the sources stand: a row of decision_sources becomes visible with its records, and those of a source come one
// transaction after the other, so below what is seen nothing comes any more.
const sqlNewestSpans = `
SELECT DISTINCT ON (instance, CASE WHEN instance = '' THEN epoch END) instance, epoch, day, first_seq, last_seq
FROM decision_sources
ORDER BY instance, CASE WHEN instance = '' THEN epoch END, epoch DESC, last_seq DESC`

const sqlSpansAfter = `
SELECT s.instance, s.epoch, s.day, s.first_seq, s.last_seq
FROM decision_sources AS s
LEFT JOIN unnest(@instances::text[], @lanes::bigint[], @epochs::bigint[], @seqs::bigint[]) AS c (instance, lane, epoch, seq)
       ON c.instance = s.instance AND (s.instance <> '' OR c.lane = s.epoch)
WHERE s.day >= @since::text::date
  AND (CASE WHEN s.instance = '' THEN 0 ELSE s.epoch END, s.last_seq) > (COALESCE(c.epoch, 0), COALESCE(c.seq, 0))
ORDER BY s.instance, s.epoch, s.day`

const sqlDecisionsOfSource = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE instance = @instance AND epoch = @epoch AND seq > @after::bigint AND seq <= @upto::bigint
  AND ` + matches + `
ORDER BY seq
LIMIT @limit::bigint`

// TailFrom implements store.DecisionFollower.
func (s *Store) TailFrom(ctx context.Context, since time.Time) (store.TailCursor, error) {
	if !since.IsZero() {
		return store.TailCursor{Since: store.Instant(since.Add(time.Microsecond - 1))}, nil
	}
	spans, err := collect(ctx, s.pool, scanSpan, sqlNewestSpans, nil)
	if err != nil {
		return store.TailCursor{}, s.asStoreError("begin tail", err)
	}
	return store.TailAfter(spans), nil
}

func scanSpan(r pgx.Row) (sp store.Span, err error) {
	err = r.Scan(&sp.Instance, &sp.Epoch, &sp.Day, &sp.First, &sp.Last)
	sp.Day = store.Day(sp.Day)
	return sp, err
}

// DecisionsAfter implements store.DecisionFollower.
func (s *Store) DecisionsAfter(ctx context.Context, after store.TailCursor, f store.DecisionFilter, limit int) (store.Tail, error) {
	t := store.Tail{Cursor: after.Clone()}
	if limit <= 0 {
		return t, nil
	}
	err := s.reading(ctx, "tail decisions", func(tx pgx.Tx) error {
		t = store.Tail{Cursor: after.Clone()}
		spans, err := collect(ctx, tx, scanSpan, sqlSpansAfter, cursorArgs(after))
		if err != nil {
			return err
		}
		return t.Read(after.Pending(spans), limit, func(p store.Pending, share int) ([]store.Decision, error) {
			return collect(ctx, tx, scanPlaced, sqlDecisionsOfSource, pieceArgs(after, f, p, share), asked)
		})
	})
	if err != nil {
		return store.Tail{}, err
	}
	return t, nil
}

func cursorArgs(c store.TailCursor) pgx.StrictNamedArgs {
	instances, lanes, epochs, seqs := []string{}, []int64{}, []int64{}, []int64{}
	for src, p := range c.Seen {
		instances, lanes = append(instances, src.Instance), append(lanes, number(src.Lane))
		epochs, seqs = append(epochs, number(p.Epoch)), append(seqs, number(p.Seq))
	}
	since := "-infinity"
	if !c.Since.IsZero() {
		since = c.Since.Format(time.DateOnly)
	}
	return pgx.StrictNamedArgs{"instances": instances, "lanes": lanes, "epochs": epochs, "seqs": seqs, "since": since}
}

func pieceArgs(c store.TailCursor, f store.DecisionFilter, p store.Pending, share int) pgx.StrictNamedArgs {
	f.From, f.To = p.From, p.To
	if c.Since.After(f.From) {
		f.From = c.Since
	}
	args := filterArgs(f)
	args["instance"], args["epoch"], args["after"], args["upto"], args["limit"] = p.Source.Instance, number(p.Epoch), number(p.After), number(p.Upto), share
	return args
}
