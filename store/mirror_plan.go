package store

import (
	"iter"
	"slices"
	"time"
)

// mirrorTokenLife is longer than any token of Entra lives (28 h): sessions that ended earlier left none behind.
const mirrorTokenLife = 30 * time.Hour

// MirrorAccount is a principal as it is kept.
type MirrorAccount struct {
	ID                GUID
	Kind              MirrorKind
	Enabled           bool
	Deleted           bool
	SessionsValidFrom time.Time // zero: never said
}

// MirrorPlan is what a round makes of what is there, for an engine to carry out. The engine hands in what is there, sorted as
// the lists of the part are: all of it when the part is Full, otherwise what the part names; then Events are complete
// with the principals below LostBelow, by what was there before.
type MirrorPlan struct {
	PutAccounts   []MirrorAccount
	DropAccounts  []GUID
	PutGroups     []MirrorGroupChange // there or deleted
	DropGroups    []GUID
	PutMembers    []MirrorMember
	DropMembers   []MirrorMember
	LostBelow     []GUID // groups that were removed from a group, or whose group was
	Resync        bool   // what came back may have memberships that nobody told of
	Events        []MirrorEvent
	first         bool
	applied       time.Time
	lost          map[GUID]struct{}
	lostBelow     map[GUID]struct{}
	alreadyWorse  map[GUID]struct{} // disabled or deleted in this round
	sessionsSince time.Time
}

// NewMirrorPlan begins the plan of r. In the first round of a tenant nothing happened to anybody.
func NewMirrorPlan(r MirrorRound, first bool) *MirrorPlan {
	return &MirrorPlan{
		first: first, applied: Instant(r.Applied), sessionsSince: r.Applied.Add(-mirrorTokenLife),
		lost: make(map[GUID]struct{}), lostBelow: make(map[GUID]struct{}), alreadyWorse: make(map[GUID]struct{}),
	}
}

// Changes says whether there is anything to carry out.
func (p *MirrorPlan) Changes() bool {
	return len(p.PutAccounts)+len(p.DropAccounts)+len(p.PutGroups)+len(p.DropGroups)+len(p.PutMembers)+len(p.DropMembers) > 0
}

// Principals plans the principals of a part.
func (p *MirrorPlan) Principals(part MirrorPart, there iter.Seq2[MirrorAccount, error]) error {
	return merge(part.Principals, there, func(w MirrorPrincipal, h MirrorAccount) int { return w.ID.Compare(h.ID) },
		func(want *MirrorPrincipal, have *MirrorAccount) {
			switch {
			case want != nil && want.Fate != FateGone:
				p.account(want, have)
			case have != nil && (want != nil || part.Full):
				p.DropAccounts = append(p.DropAccounts, have.ID)
				if !have.Deleted {
					p.happened(have.ID, MirrorDeleted, p.applied)
				}
			}
		})
}

// account plans what is kept of a principal that is there, or may come back.
func (p *MirrorPlan) account(want *MirrorPrincipal, have *MirrorAccount) {
	next := MirrorAccount{ID: want.ID, Kind: want.Kind, Enabled: true}
	if have != nil {
		next = *have
		next.Kind = want.Kind
	}
	next.Deleted = want.Fate == FateDeleted
	if want.Enabled != nil {
		next.Enabled = *want.Enabled
	}
	if want.SessionsValidFrom != nil {
		next.SessionsValidFrom = Instant(*want.SessionsValidFrom)
	}
	if have == nil {
		p.PutAccounts = append(p.PutAccounts, next)
		return
	}
	if next == *have {
		return
	}
	p.PutAccounts = append(p.PutAccounts, next)
	p.Resync = p.Resync || have.Deleted && !next.Deleted
	switch {
	case next.Deleted && !have.Deleted:
		p.happened(next.ID, MirrorDeleted, p.applied)
	case !next.Enabled && have.Enabled:
		p.happened(next.ID, MirrorDisabled, p.applied)
	}
	if next.SessionsValidFrom.After(have.SessionsValidFrom) && next.SessionsValidFrom.After(p.sessionsSince) {
		p.happened(next.ID, MirrorSessionsInvalid, next.SessionsValidFrom)
	}
}

