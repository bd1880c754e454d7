package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
)

// The staging table is the session's own, so that its rows are never logged and nobody else sees them; each commit empties it.
// It is listed in full since LIKE would need the right to read decisions. The name changes with the columns: behind a pooler
// a session may have seen another release.
const sqlMakeStaging = `
CREATE TEMPORARY TABLE IF NOT EXISTS decisions_staging_40 (
    at timestamptz, id uuid, allowed boolean, reason smallint, principal_kind smallint, revision bigint, took_us bigint,
    epoch bigint, seq bigint, detail text, tenant_id text, principal_id text, client_id text, token_id text, api text, route text,
    template text, method text, host text, raw_path text, permissions text[], resource text, grants text[], door text, pep text,
    request_id text, subjects text[], scopes text[], missing text[], grant_subjects text[], source_ip text, instance text, leaf bytea,
    agent_parent text, agent_facets text, repeats bigint
) ON COMMIT DELETE ROWS`

const columnsAppended = `at, id, allowed, reason, principal_kind, revision, took_us, epoch, seq, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       subjects, scopes, missing, grant_subjects, source_ip, instance, leaf,
       agent_parent, agent_facets, repeats`

// Without a conflict target the right to INSERT is enough, and the table has no other constraint that two records could
// meet in. Rows go in as they were sent: those of a day lie in time order.
const sqlInsertStaged = `
INSERT INTO decisions (` + columnsAppended + `)
SELECT ` + columnsAppended + `
FROM pg_temp.decisions_staging_40
ON CONFLICT DO NOTHING`

// A lane that nobody is filling, else one at random to wait for.
const sqlTakeLane = `
UPDATE decision_lanes
SET last = last + @n::bigint
WHERE lane = COALESCE(
    (SELECT lane FROM decision_lanes ORDER BY lane LIMIT 1 FOR UPDATE SKIP LOCKED),
    (SELECT 1 + floor(random() * count(*))::smallint FROM decision_lanes))
RETURNING lane, last - @n::bigint`

const sqlNoteSpans = `
INSERT INTO decision_sources AS s (instance, epoch, day, first_seq, last_seq)
SELECT instance, epoch, day, first_seq, last_seq
FROM unnest(@instances::text[], @epochs::bigint[], @days::text[]::date[], @firsts::bigint[], @lasts::bigint[])
       AS n (instance, epoch, day, first_seq, last_seq)
ON CONFLICT (instance, epoch, day) DO UPDATE
SET first_seq = LEAST(s.first_seq, excluded.first_seq),
    last_seq = GREATEST(s.last_seq, excluded.last_seq)`

const sqlNoteUses = `
SELECT note_grant_use(@days::text[]::date[], @grants::text[], @tenants::text[], @principals::text[], @firsts::timestamptz[], @lasts::timestamptz[])`

// appended are the columns in the order of rowOf.
var appended = []string{"at", "id", "allowed", "reason", "principal_kind", "revision", "took_us", "epoch", "seq", "detail", "tenant_id",
	"principal_id", "client_id", "token_id", "api", "route", "template", "method", "host", "raw_path", "permissions", "resource",
	"grants", "door", "pep", "request_id", "subjects", "scopes", "missing", "grant_subjects", "source_ip", "instance", "leaf",
	"agent_parent", "agent_facets", "repeats"}

// AppendDecisions implements store.DecisionAppender. The right to INSERT is all it needs on decisions.
//
// Records are copied straight into the table. Only when one of them is there already, after a batch whose outcome was unknown,
// is all rolled back and done once more by way of a staging table: COPY cannot pass over a row, INSERT can.
func (s *Store) AppendDecisions(ctx context.Context, ds []store.Decision) error {
	const doing = "append decisions"
	if len(ds) == 0 {
		return nil
	}
	b, err := store.NewBatch(ds)
	if err != nil {
		return s.asStoreError(doing, err)
	}
	staging := false
	for try := 1; ; try++ {
		if err := s.ensureDays(ctx, b.Days); err != nil {
			return notTheirs(s.asStoreError(doing, err))
		}
		news := s.uses.News(b.Uses)
		err := s.writing(ctx, doing, func(tx pgx.Tx) error { return appendBatch(ctx, tx, &b, news, staging) })
		if err == nil {
			s.uses.Wrote(news)
			return nil
		}
		switch {
		case isTwice(err) && !staging:
			staging = true
		case lacksPartition(err) && try <= 2:
			s.days.forget() // one was detached since
		case lacksPartition(err):
			// Without the database's own word, which is that of a record at fault.
			return fmt.Errorf("%s: a day has no partition whenever it is needed: %w", doing, store.ErrUnavailable)
		case isAccess(err):
			return notTheirs(err)
		default:
			return err
		}
	}
}

