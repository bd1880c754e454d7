package status_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
)

const (
	tid       = "11111111-1111-4111-8111-111111111111"
	authority = "https://login.microsoftonline.com"
)

// claims puts JSON into a challenge as clients of Entra read it.
func claims(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// Rows 268 and 273 to 278 of the catalogue.
func TestSignInChallenges(t *testing.T) {
	revokedAt := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	entra := `Bearer realm="` + tid + `", authorization_uri="` + authority + `/` + tid + `/oauth2/v2.0/authorize", error="insufficient_claims", claims="%s"`
	c3 := fmt.Sprintf(entra, claims(`{"access_token":{"acrs":{"essential":true,"value":"c3"}}}`))
	newer := fmt.Sprintf(entra, claims(fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, revokedAt.Unix()+1)))
	stronger := `Bearer error="insufficient_user_authentication", error_description="Stronger sign-in needed", acr_values="c3"`
	fresher := `Bearer error="insufficient_user_authentication", error_description="Fresh sign-in needed", max_age="300"`
	revoked := `Bearer realm="verdict", error="invalid_token", error_description="Token revoked"`
	for name, tc := range map[string]struct {
		change func(*status.Refusal)
		http   int
		want   []string
	}{
		"274 a context, and the client knows claims challenges": {func(r *status.Refusal) {}, 401, []string{c3, stronger}},
		"275 a context, and the client of Entra does not":       {func(r *status.Refusal) { r.CanChallenge = false }, 403, nil},
		"a context, and the issuer is not Entra": {func(r *status.Refusal) { r.Authority, r.CanChallenge = "", false }, 401,
			[]string{stronger}},
		"276 a context of an application":                          {func(r *status.Refusal) { r.Kind = policy.PrincipalApp }, 403, nil},
		"a context of an application, and the issuer is not Entra": {func(r *status.Refusal) { r.Kind, r.Authority = policy.PrincipalApp, "" }, 403, nil},
		"a context and an age":                                     {func(r *status.Refusal) { r.MaxAge = 5 * time.Minute }, 401, []string{c3, stronger + `, max_age="300"`}},
		"278 an age": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.MaxAge = policy.AuthenticationTooOld, "", 5*time.Minute
		}, 401, []string{fresher}},
		"an age, and the client does not know claims challenges": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.MaxAge, r.CanChallenge = policy.AuthenticationTooOld, "", 5*time.Minute, false
		}, 401, []string{fresher}},
		"an age of an application": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.MaxAge, r.Kind = policy.AuthenticationTooOld, "", 5*time.Minute, policy.PrincipalApp
		}, 403, nil},
		"268 revoked, and the client knows claims challenges": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.NotBefore = policy.TokenRevoked, "", revokedAt
		}, 401, []string{newer}},
		"a revoked application that knows claims challenges": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.NotBefore, r.Kind = policy.TokenRevoked, "", revokedAt, policy.PrincipalApp
		}, 401, []string{newer}},
		"revoked, and the client does not": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.NotBefore, r.CanChallenge = policy.TokenRevoked, "", revokedAt, false
		}, 401, []string{revoked}},
		"revoked, and the issuer is not Entra": {func(r *status.Refusal) {
			r.Reason, r.AuthContext, r.NotBefore, r.Authority = policy.TokenRevoked, "", revokedAt, ""
		}, 401, []string{revoked}},
		"revocations that are too old say nothing of the token": {func(r *status.Refusal) {
			r.Reason, r.AuthContext = policy.RevocationStale, ""
		}, 503, nil},
		"without a tenant the common endpoint has an empty realm": {func(r *status.Refusal) { r.TenantID = "" }, 401, []string{
			strings.ReplaceAll(strings.Replace(c3, tid, "", 1), tid, "common"), stronger,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := status.Refusal{Reason: policy.AuthContextRequired, Kind: policy.PrincipalUser, TenantID: tid, ObjectID: "o",
				AuthContext: "c3", CanChallenge: true, Authority: authority}
			tc.change(&r)
			if got := r.Rule().HTTP; got != tc.http {
				t.Errorf("HTTP %d, want %d", got, tc.http)
			}
			got := status.Challenges(r)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(tc.want, "\n     "))
			}
			var body struct {
				Status       int
				RequiredACRs []string `json:"required_acrs"`
				MaxAge       int      `json:"max_age"`
			}
			if err := json.Unmarshal(status.Problem(r), &body); err != nil || body.Status != tc.http ||
				(len(body.RequiredACRs) > 0) != (r.AuthContext != "") || body.MaxAge != int(r.MaxAge.Seconds()) {
				t.Errorf("body %+v, %v", body, err)
			}
		})
	}
}

