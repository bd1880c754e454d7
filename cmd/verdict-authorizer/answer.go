package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// iamAnswer is an answer with a policy.
type iamAnswer struct {
	PrincipalID    string            `json:"principalId"`
	PolicyDocument execapi.Document  `json:"policyDocument"`
	Context        map[string]string `json:"context,omitempty"`
	UsageKey       string            `json:"usageIdentifierKey,omitempty"`
}

// simpleAnswer is a yes or no.
type simpleAnswer struct {
	IsAuthorized bool              `json:"isAuthorized"`
	Context      map[string]string `json:"context,omitempty"`
}

// anonymous is the principal of an answer about nobody; the gateway wants one.
const anonymous = "anonymous"

// principalID is the object id of the caller, or the client id where there is none; "" when nobody was proven.
func principalID(resp *verdictv1.CheckResponse) string {
	p := resp.GetPrincipal()
	if id := p.GetObjectId(); id != "" {
		return id
	}
	return p.GetClientId()
}

// denied is a refusal in the form that the gateway understands, with no more to show than the decision's id and a reason that the
// caller may know.
func (a *authorizer) denied(q *question, resp *verdictv1.CheckResponse, l *line) any {
	l.effect = "deny"
	values := refusalContext(resp)
	if a.simple(q) {
		return &simpleAnswer{Context: values}
	}
	return a.iam(execapi.DenyAll(q.arn), resp, values)
}

func (a *authorizer) iam(d execapi.Document, resp *verdictv1.CheckResponse, values map[string]string) *iamAnswer {
	answer := &iamAnswer{PrincipalID: anonymous, PolicyDocument: d, Context: values}
	if id := principalID(resp); id != "" {
		answer.PrincipalID = id
		if a.cfg.usageKey {
			answer.UsageKey = id
		}
	}
	return answer
}

func (a *authorizer) yesOrNo(resp *verdictv1.CheckResponse, allowed bool, l *line) (any, error) {
	if !allowed {
		l.effect = "deny"
		return &simpleAnswer{Context: refusalContext(resp)}, nil
	}
	ttl := resp.GetTtl().AsDuration()
	if a.cfg.cacheTTL > 0 && ttl <= 0 {
		return nil, errNotKeepable()
	}
	l.effect = "allow"
	return &simpleAnswer{IsAuthorized: true, Context: a.allowContext(resp, ttl, false)}, nil
}

// errNotKeepable is the error for an answer that the gateway would keep and verdict says must not be.
func errNotKeepable() error {
	return failure("NotKeepable", "verdict does not let this answer be kept (its --decision-ttl, or a condition on the request), and the gateway would; set the authorizer's TTL and VERDICT_CACHE_TTL to 0s, or --decision-ttl")
}

// refusalContext is what a template of the gateway's responses may show of a refusal. How far a token came that was not
// accepted is not for its bearer to know.
func refusalContext(resp *verdictv1.CheckResponse) map[string]string {
	if resp.GetDecisionId() == "" {
		return nil
	}
	values := map[string]any{"verdict_decision_id": resp.GetDecisionId()}
	if s := resp.GetHttpStatus(); s == 400 || s == 403 {
		values["verdict_reason"] = reasonName(resp.GetReason())
	}
	return flat(values)
}

// allowContext is what a backend may know of who it serves. An answer for all routes says nothing of one.
func (a *authorizer) allowContext(resp *verdictv1.CheckResponse, ttl time.Duration, allRoutes bool) map[string]string {
	p := resp.GetPrincipal()
	values := map[string]any{
		"verdict_decision_id": resp.GetDecisionId(), "verdict_revision": resp.GetRevision(), "verdict_api": resp.GetApi(),
		"verdict_principal": principalID(resp), "verdict_tenant": p.GetTenantId(), "verdict_client": p.GetClientId(),
	}
	switch p.GetKind() {
	case verdictv1.PrincipalKind_PRINCIPAL_KIND_USER:
		values["verdict_kind"] = "user"
	case verdictv1.PrincipalKind_PRINCIPAL_KIND_APP:
		values["verdict_kind"] = "app"
	default: // nobody was proven: a public route
	}
	if a.cfg.contextName {
		values["verdict_name"] = p.GetDisplayName()
	}
	if !allRoutes {
		values["verdict_route"], values["verdict_reason"] = resp.GetRoute(), reasonName(resp.GetReason())
		if len(resp.GetGrants()) > 0 {
			values["verdict_grants"] = resp.GetGrants()
		}
	}
	if a.cfg.cacheTTL > 0 {
		ttl = min(ttl, a.cfg.cacheTTL)
	}
	values["verdict_ttl_s"] = int64(max(ttl, 0) / time.Second)
	return flat(values)
}

// flat makes strings of context values, since the gateway passes an object or a list on as an error of the integration: JSON
// where they are no plain values. `claims` is a name of the gateway's own. Absent values are left out.
func flat(values map[string]any) map[string]string {
	out := make(map[string]string, len(values))
	for name, value := range values {
		if name == "claims" {
			name = "verdict_claims"
		}
		var text string
		switch v := value.(type) {
		case nil:
		case string:
			text = escape(v)
		case bool, int64, uint64, float64:
			text = fmt.Sprint(v)
		default:
			list, err := json.Marshal(v)
			if err != nil {
				continue // no type of the contract
			}
			text = asciiJSON(string(list))
		}
		if text != "" {
			out[name] = text
		}
	}
	return out
}

// escape makes a value fit for a header: percent escapes of UTF-8 for what is not printable ASCII, and for the percent sign.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// asciiJSON writes the letters outside ASCII of a JSON text as JSON escapes.
func asciiJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
