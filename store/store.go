package store

import (
	"context"
	"errors"
	"time"
)

// What can go wrong, for errors.Is. Implementations wrap these with what was being done. A context that ended is reported
// as its own error: context.Canceled, or context.DeadlineExceeded together with ErrUnavailable.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("already exists")
	ErrConflict    = errors.New("changed meanwhile")    // a revision or etag precondition failed
	ErrReferenced  = errors.New("still referenced")     // an api has routes or grants, or a fact names an api that is not there
	ErrInvalid     = errors.New("cannot be stored")     // no store would take it, now or later
	ErrUnavailable = errors.New("store unavailable")    // may work later
	ErrSchema      = errors.New("schema not as needed") // run verdict migrate, or a newer binary
)

// IsNamed says whether err is one of the above, so that an engine need not look into it again.
func IsNamed(err error) bool {
	for _, e := range []error{ErrNotFound, ErrExists, ErrConflict, ErrReferenced, ErrInvalid, ErrUnavailable, ErrSchema} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Store is the contract that postgres and sqlite both fulfil and storetest checks. Consumers take the role they need.
type Store interface {
	PolicyReader
	PolicyWriter
	DecisionAppender
	DecisionReader
	RevocationStore
	TrustStore
	MirrorStore
	DecisionFollower
	DecisionCounter
	DecisionSealer
	DecisionKeeper
	ChangeReader
	Coordinator
	// CheckSchema returns nil, or ErrSchema with what to do when the schema is older or newer than this binary needs.
	CheckSchema(ctx context.Context) error
	// Ping returns nil or ErrUnavailable.
	Ping(ctx context.Context) error
	// Close lets go of everything. Afterwards every call is ErrUnavailable; closing again does nothing.
	Close()
}

// PolicyReader reads policy facts. Each method reads one consistent state. Keys are ordered by their bytes. A limit of 0 or
// less gives nothing.
type PolicyReader interface {
	// Head returns the number of the newest revision, 0 before the first.
	Head(ctx context.Context) (uint64, error)
	// Load returns all facts at the newest revision, sorted by key.
	Load(ctx context.Context) (Facts, error)
	// ChangesSince returns the net effect of the revisions after `from` up to the newest. ErrNotFound when `from` is
	// ahead of the newest revision or its history is gone: load everything.
	ChangesSince(ctx context.Context, from uint64) (Delta, error)
	// GetAPI, GetRoute and GetGrant return one fact and the newest revision, or ErrNotFound.
	GetAPI(ctx context.Context, id string) (API, uint64, error)
	GetRoute(ctx context.Context, api, id string) (Route, uint64, error)
	GetGrant(ctx context.Context, id string) (Grant, uint64, error)
	// ListAPIs, ListRoutes and ListGrants return at most limit facts whose key is after `after`, ascending.
	ListAPIs(ctx context.Context, after string, limit int) ([]API, error)
	ListRoutes(ctx context.Context, api string, after RouteKey, limit int) ([]Route, error)
	ListGrants(ctx context.Context, f GrantFilter, after string, limit int) ([]Grant, error)
	// Revisions returns at most limit revisions below `before` (0: from the newest), descending.
	Revisions(ctx context.Context, before uint64, limit int) ([]Revision, error)
	// Notify returns a channel that receives a hint after some, perhaps all, commits by any process, until ctx ends. It
	// may be nil, and is never closed: hints only make following sooner.
	Notify(ctx context.Context) <-chan struct{}
}

// PolicyWriter changes policy facts.
type PolicyWriter interface {
	// Commit makes one revision out of c, whole or not at all, and returns it. ErrConflict when c.Expect or an IfRevision
	// does not hold; ErrExists, ErrNotFound by the preconditions of c; ErrReferenced when a route or grant would be left
	// whose api is not there; ErrInvalid by Change.Validate. After ErrUnavailable the outcome may be unknown: read Head.
	Commit(ctx context.Context, c Change) (Revision, error)
}

// Revision is one change of the policy, numbered from 1 without gaps.
type Revision struct {
	Number uint64
	At     time.Time // UTC, microseconds
	Actor  string    // who: "local" until callers are authenticated
	Reason string
	Ticket string
}

// Change is the operations of one revision. There is at least one, and they name distinct facts. Puts come into effect
// before deletes, apis before what belongs to them: the order of the lists does not matter.
type Change struct {
	// Expect refuses the change unless the newest revision is this one; nil: any. Checked under the lock that orders
	// commits, so that what was validated against a revision is committed on it.
	Expect *uint64
	Actor  string
	Reason string
	Ticket string

	PutAPIs      []Put[API]
	PutRoutes    []Put[Route]
	PutGrants    []Put[Grant]
	DeleteAPIs   []Delete[string]
	DeleteRoutes []Delete[RouteKey]
	DeleteGrants []Delete[string]
}

// Put writes a fact. The stored fact's Revision becomes that of the change, whatever it says.
type Put[F any] struct {
	Fact F
	// Create refuses with ErrExists when the fact is there; otherwise it is replaced or added.
	Create bool
	// IfRevision refuses with ErrConflict unless the fact is there with this Revision; 0: not checked.
	IfRevision uint64
}

// Delete removes a fact; ErrNotFound when it is not there, whatever IfRevision.
type Delete[K any] struct {
	Key        K
	IfRevision uint64 // as in Put
}
