package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What engines share in making values of rows.

// WithinLimit takes the counts of the last key off when there were more keys than wanted. Counts come key by key.
func WithinLimit(counts []Count, more bool) []Count {
	if !more {
		return counts
	}
	last := counts[len(counts)-1].Key
	return slices.Clip(counts[:slices.IndexFunc(counts, func(c Count) bool { return c.Key == last })])
}

// Trails returns the trails that f asks for, or ErrInvalid.
func (f ChangeFilter) Trails() ([]Trail, error) {
	switch f.Trail {
	case "":
		return []Trail{TrailPolicy, TrailRevocation, TrailTrust}, nil
	case TrailPolicy, TrailRevocation, TrailTrust:
		return []Trail{f.Trail}, nil
	}
	return nil, fmt.Errorf("trail %q: %w", f.Trail, ErrInvalid)
}

// Below is the number that those of trail t are under which are of c's instant and come after c.
func (c ChangeCursor) Below(t Trail) uint64 {
	switch strings.Compare(string(t), string(c.Trail)) {
	case 0:
		return min(c.Number, MaxRevision)
	case -1:
		return MaxRevision
	}
	return 0
}

// NewestFirst is at most limit of the changes, in the order of ListChanges.
func NewestFirst(changes []AdminChange, limit int) []AdminChange {
	slices.SortFunc(changes, func(a, b AdminChange) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(string(b.Trail), string(a.Trail)), cmp.Compare(b.Number, a.Number))
	})
	return changes[:max(min(limit, len(changes)), 0)]
}

// RevocationLine is a line in the history of revocations with the line before it of the same revocation.
type RevocationLine struct {
	Change  AdminChange
	Deleted bool
	ID      string
	Before  *RevocationFact // nil: none
	Now     RevocationFact
}

// RevocationFact is a revocation as its history shows it.
type RevocationFact struct {
	TenantID  string         `json:"tenant_id"`
	Kind      RevocationKind `json:"kind"`
	Value     string         `json:"value,omitempty"`
	NotBefore time.Time      `json:"not_before"`
	ExpiresAt time.Time      `json:"expires_at"`
	Reason    string         `json:"reason,omitempty"`
	Ticket    string         `json:"ticket,omitempty"`
}

// AdminChange is the line as ListChanges returns it.
func (l RevocationLine) AdminChange(facts int) (AdminChange, error) {
	var before, after any
	if l.Before != nil {
		before = l.Before
	}
	if !l.Deleted {
		after = l.Now
	}
	return l.Change.of(TrailRevocation, KindRevocation, l.ID, before, after, facts)
}

// TrustLine is a line in the history of whom is trusted with the line before it of the same tenant or key.
type TrustLine struct {
	Change           AdminChange
	Action           string // as kept
	Provider, Tenant string
	Kid              string
	DisplayName      string
	BeforeAction     string // empty: no line before
	BeforeName       string
	BeforeReason     string
}

// The actions that lines of trust are kept with.
const (
	TrustAddTenant    = "add_tenant"
	TrustRemoveTenant = "remove_tenant"
	TrustDenyKey      = "deny_key"
	TrustAllowKey     = "allow_key"
	TrustPurge        = "purge"
)

type (
	tenantFact struct {
		Provider    string `json:"provider"`
		TenantID    string `json:"tenant_id"`
		DisplayName string `json:"display_name,omitempty"`
	}
	keyFact struct {
		Kid    string `json:"kid"`
		Reason string `json:"reason,omitempty"`
	}
	purgeFact struct {
		TenantID string    `json:"tenant_id,omitempty"`
		At       time.Time `json:"at"`
	}
)

// AdminChange is the line as ListChanges returns it.
func (l TrustLine) AdminChange(facts int) (AdminChange, error) {
	var before, after any
	switch l.BeforeAction {
	case TrustAddTenant:
		before = tenantFact{l.Provider, l.Tenant, l.BeforeName}
	case TrustDenyKey:
		before = keyFact{l.Kid, l.BeforeReason}
	}
	kind, key := KindTenant, l.Provider+"/"+l.Tenant
	switch l.Action {
	case TrustAddTenant:
		after = tenantFact{l.Provider, l.Tenant, l.DisplayName}
	case TrustRemoveTenant:
	case TrustDenyKey:
		kind, key, after = KindKey, l.Kid, keyFact{l.Kid, l.Change.Reason}
	case TrustAllowKey:
		kind, key = KindKey, l.Kid
	case TrustPurge:
		kind, key, before, after = KindPurge, l.Tenant, nil, purgeFact{l.Tenant, l.Change.At}
	default: // of a newer binary: who, when and why is told, what is not
		facts = 0
	}
	return l.Change.of(TrailTrust, kind, key, before, after, facts)
}

// of is c with its only fact, when that is to be shown.
func (c AdminChange) of(t Trail, kind Kind, key string, before, after any, facts int) (AdminChange, error) {
	c.Trail, c.At, c.Total = t, Instant(c.At), 1
	if facts <= 0 {
		return c, nil
	}
	f := FactChange{Kind: kind, Key: key}
	var err error
	if f.Before, err = factJSON(before); err != nil {
		return AdminChange{}, err
	}
	if f.After, err = factJSON(after); err != nil {
		return AdminChange{}, err
	}
	c.Facts = []FactChange{f}
	return c, nil
}

// WithFacts gives each policy change its lines, which are in order.
func WithFacts(changes []AdminChange, lines []FactLine) {
	at := make(map[uint64]int, len(changes))
	for i, c := range changes {
		if c.Trail == TrailPolicy {
			at[c.Number] = i
		}
	}
	for _, l := range lines {
		if i, ok := at[l.Revision]; ok {
			changes[i].Facts = append(changes[i].Facts, l.Fact)
		}
	}
}

// FactLine is a fact and the revision that changed it.
type FactLine struct {
	Revision uint64
	Fact     FactChange
}

// Revisions are the numbers of those of the changes that are of the policy.
func Revisions(changes []AdminChange) []int64 {
	numbers := []int64{}
	for _, c := range changes {
		if c.Trail == TrailPolicy {
			numbers = append(numbers, int64(min(c.Number, MaxRevision)))
		}
	}
	return numbers
}

// Canonical is d in the form it is kept in: no empty lists, instants in UTC and whole microseconds. ErrInvalid when its kind
// is unknown or a number too large.
func (d Digest) Canonical() (Digest, error) {
	if d.Kind != DigestHourly && d.Kind != DigestBackfill {
		return d, fmt.Errorf("digest %d of kind %q: %w", d.Number, d.Kind, ErrInvalid)
	}
	if max(d.Number, d.Count, d.RevisionFirst, d.RevisionLast) > MaxRevision || !storable(d.KeyID) {
		return d, fmt.Errorf("digest %d: a number is too large or the key id is not text: %w", d.Number, ErrInvalid)
	}
	d.From, d.To = Instant(d.From), Instant(d.To)
	d.Root, d.Previous, d.Signature, d.Leaves = list(d.Root), list(d.Previous), list(d.Signature), list(d.Leaves)
	d.Ranges = list(d.Ranges)
	return d, nil
}
