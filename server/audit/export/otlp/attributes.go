package otlp

import (
	"time"

	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/slim/otlp/resource/v1"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// eventName is that of every record.
const eventName = "verdict.decision"

// attribute is one attribute of a log record. Zero values are left out.
type attribute struct {
	key   string
	value func(d *store.Decision) any // string, bool, int64 or []string
}

// mapping is all attributes, in the order of docs/audit-export.md.
var mapping = []attribute{
	{"verdict.decision_id", func(d *store.Decision) any { return d.ID }},
	{"verdict.effect", func(d *store.Decision) any { return effect(d).String() }},
	{"verdict.reason", func(d *store.Decision) any { return reason(d) }},
	{"verdict.detail", func(d *store.Decision) any { return d.Detail }},
	{"verdict.revision", func(d *store.Decision) any { return number(d.Revision) }},
	{"verdict.principal_kind", func(d *store.Decision) any { return principalKinds[d.PrincipalKind] }},
	{"verdict.tenant_id", func(d *store.Decision) any { return d.TenantID }},
	{"verdict.principal_id", func(d *store.Decision) any { return d.PrincipalID }},
	{"verdict.client_id", func(d *store.Decision) any { return d.ClientID }},
	{"verdict.token_id", func(d *store.Decision) any { return d.TokenID }},
	{"verdict.agent_parent", func(d *store.Decision) any { return d.AgentParent }},
	{"verdict.agent_facets", func(d *store.Decision) any { return d.AgentFacets }},
	{"verdict.api", func(d *store.Decision) any { return d.API }},
	{"verdict.route", func(d *store.Decision) any { return d.Route }},
	{"verdict.template", func(d *store.Decision) any { return d.Template }},
	{"verdict.method", func(d *store.Decision) any { return d.Method }},
	{"verdict.host", func(d *store.Decision) any { return d.Host }},
	{"verdict.raw_path", func(d *store.Decision) any { return d.RawPath }},
	{"verdict.permissions", func(d *store.Decision) any { return d.Permissions }},
	{"verdict.missing_permissions", func(d *store.Decision) any { return d.Missing }},
	{"verdict.resource", func(d *store.Decision) any { return d.Resource }},
	{"verdict.grants", func(d *store.Decision) any { return d.Grants }},
	{"verdict.grant_subjects", func(d *store.Decision) any { return d.GrantSubjects }},
	{"verdict.subjects", func(d *store.Decision) any { return d.Subjects }},
	{"verdict.scopes", func(d *store.Decision) any { return d.Scopes }},
	{"verdict.door", func(d *store.Decision) any { return d.Door }},
	{"verdict.pep", func(d *store.Decision) any { return d.PEP }},
	{"verdict.source_ip", func(d *store.Decision) any { return d.SourceIP }},
	{"verdict.request_id", func(d *store.Decision) any { return d.RequestID }},
	{"verdict.took_us", func(d *store.Decision) any { return d.Took.Microseconds() }},
	{"verdict.instance", func(d *store.Decision) any { return d.Instance }},
	{"verdict.epoch", func(d *store.Decision) any { return number(d.Epoch) }},
	{"verdict.sequence", func(d *store.Decision) any { return number(d.Seq) }},
	{"verdict.repeats", func(d *store.Decision) any { return number(d.Repeats) }},
}

// principalKinds are the words for the numbers of verdict.v1.
var principalKinds = map[int16]string{1: "user", 2: "app"}

func effect(d *store.Decision) policy.Effect {
	if d.Allowed {
		return policy.Allow
	}
	return policy.Deny
}

func reason(d *store.Decision) string {
	if d.Reason < 0 || d.Reason > 255 {
		return policy.ReasonNone.String()
	}
	return policy.Reason(d.Reason).String()
}

// number is n as OTLP has numbers; store.MaxRevision is the largest that there is.
func number(n uint64) int64 { return int64(min(n, store.MaxRevision)) }

// logs are the records, by the instance that made the decision: that is whose resource it is. Those of an instance stay in
// their order.
func logs(ds []store.Decision, version string, observed time.Time) []*logspb.ResourceLogs {
	var all []*logspb.ResourceLogs
	of := make(map[string]*logspb.ScopeLogs)
	for i := range ds {
		d := &ds[i]
		scope, ok := of[d.Instance]
		if !ok {
			scope = &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: "verdict/audit"}}
			of[d.Instance] = scope
			all = append(all, &logspb.ResourceLogs{Resource: resource(d.Instance, version), ScopeLogs: []*logspb.ScopeLogs{scope}})
		}
		scope.LogRecords = append(scope.LogRecords, record(d, observed))
	}
	return all
}

func resource(instance, version string) *resourcepb.Resource {
	r := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{pair("service.name", text("verdict"))}}
	if version != "" {
		r.Attributes = append(r.Attributes, pair("service.version", text(version)))
	}
	if instance != "" {
		r.Attributes = append(r.Attributes, pair("service.instance.id", text(instance)))
	}
	return r
}

func record(d *store.Decision, observed time.Time) *logspb.LogRecord {
	r := &logspb.LogRecord{
		TimeUnixNano:         nanos(d.At),
		ObservedTimeUnixNano: nanos(observed),
		SeverityNumber:       logspb.SeverityNumber_SEVERITY_NUMBER_WARN,
		SeverityText:         "WARN",
		EventName:            eventName,
		Body:                 text(effect(d).String() + " " + reason(d)),
	}
	if d.Allowed {
		r.SeverityNumber, r.SeverityText = logspb.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
	}
	for _, a := range mapping {
		if v := value(a.value(d)); v != nil {
			r.Attributes = append(r.Attributes, pair(a.key, v))
		}
	}
	return r
}

func nanos(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

func pair(key string, v *commonpb.AnyValue) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: v}
}

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// value is v with its type; nil when there is nothing in it.
func value(v any) *commonpb.AnyValue {
	switch v := v.(type) {
	case string:
		if v != "" {
			return text(v)
		}
	case int64:
		if v != 0 {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: v}}
		}
	case []string:
		if len(v) > 0 {
			list := &commonpb.ArrayValue{Values: make([]*commonpb.AnyValue, len(v))}
			for i, s := range v {
				list.Values[i] = text(s)
			}
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
		}
	}
	return nil
}
