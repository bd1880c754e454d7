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
	AgentParent   string // application id of the blueprint that the caller, an agent, was made from; "" none
	AgentFacets   string // what else its token said of it as an agent, in a fixed form of at most 64 bytes; "" nothing
}

// DecisionFilter narrows ListDecisions; zero fields match all.
type DecisionFilter struct {
	From, To    time.Time // [From, To)
	TenantID    string
	PrincipalID string
	Allowed     *bool
	Reason      int16
	API         string
}

// DecisionCursor is the last record of a page; the zero value is before the first.
type DecisionCursor struct {
	At time.Time
	ID string
}
