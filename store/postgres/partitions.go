package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
)

const sqlEnsurePartition = `
SELECT ensure_decision_partition(@day::text::date)`

// Statistics tell about how many rows there are: counting a day of 100 million takes longer than anyone waits. What is detached
// is about to go, and is counted.
const sqlPartitions = `
SELECT p.name, p.day, p.detached OR p.detaching,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE pg_stat_get_live_tuples(c.oid) END,
       pg_total_relation_size(c.oid)
FROM decision_partitions AS p
JOIN pg_class AS c ON c.oid = p.relation
ORDER BY p.day, p.name`

const sqlPartition = `
SELECT p.name, p.day, p.detached, p.detaching
FROM decision_partitions AS p
WHERE p.name = @name`

// The part in %s is the name of a partition, quoted; such statements are not prepared by the test of all.
const (
	countRows      = `SELECT count(*) FROM %s`
	detach         = `ALTER TABLE decisions DETACH PARTITION %s CONCURRENTLY`
	finishDetach   = `ALTER TABLE decisions DETACH PARTITION %s FINALIZE`
	dropDetached   = `DROP TABLE %s`
	exportDetached = `DECLARE export NO SCROLL CURSOR FOR SELECT ` + columnsDecision + ` FROM %[1]s ORDER BY %[1]s.at, %[1]s.id`
	fetchExported  = `FETCH FORWARD 2000 FROM export`
)

// A day's places go with its last partition.
const sqlForgetSources = `
DELETE FROM decision_sources
WHERE day = @day::text::date AND NOT EXISTS (SELECT FROM decision_partitions WHERE day = @day::text::date)`

const sqlRememberDropped = `
INSERT INTO decision_partitions_dropped (name)
VALUES (@name)
ON CONFLICT DO NOTHING`

const sqlForgetGrantUse = `
DELETE FROM grant_use
WHERE day < @day::text::date`

const (
	// detachPatience is how long a record waits for its day to be detached, before it gets a partition of its own. A detach that
	// was cut short may need longer: until the next DetachPartition finishes it.
	detachPatience = 5 * time.Second
	detachPause    = 20 * time.Millisecond
)

// isInUse says whether the day is being detached.
func isInUse(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == objectInUse
}

// partition is what decision_partitions says of one.
type partition struct {
	name                string
	day                 time.Time
	detached, detaching bool
}

// quoted is the name as a statement can hold it.
func (p partition) quoted() string { return pgx.Identifier{p.name}.Sanitize() }

// ensureDay makes the partition of a day unless it is there, and says whether it did.
func (s *Store) ensureDay(ctx context.Context, day time.Time) (made bool, err error) {
	for deadline := time.Now().Add(detachPatience); ; {
		err = retry(ctx, func() error {
			return s.pool.QueryRow(ctx, sqlEnsurePartition, pgx.StrictNamedArgs{"day": day.Format(time.DateOnly)}).Scan(&made)
		})
		if !isInUse(err) || time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(detachPause):
		}
	}
	if err != nil {
		return false, fmt.Errorf("make the partition of %s: %w", day.Format(time.DateOnly), err)
	}
	s.days.add(day)
	return made, nil
}

// EnsurePartitions implements store.DecisionKeeper.
func (s *Store) EnsurePartitions(ctx context.Context, now time.Time, ahead int) (made int, err error) {
	for n := range max(ahead, 0) + 1 {
		one, err := s.ensureDay(ctx, store.Day(now).AddDate(0, 0, n))
		if err != nil {
			return made, s.asStoreError("ensure partitions", err)
		}
		if one {
			made++
		}
	}
	return made, nil
}

// Partitions implements store.DecisionKeeper.
func (s *Store) Partitions(ctx context.Context) ([]store.Partition, error) {
	const doing = "list partitions"
	l, err := collect(ctx, s.pool, scanPartition, sqlPartitions, nil)
	if err != nil {
		return nil, s.asStoreError(doing, err)
	}
	for i := range l {
		if l[i].Detached {
			query := fmt.Sprintf(countRows, partition{name: l[i].Name}.quoted())
			if err := s.pool.QueryRow(ctx, query, asked).Scan(&l[i].Rows); err != nil {
				return nil, s.asStoreError(doing, err)
			}
		}
	}
	return l, nil
}