// Groups plans the groups of a part.
func (p *MirrorPlan) Groups(part MirrorPart, there iter.Seq2[MirrorGroupChange, error]) error {
	return merge(part.Groups, there, func(w, h MirrorGroupChange) int { return w.ID.Compare(h.ID) },
		func(want, have *MirrorGroupChange) {
			switch {
			case want != nil && want.Fate != FateGone:
				if have == nil || have.Fate != want.Fate {
					p.PutGroups = append(p.PutGroups, *want)
				}
				p.Resync = p.Resync || have != nil && have.Fate == FateDeleted && want.Fate == FateThere && !part.Full
			case have != nil && (want != nil || part.Full):
				p.DropGroups = append(p.DropGroups, have.ID)
			}
		})
}

// Emptied returns the groups of a part that lose all members: those that are deleted or gone. In a Full part the
// memberships that are left out say it.
func (p MirrorPart) Emptied() (ids []GUID) {
	for _, g := range p.Groups {
		if g.Fate != FateThere {
			ids = append(ids, g.ID)
		}
	}
	return ids
}

// Members plans the memberships of a part. Those there include all that Emptied groups have and are in.
func (p *MirrorPlan) Members(part MirrorPart, there iter.Seq2[MirrorMember, error]) error {
	emptied := part.Emptied() // sorted, as Groups is
	in := func(id GUID) bool {
		_, ok := slices.BinarySearchFunc(emptied, id, GUID.Compare)
		return ok
	}
	return merge(part.Members, there, MirrorMember.Compare, func(want, have *MirrorMember) {
		if want != nil && (want.Removed || in(want.Group) || in(want.Member)) {
			want = &MirrorMember{Group: want.Group, Member: want.Member, Removed: true}
		}
		switch {
		case want != nil && !want.Removed:
			if have == nil || have.Kind != want.Kind {
				p.PutMembers = append(p.PutMembers, *want)
			}
		case have != nil && (want != nil || part.Full || in(have.Group) || in(have.Member)):
			p.DropMembers = append(p.DropMembers, *have)
			p.loses(*have)
		}
	})
}

// loses notes who loses by the end of a membership.
func (p *MirrorPlan) loses(m MirrorMember) {
	if p.first {
		return
	}
	if m.Kind != MirrorGroup {
		p.lost[m.Member] = struct{}{}
		return
	}
	if _, again := p.lostBelow[m.Member]; !again {
		p.lostBelow[m.Member] = struct{}{}
		p.LostBelow = append(p.LostBelow, m.Member)
	}
}

// Finish makes the events of those who lost a way into a group: directly, or below LostBelow. Who lost everything is not
// named again.
func (p *MirrorPlan) Finish(below []GUID) {
	for _, id := range below {
		p.lost[id] = struct{}{}
	}
	ids := make([]GUID, 0, len(p.lost))
	for id := range p.lost {
		if _, worse := p.alreadyWorse[id]; !worse {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, GUID.Compare)
	for _, id := range ids {
		p.happened(id, MirrorGroupRemoved, p.applied)
	}
}

func (p *MirrorPlan) happened(id GUID, kind MirrorEventKind, at time.Time) {
	if p.first {
		return
	}
	if kind == MirrorDeleted || kind == MirrorDisabled {
		p.alreadyWorse[id] = struct{}{}
	}
	p.Events = append(p.Events, MirrorEvent{Object: id, Kind: kind, At: at})
}

// merge walks two sorted lists side by side and calls do for each key, with nil for the one that does not have it. What
// it hands to do holds for that call alone.
func merge[W, H any](wanted []W, there iter.Seq2[H, error], compare func(W, H) int, do func(want *W, have *H)) error {
	next := 0
	for have, err := range there {
		if err != nil {
			return err
		}
		for next < len(wanted) && compare(wanted[next], have) < 0 {
			do(&wanted[next], nil)
			next++
		}
		if next < len(wanted) && compare(wanted[next], have) == 0 {
			do(&wanted[next], &have)
			next++
			continue
		}
		do(nil, &have)
	}
	for ; next < len(wanted); next++ {
		do(&wanted[next], nil)
	}
	return nil
}
