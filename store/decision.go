package store

import (
	"context"
	"time"
)

// DecisionAppender keeps decision records.
type DecisionAppender interface {
	// AppendDecisions writes all of ds or none. A record whose At and ID are already there is left as it is, so that a batch
	// whose outcome is unknown can be written again. (Both, since records are kept apart by day: a UUIDv7 holds its time,
	// and the same record always comes with the same At.) ErrInvalid when an ID is not a UUID in lower case.
	// Text that no database keeps, invalid UTF-8 and NUL, is kept with U+FFFD in its place: a record is never lost over it.
	AppendDecisions(ctx context.Context, ds []Decision) error
}

// DecisionReader asks for decision records.
type DecisionReader interface {
	// ListDecisions returns at most limit records that match f and come after the cursor, newest first: by At, then ID,
	// both descending.
	ListDecisions(ctx context.Context, f DecisionFilter, after DecisionCursor, limit int) ([]Decision, error)
	// GetDecision returns the record with this id, or ErrNotFound. The id is a UUIDv7; it is looked for where its time
	// says, up to an hour around it.
	GetDecision(ctx context.Context, id string) (Decision, error)
}

// Decision is the record of one decision. Fields are those of verdict.v1.DecisionRecord; no token, claim value or display
// name has a place in it. Reason and PrincipalKind hold the numbers of the proto enums.
type Decision struct {
	ID            string    // UUIDv7, lower case
	At            time.Time // UTC; whole microseconds are kept
	Allowed       bool
	Reason        int16
	Detail        string
	Revision      uint64
	PrincipalKind int16
	TenantID      string
	PrincipalID   string
	ClientID      string
	TokenID       string
	API           string
	Route         string
	Template      string
	Method        string
	Host          string
	RawPath       string
	Permissions   []string
	Resource      string
	Grants        []string
	Door          string
	PEP           string
	Took          time.Duration // whole microseconds are kept
	RequestID     string
	Subjects      []string // the caller's that had grants in the api, sorted
	Scopes        []string // delegated ones of the token that the api knows, sorted
	Missing       []string // permissions that the caller lacked
	GrantSubjects []string // those that Grants name, sorted, without repeats
	SourceIP      string   // address or network of the caller; empty: unknown
	Instance      string   // who made the decision; with Epoch and Seq it places the record. Empty: kept without a spool
	Epoch         uint64   // number of the instance's start, from 1; 0 without an instance
	Seq           uint64   // number of the record in the epoch, from 1, without gaps; 0 without an instance
	Leaf          []byte   // hash over the record, 32 bytes or none; stores keep it and know nothing of it
	AgentParent   string   // application id of the blueprint that the caller, an agent, was made from; "" none
	AgentFacets   string   // what else its token said of it as an agent, in a fixed form of at most 64 bytes; "" nothing
	Repeats       uint64   // further decisions like it in the second that follows At, which have no record of their own; 0: none
}

// DecisionFilter narrows decision records; zero fields match all.
type DecisionFilter struct {
	From, To    time.Time // [From, To)
	TenantID    string
	PrincipalID string
	ClientID    string
	Subject     string // among GrantSubjects
	Permission  string // among Permissions
	Allowed     *bool
	Reason      int16
	API         string
	Route       string
	Revision    uint64
}

// DecisionCursor is the last record of a page; the zero value is before the first.
type DecisionCursor struct {
	At time.Time
	ID string
}
