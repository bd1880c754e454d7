package admin

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// etag is what callers see of the revision of a fact's last change.
func etag(revision uint64) string { return "r" + strconv.FormatUint(revision, 36) }

func protos[F, P any](from []F, one func(F) P) []P {
	to := make([]P, len(from))
	for i, f := range from {
		to[i] = one(f)
	}
	return to
}

func apiProto(a store.API) *verdictv1.Api {
	return &verdictv1.Api{
		Id: a.ID, DisplayName: a.DisplayName, Audiences: a.Audiences, Hosts: a.Hosts,
		Permissions: protos(a.Permissions, func(p store.Permission) *verdictv1.Permission {
			return &verdictv1.Permission{Name: p.Name, Description: p.Description, Privileged: p.Privileged}
		}),
		Scopes: protos(a.Scopes, func(r store.ScopeRule) *verdictv1.ScopeRule {
			return &verdictv1.ScopeRule{Scope: r.Scope, Permissions: r.Permissions}
		}),
		Actors: protos(a.Actors, func(r store.ActorRule) *verdictv1.ActorRule {
			return &verdictv1.ActorRule{ClientId: r.ClientID, Permissions: r.Permissions}
		}),
		AllowedClients: a.AllowedClients, AllowAppsWithoutRoles: a.AllowAppsWithoutRoles, RequireSniMatch: a.RequireSNIMatch,
		DenyGuests: a.DenyGuests, StrictRevocation: a.StrictRevocation,
		AuditDurability: durabilities[a.AuditDurability], OnAuditFailure: auditFailures[a.OnAuditFailure],
		Etag: etag(a.Revision),
	}
}

func apiFact(a *verdictv1.Api) store.API {
	return store.API{
		ID: a.GetId(), DisplayName: a.GetDisplayName(), Audiences: a.GetAudiences(), Hosts: a.GetHosts(),
		Permissions: protos(a.GetPermissions(), func(p *verdictv1.Permission) store.Permission {
			return store.Permission{Name: p.GetName(), Description: p.GetDescription(), Privileged: p.GetPrivileged()}
		}),
		Scopes: protos(a.GetScopes(), func(r *verdictv1.ScopeRule) store.ScopeRule {
			return store.ScopeRule{Scope: r.GetScope(), Permissions: r.GetPermissions()}
		}),
		Actors: protos(a.GetActors(), func(r *verdictv1.ActorRule) store.ActorRule {
			return store.ActorRule{ClientID: r.GetClientId(), Permissions: r.GetPermissions()}
		}),
		AllowedClients: a.GetAllowedClients(), AllowAppsWithoutRoles: a.GetAllowAppsWithoutRoles(), RequireSNIMatch: a.GetRequireSniMatch(),
		DenyGuests: a.GetDenyGuests(), StrictRevocation: a.GetStrictRevocation(),
		AuditDurability: wordOf(durabilities, a.GetAuditDurability()), OnAuditFailure: wordOf(auditFailures, a.GetOnAuditFailure()),
	}.Canonical()
}

var durabilities = map[store.AuditDurability]verdictv1.AuditDurability{
	"":                verdictv1.AuditDurability_AUDIT_DURABILITY_UNSPECIFIED,
	store.AuditSpool:  verdictv1.AuditDurability_AUDIT_DURABILITY_SPOOL,
	store.AuditStrict: verdictv1.AuditDurability_AUDIT_DURABILITY_STRICT,
	store.AuditSyncDB: verdictv1.AuditDurability_AUDIT_DURABILITY_SYNC_DB,
}

var auditFailures = map[store.OnAuditFailure]verdictv1.OnAuditFailure{
	"":                      verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_UNSPECIFIED,
	store.AuditFailureDeny:  verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_DENY,
	store.AuditFailureCount: verdictv1.OnAuditFailure_ON_AUDIT_FAILURE_COUNT,
}

// wordOf is the word that stores keep for a value of an enum. For a value that has none it is a text that no store takes,
// and never the default, which may be weaker than what was meant.
func wordOf[W ~string, E interface {
	comparable
	String() string
}](words map[W]E, value E) W {
	for word, known := range words {
		if known == value {
			return word
		}
	}
	return W("unknown " + value.String())
}

func routeProto(r store.Route) *verdictv1.Route {
	p := &verdictv1.Route{
		Api: r.API, Id: r.ID, Methods: r.Methods, Template: r.Template, Condition: r.Condition, Upgrade: r.Upgrade,
		AuthContext: r.AuthContext, ConfidentialClient: r.ConfidentialClient, Etag: etag(r.Revision),
	}
	if r.MaxTokenAge != 0 {
		p.MaxTokenAge = durationpb.New(r.MaxTokenAge)
	}
	switch r.Requirement {
	case store.Public:
		p.Requirement = &verdictv1.Route_Public{Public: &verdictv1.PublicRequirement{}}
	case store.Authenticated:
		p.Requirement = &verdictv1.Route_Authenticated{Authenticated: &verdictv1.AuthenticatedRequirement{}}
	case store.AllOf:
		p.Requirement = &verdictv1.Route_AllOf{AllOf: &verdictv1.PermissionList{Permissions: r.Permissions}}
	case store.AnyOf:
		p.Requirement = &verdictv1.Route_AnyOf{AnyOf: &verdictv1.PermissionList{Permissions: r.Permissions}}
	}
	return p
}

