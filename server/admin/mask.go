package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// field copies one field of an update into the fact; false when the update does not have it.
type field[F any] func(to *F, from F) bool

func copies[F, V any](at func(*F) *V) field[F] {
	return func(to *F, from F) bool {
		*at(to) = *at(&from)
		return true
	}
}

// The fields that updates may name. Those that name the fact never change.
var (
	apiFields = map[string]field[store.API]{
		"display_name":             copies(func(a *store.API) *string { return &a.DisplayName }),
		"audiences":                copies(func(a *store.API) *[]string { return &a.Audiences }),
		"hosts":                    copies(func(a *store.API) *[]string { return &a.Hosts }),
		"permissions":              copies(func(a *store.API) *[]store.Permission { return &a.Permissions }),
		"scopes":                   copies(func(a *store.API) *[]store.ScopeRule { return &a.Scopes }),
		"actors":                   copies(func(a *store.API) *[]store.ActorRule { return &a.Actors }),
		"allowed_clients":          copies(func(a *store.API) *[]string { return &a.AllowedClients }),
		"allow_apps_without_roles": copies(func(a *store.API) *bool { return &a.AllowAppsWithoutRoles }),
		"require_sni_match":        copies(func(a *store.API) *bool { return &a.RequireSNIMatch }),
		"deny_guests":              copies(func(a *store.API) *bool { return &a.DenyGuests }),
		"strict_revocation":        copies(func(a *store.API) *bool { return &a.StrictRevocation }),
		"audit_durability":         copies(func(a *store.API) *store.AuditDurability { return &a.AuditDurability }),
		"on_audit_failure":         copies(func(a *store.API) *store.OnAuditFailure { return &a.OnAuditFailure }),
	}
	routeFields = map[string]field[store.Route]{
		"methods":             copies(func(r *store.Route) *[]string { return &r.Methods }),
		"template":            copies(func(r *store.Route) *string { return &r.Template }),
		"public":              requirement(store.Public),
		"authenticated":       requirement(store.Authenticated),
		"all_of":              requirement(store.AllOf),
		"any_of":              requirement(store.AnyOf),
		"condition":           copies(func(r *store.Route) *string { return &r.Condition }),
		"upgrade":             copies(func(r *store.Route) *string { return &r.Upgrade }),
		"max_token_age":       copies(func(r *store.Route) *time.Duration { return &r.MaxTokenAge }),
		"auth_context":        copies(func(r *store.Route) *string { return &r.AuthContext }),
		"confidential_client": copies(func(r *store.Route) *bool { return &r.ConfidentialClient }),
	}
	grantFields = map[string]field[store.Grant]{
		"api":                  copies(func(g *store.Grant) *string { return &g.API }),
		"subject":              copies(func(g *store.Grant) *string { return &g.Subject }),
		"subject_display_name": copies(func(g *store.Grant) *string { return &g.SubjectDisplayName }),
		"permissions":          copies(func(g *store.Grant) *[]string { return &g.Permissions }),
		"effect":               copies(func(g *store.Grant) *store.Effect { return &g.Effect }),
		"condition":            copies(func(g *store.Grant) *string { return &g.Condition }),
		"not_before":           copies(func(g *store.Grant) *time.Time { return &g.NotBefore }),
		"expires_at":           copies(func(g *store.Grant) *time.Time { return &g.ExpiresAt }),
		"reason":               copies(func(g *store.Grant) *string { return &g.Reason }),
		"ticket":               copies(func(g *store.Grant) *string { return &g.Ticket }),
	}
)

// requirement takes over a requirement of that kind, permissions included: a route has exactly one.
func requirement(kind store.Requirement) field[store.Route] {
	return func(to *store.Route, from store.Route) bool {
		if from.Requirement != kind {
			return false
		}
		to.Requirement, to.Permissions = from.Requirement, from.Permissions
		return true
	}
}

// masked is now with the named fields of update. No mask, an empty one and "*" name all; update then is the whole fact
// and is taken as it is, but for what names it.
func masked[F any](now, update F, mask *fieldmaskpb.FieldMask, fields map[string]field[F], name string) (F, error) {
	paths := mask.GetPaths()
	if len(paths) == 0 || slices.Equal(paths, []string{"*"}) {
		return update, nil
	}
	var vs []status.Violation
	for i, path := range paths {
		at := fmt.Sprintf("update_mask.paths[%d]", i)
		set, ok := fields[path]
		switch {
		case !ok:
			vs = append(vs, status.Violation{Field: at, Text: fmt.Sprintf("%q is not a field that can be updated; these can: %s",
				path, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))})
		case !set(&now, update):
			vs = append(vs, status.Violation{Field: at, Text: fmt.Sprintf("names %s.%s, which is not set", name, path)})
		}
	}
	return now, invalidIf(vs)
}
