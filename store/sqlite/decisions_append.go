package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlInsertDecision = `
INSERT INTO decisions (` + columnsDecision + `)
VALUES (@at, @id, @allowed, @reason, @principal_kind, @revision, @took_us, @detail, @tenant_id, @principal_id,
       @client_id, @token_id, @api, @route, @template, @method, @host, @raw_path, @permissions, @resource, @grants, @door, @pep, @request_id,
       @subjects, @scopes, @missing, @grant_subjects, @source_ip, @instance, @epoch, @seq, @leaf,
       @agent_parent, @agent_facets, @repeats)
ON CONFLICT (at, id) DO NOTHING`

const sqlTakeLane = `
UPDATE decision_lanes
SET last = last + @n
RETURNING lane, last - @n`

const sqlNoteSpan = `
INSERT INTO decision_sources (instance, epoch, day, first_seq, last_seq)
VALUES (@instance, @epoch, @day, @first, @last)
ON CONFLICT (instance, epoch, day) DO UPDATE
SET first_seq = MIN(first_seq, excluded.first_seq),
    last_seq = MAX(last_seq, excluded.last_seq)`

const sqlNoteUse = `
INSERT INTO grant_use (day, grant_id, tenant_id, principal_id, first_at, last_at)
VALUES (@day, @grant, @tenant, @principal, @first, @last)
ON CONFLICT (day, grant_id, tenant_id, principal_id) DO UPDATE
SET first_at = MIN(first_at, excluded.first_at),
    last_at = MAX(last_at, excluded.last_at)`

// AppendDecisions implements store.DecisionAppender.
func (s *Store) AppendDecisions(ctx context.Context, ds []store.Decision) error {
	const doing = "append decisions"
	if len(ds) == 0 {
		return nil
	}
	b, err := store.NewBatch(ds)
	if err != nil {
		return s.asStoreError(ctx, doing, err)
	}
	news := s.uses.News(b.Uses)
	err = s.writing(ctx, doing, func(tx *sql.Tx) error {
		w := writer{tx: tx, prepared: make(map[string]*sql.Stmt)}
		for _, day := range b.Days {
			if _, err := w.ensureDay(ctx, day); err != nil {
				return err
			}
		}
		return w.append(ctx, &b, news)
	})
	if err != nil {
		return err
	}
	s.uses.Wrote(news)
	return nil
}

func (w *writer) append(ctx context.Context, b *store.Batch, uses []store.Use) error {
	var lane, last uint64
	if b.Unplaced > 0 {
		if err := w.tx.QueryRowContext(ctx, sqlTakeLane, sql.Named("n", b.Unplaced)).Scan(&lane, &last); err != nil {
			return err
		}
	}
	for _, sp := range b.Place(lane, last) {
		if err := w.exec(ctx, sqlNoteSpan, sql.Named("instance", sp.Instance), sql.Named("epoch", number(sp.Epoch)),
			sql.Named("day", sp.Day.UnixMicro()), sql.Named("first", number(sp.First)), sql.Named("last", number(sp.Last))); err != nil {
			return err
		}
	}
	for i := range b.Records {
		if err := w.exec(ctx, sqlInsertDecision, decisionArgs(&b.Records[i])...); err != nil {
			return err
		}
	}
	for _, u := range uses {
		if err := w.exec(ctx, sqlNoteUse, sql.Named("day", u.Day.UnixMicro()), sql.Named("grant", u.Grant), sql.Named("tenant", u.Tenant),
			sql.Named("principal", u.Principal), sql.Named("first", u.First.UnixMicro()), sql.Named("last", u.Last.UnixMicro())); err != nil {
			return err
		}
	}
	return nil
}

func decisionArgs(d *store.Decision) []any {
	leaf := d.Leaf
	if leaf == nil {
		leaf = []byte{}
	}
	return []any{
		sql.Named("at", d.At.UnixMicro()), sql.Named("id", d.ID), sql.Named("allowed", d.Allowed), sql.Named("reason", d.Reason),
		sql.Named("principal_kind", d.PrincipalKind), sql.Named("revision", number(d.Revision)),
		sql.Named("took_us", d.Took.Microseconds()), sql.Named("detail", d.Detail), sql.Named("tenant_id", d.TenantID),
		sql.Named("principal_id", d.PrincipalID), sql.Named("client_id", d.ClientID), sql.Named("token_id", d.TokenID),
		sql.Named("api", d.API), sql.Named("route", d.Route), sql.Named("template", d.Template), sql.Named("method", d.Method),
		sql.Named("host", d.Host), sql.Named("raw_path", d.RawPath), sql.Named("permissions", jsonOf(d.Permissions)),
		sql.Named("resource", d.Resource), sql.Named("grants", jsonOf(d.Grants)), sql.Named("door", d.Door),
		sql.Named("pep", d.PEP), sql.Named("request_id", d.RequestID), sql.Named("subjects", jsonOf(d.Subjects)),
		sql.Named("scopes", jsonOf(d.Scopes)), sql.Named("missing", jsonOf(d.Missing)),
		sql.Named("grant_subjects", jsonOf(d.GrantSubjects)), sql.Named("source_ip", d.SourceIP), sql.Named("instance", d.Instance),
		sql.Named("epoch", number(d.Epoch)), sql.Named("seq", number(d.Seq)), sql.Named("leaf", leaf),
		sql.Named("agent_parent", d.AgentParent), sql.Named("agent_facets", d.AgentFacets), sql.Named("repeats", number(d.Repeats)),
	}
}

// ensureDay makes the partition of a day unless it is there, and says whether it did. An earlier one of the same day keeps its
// name, detached or dropped, so the new one gets another.
func (w *writer) ensureDay(ctx context.Context, day time.Time) (made bool, err error) {
	var name string
	err = w.tx.QueryRowContext(ctx, sqlPartitionOfDay, sql.Named("day", day.UnixMicro())).Scan(&name)
	if !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	base := "decisions_" + day.Format("20060102")
	name = base
	for n := 2; ; n++ {
		res, err := w.tx.ExecContext(ctx, sqlMakePartition, sql.Named("name", name), sql.Named("day", day.UnixMicro()))
		if err != nil {
			return false, err
		}
		if rows, err := res.RowsAffected(); err != nil || rows > 0 {
			return true, err
		}
		name = fmt.Sprintf("%s_%d", base, n)
	}
}
