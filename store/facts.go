package store

import "time"

// Facts is the whole policy at one revision.
type Facts struct {
	Revision uint64
	APIs     []API   // by ID
	Routes   []Route // by API, ID
	Grants   []Grant // by ID
}

// Delta is the net effect of all revisions after From up to To: each fact at most once, as it is at To or deleted.
type Delta struct {
	From, To     uint64
	APIs         []API
	Routes       []Route
	Grants       []Grant
	DeleteAPIs   []string
	DeleteRoutes []RouteKey
	DeleteGrants []string
}

// API is a protected api. Fields are those of verdict.v1.Api. Revision is that of its last change, which its etag shows.
// Lists keep their order; nil and empty are the same and come back as nil.
//
// The JSON of a fact is what history keeps of it (Change.Resolve): names may be added, never changed.
type API struct {
	ID                    string       `json:"id"`
	DisplayName           string       `json:"display_name,omitempty"`
	Audiences             []string     `json:"audiences,omitempty"`
	Hosts                 []string     `json:"hosts,omitempty"`
	Permissions           []Permission `json:"permissions,omitempty"`
	Scopes                []ScopeRule  `json:"scopes,omitempty"`
	Actors                []ActorRule  `json:"actors,omitempty"`
	AllowedClients        []string     `json:"allowed_clients,omitempty"`
	AllowAppsWithoutRoles bool         `json:"allow_apps_without_roles,omitempty"`
	RequireSNIMatch       bool         `json:"require_sni_match,omitempty"`
	DenyGuests            bool         `json:"deny_guests,omitempty"`
	StrictRevocation      bool         `json:"strict_revocation,omitempty"`
	// What becomes of the records of decisions about it.
	AuditDurability AuditDurability `json:"audit_durability,omitempty"`
	OnAuditFailure  OnAuditFailure  `json:"on_audit_failure,omitempty"`
	Revision        uint64          `json:"revision"`
}

// AuditDurability is what an answer promises about its record; the text is stored. Empty: as the server is configured.
type AuditDurability string

// The promises, weakest first.
const (
	AuditSpool  AuditDurability = "spool"
	AuditStrict AuditDurability = "strict"
	AuditSyncDB AuditDurability = "sync_db"
)

// OnAuditFailure is what becomes of a decision that cannot be recorded; the text is stored. Empty: as the server is
// configured.
type OnAuditFailure string

// What can become of it.
const (
	AuditFailureDeny  OnAuditFailure = "deny"
	AuditFailureCount OnAuditFailure = "count"
)

// Permission is a right that an api declares.
type Permission struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Privileged  bool   `json:"privileged,omitempty"`
}

// ScopeRule says which permissions a delegated scope may carry.
type ScopeRule struct {
	Scope       string   `json:"scope"`
	Permissions []string `json:"permissions,omitempty"`
}

// ActorRule caps what a client may use when it acts for a user.
type ActorRule struct {
	ClientID    string   `json:"client_id"`
	Permissions []string `json:"permissions,omitempty"`
}

// RouteKey names a route.
type RouteKey struct{ API, ID string }

// String is the key in one piece, as history keeps it: an api id has no slash, so api/id means one route.
func (k RouteKey) String() string { return k.API + "/" + k.ID }

// Requirement is what a route asks of the caller; the text is stored.
type Requirement string

// The requirements.
const (
	Public        Requirement = "public"
	Authenticated Requirement = "authenticated"
	AllOf         Requirement = "all_of"
	AnyOf         Requirement = "any_of"
)

// Route is a route of an api. Fields are those of verdict.v1.Route.
type Route struct {
	API         string      `json:"api"`
	ID          string      `json:"id"`
	Methods     []string    `json:"methods,omitempty"`
	Template    string      `json:"template,omitempty"`
	Requirement Requirement `json:"requirement"`
	Permissions []string    `json:"permissions,omitempty"`
	Condition   string      `json:"condition,omitempty"`
	Upgrade     string      `json:"upgrade,omitempty"`
	// MaxTokenAge is the longest time since the user signed in; 0: any.
	MaxTokenAge        time.Duration `json:"max_token_age_ns,omitempty"`
	AuthContext        string        `json:"auth_context,omitempty"`
	ConfidentialClient bool          `json:"confidential_client,omitempty"`
	Revision           uint64        `json:"revision"`
}

// Key is the route's name.
func (r Route) Key() RouteKey { return RouteKey{r.API, r.ID} }

// Effect of a grant; the text is stored.
type Effect string

// The effects.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// Grant gives or forbids permissions to a subject in an api. Fields are those of verdict.v1.Grant. Instants are UTC in
// whole microseconds; the zero time is none.
type Grant struct {
	ID                 string    `json:"id"`
	API                string    `json:"api"`
	Subject            string    `json:"subject,omitempty"`
	SubjectDisplayName string    `json:"subject_display_name,omitempty"`
	Permissions        []string  `json:"permissions,omitempty"`
	Effect             Effect    `json:"effect"`
	Condition          string    `json:"condition,omitempty"`
	NotBefore          time.Time `json:"not_before,omitzero"`
	ExpiresAt          time.Time `json:"expires_at,omitzero"`
	Reason             string    `json:"reason,omitempty"`
	Ticket             string    `json:"ticket,omitempty"`
	Revision           uint64    `json:"revision"`
}

// GrantFilter narrows ListGrants; empty fields match all.
type GrantFilter struct {
	API     string
	Subject string
}
