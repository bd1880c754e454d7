package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlPartitionOfDay = `
SELECT name
FROM decision_days
WHERE day = @day AND detached = 0`

const sqlMakePartition = `
INSERT INTO decision_days (name, day)
SELECT @name, @day
WHERE NOT EXISTS (SELECT 1 FROM decision_partitions_dropped WHERE name = @name)
ON CONFLICT (name) DO NOTHING`

const sqlPartitions = `
SELECT name, day, detached, CASE detached
       WHEN 0 THEN (SELECT count(*) FROM decisions AS d WHERE d.at >= p.day AND d.at < p.day + 86400000000)
       ELSE (SELECT count(*) FROM decisions_detached AS d WHERE d.partition = p.name) END
FROM decision_days AS p
ORDER BY day, name`

const sqlPartition = `
SELECT day, detached
FROM decision_days
WHERE name = @name`

const sqlBeginMoving = `
UPDATE decision_days
SET moving = 1
WHERE name = @name`

const sqlMoveOut = `
INSERT INTO decisions_detached (partition, ` + columnsDecision + `)
SELECT @name, ` + columnsDecision + `
FROM decisions
WHERE at >= @from AND at < @to`

const sqlLeave = `
DELETE FROM decisions
WHERE at >= @from AND at < @to`

const sqlEndMoving = `
UPDATE decision_days
SET moving = 0, detached = 1
WHERE name = @name`

const sqlExport = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE at >= @from AND at < @to
ORDER BY at, id`

const sqlExportDetached = `
SELECT ` + columnsDecision + `
FROM decisions_detached
WHERE partition = @name
ORDER BY at, id`

const sqlDropPartition = `
DELETE FROM decision_days
WHERE name = @name`

const sqlRememberDropped = `
INSERT INTO decision_partitions_dropped (name)
VALUES (@name)
ON CONFLICT (name) DO NOTHING`

const sqlDropDetached = `
DELETE FROM decisions_detached
WHERE partition = @name`

// A day's places go with its last partition.
const sqlForgetSources = `
DELETE FROM decision_sources
WHERE day = @day AND NOT EXISTS (SELECT 1 FROM decision_days WHERE day = @day)`

const sqlForgetGrantUse = `
DELETE FROM grant_use
WHERE day < @day`

// EnsurePartitions implements store.DecisionKeeper.
func (s *Store) EnsurePartitions(ctx context.Context, now time.Time, ahead int) (made int, err error) {
	err = s.writing(ctx, "ensure partitions", func(tx *sql.Tx) error {
		made = 0
		w := writer{tx: tx}
		for n := range max(ahead, 0) + 1 {
			one, err := w.ensureDay(ctx, store.Day(now).AddDate(0, 0, n))
			if err != nil {
				return err
			}
			if one {
				made++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return made, nil
}

// Partitions implements store.DecisionKeeper.
func (s *Store) Partitions(ctx context.Context) ([]store.Partition, error) {
	l, err := collect(ctx, s.read, func(r scanner) (p store.Partition, err error) {
		var day int64
		err = r.Scan(&p.Name, &day, &p.Detached, &p.Rows)
		p.Day = time.UnixMicro(day).UTC()
		return p, err
	}, sqlPartitions)
	return l, s.asStoreError(ctx, "list partitions", err)
}

// partition returns the day of the one with this name, and whether it is detached.
func partition(ctx context.Context, tx *sql.Tx, name string) (day time.Time, detached bool, err error) {
	var micros int64
	err = tx.QueryRowContext(ctx, sqlPartition, sql.Named("name", name)).Scan(&micros, &detached)
	return time.UnixMicro(micros).UTC(), detached, err
}

// DetachPartition implements store.DecisionKeeper. It moves the records, so writers wait for it.
func (s *Store) DetachPartition(ctx context.Context, name string) error {
	return s.writing(ctx, "detach partition "+name, func(tx *sql.Tx) error {
		day, detached, err := partition(ctx, tx, name)
		if err != nil || detached {
			return err
		}
		w, named := writer{tx: tx, prepared: make(map[string]*sql.Stmt)}, sql.Named("name", name)
		window := windowArgs(day, day.AddDate(0, 0, 1))
		return errors.Join(
			w.exec(ctx, sqlBeginMoving, named),
			w.exec(ctx, sqlMoveOut, append(window, named)...),
			w.exec(ctx, sqlLeave, window...),
			w.exec(ctx, sqlEndMoving, named))
	})
}

// ExportPartition implements store.DecisionKeeper.
func (s *Store) ExportPartition(ctx context.Context, name string) iter.Seq2[store.Decision, error] {
	return func(yield func(store.Decision, error) bool) {
		stopped := false
		err := s.reading(ctx, "export partition "+name, func(tx *sql.Tx) error {
			day, detached, err := partition(ctx, tx, name)
			if err != nil {
				return err
			}
			query, args := sqlExport, windowArgs(day, day.AddDate(0, 0, 1))
			if detached {
				query, args = sqlExportDetached, []any{sql.Named("name", name)}
			}
			rows, err := tx.QueryContext(ctx, query, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				d, err := scanDecision(rows)
				if err != nil {
					return err
				}
				if stopped = !yield(d, nil); stopped {
					return nil
				}
			}
			return rows.Err()
		})
		if err != nil && !stopped {
			yield(store.Decision{}, err)
		}
	}
}

// DropPartition implements store.DecisionKeeper.
func (s *Store) DropPartition(ctx context.Context, name string) error {
	return s.writing(ctx, "drop partition "+name, func(tx *sql.Tx) error {
		day, detached, err := partition(ctx, tx, name)
		if err != nil {
			return err
		}
		if !detached {
			return fmt.Errorf("it is not detached: %w", store.ErrConflict)
		}
		w, named := writer{tx: tx, prepared: make(map[string]*sql.Stmt)}, sql.Named("name", name)
		return errors.Join(
			w.exec(ctx, sqlDropPartition, named),
			w.exec(ctx, sqlRememberDropped, named),
			w.exec(ctx, sqlDropDetached, named),
			w.exec(ctx, sqlForgetSources, sql.Named("day", day.UnixMicro())))
	})
}

// ForgetGrantUse implements store.DecisionKeeper.
func (s *Store) ForgetGrantUse(ctx context.Context, before time.Time) error {
	return s.writing(ctx, "forget grant use", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlForgetGrantUse, sql.Named("day", store.Day(before).UnixMicro()))
		return err
	})
}