func scanPartition(r pgx.Row) (p store.Partition, err error) {
	err = r.Scan(&p.Name, &p.Day, &p.Detached, &p.Rows, &p.Bytes)
	p.Day = store.Day(p.Day)
	return p, err
}

// partition returns the one with this name, or store.ErrNotFound.
func (s *Store) partition(ctx context.Context, name string) (p partition, err error) {
	err = s.pool.QueryRow(ctx, sqlPartition, pgx.StrictNamedArgs{"name": name}).Scan(&p.name, &p.day, &p.detached, &p.detaching)
	return p, err
}

// DetachPartition implements store.DecisionKeeper. It waits for those who read at the time it began; it needs the rights of
// the owner. It runs outside of a transaction, so it may be cut short; then the next call finishes it.
func (s *Store) DetachPartition(ctx context.Context, name string) error {
	doing := "detach partition " + name
	p, err := s.partition(ctx, name)
	if err != nil || p.detached {
		return s.asStoreError(doing, err)
	}
	statement := detach
	if p.detaching {
		statement = finishDetach
	}
	_, err = s.pool.Exec(ctx, fmt.Sprintf(statement, p.quoted()), pgx.QueryExecModeSimpleProtocol) //nolint:forbidigo // DDL takes no arguments; the name is quoted
	s.days.forget()
	return s.asStoreError(doing, err)
}

// ExportPartition implements store.DecisionKeeper.
func (s *Store) ExportPartition(ctx context.Context, name string) iter.Seq2[store.Decision, error] {
	return func(yield func(store.Decision, error) bool) {
		stopped := false
		err := s.export(ctx, name, func(d store.Decision) bool {
			stopped = !yield(d, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(store.Decision{}, s.asStoreError("export partition "+name, err))
		}
	}
}

// export reads through a cursor, so that neither side holds more than a piece.
func (s *Store) export(ctx context.Context, name string, yield func(store.Decision) bool) error {
	p, err := s.partition(ctx, name)
	if err != nil {
		return err
	}
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	if _, err := tx.Exec(ctx, fmt.Sprintf(exportDetached, p.quoted()), asked); err != nil {
		return err
	}
	for {
		l, err := collect(ctx, tx, scanDecision, fetchExported, nil, asked)
		if err != nil || len(l) == 0 {
			return err
		}
		for _, d := range l {
			if !yield(d) {
				return nil
			}
		}
	}
}

// DropPartition implements store.DecisionKeeper. It needs the rights of the owner.
func (s *Store) DropPartition(ctx context.Context, name string) error {
	doing := "drop partition " + name
	p, err := s.partition(ctx, name)
	if err != nil {
		return s.asStoreError(doing, err)
	}
	if !p.detached {
		return fmt.Errorf("%s: it is not detached: %w", doing, store.ErrConflict)
	}
	return s.writing(ctx, doing, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(dropDetached, p.quoted()), pgx.QueryExecModeSimpleProtocol); err != nil { //nolint:forbidigo // as above
			return err
		}
		if _, err := tx.Exec(ctx, sqlRememberDropped, pgx.StrictNamedArgs{"name": name}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlForgetSources, pgx.StrictNamedArgs{"day": p.day.Format(time.DateOnly)})
		return err
	})
}

// ForgetGrantUse implements store.DecisionKeeper. It needs the rights of the owner.
func (s *Store) ForgetGrantUse(ctx context.Context, before time.Time) error {
	_, err := s.pool.Exec(ctx, sqlForgetGrantUse, pgx.StrictNamedArgs{"day": store.Day(before).Format(time.DateOnly)})
	return s.asStoreError("forget grant use", err)
}
