package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"

	"github.com/verdict-authz/verdict/store"
)

// What is there is read in the order of the round's lists: whole for a full part, otherwise key by key.
const (
	sqlLoadMirrorPrincipals = `
SELECT id, kind, enabled, deleted, sessions_valid_from
FROM mirror_principals
WHERE tenant = @tenant AND kind = @kind
ORDER BY id`

	sqlFindMirrorPrincipal = `
SELECT id, kind, enabled, deleted, sessions_valid_from
FROM mirror_principals
WHERE tenant = @tenant AND id = @id`

	sqlLoadMirrorGroups = `
SELECT id, deleted
FROM mirror_groups
WHERE tenant = @tenant
ORDER BY id`

	sqlFindMirrorGroup = `
SELECT id, deleted
FROM mirror_groups
WHERE tenant = @tenant AND id = @id`

	sqlLoadMirrorMembers = `
SELECT group_id, member_id, kind
FROM mirror_members
WHERE tenant = @tenant
ORDER BY group_id, member_id`

	sqlFindMirrorMember = `
SELECT group_id, member_id, kind
FROM mirror_members
WHERE tenant = @tenant AND member_id = @member AND group_id = @group`

	sqlMirrorMembersAround = `
SELECT group_id, member_id, kind
FROM mirror_members
WHERE tenant = @tenant AND group_id = @id
UNION
SELECT group_id, member_id, kind
FROM mirror_members
WHERE tenant = @tenant AND member_id = @id`
)

const sqlPutMirrorPrincipal = `
INSERT INTO mirror_principals (tenant, id, kind, enabled, deleted, sessions_valid_from)
VALUES (@tenant, @id, @kind, @enabled, @deleted, @sessions)
ON CONFLICT (tenant, id) DO UPDATE
SET kind = excluded.kind,
    enabled = excluded.enabled,
    deleted = excluded.deleted,
    sessions_valid_from = excluded.sessions_valid_from`

const sqlDeleteMirrorPrincipal = `
DELETE FROM mirror_principals
WHERE tenant = @tenant AND id = @id`

const sqlPutMirrorGroup = `
INSERT INTO mirror_groups (tenant, id, deleted)
VALUES (@tenant, @id, @deleted)
ON CONFLICT (tenant, id) DO UPDATE
SET deleted = excluded.deleted`

const sqlDeleteMirrorGroup = `
DELETE FROM mirror_groups
WHERE tenant = @tenant AND id = @id`

const sqlPutMirrorMember = `
INSERT INTO mirror_members (tenant, member_id, group_id, kind)
VALUES (@tenant, @member, @group, @kind)
ON CONFLICT (tenant, member_id, group_id) DO UPDATE
SET kind = excluded.kind`

const sqlDeleteMirrorMember = `
DELETE FROM mirror_members
WHERE tenant = @tenant AND member_id = @member AND group_id = @group`

func scanMirrorAccount(r scanner) (a store.MirrorAccount, err error) {
	var sessions sql.NullInt64
	err = r.Scan(guidInto{&a.ID}, &a.Kind, &a.Enabled, &a.Deleted, &sessions)
	a.SessionsValidFrom = timeOf(sessions)
	return a, err
}

func scanMirrorGroup(r scanner) (g store.MirrorGroupChange, err error) {
	var deleted bool
	err = r.Scan(guidInto{&g.ID}, &deleted)
	if deleted {
		g.Fate = store.FateDeleted
	}
	return g, err
}

func scanMirrorMember(r scanner) (e store.MirrorMember, err error) {
	err = r.Scan(guidInto{&e.Group}, guidInto{&e.Member}, &e.Kind)
	return e, err
}

func (m *mirrorTx) accounts(ctx context.Context, part store.MirrorPart) iter.Seq2[store.MirrorAccount, error] {
	if part.Full {
		return scanned(ctx, m.tx, scanMirrorAccount, sqlLoadMirrorPrincipals, m.tenant, sql.Named("kind", int16(part.Resource.PrincipalKind())))
	}
	return looked(ctx, &m.writer, scanMirrorAccount, sqlFindMirrorPrincipal, len(part.Principals), func(i int) []any {
		return []any{m.tenant, blob("id", part.Principals[i].ID)}
	})
}

func (m *mirrorTx) groups(ctx context.Context, part store.MirrorPart) iter.Seq2[store.MirrorGroupChange, error] {
	if part.Full {
		return scanned(ctx, m.tx, scanMirrorGroup, sqlLoadMirrorGroups, m.tenant)
	}
	return looked(ctx, &m.writer, scanMirrorGroup, sqlFindMirrorGroup, len(part.Groups), func(i int) []any {
		return []any{m.tenant, blob("id", part.Groups[i].ID)}
	})
}

// members are those that the part names, and all that groups without members have and are in.
func (m *mirrorTx) members(ctx context.Context, part store.MirrorPart) (iter.Seq2[store.MirrorMember, error], error) {
	if part.Full {
		return scanned(ctx, m.tx, scanMirrorMember, sqlLoadMirrorMembers, m.tenant), nil
	}
	named := looked(ctx, &m.writer, scanMirrorMember, sqlFindMirrorMember, len(part.Members), func(i int) []any {
		return []any{m.tenant, blob("group", part.Members[i].Group), blob("member", part.Members[i].Member)}
	})
	emptied := part.Emptied()
	if len(emptied) == 0 {
		return named, nil
	}
	var all []store.MirrorMember
	for e, err := range named {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	for _, id := range emptied {
		around, err := collect(ctx, m.tx, scanMirrorMember, sqlMirrorMembersAround, m.tenant, blob("id", id))
		if err != nil {
			return nil, err
		}
		all = append(all, around...)
	}
	slices.SortFunc(all, store.MirrorMember.Compare)
	all = slices.Compact(all)
	return func(yield func(store.MirrorMember, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}, nil
}

// scanned goes through the rows of a query.
func scanned[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			yield(none, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			one, err := scan(rows)
			if !yield(one, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, err)
		}
	}
}

// looked asks for n keys one by one and goes through those that are there.
func looked[T any](ctx context.Context, w *writer, scan func(scanner) (T, error), query string, n int, args func(int) []any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if n == 0 {
			return
		}
		st, err := w.prepare(ctx, query) //nolint:sqlclosecheck // closed with the transaction
		if err != nil {
			yield(none, err)
			return
		}
		for i := range n {
			one, err := scan(st.QueryRowContext(ctx, args(i)...))
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}
