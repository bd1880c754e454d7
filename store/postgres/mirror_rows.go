package postgres

import (
	"context"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// What is there is read in the order of the round's lists: whole for a full part, otherwise the rows that the part names.
const (
	sqlLoadMirrorPrincipals = `
SELECT id, kind, enabled, deleted, sessions_valid_from
FROM mirror_principals
WHERE tenant = @tenant::text::uuid AND kind = @kind
ORDER BY id`

	sqlFindMirrorPrincipals = `
SELECT p.id, p.kind, p.enabled, p.deleted, p.sessions_valid_from
FROM unnest(@ids::text[]) AS k (id)
JOIN mirror_principals AS p ON p.tenant = @tenant::text::uuid AND p.id = k.id::uuid
ORDER BY p.id`

	sqlLoadMirrorGroups = `
SELECT id, deleted
FROM mirror_groups
WHERE tenant = @tenant::text::uuid
ORDER BY id`

	sqlFindMirrorGroups = `
SELECT g.id, g.deleted
FROM unnest(@ids::text[]) AS k (id)
JOIN mirror_groups AS g ON g.tenant = @tenant::text::uuid AND g.id = k.id::uuid
ORDER BY g.id`

	sqlLoadMirrorMembers = `
SELECT group_id, member_id, kind
FROM mirror_members
WHERE tenant = @tenant::text::uuid
ORDER BY group_id, member_id`

	// The rows that the part names, and all that groups without members have and are in.
	sqlFindMirrorMembers = `
SELECT m.group_id, m.member_id, m.kind
FROM unnest(@groups::text[], @members::text[]) AS k (group_id, member_id)
JOIN mirror_members AS m ON m.tenant = @tenant::text::uuid AND m.member_id = k.member_id::uuid AND m.group_id = k.group_id::uuid
UNION
SELECT m.group_id, m.member_id, m.kind
FROM unnest(@emptied::text[]) AS k (id)
JOIN mirror_members AS m ON m.tenant = @tenant::text::uuid AND m.group_id = k.id::uuid
UNION
SELECT m.group_id, m.member_id, m.kind
FROM unnest(@emptied::text[]) AS k (id)
JOIN mirror_members AS m ON m.tenant = @tenant::text::uuid AND m.member_id = k.id::uuid
ORDER BY 1, 2`
)

const sqlPutMirrorPrincipals = `
INSERT INTO mirror_principals (tenant, id, kind, enabled, deleted, sessions_valid_from)
SELECT @tenant::text::uuid, id::uuid, kind, enabled, deleted, NULLIF(sessions, '-infinity')
FROM unnest(@ids::text[], @kinds::smallint[], @enabled::boolean[], @deleted::boolean[], @sessions::timestamptz[])
     AS p (id, kind, enabled, deleted, sessions)
ON CONFLICT (tenant, id) DO UPDATE
SET kind = excluded.kind,
    enabled = excluded.enabled,
    deleted = excluded.deleted,
    sessions_valid_from = excluded.sessions_valid_from`

const sqlDeleteMirrorPrincipals = `
DELETE FROM mirror_principals
USING unnest(@ids::text[]) AS k (key)
WHERE tenant = @tenant::text::uuid AND id = k.key::uuid`

const sqlPutMirrorGroups = `
INSERT INTO mirror_groups (tenant, id, deleted)
SELECT @tenant::text::uuid, id::uuid, deleted
FROM unnest(@ids::text[], @deleted::boolean[]) AS g (id, deleted)
ON CONFLICT (tenant, id) DO UPDATE
SET deleted = excluded.deleted`

const sqlDeleteMirrorGroups = `
DELETE FROM mirror_groups
USING unnest(@ids::text[]) AS k (key)
WHERE tenant = @tenant::text::uuid AND id = k.key::uuid`

const sqlPutMirrorMembers = `
INSERT INTO mirror_members (tenant, member_id, group_id, kind)
SELECT @tenant::text::uuid, member_id::uuid, group_id::uuid, kind
FROM unnest(@groups::text[], @members::text[], @kinds::smallint[]) AS m (group_id, member_id, kind)
ON CONFLICT (tenant, member_id, group_id) DO UPDATE
SET kind = excluded.kind`

const sqlDeleteMirrorMembers = `
DELETE FROM mirror_members AS m
USING unnest(@groups::text[], @members::text[]) AS k (group_key, member_key)
WHERE m.tenant = @tenant::text::uuid AND m.member_id = k.member_key::uuid AND m.group_id = k.group_key::uuid`

func (m *mirrorTx) accounts(ctx context.Context, part store.MirrorPart) iter.Seq2[store.MirrorAccount, error] {
	scan := func(row pgx.Row) (a store.MirrorAccount, err error) {
		var id [16]byte
		var sessions *time.Time
		err = row.Scan(&id, &a.Kind, &a.Enabled, &a.Deleted, &sessions)
		a.ID, a.SessionsValidFrom = id, instantOf(sessions)
		return a, err
	}
	if part.Full {
		return scanned(ctx, m.tx, sqlLoadMirrorPrincipals, m.once(pgx.StrictNamedArgs{"kind": int16(part.Resource.PrincipalKind())}), scan)
	}
	return scanned(ctx, m.tx, sqlFindMirrorPrincipals, m.byID(len(part.Principals), func(i int) store.GUID { return part.Principals[i].ID }), scan)
}

func (m *mirrorTx) groups(ctx context.Context, part store.MirrorPart) iter.Seq2[store.MirrorGroupChange, error] {
	scan := func(row pgx.Row) (g store.MirrorGroupChange, err error) {
		var id [16]byte
		var deleted bool
		err = row.Scan(&id, &deleted)
		g.ID = id
		if deleted {
			g.Fate = store.FateDeleted
		}
		return g, err
	}
	if part.Full {
		return scanned(ctx, m.tx, sqlLoadMirrorGroups, m.once(pgx.StrictNamedArgs{}), scan)
	}
	return scanned(ctx, m.tx, sqlFindMirrorGroups, m.byID(len(part.Groups), func(i int) store.GUID { return part.Groups[i].ID }), scan)
}

// members reads by one statement, since what emptied groups have lies anywhere between what the part names.
func (m *mirrorTx) members(ctx context.Context, part store.MirrorPart) iter.Seq2[store.MirrorMember, error] {
	scan := func(row pgx.Row) (e store.MirrorMember, err error) {
		var group, member [16]byte
		err = row.Scan(&group, &member, &e.Kind)
		e.Group, e.Member = group, member
		return e, err
	}
	if part.Full {
		return scanned(ctx, m.tx, sqlLoadMirrorMembers, m.once(pgx.StrictNamedArgs{}), scan)
	}
	groups, members, _ := columnsOfMembers(part.Members)
	return scanned(ctx, m.tx, sqlFindMirrorMembers, m.once(pgx.StrictNamedArgs{
		"groups": groups, "members": members, "emptied": texts(part.Emptied())}), scan)
}

// once is one statement with args.
func (m *mirrorTx) once(args pgx.StrictNamedArgs) iter.Seq[pgx.StrictNamedArgs] {
	args["tenant"] = m.tenant
	return func(yield func(pgx.StrictNamedArgs) bool) { yield(args) }
}

// byID is a statement for each chunk of n ids.
func (m *mirrorTx) byID(n int, id func(int) store.GUID) iter.Seq[pgx.StrictNamedArgs] {
	return func(yield func(pgx.StrictNamedArgs) bool) {
		for at := range chunks(n) {
			ids := make([]string, 0, at.to-at.from)
			for i := at.from; i < at.to; i++ {
				ids = append(ids, id(i).String())
			}
			if !yield(pgx.StrictNamedArgs{"tenant": m.tenant, "ids": ids}) {
				return
			}
		}
	}
}

// carryOut writes what the plan says.
func (m *mirrorTx) carryOut(ctx context.Context, plan *store.MirrorPlan) error {
	for _, step := range []struct {
		query string
		n     int
		args  func(from, to int) pgx.StrictNamedArgs
	}{
		{sqlDeleteMirrorPrincipals, len(plan.DropAccounts), func(from, to int) pgx.StrictNamedArgs {
			return pgx.StrictNamedArgs{"ids": texts(plan.DropAccounts[from:to])}
		}},
		{sqlPutMirrorPrincipals, len(plan.PutAccounts), func(from, to int) pgx.StrictNamedArgs {
			return columnsOfAccounts(plan.PutAccounts[from:to])
		}},
		{sqlDeleteMirrorGroups, len(plan.DropGroups), func(from, to int) pgx.StrictNamedArgs {
			return pgx.StrictNamedArgs{"ids": texts(plan.DropGroups[from:to])}
		}},
		{sqlPutMirrorGroups, len(plan.PutGroups), func(from, to int) pgx.StrictNamedArgs {
			return columnsOfGroups(plan.PutGroups[from:to])
		}},
		{sqlDeleteMirrorMembers, len(plan.DropMembers), func(from, to int) pgx.StrictNamedArgs {
			groups, members, _ := columnsOfMembers(plan.DropMembers[from:to])
			return pgx.StrictNamedArgs{"groups": groups, "members": members}
		}},
		{sqlPutMirrorMembers, len(plan.PutMembers), func(from, to int) pgx.StrictNamedArgs {
			groups, members, kinds := columnsOfMembers(plan.PutMembers[from:to])
			return pgx.StrictNamedArgs{"groups": groups, "members": members, "kinds": kinds}
		}},
	} {
		for at := range chunks(step.n) {
			args := step.args(at.from, at.to)
			args["tenant"] = m.tenant
			if _, err := m.tx.Exec(ctx, step.query, args); err != nil {
				return err
			}
		}
	}
	return m.insertEvents(ctx, plan.Events)
}
