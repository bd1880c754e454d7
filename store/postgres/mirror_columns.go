package postgres

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

// columnsOfAccounts turns principals into one array a column. Arrays have no NULL here: an instant that was never said is
// -infinity on its way.
func columnsOfAccounts(l []store.MirrorAccount) pgx.StrictNamedArgs {
	ids, kinds := make([]string, len(l)), make([]int16, len(l))
	enabled, deleted := make([]bool, len(l)), make([]bool, len(l))
	sessions := make([]pgtype.Timestamptz, len(l))
	for i, a := range l {
		ids[i], kinds[i], enabled[i], deleted[i] = a.ID.String(), int16(a.Kind), a.Enabled, a.Deleted
		sessions[i] = pgtype.Timestamptz{Valid: true, Time: a.SessionsValidFrom}
		if a.SessionsValidFrom.IsZero() {
			sessions[i].InfinityModifier = pgtype.NegativeInfinity
		}
	}
	return pgx.StrictNamedArgs{"ids": ids, "kinds": kinds, "enabled": enabled, "deleted": deleted, "sessions": sessions}
}

func columnsOfGroups(l []store.MirrorGroupChange) pgx.StrictNamedArgs {
	ids, deleted := make([]string, len(l)), make([]bool, len(l))
	for i, g := range l {
		ids[i], deleted[i] = g.ID.String(), g.Fate == store.FateDeleted
	}
	return pgx.StrictNamedArgs{"ids": ids, "deleted": deleted}
}

func columnsOfMembers(l []store.MirrorMember) (groups, members []string, kinds []int16) {
	groups, members, kinds = make([]string, len(l)), make([]string, len(l)), make([]int16, len(l))
	for i, m := range l {
		groups[i], members[i], kinds[i] = m.Group.String(), m.Member.String(), int16(m.Kind)
	}
	return groups, members, kinds
}
