package policy

import (
	"net/netip"
	"time"
)

// PrincipalKind tells users from applications.
type PrincipalKind uint8

// The kinds of principals; the numbers are those of verdict.v1.PrincipalKind.
const (
	PrincipalUnknown PrincipalKind = iota
	PrincipalUser
	PrincipalApp
)

// String is the kind as records, conditions and problem bodies write it; "" for the unknown.
func (k PrincipalKind) String() string {
	switch k {
	case PrincipalUser:
		return "user"
	case PrincipalApp:
		return "app"
	case PrincipalUnknown:
	}
	return ""
}

// Principal is a proven caller with everything that grants can name. GUIDs are lower case.
type Principal struct {
	Kind     PrincipalKind
	TenantID string
	ObjectID string
	ClientID string   // the actor of a user, the application itself for an app
	Scopes   []string // delegated scopes; users only
	Roles    []string // app roles
	Groups   []string // object ids
	WIDs     []string // directory role template ids
}

// Input is one question to Evaluate, beside the route or permission. It is read, never kept.
type Input struct {
	Now       time.Time
	Principal *Principal
	Subjects  []SubjectRef // of Principal in the api asked about, by the same Snapshot's Resolve
	Method    string
	Host      string
	Path      string
	Params    *Params    // of the matched route; nil: none
	SourceIP  netip.Addr // invalid: unknown
	Resource  string
	Assume    Assumption
}

// Assumption answers the conditions of grants without asking them, to learn what a caller may do in any case, or at best.
type Assumption uint8

// The assumptions: none, which asks the conditions; the one best for the caller; the one worst for it.
const (
	AssumeNothing Assumption = iota
	AssumeBest
	AssumeWorst
)

// Condition is a compiled expression. Holds is pure: the same Input gives the same answer.
type Condition interface {
	Holds(in *Input) (bool, error)
}

// ConditionCompiler compiles the source of a condition; server/condition has the one for CEL. Its errors are for the
// person who wrote the source.
type ConditionCompiler func(source string) (Condition, error)

// Outcome is what Evaluate found.
type Outcome struct {
	Effect Effect
	Reason Reason
	// Grants that decided: the allows that carried each needed permission, or the denies that matched. Ids, sorted. The
	// slice belongs to the snapshot or the caller's scratch and must be copied before it is kept.
	Grants []string
	// Missing are the permissions the caller lacks, in the route's order. As above.
	Missing []string
	// Until is the earliest instant at which the answer could change by time alone, the zero time: none. Volatile means
	// that a condition was read, so the answer holds for this one question only.
	Until    time.Time
	Volatile bool
}
