package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/azure"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/server/directory/ldap"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// Groups is where the groups of callers come from. The zero value believes tokens and looks nothing up.
type Groups struct {
	Mode         directory.Mode // "" means directory.Token
	MaxStaleness time.Duration  // greatest age of what a directory says; 0 means 15m

	// Graph is asked with Credential, or with Tokens where that is set, as in tests. Without both there is no Graph.
	Credential azure.Config
	Tokens     graph.TokenSource
	Graph      graph.Config  // Tenants are those of the configuration
	MirrorPoll time.Duration // between two rounds of copying; 0 means 60s

	LDAP ldap.Config // Tenants are those of the configuration; no URLs: none
}

func (g *Groups) hasGraph() bool { return g.Credential.Kind != "" || g.Tokens != nil }

// Validate reports all problems that can be seen without asking anyone.
func (g *Groups) Validate() (err error) {
	switch g.Mode {
	case "", directory.Token, directory.LDAP:
	case directory.Graph, directory.Mirror:
		if !g.hasGraph() {
			err = errors.Join(err, fmt.Errorf("--groups %s: needs --graph-credential", g.Mode))
		}
	default:
		err = errors.Join(err, fmt.Errorf("--groups: %q is none of token, graph, mirror and ldap", g.Mode))
	}
	if g.MaxStaleness < 0 || g.MirrorPoll < 0 {
		err = errors.Join(err, errors.New("--groups-max-staleness, --mirror-poll: must be longer than 0s"))
	}
	if (g.Mode == directory.LDAP) != (len(g.LDAP.URLs) > 0) {
		err = errors.Join(err, errors.New("--groups ldap, --ldap-url: give both or neither"))
	}
	return err
}

// wireGroups makes the resolver and, where groups are copied, what copies them.
func (s *Server) wireGroups(o Options) (err error) {
	g := o.Groups
	tenants := tenantsOf(o.Entra.Providers)
	cfg := directory.Config{Mode: g.Mode, MaxStaleness: g.MaxStaleness}
	var live *graph.Client
	if g.hasGraph() {
		if live, err = s.wireGraph(&g, tenants); err != nil {
			return err
		}
	}
	switch g.Mode {
	case directory.Mirror:
		if cfg.Source, err = mirror.NewSource(s.store, mirror.SourceConfig{}); err != nil {
			return err
		}
		cfg.Fallback = live
		s.syncer, err = mirror.New(s.store, g.Tokens, o.Log, mirror.Config{
			Tenants: tenants, Poll: g.MirrorPoll, Events: s.revokeLost, Cloud: g.Graph.Cloud, BaseURL: g.Graph.BaseURL, Transport: g.Graph.Transport,
		})
		if err != nil {
			return err
		}
	case directory.LDAP:
		g.LDAP.Tenants = tenants
		if cfg.Source, err = ldap.New(g.LDAP); err != nil {
			return err
		}
		if live != nil {
			cfg.Fallback = live
		}
	default:
		if live != nil {
			cfg.Source = live
		}
	}
	s.groups, err = directory.New(cfg, o.Log)
	return err
}

func (s *Server) wireGraph(g *Groups, tenants []string) (*graph.Client, error) {
	if g.Tokens == nil {
		if len(tenants) > 0 && g.Credential.TenantID == "" {
			g.Credential.TenantID = tenants[0]
		}
		for _, t := range tenants {
			if t != g.Credential.TenantID && g.Credential.Kind != azure.ManagedIdentity {
				g.Credential.AlsoTenants = append(g.Credential.AlsoTenants, t)
			}
		}
		tokens, err := azure.New(g.Credential)
		if err != nil {
			return nil, err
		}
		g.Tokens = tokens
	}
	g.Graph.Tenants = tenants
	return graph.New(g.Tokens, g.Graph)
}

// tenantsOf are the tenants of the configuration that a directory of Microsoft's can know.
func tenantsOf(providers []entra.Provider) []string {
	var tenants []string
	for _, p := range providers {
		if p.Kind != entra.Entra {
			continue
		}
		for _, t := range p.Tenants {
			tenants = append(tenants, strings.ToLower(t))
		}
	}
	return tenants
}

// revokeLost refuses the tokens of principals that the directory has disabled, deleted or signed out. A group that was
// lost needs no revocation: the copy that decides no longer has it.
func (s *Server) revokeLost(ctx context.Context, tenant string, events []mirror.PrincipalEvent) error {
	for _, e := range events {
		if e.Kind == mirror.GroupRemoved {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		notBefore := e.At.UTC().Truncate(time.Second)
		_, err = s.store.CreateRevocation(ctx, store.Revocation{
			ID: id.String(), TenantID: tenant, Kind: store.RevokePrincipal, Value: e.ObjectID, NotBefore: notBefore,
			ExpiresAt: notBefore.Add(admin.RevocationLife), Actor: "mirror", Reason: "the directory says: " + e.Kind.String(),
		})
		if err != nil {
			return fmt.Errorf("revoke what the directory took away: %w", err)
		}
	}
	s.feed.Kick()
	return nil
}

// lookup is the directory as DirectoryService asks it.
type lookup struct{ groups *directory.Resolver }

// Groups implements admin.Groups.
func (l lookup) Groups(ctx context.Context, tenant, object string, kind policy.PrincipalKind) ([]string, string, time.Duration, error) {
	m, err := l.groups.Resolve(ctx, directory.Caller{Kind: kind, TenantID: tenant, ObjectID: object, Overage: true}, true)
	switch {
	case errors.Is(err, directory.ErrUnknownPrincipal):
		return nil, "", 0, fmt.Errorf("%w: %w", store.ErrNotFound, err)
	case errors.Is(err, directory.ErrPrincipalDisabled):
		return nil, "", 0, fmt.Errorf("%w: %w", status.ErrPrecondition, err)
	case err != nil:
		return nil, "", 0, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	age := time.Duration(0)
	if !m.At.IsZero() {
		age = max(0, time.Since(m.At))
	}
	return m.Groups, m.Source, age, nil
}

// directoryGroups is what DirectoryService is given: nothing when groups come from tokens only.
func (s *Server) directoryGroups(o Options) admin.Groups {
	if !o.Groups.hasGraph() && len(o.Groups.LDAP.URLs) == 0 {
		return nil
	}
	return lookup{s.groups}
}

// directoryStatus is how the sources of groups fare, for SystemService.
func (s *Server) directoryStatus() (list []admin.DirectoryState) {
	for _, src := range s.groups.Status().Sources {
		state := admin.DirectoryState{Source: cmp.Or(src.Name, "not asked yet"), SucceededAt: src.LastSuccess, Failures: src.Failures}
		if src.InARow > 0 {
			state.Problem = src.LastError
		}
		list = append(list, state)
	}
	if s.syncer == nil {
		return list
	}
	for _, t := range s.syncer.Status() {
		list = append(list, admin.DirectoryState{Source: "mirror", TenantID: t.TenantID, SucceededAt: t.SyncedAt, Problem: t.Problem})
	}
	return list
}

// trustProblems are those of following whom to trust, for SystemService.
func (s *Server) trustProblems() []string {
	if problem := s.trust.Status().Problem; problem != "" {
		return []string{"trust: " + problem}
	}
	return nil
}
