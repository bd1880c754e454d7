package ocsf

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// attribute is one attribute of an event: its path, and its value. Nil and what is empty are left out.
type attribute struct {
	path  string
	value func(d *store.Decision) any
}

// mapping is the whole mapping, in the order of docs/audit-export.md.
var mapping = []attribute{
	{"activity_id", func(d *store.Decision) any { return activity(d) }},
	{"activity_name", func(d *store.Decision) any { return activityName(d) }},
	{"category_name", constant("Application Activity")},
	{"category_uid", constant(categoryUID)},
	{"class_name", constant("API Activity")},
	{"class_uid", constant(classUID)},
	{"type_name", func(d *store.Decision) any { return "API Activity: " + caption(d) }},
	{"type_uid", func(d *store.Decision) any { return classUID*100 + activity(d) }},
	{"severity", func(d *store.Decision) any { return severities[severity(d)] }},
	{"severity_id", func(d *store.Decision) any { return severity(d) }},
	{"status", func(d *store.Decision) any { return either(d.Allowed, "Success", "Failure") }},
	{"status_id", func(d *store.Decision) any { return either(d.Allowed, 1, 2) }},
	{"status_code", func(d *store.Decision) any { return reason(d) }},
	{"status_detail", func(d *store.Decision) any { return d.Detail }},
	{"message", func(d *store.Decision) any { return effect(d) + " " + reason(d) + ": " + operation(d) }},

	{"time", func(d *store.Decision) any { return d.At.UnixMilli() }},
	{"start_time", func(d *store.Decision) any { return when(d.Repeats > 0, d.At.UnixMilli()) }},
	{"end_time", func(d *store.Decision) any { return when(d.Repeats > 0, d.At.Add(time.Second).UnixMilli()) }},
	{"count", func(d *store.Decision) any { return d.Repeats + 1 }},

	{"metadata.version", constant(Version)},
	{"metadata.uid", func(d *store.Decision) any { return d.ID }},
	{"metadata.original_time", func(d *store.Decision) any { return d.At.UTC().Format(time.RFC3339Nano) }},
	{"metadata.correlation_uid", func(d *store.Decision) any { return d.RequestID }},
	{"metadata.tenant_uid", func(d *store.Decision) any { return d.TenantID }},
	{"metadata.log_name", constant("decisions")},
	{"metadata.product.name", constant("verdict")},
	{"metadata.product.vendor_name", constant("verdict")},

	{"actor.user.uid", func(d *store.Decision) any { return d.PrincipalID }},
	{"actor.user.name", func(d *store.Decision) any { return when(d.PrincipalID == "", "unproven") }},
	{"actor.user.type", func(d *store.Decision) any { return principals[principal(d)].name }},
	{"actor.user.type_id", func(d *store.Decision) any { return principals[principal(d)].id }},
	{"actor.app_uid", func(d *store.Decision) any { return d.ClientID }},
	{"actor.authorizations", func(d *store.Decision) any { return authorizations(d) }},

	{"api.operation", func(d *store.Decision) any { return operation(d) }},
	{"api.service.name", func(d *store.Decision) any { return d.API }},
	{"api.request.uid", func(d *store.Decision) any { return d.RequestID }},
	{"resources", func(d *store.Decision) any { return resources(d) }},

	{"src_endpoint.ip", func(d *store.Decision) any { return address(d) }},
	{"src_endpoint.name", func(d *store.Decision) any { return sourceName(d) }},
	{"dst_endpoint.hostname", func(d *store.Decision) any { return d.Host }},
	{"dst_endpoint.svc_name", func(d *store.Decision) any { return d.API }},
	{"http_request.http_method", func(d *store.Decision) any { return d.Method }},
	{"http_request.url.hostname", func(d *store.Decision) any { return when(d.Method != "", d.Host) }},
	{"http_request.url.path", func(d *store.Decision) any { return when(d.Method != "", path(d)) }},
	{"http_request.uid", func(d *store.Decision) any { return when(d.Method != "", d.RequestID) }},

	{"unmapped.effect", func(d *store.Decision) any { return effect(d) }},
	{"unmapped.reason", func(d *store.Decision) any { return reason(d) }},
	{"unmapped.revision", func(d *store.Decision) any { return d.Revision }},
	{"unmapped.token_id", func(d *store.Decision) any { return d.TokenID }},
	{"unmapped.route", func(d *store.Decision) any { return d.Route }},
	{"unmapped.template", func(d *store.Decision) any { return d.Template }},
	{"unmapped.raw_path", func(d *store.Decision) any { return d.RawPath }},
	{"unmapped.permissions", func(d *store.Decision) any { return d.Permissions }},
	{"unmapped.missing_permissions", func(d *store.Decision) any { return d.Missing }},
	{"unmapped.grants", func(d *store.Decision) any { return d.Grants }},
	{"unmapped.grant_subjects", func(d *store.Decision) any { return d.GrantSubjects }},
	{"unmapped.subjects", func(d *store.Decision) any { return d.Subjects }},
	{"unmapped.scopes", func(d *store.Decision) any { return d.Scopes }},
	{"unmapped.agent_parent", func(d *store.Decision) any { return d.AgentParent }},
	{"unmapped.agent_facets", func(d *store.Decision) any { return d.AgentFacets }},
	{"unmapped.door", func(d *store.Decision) any { return d.Door }},
	{"unmapped.pep", func(d *store.Decision) any { return d.PEP }},
	{"unmapped.took_us", func(d *store.Decision) any { return d.Took.Microseconds() }},
	{"unmapped.instance", func(d *store.Decision) any { return d.Instance }},
	{"unmapped.epoch", func(d *store.Decision) any { return when(d.Instance != "", d.Epoch) }},
	{"unmapped.sequence", func(d *store.Decision) any { return when(d.Instance != "", d.Seq) }},
}

