package store

import (
	"context"
	"iter"
	"time"
)

// DecisionFollower follows the records as they are kept.
type DecisionFollower interface {
	// TailFrom returns the cursor of a tail that begins now: it covers all that is kept. With since, the tail begins with
	// the records from that instant on instead.
	TailFrom(ctx context.Context, since time.Time) (TailCursor, error)
	// DecisionsAfter returns at most limit records that match f and that the cursor does not cover. The bounds of f are
	// not looked at. Nothing is missed or repeated, whatever happens at the same time: the records of one source become
	// visible in their order (an instance's are appended in the order of Epoch and Seq, and the store itself orders those
	// without an instance), and the cursor has a position in each. Records are merged by At across sources.
	DecisionsAfter(ctx context.Context, after TailCursor, f DecisionFilter, limit int) (Tail, error)
}

// DecisionCounter counts records.
type DecisionCounter interface {
	// Summarize counts the decisions that match f, repeats included, by the key that `by` asks for and by time bucket: [n*bucket, (n+1)*bucket)
	// since 1970 UTC; 0 is one bucket, which begins at f.From. At most limit keys are counted, those with most denials
	// first, then most allows, then by key; more says whether there were others. Counts are in that order of keys, and
	// of time within a key. ErrInvalid when `by` is unknown or the bucket is not in whole microseconds.
	Summarize(ctx context.Context, f DecisionFilter, by Dimension, bucket time.Duration, limit int) (counts []Count, more bool, err error)
	// GrantUse returns what use was made of each grant that decided at least once since the day of from, by id. It is a
	// ledger of its own, kept at each append, and outlives the records.
	GrantUse(ctx context.Context, from time.Time) ([]GrantUse, error)
}

// ChangeReader reads what administrators changed, each change as its transaction recorded it.
type ChangeReader interface {
	// ListChanges returns at most limit changes that match f and come after the cursor, newest first: by At, then Trail,
	// then Number, all descending. Each has its first facts in the order they were changed, at most facts of them.
	// ErrInvalid when a trail is unknown.
	ListChanges(ctx context.Context, f ChangeFilter, after ChangeCursor, limit, facts int) ([]AdminChange, error)
}

// DecisionSealer is what proofs are made from and kept in. Digests are only ever added.
type DecisionSealer interface {
	// RecordsInWindow returns at most limit records of [from, to) after the cursor, oldest first: by At, then ID, ascending.
	RecordsInWindow(ctx context.Context, from, to time.Time, after DecisionCursor, limit int) ([]Decision, error)
	// Sequences returns, for each instance and epoch with records in [from, to), by instance and epoch, which numbers
	// they have. Records without an instance are not in it.
	Sequences(ctx context.Context, from, to time.Time) ([]SequenceRange, error)
	// ChangesInWindow yields every admin change made in [from, to), oldest first: by At, Trail, Number. A change is as many
	// lines as it has facts, in their order, and at least one. Facts are as their own row records them: for revocations and
	// trust After or Before is what was put or taken away, and the other is empty. All of it is one state; an error ends it.
	ChangesInWindow(ctx context.Context, from, to time.Time) iter.Seq2[ChangeLine, error]
	// CountInWindow counts the records and the admin changes of [from, to).
	CountInWindow(ctx context.Context, from, to time.Time) (records, changes uint64, err error)
	// DecisionDays returns the Partitions without Rows and Bytes, which cost more and take more rights.
	DecisionDays(ctx context.Context) ([]Partition, error)
	// AppendDigest keeps d. ErrConflict unless d.Number is one more than that of the latest, or 1.
	AppendDigest(ctx context.Context, d Digest) error
	// Digests returns at most limit digests after number `after` whose window meets [from, to), by number, without
	// Leaves. Zero instants do not bound.
	Digests(ctx context.Context, from, to time.Time, after uint64, limit int) ([]Digest, error)
	// LatestDigest returns the one with the largest number, without Leaves, or ErrNotFound.
	LatestDigest(ctx context.Context) (Digest, error)
	// DigestLeaves returns the Leaves of the digest with this number, or ErrNotFound.
	DigestLeaves(ctx context.Context, number uint64) ([]byte, error)
}

// DecisionKeeper looks after the days that records are kept in. A day is UTC and kept in a partition of its own.
type DecisionKeeper interface {
	// EnsurePartitions makes the partitions of the day of now and of as many after it as ahead says, and returns how many
	// of them were missing. Any replica may do so at any time; appending a record makes the one it needs.
	EnsurePartitions(ctx context.Context, now time.Time, ahead int) (made int, err error)
	// Partitions returns all that there are, by day and name, the detached ones as well.
	Partitions(ctx context.Context) ([]Partition, error)
	// DetachPartition takes a partition out of what is read, without stopping those who read or append; its records stay
	// in it. Detaching again does nothing, and a detach that was cut short is finished. ErrNotFound when there is none.
	DetachPartition(ctx context.Context, name string) error
	// ExportPartition yields the records of a partition, oldest first, attached or not, as of one moment. An error ends it.
	ExportPartition(ctx context.Context, name string) iter.Seq2[Decision, error]
	// DropPartition ends a detached partition and its records; no other ever gets its name. ErrConflict when it is not
	// detached, ErrNotFound when there is none.
	DropPartition(ctx context.Context, name string) error
	// ForgetGrantUse drops what GrantUse knows of the days before that of `before`.
	ForgetGrantUse(ctx context.Context, before time.Time) error
}

