package status

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

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

	// What a new sign-in must meet, for challenges.
	AuthContext  string        // "": no context is asked for
	MaxAge       time.Duration // whole seconds; 0: any
	NotBefore    time.Time     // tokens issued up to this second are revoked; zero: none are
	CanChallenge bool          // the client understands claims challenges (cp1)
	Authority    string        // where claims challenges send the user; "": the issuer has none
}

// Rule is the rule of the refusal: that of its reason, but for a caller that no challenge can help.
func (r Refusal) Rule() Rule {
	rule := Of(r.Reason)
	if rule.challenge == stepUp && !r.canStepUp() {
		rule.HTTP, rule.challenge = http.StatusForbidden, noChallenge
		rule.Detail = cannotStepUp
	}
	return rule
}

const cannotStepUp = "This action needs a user's sign-in that this caller cannot renew: an application is no user, " +
	"and a client must declare that it understands claims challenges (capability cp1)."

// canStepUp says whether a challenge is of use: to a user, and for an authentication context of Entra to a client that
// understands claims challenges, since nothing else leads to another token there.
func (r Refusal) canStepUp() bool {
	switch {
	case r.Kind != policy.PrincipalUser:
		return false
	case r.Reason == policy.AuthContextRequired && r.Authority != "":
		return r.CanChallenge
	}
	return true
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
	RequiredACRs   []string          `json:"required_acrs,omitempty"`
	MaxAge         int64             `json:"max_age,omitempty"` // seconds
	Fault          string            `json:"fault,omitempty"`
}

// Problem is the application/problem+json body of a refusal.
func Problem(r Refusal) []byte {
	rule := r.Rule()
	code := Code(r.Reason, r.Verbose)
	p := problem{
		Type: typeBase + strings.ToLower(code), Title: rule.Title, Status: rule.HTTP, Detail: rule.Detail,
		Code: code, DecisionID: r.DecisionID, Retryable: rule.Retryable,
		Missing: r.Missing, RequiredScopes: r.Scopes, Fault: r.Fault, MaxAge: int64(r.MaxAge / time.Second),
	}
	if r.AuthContext != "" {
		p.RequiredACRs = []string{r.AuthContext}
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
