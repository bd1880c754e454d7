package status

import (
	"encoding/json"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
)

// typeBase is where the pages of the reasons are; the fragment is the public code in lower case.
const typeBase = "https://github.com/verdict-authz/verdict/blob/main/docs/reasons.md#"

// Refusal is what a door knows of a denied request, the input of Problem and Challenge.
type Refusal struct {
	Reason     policy.Reason
	DecisionID string
	Kind       policy.PrincipalKind
	Name       string // display name of the caller, for the caller; may be empty
	TenantID   string
	ObjectID   string
	Missing    []string // permissions
	Scopes     []string // scopes of which one would do
	Fault      string   // what was not canonical; "" otherwise
	Verbose    bool     // tell the exact reason of token failures
}

// Code is the public code of a reason.
func Code(r policy.Reason, verbose bool) string {
	if rule := Of(r); rule.public != "" && !verbose {
		return rule.public
	}
	return r.String()
}

type problemPrincipal struct {
	Kind   string `json:"kind"`
	Name   string `json:"name,omitempty"`
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
}

type problem struct {
	Type           string            `json:"type"`
	Title          string            `json:"title"`
	Status         int               `json:"status"`
	Detail         string            `json:"detail"`
	Instance       string            `json:"instance,omitempty"`
	Code           string            `json:"code"`
	DecisionID     string            `json:"decision_id"`
	Retryable      bool              `json:"retryable"`
	Principal      *problemPrincipal `json:"principal,omitempty"`
	Missing        []string          `json:"missing,omitempty"`
	RequiredScopes []string          `json:"required_scope,omitempty"`
	Fault          string            `json:"fault,omitempty"`
}

// Problem is the application/problem+json body of a refusal.
func Problem(r Refusal) []byte {
	rule := Of(r.Reason)
	code := Code(r.Reason, r.Verbose)
	p := problem{
		Type: typeBase + strings.ToLower(code), Title: rule.Title, Status: rule.HTTP, Detail: rule.Detail,
		Code: code, DecisionID: r.DecisionID, Retryable: rule.Retryable,
		Missing: r.Missing, RequiredScopes: r.Scopes, Fault: r.Fault,
	}
	if r.DecisionID != "" {
		p.Instance = "urn:uuid:" + r.DecisionID
	}
	if r.ObjectID != "" {
		p.Principal = &problemPrincipal{Kind: r.Kind.String(), Name: r.Name, ID: r.ObjectID, Tenant: r.TenantID}
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		return []byte(`{"title":"Refused","status":403}`)
	}
	return body
}

// Challenges are the WWW-Authenticate values of a refusal, each for a header of its own; none for most. Quoted strings hold
// printable ASCII without `"` and `\`; nothing of the token is in them.
func Challenges(r Refusal) []string {
	if c := bearerChallenge(r); c != "" {
		return []string{c}
	}
	return nil
}

func bearerChallenge(r Refusal) string {
	rule := Of(r.Reason)
	const bearer = `Bearer realm="verdict"`
	switch rule.challenge {
	case bareChallenge:
		return bearer
	case invalidRequest:
		return bearer + `, error="invalid_request", error_description="` + quotable(rule.Title) + `"`
	case invalidToken:
		title := rule.Title
		if r.Verbose && rule.public != "" {
			title = r.Reason.String()
		}
		return bearer + `, error="invalid_token", error_description="` + quotable(title) + `"`
	case scopeInsufficent:
		if len(r.Scopes) == 0 {
			return bearer + `, error="insufficient_scope"`
		}
		return bearer + `, error="insufficient_scope", scope="` + quotable(strings.Join(r.Scopes, " ")) + `"`
	case noChallenge, stepUp: // step-up challenges are made where the route is known
	}
	return ""
}

// quotable keeps what may stand in a quoted-string without escapes.
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}
