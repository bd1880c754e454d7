package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/verdict-authz/verdict/store"
)

const sqlFindMirror = `
SELECT round, changed, holder = @holder AND lease_until > @now
FROM mirror_tenants
WHERE tenant = @tenant`

const sqlMoveMirror = `
UPDATE mirror_tenants
SET round = @round,
    changed = @changed,
    synced_at = @began,
    full_at = CASE WHEN @full THEN @began ELSE full_at END,
    resync = @resync OR (resync AND NOT @groups_full)
WHERE tenant = @tenant`

const sqlPutMirrorLink = `
INSERT INTO mirror_links (tenant, resource, link)
VALUES (@tenant, @resource, @link)
ON CONFLICT (tenant, resource) DO UPDATE
SET link = excluded.link`

const sqlInsertMirrorEvent = `
INSERT INTO mirror_events (tenant, object, kind, at)
VALUES (@tenant, @object, @kind, @at)`

// Who is in a group, by whatever path, groups themselves left out.
const sqlMirrorBelow = `
WITH RECURSIVE below (id, kind) AS (
    SELECT member_id, kind
    FROM mirror_members
    WHERE tenant = @tenant AND group_id = @group
    UNION
    SELECT down.member_id, down.kind
    FROM below
    CROSS JOIN mirror_members AS down
    WHERE below.kind = 3 AND down.tenant = @tenant AND down.group_id = below.id
)
SELECT DISTINCT id
FROM below
WHERE kind <> 3`

// ApplyMirror implements store.MirrorWriter. The transaction has the file to itself from its begin, so rounds come one
// after the other.
func (s *Store) ApplyMirror(ctx context.Context, r store.MirrorRound) (store.MirrorHead, error) {
	if err := r.Validate(); err != nil {
		return store.MirrorHead{}, err
	}
	var head store.MirrorHead
	err := s.writing(ctx, "apply mirror round", func(tx *sql.Tx) error {
		m := mirrorTx{writer: writer{tx: tx, prepared: make(map[string]*sql.Stmt)}, tenant: blob("tenant", r.Tenant)}
		var holds bool
		row := tx.QueryRowContext(ctx, sqlFindMirror, m.tenant, sql.Named("holder", r.Holder), sql.Named("now", s.now().UnixMicro()))
		switch err := row.Scan(&head.Round, &head.Changed, &holds); {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
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
	writer
	tenant sql.NamedArg
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
		there, err := m.members(ctx, part)
		if err != nil {
			return err
		}
		if err := plan.Members(part, there); err != nil {
			return err
		}
	}
	var below []store.GUID
	for _, g := range plan.LostBelow {
		ids, err := collect(ctx, m.tx, func(r scanner) (id store.GUID, err error) {
			err = r.Scan(guidInto{&id})
			return id, err
		}, sqlMirrorBelow, m.tenant, blob("group", g))
		if err != nil {
			return err
		}
		below = append(below, ids...)
	}
	plan.Finish(below)
	return nil
}

// carryOut writes what the plan says.
func (m *mirrorTx) carryOut(ctx context.Context, plan *store.MirrorPlan) error {
	for _, id := range plan.DropAccounts {
		if err := m.exec(ctx, sqlDeleteMirrorPrincipal, m.tenant, blob("id", id)); err != nil {
			return err
		}
	}
	for _, a := range plan.PutAccounts {
		if err := m.exec(ctx, sqlPutMirrorPrincipal, m.tenant, blob("id", a.ID), sql.Named("kind", int16(a.Kind)),
			sql.Named("enabled", a.Enabled), sql.Named("deleted", a.Deleted), sql.Named("sessions", micros(a.SessionsValidFrom))); err != nil {
			return err
		}
	}
	for _, id := range plan.DropGroups {
		if err := m.exec(ctx, sqlDeleteMirrorGroup, m.tenant, blob("id", id)); err != nil {
			return err
		}
	}
	for _, g := range plan.PutGroups {
		if err := m.exec(ctx, sqlPutMirrorGroup, m.tenant, blob("id", g.ID), sql.Named("deleted", g.Fate == store.FateDeleted)); err != nil {
			return err
		}
	}
	for _, e := range plan.DropMembers {
		if err := m.exec(ctx, sqlDeleteMirrorMember, m.tenant, blob("group", e.Group), blob("member", e.Member)); err != nil {
			return err
		}
	}
	for _, e := range plan.PutMembers {
		if err := m.exec(ctx, sqlPutMirrorMember, m.tenant, blob("group", e.Group), blob("member", e.Member), sql.Named("kind", int16(e.Kind))); err != nil {
			return err
		}
	}
	for _, e := range plan.Events {
		if err := m.exec(ctx, sqlInsertMirrorEvent, m.tenant, blob("object", e.Object), sql.Named("kind", int16(e.Kind)),
			sql.Named("at", store.Instant(e.At).UnixMicro())); err != nil {
			return err
		}
	}
	return nil
}

// move makes the round the newest.
func (m *mirrorTx) move(ctx context.Context, r store.MirrorRound, head store.MirrorHead, resync bool) error {
	full, groupsFull := true, false
	for _, part := range r.Parts {
		full = full && part.Full
		groupsFull = groupsFull || part.Full && part.Resource == store.MirrorResourceGroups
		resync = resync || part.Resync
		if err := m.exec(ctx, sqlPutMirrorLink, m.tenant, sql.Named("resource", string(part.Resource)), sql.Named("link", part.Link)); err != nil {
			return err
		}
	}
	return m.exec(ctx, sqlMoveMirror, m.tenant, sql.Named("round", number(head.Round)), sql.Named("changed", number(head.Changed)),
		sql.Named("began", head.SyncedAt.UnixMicro()), sql.Named("full", full), sql.Named("groups_full", groupsFull),
		sql.Named("resync", resync && !groupsFull))
}