// Row 279: every challenge of every reason parses, and none repeats a parameter or tells more than it may.
func TestEveryChallengeParses(t *testing.T) {
	hostile := "x\"\\\r\n\x00é, y=\"z"
	seen := 0
	for _, reason := range policy.Reasons() {
		t.Run("279 "+reason.String(), func(t *testing.T) {
			for _, kind := range []policy.PrincipalKind{policy.PrincipalUser, policy.PrincipalApp} {
				for _, known := range []bool{true, false} {
					r := status.Refusal{
						Reason: reason, Kind: kind, TenantID: hostile, ObjectID: hostile, Name: hostile, Scopes: []string{"A", hostile},
						Missing: []string{hostile}, AuthContext: hostile, MaxAge: time.Minute, NotBefore: time.Unix(1, 0), CanChallenge: known,
						Authority: authority, Verbose: known, Fault: hostile,
					}
					for _, c := range status.Challenges(r) {
						seen++
						parameters, err := parseChallenge(c)
						if err != nil {
							t.Errorf("%s: %v in %s", reason, err, c)
							continue
						}
						if text, ok := parameters["claims"]; ok {
							raw, err := base64.StdEncoding.DecodeString(text)
							var request struct {
								AccessToken map[string]struct {
									Essential bool
									Value     string
								} `json:"access_token"`
							}
							if err != nil || json.Unmarshal(raw, &request) != nil || len(request.AccessToken) != 1 ||
								parameters["authorization_uri"] == "" || parameters["error"] != "insufficient_claims" {
								t.Errorf("%s: claims %s in %v", reason, raw, parameters)
							}
							if _, ok := parameters["realm"]; !ok {
								t.Errorf("%s: no realm in %v", reason, parameters)
							}
						}
					}
				}
			}
		})
	}
	if seen < 60 {
		t.Errorf("only %d challenges were seen", seen)
	}
}

// parseChallenge reads one challenge as RFC 9110, 11.6.1 has it: a scheme, then parameters, each a token and a token or
// quoted string. A name that stands there twice, in any case, is an error.
func parseChallenge(s string) (map[string]string, error) {
	scheme, rest, _ := strings.Cut(s, " ")
	if scheme != "Bearer" {
		return nil, fmt.Errorf("scheme %q", scheme)
	}
	parameters := map[string]string{}
	for rest != "" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("name %q", name)
		}
		if _, again := parameters[strings.ToLower(name)]; again {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		if !strings.HasPrefix(after, `"`) {
			return nil, fmt.Errorf("%s is not quoted", name)
		}
		value, end, ok := strings.Cut(after[1:], `"`)
		if !ok {
			return nil, fmt.Errorf("%s does not end", name)
		}
		for i := range len(value) {
			if value[i] < 0x20 || value[i] > 0x7e || value[i] == '\\' {
				return nil, fmt.Errorf("%s holds %q", name, value[i])
			}
		}
		parameters[strings.ToLower(name)] = value
		if end == "" {
			break
		}
		if rest, ok = strings.CutPrefix(end, ", "); !ok {
			return nil, fmt.Errorf("%q after %s", end, name)
		}
	}
	return parameters, nil
}

func isToken(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") == ""
}