func routeFact(p *verdictv1.Route) store.Route {
	r := store.Route{
		API: p.GetApi(), ID: p.GetId(), Methods: p.GetMethods(), Template: p.GetTemplate(), Condition: p.GetCondition(), Upgrade: p.GetUpgrade(),
		MaxTokenAge: p.GetMaxTokenAge().AsDuration(), AuthContext: p.GetAuthContext(), ConfidentialClient: p.GetConfidentialClient(),
	}
	switch q := p.GetRequirement().(type) {
	case *verdictv1.Route_Public:
		r.Requirement = store.Public
	case *verdictv1.Route_Authenticated:
		r.Requirement = store.Authenticated
	case *verdictv1.Route_AllOf:
		r.Requirement, r.Permissions = store.AllOf, q.AllOf.GetPermissions()
	case *verdictv1.Route_AnyOf:
		r.Requirement, r.Permissions = store.AnyOf, q.AnyOf.GetPermissions()
	}
	return r.Canonical()
}

func grantProto(g store.Grant) *verdictv1.Grant {
	return &verdictv1.Grant{
		Id: g.ID, Api: g.API, Subject: g.Subject, SubjectDisplayName: g.SubjectDisplayName, Permissions: g.Permissions,
		Effect: effects[g.Effect], Condition: g.Condition, NotBefore: instantProto(g.NotBefore), ExpiresAt: instantProto(g.ExpiresAt),
		Reason: g.Reason, Ticket: g.Ticket, Etag: etag(g.Revision),
	}
}

var effects = map[store.Effect]verdictv1.GrantEffect{
	store.Allow: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
	store.Deny:  verdictv1.GrantEffect_GRANT_EFFECT_DENY,
}

// grantFact adds to vs what cannot be taken at path. The effect of the fact is "" when there is none.
func grantFact(p *verdictv1.Grant, path string, vs *[]status.Violation) store.Grant {
	g := store.Grant{
		ID: p.GetId(), API: p.GetApi(), Subject: p.GetSubject(), SubjectDisplayName: p.GetSubjectDisplayName(), Permissions: p.GetPermissions(),
		Condition: p.GetCondition(), Reason: p.GetReason(), Ticket: p.GetTicket(),
		NotBefore: instantFact(p.GetNotBefore(), path+".not_before", vs),
		ExpiresAt: instantFact(p.GetExpiresAt(), path+".expires_at", vs),
	}
	for fact, number := range effects {
		if number == p.GetEffect() {
			g.Effect = fact
		}
	}
	return g.Canonical()
}

// instantProto is t, nil for none.
func instantProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// instantFact is t in whole microseconds, the zero time for none. The first instant of the year 1 is the zero time and so
// cannot be told from none.
func instantFact(t *timestamppb.Timestamp, path string, vs *[]status.Violation) time.Time {
	if t == nil {
		return time.Time{}
	}
	at := store.Instant(t.AsTime())
	if t.CheckValid() != nil || at.IsZero() {
		*vs = append(*vs, status.Violation{Field: path, Text: "not an instant after 0001-01-01T00:00:00Z and before 10000-01-01T00:00:00Z; " +
			"write RFC 3339 in UTC, such as 2027-01-31T00:00:00Z, or leave it out"})
		return time.Time{}
	}
	return at
}

// checkRoute adds to vs what makes r no fact that can be kept. The rest is for the compiler to say.
func checkRoute(r store.Route, path string, vs *[]status.Violation) {
	if r.Requirement == "" {
		*vs = append(*vs, status.Violation{Field: path, Text: "requirement missing; set one of public, authenticated, all_of, any_of"})
	}
}

// checkGrant is as checkRoute.
func checkGrant(g store.Grant, path string, vs *[]status.Violation) {
	if g.Effect == "" {
		*vs = append(*vs, status.Violation{Field: path + ".effect", Text: "set GRANT_EFFECT_ALLOW or GRANT_EFFECT_DENY"})
	}
	if !g.NotBefore.IsZero() && !g.ExpiresAt.IsZero() && !g.NotBefore.Before(g.ExpiresAt) {
		*vs = append(*vs, status.Violation{Field: path + ".expires_at", Text: "not after not_before, so the grant would never count"})
	}
}

func invalidIf(vs []status.Violation) error {
	if len(vs) == 0 {
		return nil
	}
	return status.Invalid(vs...)
}