// Coordinator lets replicas agree who does what and how far it is.
type Coordinator interface {
	// AcquireLease makes holder the holder of the named lease for ttl from now, by the clock of the store, when nobody else
	// holds it; the holder renews it the same way. It says whether holder has it.
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error)
	// ReleaseLease ends the lease if holder has it.
	ReleaseLease(ctx context.Context, name, holder string) error
	// Cursor returns the value that was last set under the name; empty: none.
	Cursor(ctx context.Context, name string) (value string, err error)
	// SetCursor sets it, if it still is what is expected (empty: none); else ErrConflict.
	SetCursor(ctx context.Context, name, value, expect string) error
}

// Source is where records come from in an order of their own: an instance or, for those without, a lane of the store.
type Source struct {
	Instance string
	Lane     uint64 // from 1; 0 for an instance
}

// Position is how far a source was read. Positions of one source are ordered by Epoch, then Seq.
type Position struct{ Epoch, Seq uint64 }

// Tail is a piece of a tail.
type Tail struct {
	Records []TailRecord
	// Cursor covers the records and all those before them that did not match.
	Cursor TailCursor
	// More says that there may be more already: go on at once.
	More bool
}

// TailRecord is a record and its place. TailCursor.Advance makes a cursor that goes on after it.
type TailRecord struct {
	Decision Decision
	Source   Source
	Position Position
}

// Dimension is what decisions are counted by.
type Dimension string

// The dimensions, and their keys.
const (
	ByNothing   Dimension = ""          // ""
	ByReason    Dimension = "reason"    // the number of the reason, decimal
	ByRoute     Dimension = "route"     // api/route; "" without an api
	ByPrincipal Dimension = "principal" // tenant/principal; "" when nobody was proven
	ByGrant     Dimension = "grant"     // id of a grant; a record counts once for each of its grants
)

// Count is how often something was decided in a bucket of time.
type Count struct {
	Bucket          time.Time // begin, UTC
	Key             string
	Allowed, Denied uint64
	First, Last     time.Time
}

// GrantUse is what use was made of a grant, as far back as was asked and records were kept.
type GrantUse struct {
	Grant string
	First time.Time
	// Last may be up to a minute (GrantUseStep) before the last use: within that time it is not written again.
	Last       time.Time
	Principals uint64 // different ones that it decided for
}

// GrantUseStep is how far the last use of a grant may be behind.
const GrantUseStep = time.Minute

// Trail is what administrators change; each trail has numbers of its own.
type Trail string

// The trails; the zero value stands for all of them.
const (
	TrailPolicy     Trail = "policy"     // numbered by revision
	TrailRevocation Trail = "revocation" // by Revocation.Seq
	TrailTrust      Trail = "trust"      // by TrustVersion
)

// ChangeFilter narrows ListChanges; zero fields match all.
type ChangeFilter struct {
	From, To time.Time // [From, To)
	Trail    Trail
	Actor    string // compared exactly
}

// ChangeCursor is the last change of a page; the zero value is before the first.
type ChangeCursor struct {
	At     time.Time
	Trail  Trail
	Number uint64
}

// AdminChange is one change that an administrator made.
type AdminChange struct {
	Trail                 Trail
	Number                uint64
	At                    time.Time // UTC, whole microseconds
	Actor, Reason, Ticket string
	Facts                 []FactChange
	Total                 uint64 // of facts changed
}

// FactChange is one fact before and after, JSON as history keeps it; "" when it was not there.
type FactChange struct {
	Kind          Kind
	Key           string // id, RouteKey.String, provider/id of a tenant, kid, or the tenant whose keys were ordered anew
	Before, After string
}

// The kinds of facts that only administrators' changes name, beside those of the policy.
const (
	KindRevocation Kind = "revocation"
	KindTenant     Kind = "tenant"
	KindKey        Kind = "key"
	KindPurge      Kind = "purge" // its key is empty when the keys of all tenants were ordered anew
)

// SequenceRange is which numbers of an instance's epoch there are: without gaps, Count is Last-First+1.
type SequenceRange struct {
	Instance string `json:"instance"`
	Epoch    uint64 `json:"epoch"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Count    uint64 `json:"count"`
}

// DigestKind tells digests of a whole window from those of what came late.
type DigestKind string

// The kinds of digests; the text is stored.
const (
	DigestHourly   DigestKind = "hourly"
	DigestBackfill DigestKind = "backfill"
)

// Digest seals the records of a window. Stores keep it as it is; package server/audit/seal makes and checks it.
type Digest struct {
	Number                      uint64 // from 1, without gaps
	Kind                        DigestKind
	From, To                    time.Time // [From, To), UTC, whole microseconds
	Count                       uint64    // of records
	Root                        []byte
	Previous                    []byte // hash of the digest before; empty in the first
	KeyID                       string
	Signature                   []byte
	Ranges                      []SequenceRange
	RevisionFirst, RevisionLast uint64 // smallest and largest revision that the records name
	Leaves                      []byte // of the tree, packed by whoever made the digest; may be empty
}

// Partition is a day of records.
type Partition struct {
	Name string // what the other methods call it
	Day  time.Time
	// Rows is about how many records it has, by the statistics of the database; exact when Detached.
	Rows     int64
	Bytes    int64 // on disk, indexes included; 0: not known
	Detached bool
}
