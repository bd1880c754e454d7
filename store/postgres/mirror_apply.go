package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const sqlLockMirror = `
SELECT round, changed, holder = @holder AND lease_until > clock_timestamp()
FROM mirror_tenants
WHERE tenant = @tenant::text::uuid
FOR UPDATE`

const sqlMoveMirror = `
UPDATE mirror_tenants
SET round = @round,
    changed = @changed,
    synced_at = @began,
    full_at = CASE WHEN @full THEN @began ELSE full_at END,
    resync = @resync OR (resync AND NOT @groups_full)
WHERE tenant = @tenant::text::uuid`

const sqlPutMirrorLink = `
INSERT INTO mirror_links (tenant, resource, link)
VALUES (@tenant::text::uuid, @resource, @link)
ON CONFLICT (tenant, resource) DO UPDATE
SET link = excluded.link`

const sqlInsertMirrorEvents = `
INSERT INTO mirror_events (tenant, object, kind, at)
SELECT @tenant::text::uuid, object::uuid, kind, at
FROM unnest(@objects::text[], @kinds::smallint[], @ats::timestamptz[]) WITH ORDINALITY AS e (object, kind, at, n)
ORDER BY n`

// Who is in one of the groups, by whatever path, groups themselves left out.
const sqlMirrorBelow = `
WITH RECURSIVE below (id, kind) AS (
    SELECT member_id, kind
    FROM unnest(@groups::text[]) AS g (id)
    JOIN mirror_members ON tenant = @tenant::text::uuid AND group_id = g.id::uuid
    UNION
    SELECT down.member_id, down.kind
    FROM below
    CROSS JOIN LATERAL (
        SELECT member_id, kind
        FROM mirror_members
        WHERE tenant = @tenant::text::uuid AND group_id = below.id AND below.kind = 3
        OFFSET 0
    ) AS down
)
SELECT DISTINCT id
FROM below
WHERE kind <> 3`

// ApplyMirror implements store.MirrorWriter. The row of the tenant is locked first, so rounds come one after the other.
func (s *Store) ApplyMirror(ctx context.Context, r store.MirrorRound) (store.MirrorHead, error) {
	if err := r.Validate(); err != nil {
		return store.MirrorHead{}, err
	}
	var head store.MirrorHead
	err := s.writing(ctx, "apply mirror round", func(tx pgx.Tx) error {
		m := mirrorTx{tx: tx, tenant: r.Tenant.String()}
		if _, err := tx.Exec(ctx, sqlGuardCommit); err != nil {
			return err
		}
		var holds bool
		row := tx.QueryRow(ctx, sqlLockMirror, pgx.StrictNamedArgs{"tenant": m.tenant, "holder": r.Holder})
		switch err := row.Scan(&head.Round, &head.Changed, &holds); {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		case !holds:
			return fmt.Errorf("%s has no lease: %w", r.Holder, store.ErrConflict)
		case head.Round != r.After:
			return fmt.Errorf("the newest round is %d, not %d: %w", head.Round, r.After, store.ErrConflict)
		}
		plan := store.NewMirrorPlan(r, head.Round == 0)
		if err := m.plan(ctx, r, plan); err != nil {
			return err
		}
		head.Round++
		if plan.Changes() {
			head.Changed = head.Round
		}
		head.SyncedAt = store.Instant(r.Began)
		if err := m.carryOut(ctx, plan); err != nil {
			return err
		}
		return m.move(ctx, r, head, plan.Resync)
	})
	if err != nil {
		return store.MirrorHead{}, err
	}
	return head, nil
}

// mirrorTx is one round of one tenant.
type mirrorTx struct {
	tx     pgx.Tx
	tenant string
}

// plan hands what is there to the plan.
func (m *mirrorTx) plan(ctx context.Context, r store.MirrorRound, plan *store.MirrorPlan) error {
	for _, part := range r.Parts {
		if part.Resource.PrincipalKind() != 0 {
			if err := plan.Principals(part, m.accounts(ctx, part)); err != nil {
				return err
			}
			continue
		}
		if err := plan.Groups(part, m.groups(ctx, part)); err != nil {
			return err
		}
		if err := plan.Members(part, m.members(ctx, part)); err != nil {
			return err
		}
	}
	below, err := m.below(ctx, plan.LostBelow)
	if err != nil {
		return err
	}
	plan.Finish(below)
	return nil
}

func (m *mirrorTx) below(ctx context.Context, groups []store.GUID) ([]store.GUID, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	return collect(ctx, m.tx, func(row pgx.Row) (store.GUID, error) {
		var id [16]byte
		err := row.Scan(&id)
		return id, err
	}, sqlMirrorBelow, pgx.StrictNamedArgs{"tenant": m.tenant, "groups": texts(groups)})
}

// move makes the round the newest.
func (m *mirrorTx) move(ctx context.Context, r store.MirrorRound, head store.MirrorHead, resync bool) error {
	full, groupsFull := true, false
	b := new(pgx.Batch)
	for _, part := range r.Parts {
		full = full && part.Full
		groupsFull = groupsFull || part.Full && part.Resource == store.MirrorResourceGroups
		resync = resync || part.Resync
		b.Queue(sqlPutMirrorLink, pgx.StrictNamedArgs{"tenant": m.tenant, "resource": string(part.Resource), "link": part.Link})
	}
	b.Queue(sqlMoveMirror, pgx.StrictNamedArgs{
		"tenant": m.tenant, "round": number(head.Round), "changed": number(head.Changed), "began": head.SyncedAt,
		"full": full, "groups_full": groupsFull, "resync": resync && !groupsFull})
	return m.tx.SendBatch(ctx, b).Close()
}

// scanned goes through the rows of queries, one after the other.
func scanned[T any](ctx context.Context, tx pgx.Tx, query string, batches iter.Seq[pgx.StrictNamedArgs], scan func(pgx.Row) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for args := range batches {
			rows, err := tx.Query(ctx, query, args)
			if err != nil {
				yield(none, err)
				return
			}
			more := true
			for more && rows.Next() {
				one, err := scan(rows)
				more = yield(one, err) && err == nil
			}
			rows.Close()
			if !more {
				return
			}
			if err := rows.Err(); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

func texts(ids []store.GUID) []string {
	l := make([]string, len(ids))
	for i, id := range ids {
		l[i] = id.String()
	}
	return l
}

// insertEvents keeps what happened.
func (m *mirrorTx) insertEvents(ctx context.Context, events []store.MirrorEvent) error {
	for at := range chunks(len(events)) {
		some := events[at.from:at.to]
		objects, kinds, ats := make([]string, len(some)), make([]int16, len(some)), make([]time.Time, len(some))
		for i, e := range some {
			objects[i], kinds[i], ats[i] = e.Object.String(), int16(e.Kind), store.Instant(e.At)
		}
		if _, err := m.tx.Exec(ctx, sqlInsertMirrorEvents, pgx.StrictNamedArgs{
			"tenant": m.tenant, "objects": objects, "kinds": kinds, "ats": ats}); err != nil {
			return err
		}
	}
	return nil
}

// span is a part of a list.
type span struct{ from, to int }

// mirrorChunk is how many rows go into one statement.
const mirrorChunk = 10_000

// chunks cuts a list of n.
func chunks(n int) iter.Seq[span] {
	return func(yield func(span) bool) {
		for from := 0; from < n; from += mirrorChunk {
			if !yield(span{from, min(n, from+mirrorChunk)}) {
				return
			}
		}
	}
}