func constant(v any) func(*store.Decision) any { return func(*store.Decision) any { return v } }

func either[T any](yes bool, this, that T) any {
	if yes {
		return this
	}
	return that
}

func when[T any](yes bool, v T) any {
	if yes {
		return v
	}
	return nil
}

func effect(d *store.Decision) string {
	if d.Allowed {
		return policy.Allow.String()
	}
	return policy.Deny.String()
}

func reason(d *store.Decision) string {
	if d.Reason < 0 || d.Reason > 255 {
		return policy.ReasonNone.String()
	}
	return policy.Reason(d.Reason).String()
}

// activities by method. 99 is Other, and then the name is the source's own.
var activities = map[string]int{
	"POST": 1, "GET": 2, "HEAD": 2, "OPTIONS": 2, "QUERY": 2, "PUT": 3, "PATCH": 3, "DELETE": 4,
}

const other = 99

func activity(d *store.Decision) int {
	if id, ok := activities[d.Method]; ok {
		return id
	}
	return other
}

var captions = map[int]string{1: "Create", 2: "Read", 3: "Update", 4: "Delete", other: "Other"}

func caption(d *store.Decision) string { return captions[activity(d)] }

func activityName(d *store.Decision) string {
	switch {
	case activity(d) != other:
		return caption(d)
	case d.Method != "":
		return d.Method
	case len(d.Permissions) > 0:
		return "permission question"
	}
	return captions[other]
}

// The severities: an allow informs, a deny is low, and that nothing could be decided needs somebody's attention.
var severities = map[int]string{1: "Informational", 2: "Low", 3: "Medium"}

func severity(d *store.Decision) int {
	switch {
	case d.Allowed:
		return 1
	case d.Reason >= int16(policy.KeysUnavailable):
		return 3
	}
	return 2
}

// operation is what was asked for: method and template, or the permissions, or what there is.
func operation(d *store.Decision) string {
	switch {
	case d.Method != "" && path(d) != "":
		return d.Method + " " + path(d)
	case d.Method != "":
		return d.Method
	case len(d.Permissions) > 0:
		return strings.Join(d.Permissions, " ")
	}
	return "unknown"
}

// path is the template that matched: verdict keeps the path itself only when nothing did.
func path(d *store.Decision) string {
	if d.Template != "" {
		return d.Template
	}
	return d.RawPath
}

// principals by the kind of verdict.v1. An application is no kind of user that the schema has a number for.
var principals = map[int16]struct {
	name string
	id   int
}{
	0: {"Unknown", 0},
	1: {"User", 1},
	2: {"Application", other},
}

func principal(d *store.Decision) int16 {
	if _, ok := principals[d.PrincipalKind]; ok {
		return d.PrincipalKind
	}
	return 0
}

// authorizations are the grants that decided. Their version is the revision of the policy.
func authorizations(d *store.Decision) []any {
	all := make([]any, 0, len(d.Grants))
	for _, id := range d.Grants {
		all = append(all, map[string]any{
			"decision": effect(d),
			"policy":   map[string]any{"uid": id, "version": strconv.FormatUint(d.Revision, 10)},
		})
	}
	return all
}

func resources(d *store.Decision) []any {
	if d.Resource == "" {
		return nil
	}
	return []any{map[string]any{"uid": d.Resource}}
}

// address is the caller's, if a whole one was kept. A network is no address.
func address(d *store.Decision) string {
	if _, err := netip.ParseAddr(d.SourceIP); err != nil {
		return ""
	}
	return d.SourceIP
}

// sourceName is what else is known of where it came from, since the schema wants one thing.
func sourceName(d *store.Decision) string {
	switch {
	case d.SourceIP == "":
		return "unknown"
	case address(d) == "":
		return d.SourceIP
	}
	return ""
}
