package policy

// Effect is the answer. The zero value is Deny, so that a forgotten return denies.
type Effect uint8

// The effects.
const (
	Deny Effect = iota
	Allow
)

// String is the effect as logs and records write it.
func (e Effect) String() string {
	if e == Allow {
		return "allow"
	}
	return "deny"
}

// Reason says why, from a closed list. The numbers are those of verdict.v1.Reason and are stored in decision records;
// they never change meaning. The zero value is no reason, which no finished decision has.
type Reason uint8

// The reasons. Their meaning for users is in proto/verdict/v1/reason.proto and docs/reasons.md.
const (
	ReasonNone Reason = 0

	AllowedPublic        Reason = 1
	AllowedAuthenticated Reason = 2
	AllowedByGrant       Reason = 3

	RequestMalformed  Reason = 10
	APIUnknown        Reason = 11
	RouteUnknown      Reason = 12
	PermissionUnknown Reason = 13
	UpgradeNotAllowed Reason = 14

	TokenMissing           Reason = 30
	HeaderAmbiguous        Reason = 31
	SchemeUnsupported      Reason = 32
	TokenTooLarge          Reason = 33
	TokenMalformed         Reason = 34
	EncryptedToken         Reason = 35
	HeaderInvalid          Reason = 36
	AlgNotAllowed          Reason = 37
	CritUnsupported        Reason = 38
	NonceTokenUnverifiable Reason = 39
	KidMissing             Reason = 40
	KeyUnknown             Reason = 41
	DuplicateMember        Reason = 42
	ClaimsMalformed        Reason = 43
	TenantNotAllowed       Reason = 44
	TenantMismatch         Reason = 45
	SignatureInvalid       Reason = 46
	IssuerUntrusted        Reason = 47
	KeyIssuerMismatch      Reason = 48
	CloudMismatch          Reason = 49
	AudienceMismatch       Reason = 50
	TokenExpired           Reason = 51
	TokenNotYetValid       Reason = 52
	TokenLifetimeExcessive Reason = 53
	VersionMismatch        Reason = 54
	TokenTypeRefused       Reason = 55
	SubjectMissing         Reason = 56
	ClientNotAllowed       Reason = 57
	BindingRequired        Reason = 58
	GroupsMalformed        Reason = 59
	GuestRefused           Reason = 60
	TokenRevoked           Reason = 61
	AuthContextRequired    Reason = 62
	AuthenticationTooOld   Reason = 63

	NoGrant           Reason = 80
	DeniedByGrant     Reason = 81
	ScopeInsufficient Reason = 82
	ActorNotPermitted Reason = 83
	ConditionNotMet   Reason = 84

	KeysUnavailable    Reason = 100
	GroupsUnresolved   Reason = 101
	PolicyUnavailable  Reason = 102
	PolicyStale        Reason = 103
	RevisionNotReached Reason = 104
	AuditUnavailable   Reason = 105
	Internal           Reason = 106
	DeadlineTooShort   Reason = 107
	RevocationStale    Reason = 108
)

// reasonNames holds every reason once, by its number.
var reasonNames = [...]string{
	AllowedPublic:        "ALLOWED_PUBLIC",
	AllowedAuthenticated: "ALLOWED_AUTHENTICATED",
	AllowedByGrant:       "ALLOWED_BY_GRANT",

	RequestMalformed:  "REQUEST_MALFORMED",
	APIUnknown:        "API_UNKNOWN",
	RouteUnknown:      "ROUTE_UNKNOWN",
	PermissionUnknown: "PERMISSION_UNKNOWN",
	UpgradeNotAllowed: "UPGRADE_NOT_ALLOWED",

	TokenMissing:           "TOKEN_MISSING",
	HeaderAmbiguous:        "HEADER_AMBIGUOUS",
	SchemeUnsupported:      "SCHEME_UNSUPPORTED",
	TokenTooLarge:          "TOKEN_TOO_LARGE",
	TokenMalformed:         "TOKEN_MALFORMED",
	EncryptedToken:         "ENCRYPTED_TOKEN",
	HeaderInvalid:          "HEADER_INVALID",
	AlgNotAllowed:          "ALG_NOT_ALLOWED",
	CritUnsupported:        "CRIT_UNSUPPORTED",
	NonceTokenUnverifiable: "NONCE_TOKEN_UNVERIFIABLE",
	KidMissing:             "KID_MISSING",
	KeyUnknown:             "KEY_UNKNOWN",
	DuplicateMember:        "DUPLICATE_MEMBER",
	ClaimsMalformed:        "CLAIMS_MALFORMED",
	TenantNotAllowed:       "TENANT_NOT_ALLOWED",
	TenantMismatch:         "TENANT_MISMATCH",
	SignatureInvalid:       "SIGNATURE_INVALID",
	IssuerUntrusted:        "ISSUER_UNTRUSTED",
	KeyIssuerMismatch:      "KEY_ISSUER_MISMATCH",
	CloudMismatch:          "CLOUD_MISMATCH",
	AudienceMismatch:       "AUDIENCE_MISMATCH",
	TokenExpired:           "TOKEN_EXPIRED",
	TokenNotYetValid:       "TOKEN_NOT_YET_VALID",
	TokenLifetimeExcessive: "TOKEN_LIFETIME_EXCESSIVE",
	VersionMismatch:        "VERSION_MISMATCH",
	TokenTypeRefused:       "TOKEN_TYPE_REFUSED",
	SubjectMissing:         "SUBJECT_MISSING",
	ClientNotAllowed:       "CLIENT_NOT_ALLOWED",
	BindingRequired:        "BINDING_REQUIRED",
	GroupsMalformed:        "GROUPS_MALFORMED",
	GuestRefused:           "GUEST_REFUSED",
	TokenRevoked:           "TOKEN_REVOKED",
	AuthContextRequired:    "AUTH_CONTEXT_REQUIRED",
	AuthenticationTooOld:   "AUTHENTICATION_TOO_OLD",

	NoGrant:           "NO_GRANT",
	DeniedByGrant:     "DENIED_BY_GRANT",
	ScopeInsufficient: "SCOPE_INSUFFICIENT",
	ActorNotPermitted: "ACTOR_NOT_PERMITTED",
	ConditionNotMet:   "CONDITION_NOT_MET",

	KeysUnavailable:    "KEYS_UNAVAILABLE",
	GroupsUnresolved:   "GROUPS_UNRESOLVED",
	PolicyUnavailable:  "POLICY_UNAVAILABLE",
	PolicyStale:        "POLICY_STALE",
	RevisionNotReached: "REVISION_NOT_REACHED",
	AuditUnavailable:   "AUDIT_UNAVAILABLE",
	Internal:           "INTERNAL",
	DeadlineTooShort:   "DEADLINE_TOO_SHORT",
	RevocationStale:    "REVOCATION_STALE",
}

// String is the reason's name, stable across releases; "REASON_UNSPECIFIED" for what is not in the list.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return "REASON_UNSPECIFIED"
}

// Reasons returns every reason of the closed list, ascending.
func Reasons() []Reason {
	var all []Reason
	for i, name := range reasonNames {
		if name != "" {
			all = append(all, Reason(i))
		}
	}
	return all
}
