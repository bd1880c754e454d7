package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/trust"
	"github.com/verdict-authz/verdict/store"
)

// What DirectoryService works with: a trust.Feed, an entra.Verifier and, where there is one, a directory.
type (
	// TrustFeed carries what is stored to the verifier of this replica.
	TrustFeed interface {
		// Configured returns the providers that tenants can be added to, by name.
		Configured() []trust.Provider
		// Sync carries over what is stored now.
		Sync(ctx context.Context) error
		// Refused says why the verifier did not take an added tenant; empty when it did.
		Refused(provider, tenant string) string
	}
	// TrustVerifier is the verifier of this replica.
	TrustVerifier interface {
		// Probe fetches the documents of a tenant without trusting it; entra.ErrIssuer when they are of another issuer.
		Probe(ctx context.Context, provider, tenant string) error
		// Status has the tenants whose tokens are accepted.
		Status() []entra.KeyStatus
	}
	// Groups asks the directory for the groups of a principal. Its error is store.ErrNotFound when the directory has no such
	// principal, status.ErrPrecondition when its account is disabled, and anything else when the directory does not answer.
	Groups interface {
		Groups(ctx context.Context, tenant, object string, kind policy.PrincipalKind) (groups []string, source string, age time.Duration, err error)
	}
)

// DirectoryConfig tunes a DirectoryService. The zero value is usable.
type DirectoryConfig struct {
	Actor  string        // who makes the changes, as they are kept; "" means "local"
	Groups Groups        // nil: groups come from tokens only
	Probe  time.Duration // longest that the documents of a new tenant are waited for; 0 means 10s
}

// DirectoryService is verdict.v1.DirectoryService. It is safe for concurrent use. What it changes is in force on this
// replica when it answers, unless the store goes away in that moment; the others follow by their own feeds.
type DirectoryService struct {
	verdictv1.UnimplementedDirectoryServiceServer
	store    store.TrustStore
	feed     TrustFeed
	verifier TrustVerifier
	cfg      DirectoryConfig
}

// NewDirectoryService returns the service over a store.
func NewDirectoryService(s store.TrustStore, feed TrustFeed, v TrustVerifier, cfg DirectoryConfig) (*DirectoryService, error) {
	if s == nil || feed == nil || v == nil {
		return nil, errors.New("directory service: a store, a feed and a verifier are needed")
	}
	if cfg.Probe < 0 {
		return nil, fmt.Errorf("directory service: negative duration %v", cfg.Probe)
	}
	cfg.Actor = cmp.Or(cfg.Actor, "local")
	cfg.Probe = cmp.Or(cfg.Probe, 10*time.Second)
	return &DirectoryService{store: s, feed: feed, verifier: v, cfg: cfg}, nil
}

// by is who changes something, and why.
func (s *DirectoryService) by(note *verdictv1.ChangeNote) store.Note {
	return store.Note{Actor: s.cfg.Actor, Reason: note.GetReason(), Ticket: note.GetTicket()}
}

// follow brings this replica up to what was just stored. When that fails the feed tells, and tries again by itself: the
// change was made all the same.
func (s *DirectoryService) follow(ctx context.Context) bool { return s.feed.Sync(ctx) == nil }
