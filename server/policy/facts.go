package policy

import "time"

// Facts is a whole policy as plain values, the input of Compile. Order does not matter.
type Facts struct {
	Revision uint64
	APIs     []API
	Routes   []Route
	Grants   []Grant
}

// Delta is what changed between two revisions, the input of Snapshot.Apply. A put replaces the fact of that key or adds it.
type Delta struct {
	Revision     uint64 // the revision reached
	PutAPIs      []API
	PutRoutes    []Route
	PutGrants    []Grant
	DeleteAPIs   []string // ids
	DeleteRoutes []RouteKey
	DeleteGrants []string // ids
}

// API is something protected. Fields and limits are those of verdict.v1.Api.
type API struct {
	ID                    string
	Audiences             []string
	Hosts                 []string // canonical, exact
	Permissions           []string // declared names
	Privileged            []string // those of them for which the groups in a token are not fresh enough
	Scopes                []ScopeRule
	Actors                []ActorRule
	AllowedClients        []string
	AllowAppsWithoutRoles bool
	RequireSNIMatch       bool
	DenyGuests            bool
	StrictRevocation      bool
	Keeping               Keeping
}

// ScopeRule says which permissions a delegated scope may carry.
type ScopeRule struct {
	Scope       string
	Permissions []string // names or wildcards
}

// ActorRule caps what a client may use when it acts for a user.
type ActorRule struct {
	ClientID    string
	Permissions []string // names or wildcards; none means nothing
}

// Requirement is what a route asks of the caller. The zero value is not valid: no route is public by accident.
type Requirement uint8

// The requirements.
const (
	RequireUnset Requirement = iota
	RequirePublic
	RequireAuthenticated
	RequireAllOf
	RequireAnyOf
)

// RouteKey names a route.
type RouteKey struct{ API, ID string }

// Route says what a request to an api needs. Fields and limits are those of verdict.v1.Route.
type Route struct {
	API         string
	ID          string
	Methods     []string
	Template    string
	Requirement Requirement
	Permissions []string // of RequireAllOf and RequireAnyOf
	Condition   string   // CEL; empty: none
	Upgrade     string   // empty: none

	// What the sign-in behind the token must have been, for routes that are not public.
	MaxTokenAge        time.Duration // since the user signed in, whole seconds; 0: any
	AuthContext        string        // such as c1; empty: none
	ConfidentialClient bool
}

// Grant gives or forbids permissions to a subject. Fields and limits are those of verdict.v1.Grant.
type Grant struct {
	ID          string
	API         string
	Subject     string // ParseSubject has the grammar
	Permissions []string
	Effect      Effect
	Condition   string    // CEL; empty: always
	NotBefore   time.Time // zero: from the beginning
	ExpiresAt   time.Time // zero: no end
}
