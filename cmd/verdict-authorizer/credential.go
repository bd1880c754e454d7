package main

import "strings"

// credential is what an event has of one.
type credential struct {
	token   string // without the scheme; "" when there is none to ask with
	problem string // why there is none, for the log; ambiguous is a refusal, the others are a caller that did not sign in
}

// Problems with a credential.
const (
	ambiguous   = "ambiguous_credential"
	missing     = "credential_missing"
	otherScheme = "scheme_unsupported"
)

// accessToken is the query parameter of RFC 6750, which verdict does not read and backends may, some of them in any case of letters.
const accessToken = "access_token"

// credential finds the one bearer token. More than one, in whatever place, is refused: gateway, authorizer and backend might
// each take another.
func (q *question) credential(tokenQuery string) credential {
	values := q.values("authorization")
	if q.kind == restToken {
		values = []string{q.AuthorizationToken}
	}
	queried := q.parameters(func(name string) bool { return q.kind == webSocket && tokenQuery != "" && name == tokenQuery })
	foreign := q.parameters(func(name string) bool {
		return strings.EqualFold(name, accessToken) && !(q.kind == webSocket && name == tokenQuery)
	})
	switch {
	case len(values)+len(queried) == 0:
		return credential{problem: missing}
	case len(values)+len(queried)+len(foreign) > 1:
		return credential{problem: ambiguous}
	case len(queried) == 1:
		return bare(queried[0])
	case strings.Contains(values[0], ","):
		return credential{problem: ambiguous}
	}
	value := strings.Trim(values[0], " ")
	if value == "" {
		return credential{problem: missing}
	}
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return credential{problem: otherScheme}
	}
	return bare(strings.TrimLeft(token, " "))
}

func bare(token string) credential {
	if token == "" {
		return credential{problem: missing}
	}
	return credential{token: token}
}

// parameters are the values of the query parameters whose name is wanted.
func (q *question) parameters(wanted func(name string) bool) []string {
	return occurrences(q.MultiQuery, q.Query, wanted)
}
