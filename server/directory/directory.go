package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

var (
	// ErrUnavailable says that the groups could not be had now. Asking again later may help.
	ErrUnavailable = errors.New("groups unavailable")
	// ErrUnknownPrincipal says that the source has no such principal. Its groups are unresolved; it does not have none.
	ErrUnknownPrincipal = errors.New("principal unknown to the directory")
	// ErrPrincipalDisabled says that the directory has the principal's account and that it is disabled.
	ErrPrincipalDisabled = errors.New("principal disabled in the directory")
)

// Caller is a principal whose groups are wanted, with what its proven token says of them.
type Caller struct {
	Kind     policy.PrincipalKind
	TenantID string // GUID, lower case
	ObjectID string // GUID, lower case
	ClientID string // the application it calls with; only for telling an operator which one sends no groups
	// OnPremSID is the security identifier of a user that was synchronised from Active Directory, as S-1-5-21-…; empty
	// when the token does not say it.
	OnPremSID string
	// Username is the name that the token shows. Only LDAP reads it, when it is told to find users by name.
	Username string
	Groups   []string // as in the token
	Listed   bool     // Groups is the complete list
	Overage  bool     // the token says that the list is elsewhere
}

// Membership is the complete list of a principal's groups, nested ones included, at one instant.
type Membership struct {
	Groups []string // ids, lower case, sorted, without repeats; shared, so never to be written to
	// At is when this was true, as the source tells. The zero time: when the token was issued.
	At     time.Time
	Source string // "token", "graph", "mirror", "ldap", or several with "+"
}

// Source knows the groups of principals. It answers with the complete list or with an error: ErrUnavailable,
// ErrUnknownPrincipal, ErrPrincipalDisabled, or a RetryError that wraps the first. It is safe for concurrent use.
type Source interface {
	Groups(ctx context.Context, who Caller) (Membership, error)
}

// RetryError says that the source will not answer before After has passed, and may then.
type RetryError struct {
	After time.Duration
	Err   error
}

// Error is the cause with the wait.
func (e *RetryError) Error() string {
	return fmt.Sprintf("%v (again after %v)", e.Err, e.After.Round(time.Millisecond))
}

// Unwrap is the cause.
func (e *RetryError) Unwrap() error { return e.Err }

// Normalize brings ids into the form that Membership promises. The slice given is left as it is.
func Normalize(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strings.ToLower(id)
	}
	slices.Sort(out)
	return slices.Clip(slices.Compact(out))
}

// IsGUID says whether s is 8-4-4-4-12 lower-case hexadecimal digits, the only form in which ids are compared.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// check refuses callers that no source is to be asked about: devices and whatever else is neither user nor application,
// and ids that are not what a proven token has.
func (c *Caller) check() error {
	switch {
	case c.Kind != policy.PrincipalUser && c.Kind != policy.PrincipalApp:
		return fmt.Errorf("%w: neither a user nor an application", ErrUnknownPrincipal)
	case !IsGUID(c.TenantID) || !IsGUID(c.ObjectID):
		return fmt.Errorf("%w: tenant and object id are not GUIDs", ErrUnknownPrincipal)
	}
	return nil
}
