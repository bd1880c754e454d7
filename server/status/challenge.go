package status

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// Challenges are the WWW-Authenticate values of a refusal, each for a header of its own, in this order; none for most.
// Quoted strings hold printable ASCII without `"` and `\`; of the token there is nothing in them but its tenant.
//
// What a new sign-in must meet is told in up to two ways. A client of Entra that declares cp1 gets a claims challenge
// (Microsoft, "Claims challenges, claims requests and client capabilities"), which comes first, since clients of Entra
// read the first challenge that they know. RFC 9470 is for all others.
func Challenges(r Refusal) []string {
	rule := r.Rule()
	if rule.challenge == stepUp {
		return stepUpChallenges(r)
	}
	if r.Reason == policy.TokenRevoked && !r.NotBefore.IsZero() {
		if c := claimsChallenge(r, claimsRequest{NotBefore: newerThan(r.NotBefore)}); c != "" {
			return []string{c} // an invalid_token beside it would make clients drop the sign-in rather than renew it
		}
	}
	if c := bearerChallenge(r, rule); c != "" {
		return []string{c}
	}
	return nil
}

func bearerChallenge(r Refusal, rule Rule) string {
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
	case noChallenge, stepUp:
	}
	return ""
}

// stepUpChallenges tell what sign-in is asked for. An authentication context is told in both ways; the age of a sign-in
// has no claims challenge, since no claim that can be asked for makes Entra ask the user again.
func stepUpChallenges(r Refusal) []string {
	var all []string
	if r.Reason == policy.AuthContextRequired {
		if c := claimsChallenge(r, claimsRequest{AuthContext: &essential{Essential: true, Value: r.AuthContext}}); c != "" {
			all = append(all, c)
		}
	}
	c := `Bearer error="insufficient_user_authentication", error_description="` + quotable(Of(r.Reason).Title) + `"`
	if r.AuthContext != "" {
		c += `, acr_values="` + quotable(r.AuthContext) + `"`
	}
	if r.MaxAge > 0 {
		c += `, max_age="` + strconv.FormatInt(int64(r.MaxAge/time.Second), 10) + `"`
	}
	return append(all, c)
}

// claimsRequest is what a claims challenge asks of the next access token.
type claimsRequest struct {
	AuthContext *essential `json:"acrs,omitempty"`
	NotBefore   *essential `json:"nbf,omitempty"`
}

type essential struct {
	Essential bool   `json:"essential"`
	Value     string `json:"value"`
}

// newerThan asks for a token that a revocation up to t lets pass: one issued in a later second.
func newerThan(t time.Time) *essential {
	return &essential{Essential: true, Value: strconv.FormatInt(t.Unix()+1, 10)}
}

// claimsChallenge is the form that clients of Entra understand, "" when this one would not. The realm is the tenant, as it
// must be beside that tenant's own endpoint; with the common one it must be empty.
func claimsChallenge(r Refusal, want claimsRequest) string {
	if !r.CanChallenge || r.Authority == "" {
		return ""
	}
	claims, err := json.Marshal(struct {
		AccessToken claimsRequest `json:"access_token"`
	}{want})
	if err != nil { // strings always marshal
		return ""
	}
	realm, endpoint := r.TenantID, r.TenantID
	if endpoint == "" {
		endpoint = "common"
	}
	return `Bearer realm="` + quotable(realm) + `", authorization_uri="` +
		quotable(r.Authority+"/"+endpoint) + `/oauth2/v2.0/authorize", error="insufficient_claims", claims="` +
		base64.StdEncoding.EncodeToString(claims) + `"`
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
