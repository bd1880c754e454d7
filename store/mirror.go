package store

import (
	"context"
	"time"
)

// MirrorStore keeps a copy of the groups of Entra tenants and of those in them. It is read by every replica and written by
// one at a time, who holds the lease of the tenant.
type MirrorStore interface {
	MirrorReader
	MirrorWriter
}

// MirrorReader reads the copy. Each method reads one consistent state: a round is seen whole or not at all.
type MirrorReader interface {
	// MirrorHead returns how far the copy of a tenant is. ErrNotFound before its first round.
	MirrorHead(ctx context.Context, tenant GUID) (MirrorHead, error)
	// MirrorGroups returns what the copy has of a principal, nested groups included. ErrNotFound before the first round; a
	// principal that the copy does not have is Unknown, which is no error.
	MirrorGroups(ctx context.Context, tenant, principal GUID) (MirrorGroups, error)
}

// MirrorWriter changes the copy.
type MirrorWriter interface {
	// LeaseMirror takes the lease of a tenant for life from now, or renews it, by the clock that all replicas share (that of
	// the database). ErrConflict while another holder has it; ErrInvalid for a holder without a name or a life below 1 ms.
	LeaseMirror(ctx context.Context, tenant GUID, holder string, life time.Duration) (MirrorState, error)
	// ReleaseMirror ends the lease of holder, so that another need not wait for its end. Without the lease it does nothing.
	ReleaseMirror(ctx context.Context, tenant GUID, holder string) error
	// ApplyMirror makes r the newest round, whole or not at all, and returns the new head. What r changes for a principal
	// becomes events, except in the first round. ErrConflict when r.Holder has no lease or r.After is not the newest
	// round; ErrInvalid by MirrorRound.Validate. After ErrUnavailable the outcome may be unknown: a round on the old
	// MirrorHead.Round is then refused.
	ApplyMirror(ctx context.Context, r MirrorRound) (MirrorHead, error)
	// MirrorEvents returns the oldest events that were not dropped, at most limit, in the order they came up. A limit of 0
	// or less gives nothing.
	MirrorEvents(ctx context.Context, tenant GUID, limit int) ([]MirrorEvent, error)
	// DropMirrorEvents forgets the events up to and including seq.
	DropMirrorEvents(ctx context.Context, tenant GUID, seq uint64) error
}

// MirrorHead says how far the copy of a tenant is.
type MirrorHead struct {
	Round    uint64    // numbered from 1
	Changed  uint64    // the last round that changed anything but the head itself: what was read at it still holds
	SyncedAt time.Time // Began of the newest round: the copy is at least as new
}

// MirrorState is what the next round goes on from.
type MirrorState struct {
	MirrorHead                           // the zero value before the first round
	FullAt     time.Time                 // Began of the last round whose parts were all Full; zero: none was
	Resync     bool                      // the groups must be read in Full: something came back whose memberships are not known
	Links      map[MirrorResource]string // where the changes since then are asked for; by resource
}

// MirrorKind is what an object is; the numbers are stored.
type MirrorKind int16

// The kinds. There is none for devices and contacts: they get no access, and are not kept.
const (
	MirrorUser             MirrorKind = 1
	MirrorServicePrincipal MirrorKind = 2
	MirrorGroup            MirrorKind = 3
)

// MirrorResource is one of the collections that a round reads; the text is stored.
type MirrorResource string

// The resources.
const (
	MirrorResourceGroups            MirrorResource = "groups"
	MirrorResourceUsers             MirrorResource = "users"
	MirrorResourceServicePrincipals MirrorResource = "service_principals"
)

// Fate is whether an object is there; the zero value is that it is.
type Fate uint8

// The fates. What is deleted can be restored, with its old memberships; what is gone cannot.
const (
	FateThere Fate = iota
	FateDeleted
	FateGone
)

// MirrorRound is what one look at a tenant found. There is a part for each resource: no round leaves one behind.
type MirrorRound struct {
	Tenant  GUID
	Holder  string    // has the lease
	After   uint64    // the round it goes on from
	Began   time.Time // before anything was read; becomes SyncedAt
	Applied time.Time // when reading was done: events of this round are dated so
	Parts   []MirrorPart
}

// MirrorPart is what a round found in one resource. Lists are sorted by key, which is unique: ids; of members, group and
// then member. Users and service principals have Principals, groups have Groups and Members.
type MirrorPart struct {
	Resource MirrorResource
	Full     bool   // the lists are everything: what they do not name is gone
	Resync   bool   // the memberships found may be incomplete: read everything in the next round
	Link     string // for the next round

	Principals []MirrorPrincipal
	Groups     []MirrorGroupChange
	Members    []MirrorMember
}

// MirrorPrincipal is a change of a user or service principal. What is nil is as it was before; at first, enabled and never.
type MirrorPrincipal struct {
	ID                GUID
	Kind              MirrorKind
	Fate              Fate
	Enabled           *bool
	SessionsValidFrom *time.Time // sessions that began before it have ended
}

// MirrorGroupChange is a change of a group. One that is deleted has no members.
type MirrorGroupChange struct {
	ID   GUID
	Fate Fate
}

// MirrorMember is one membership, not looking through nested groups.
type MirrorMember struct {
	Group, Member GUID
	Kind          MirrorKind // of Member; not needed when it is Removed
	Removed       bool
}

// MirrorGroups is what the copy has of a principal.
type MirrorGroups struct {
	MirrorHead
	Unknown bool // the rest is empty
	Kind    MirrorKind
	Enabled bool
	Deleted bool
	// Groups are all groups it is in, by whatever path, sorted, without repeats. Groups that contain each other are each
	// other's.
	Groups []GUID
}

// MirrorEventKind is what happened to a principal; the numbers are stored.
type MirrorEventKind int16

// The kinds of events. GroupRemoved: it lost a way into some group, its own membership or that of a group it is in.
const (
	MirrorDisabled        MirrorEventKind = 1
	MirrorSessionsInvalid MirrorEventKind = 2
	MirrorDeleted         MirrorEventKind = 3
	MirrorGroupRemoved    MirrorEventKind = 4
)

// String says it in words.
func (k MirrorEventKind) String() string {
	switch k {
	case MirrorDisabled:
		return "disabled"
	case MirrorSessionsInvalid:
		return "sessions ended"
	case MirrorDeleted:
		return "deleted"
	case MirrorGroupRemoved:
		return "group removed"
	}
	return "unknown"
}

// MirrorEvent says that a principal has lost something, for those who must act on it. It stays until it is dropped, so
// that one who ends in between hands it on to the next.
type MirrorEvent struct {
	Seq    uint64 // rises in a tenant
	Object GUID
	Kind   MirrorEventKind
	At     time.Time // what was issued up to then should no longer count
}
