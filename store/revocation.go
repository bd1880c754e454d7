package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RevocationReader reads revocations.
type RevocationReader interface {
	// ListRevocations returns at most limit revocations that are in force and match f, those whose id is below `before`
	// (empty: from the highest), descending. Ids are UUIDv7, so the newest come first.
	ListRevocations(ctx context.Context, f RevocationFilter, before string, limit int) ([]Revocation, error)
	// RevocationsSince returns what changed after the change numbered `seq`: each revocation at most once, as it is now,
	// by Seq. Deleted ones are among them, with Deleted set, until they would have expired. From 0 on there are those in
	// force only. ErrNotFound when seq is ahead of the newest change: the store was set back, begin again from 0.
	RevocationsSince(ctx context.Context, seq uint64) (RevocationDelta, error)
	// Notify is that of PolicyReader; its hints are of revocations too.
	Notify(ctx context.Context) <-chan struct{}
}

// RevocationWriter makes and takes back revocations. Who did it and why is kept for good, beside the revocation, which is
// forgotten some time after it has expired.
type RevocationWriter interface {
	// CreateRevocation keeps r and returns it as kept. There is one revocation of a thing: when it is revoked already, that
	// revocation keeps its ID and CreatedAt and gets the later of both NotBefore and of both ExpiresAt, and with them the
	// reason, ticket and actor of r; when both were as late already, nothing changes. Seq, CreatedAt and Deleted of r are not
	// looked at. ErrInvalid by Revocation.Validate.
	CreateRevocation(ctx context.Context, r Revocation) (Revocation, error)
	// DeleteRevocation takes a revocation back and returns it, Deleted. ErrNotFound when there is none of that id, or it
	// was taken back already; ErrInvalid when the id is not a UUID in lower case.
	DeleteRevocation(ctx context.Context, id string, by Note) (Revocation, error)
}

// RevocationStore keeps revocations.
type RevocationStore interface {
	RevocationReader
	RevocationWriter
}

// Note says who changed something, and why.
type Note struct{ Actor, Reason, Ticket string }

// RevocationKind is what a revocation names; the text is stored.
type RevocationKind string

// The kinds.
const (
	RevokePrincipal RevocationKind = "principal" // by object id
	RevokeClient    RevocationKind = "client"    // by client id
	RevokeSession   RevocationKind = "session"   // by sid
	RevokeToken     RevocationKind = "token"     // by uti
	RevokeTenant    RevocationKind = "tenant"    // everyone in it; no value
)

// RevocationKinds returns the kinds.
func RevocationKinds() []RevocationKind {
	return []RevocationKind{RevokePrincipal, RevokeClient, RevokeSession, RevokeToken, RevokeTenant}
}

// Revocation refuses the tokens of something that were issued up to an instant. Fields are those of verdict.v1.Revocation.
// Instants are UTC.
type Revocation struct {
	ID        string // UUIDv7, lower case
	TenantID  string
	Kind      RevocationKind
	Value     string
	NotBefore time.Time // whole seconds; tokens issued up to and including it are refused
	ExpiresAt time.Time // whole microseconds; from then on it does not count
	Reason    string
	Ticket    string
	Actor     string
	CreatedAt time.Time // whole microseconds
	Seq       uint64    // number of the last change to it, from 1, ascending in the order of commits
	Deleted   bool      // taken back; only RevocationsSince returns those
}

// RevocationFilter narrows ListRevocations; empty fields match all.
type RevocationFilter struct {
	TenantID string
	Kind     RevocationKind
	Value    string
}

// RevocationDelta is what changed up to the change numbered Seq.
type RevocationDelta struct {
	Seq     uint64
	Changed []Revocation
}

// Validate returns ErrInvalid when no store would take r.
func (r Revocation) Validate() error {
	wrong := ""
	switch {
	case !isUUID(r.ID):
		wrong = "the id is not a UUID in lower case"
	case r.TenantID == "":
		wrong = "no tenant"
	case !slices.Contains(RevocationKinds(), r.Kind):
		wrong = fmt.Sprintf("kind %q", r.Kind)
	case (r.Kind == RevokeTenant) != (r.Value == ""):
		wrong = "a tenant has no value, and everything else has one"
	case !inYears(r.NotBefore) || !inYears(r.ExpiresAt):
		wrong = "an instant is not in the years 1970 to 9999"
	case !r.ExpiresAt.After(r.NotBefore):
		wrong = "it expires before it refuses anything"
	case !storable(strings.Join([]string{r.TenantID, r.Value, r.Reason, r.Ticket, r.Actor}, " ")):
		wrong = "text that is not UTF-8 or has a NUL"
	default:
		return nil
	}
	return fmt.Errorf("revocation %s: %s: %w", r.ID, wrong, ErrInvalid)
}

func inYears(t time.Time) bool { y := t.UTC().Year(); return y >= 1970 && y <= 9999 }

// Validate returns ErrInvalid when no store would keep n.
func (n Note) Validate() error {
	if !storable(n.Actor) || !storable(n.Reason) || !storable(n.Ticket) {
		return fmt.Errorf("actor, reason and ticket: text that is not UTF-8 or has a NUL: %w", ErrInvalid)
	}
	return nil
}

// CheckRevocationID returns ErrInvalid when id is not a UUID in lower case.
func CheckRevocationID(id string) error {
	if !isUUID(id) {
		return fmt.Errorf("revocation %q: the id is not a UUID in lower case: %w", id, ErrInvalid)
	}
	return nil
}

// Canonical is r in the form it is kept in: instants in UTC, NotBefore in whole seconds.
func (r Revocation) Canonical() Revocation {
	r.NotBefore = Instant(r.NotBefore).Truncate(time.Second)
	r.ExpiresAt = Instant(r.ExpiresAt)
	r.CreatedAt = Instant(r.CreatedAt)
	return r
}

// Widen returns r, what there is, with what more adds to it, and whether that changes anything. Both name the same.
func (r Revocation) Widen(more Revocation) (Revocation, bool) {
	if !more.NotBefore.After(r.NotBefore) && !more.ExpiresAt.After(r.ExpiresAt) {
		return r, false
	}
	if more.NotBefore.After(r.NotBefore) {
		r.NotBefore = more.NotBefore
	}
	if more.ExpiresAt.After(r.ExpiresAt) {
		r.ExpiresAt = more.ExpiresAt
	}
	r.Reason, r.Ticket, r.Actor = more.Reason, more.Ticket, more.Actor
	return r, true
}