// notTheirs names ErrUnavailable what no record is at fault for. Who appends gives a record up that the store refuses while it
// takes others, and when a right is missing it takes some: those of a day that has a partition, or without a grant.
func notTheirs(err error) error {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrSchema) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// isAccess says whether a right is missing, or something that statements name.
func isAccess(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, accessRule)
}

func appendBatch(ctx context.Context, tx pgx.Tx, b *store.Batch, uses []store.Use, staging bool) error {
	before, after, table := new(pgx.Batch), new(pgx.Batch), pgx.Identifier{"decisions"}
	before.Queue(sqlGuardCommit)
	if staging {
		before.Queue(sqlMakeStaging)
		after.Queue(sqlInsertStaged)
		table = pgx.Identifier{"pg_temp", "decisions_staging_40"}
	}
	var lane, last uint64
	if b.Unplaced > 0 {
		before.Queue(sqlTakeLane, pgx.StrictNamedArgs{"n": b.Unplaced}).QueryRow(func(row pgx.Row) error { return row.Scan(&lane, &last) })
	}
	if err := tx.SendBatch(ctx, before).Close(); err != nil {
		return err
	}
	spans := b.Place(lane, last)
	row := make([]any, len(appended)) // CopyFrom is done with it before it asks for the next
	next := 0
	rows := pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(b.Records) {
			return nil, nil
		}
		rowOf(&b.Records[next], row)
		next++
		return row, nil
	})
	if _, err := tx.CopyFrom(ctx, table, appended, rows); err != nil {
		return err
	}
	after.Queue(sqlNoteSpans, spanArgs(spans))
	if len(uses) > 0 {
		after.Queue(sqlNoteUses, useArgs(uses))
	}
	return tx.SendBatch(ctx, after).Close()
}

// rowOf puts d into row, in the order of appended.
func rowOf(d *store.Decision, row []any) {
	copy(row, []any{d.At, d.ID, d.Allowed, d.Reason, d.PrincipalKind, number(d.Revision), d.Took.Microseconds(), number(d.Epoch), number(d.Seq),
		d.Detail, d.TenantID, d.PrincipalID, d.ClientID, d.TokenID, d.API, d.Route, d.Template, d.Method, d.Host, d.RawPath, some(d.Permissions),
		d.Resource, some(d.Grants), d.Door, d.PEP, d.RequestID, some(d.Subjects), some(d.Scopes), some(d.Missing), some(d.GrantSubjects),
		d.SourceIP, d.Instance, some(d.Leaf), d.AgentParent, d.AgentFacets, number(d.Repeats)})
}

// some is l, and an empty list rather than none, which would be NULL.
func some[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func spanArgs(spans []store.Span) pgx.StrictNamedArgs {
	n := len(spans)
	instances, days := make([]string, n), make([]string, n)
	epochs, firsts, lasts := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, sp := range spans {
		instances[i], days[i], epochs[i], firsts[i], lasts[i] = sp.Instance, sp.Day.Format(time.DateOnly), number(sp.Epoch), number(sp.First), number(sp.Last)
	}
	return pgx.StrictNamedArgs{"instances": instances, "epochs": epochs, "days": days, "firsts": firsts, "lasts": lasts}
}

func useArgs(uses []store.Use) pgx.StrictNamedArgs {
	n := len(uses)
	firsts, lasts := make([]time.Time, n), make([]time.Time, n)
	days, grants, tenants, principals := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, u := range uses {
		days[i], firsts[i], lasts[i] = u.Day.Format(time.DateOnly), u.First, u.Last
		grants[i], tenants[i], principals[i] = u.Grant, u.Tenant, u.Principal
	}
	return pgx.StrictNamedArgs{"days": days, "grants": grants, "tenants": tenants, "principals": principals, "firsts": firsts, "lasts": lasts}
}

// isTwice says whether a record is there already, or twice in the batch: the only keys of the table and its partitions are
// those of records.
func isTwice(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == uniqueViolation && strings.HasPrefix(pg.TableName, "decisions_")
}

// lacksPartition says whether a row had no partition to go to: the only check without a name.
func lacksPartition(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == checkViolation && pg.ConstraintName == ""
}

// keptDays are days that had a partition when last looked.
type keptDays struct {
	mu   sync.Mutex
	days map[time.Time]struct{}
}

// unknown returns those of days that are not among them.
func (k *keptDays) unknown(days []time.Time) (l []time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range days {
		if _, ok := k.days[d]; !ok {
			l = append(l, d)
		}
	}
	return l
}

func (k *keptDays) add(day time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.days == nil || len(k.days) > 1000 { // a bound, for clocks gone wild
		k.days = make(map[time.Time]struct{})
	}
	k.days[day] = struct{}{}
}

func (k *keptDays) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.days = nil
}

// ensureDays makes the partitions of days that are not known to have one.
func (s *Store) ensureDays(ctx context.Context, days []time.Time) error {
	for _, day := range s.days.unknown(days) {
		if _, err := s.ensureDay(ctx, day); err != nil {
			return err
		}
	}
	return nil
}
