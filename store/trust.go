package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// TrustReader reads whose tokens are trusted beside what the configuration of verdict says. Each method reads one
// consistent state.
type TrustReader interface {
	// TrustVersion returns the number of the newest change of anything here, 0 before the first. It is cheap: who follows
	// asks for it again and again, and for the rest when it has moved.
	TrustVersion(ctx context.Context) (uint64, error)
	// Tenants returns the tenants that were added, by Provider and ID.
	Tenants(ctx context.Context) ([]TrustedTenant, error)
	// DeniedKeys returns the signing keys that are refused, by Kid.
	DeniedKeys(ctx context.Context) ([]DeniedKey, error)
	// Purges returns the newest order of each tenant, and that of all tenants, by Seq. Older ones say nothing more.
	Purges(ctx context.Context) ([]KeyPurge, error)
	// Notify is that of PolicyReader; its hints are of trust too.
	Notify(ctx context.Context) <-chan struct{}
}

// TrustWriter changes it. Who did it and why is kept for good; what changes nothing is not a change. A note that could not
// be kept is ErrInvalid.
type TrustWriter interface {
	// AddTenant adds a tenant and returns it as kept. One that is there keeps its AddedAt and gets the DisplayName of t,
	// unless that is empty. AddedAt of t is not looked at. ErrInvalid by TrustedTenant.Validate.
	AddTenant(ctx context.Context, t TrustedTenant, by Note) (TrustedTenant, error)
	// RemoveTenant removes one that was added; ErrNotFound when it is not there.
	RemoveTenant(ctx context.Context, provider, id string, by Note) error
	// DenyKey refuses a signing key and returns it as kept, with by's reason. One that is refused already keeps its DeniedAt
	// and gets the reason, unless that is empty. ErrInvalid by CheckKid.
	DenyKey(ctx context.Context, kid string, by Note) (DeniedKey, error)
	// AllowKey takes that back; ErrNotFound when the key is not refused.
	AllowKey(ctx context.Context, kid string, by Note) error
	// OrderPurge orders every replica to forget the signing keys of a tenant, "" for all tenants, and to fetch them anew.
	// Each call is an order of its own. ErrInvalid when the tenant is not text that can be kept.
	OrderPurge(ctx context.Context, tenant string, by Note) (KeyPurge, error)
}

// TrustStore keeps whose tokens are trusted.
type TrustStore interface {
	TrustReader
	TrustWriter
}

// TrustedTenant is a tenant whose tokens are accepted though the configuration does not name it.
type TrustedTenant struct {
	Provider    string    // name of a provider of the configuration
	ID          string    // GUID, lower case
	DisplayName string    // for people
	AddedAt     time.Time // UTC, whole microseconds
}

// DeniedKey is a signing key that is refused whatever its issuer publishes.
type DeniedKey struct {
	Kid      string // compared exactly
	Reason   string
	DeniedAt time.Time // UTC, whole microseconds
}

// KeyPurge is the order to forget the signing keys of a tenant.
type KeyPurge struct {
	Seq    uint64    // the TrustVersion that it made
	Tenant string    // "": all
	At     time.Time // UTC, whole microseconds; by the clock of the store
}

// Validate returns ErrInvalid when no store would take t.
func (t TrustedTenant) Validate() error {
	switch {
	case t.Provider == "":
		return fmt.Errorf("tenant %q: no provider: %w", t.ID, ErrInvalid)
	case !isUUID(t.ID):
		return fmt.Errorf("tenant %q: the id is not a UUID in lower case: %w", t.ID, ErrInvalid)
	case !storable(strings.Join([]string{t.Provider, t.DisplayName}, " ")):
		return fmt.Errorf("tenant %s: text that is not UTF-8 or has a NUL: %w", t.ID, ErrInvalid)
	}
	return nil
}

// maxKid is the longest key id.
const maxKid = 256

// CheckKid returns ErrInvalid when kid is not 1 to 256 printable ASCII characters.
func CheckKid(kid string) error {
	if kid == "" || len(kid) > maxKid || strings.ContainsFunc(kid, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("key %q: the id is not 1 to %d printable ASCII characters: %w", kid, maxKid, ErrInvalid)
	}
	return nil
}

// CheckPurge returns ErrInvalid when no store would keep the order to purge that tenant.
func CheckPurge(tenant string) error {
	if !storable(tenant) {
		return fmt.Errorf("tenant %q: text that is not UTF-8 or has a NUL: %w", tenant, ErrInvalid)
	}
	return nil
}

// Renamed is t with another name for people, and whether that changes anything. An empty one does not count.
func (t TrustedTenant) Renamed(name string) (TrustedTenant, bool) {
	if name == "" || name == t.DisplayName {
		return t, false
	}
	t.DisplayName = name
	return t, true
}

// Explained is k with another reason, and whether that changes anything. An empty one does not count.
func (k DeniedKey) Explained(reason string) (DeniedKey, bool) {
	if reason == "" || reason == k.Reason {
		return k, false
	}
	k.Reason = reason
	return k, true
}
