package entra

import (
	"fmt"
	"net/url"
)

// Profile is a product whose tokens need no mapping written out.
type Profile uint8

// The profiles.
const (
	NoProfile         Profile = iota
	ADFS                      // Active Directory Federation Services 2016 and later
	Okta                      // an Okta custom authorization server
	Cognito                   // an Amazon Cognito user pool
	IAMIdentityCenter         // AWS IAM Identity Center
)

var profileNames = [...]string{
	NoProfile: "", ADFS: "adfs", Okta: "okta", Cognito: "cognito", IAMIdentityCenter: "iam-identity-center",
}

// String is the profile as configuration writes it; "" for none.
func (p Profile) String() string {
	if int(p) < len(profileNames) {
		return profileNames[p]
	}
	return "unknown"
}

// ParseProfile is the inverse of String.
func ParseProfile(s string) (Profile, error) {
	for p, name := range profileNames {
		if name == s {
			return Profile(p), nil
		}
	}
	return NoProfile, fmt.Errorf("profile: want adfs, okta, cognito or iam-identity-center, got %q", s)
}

// profiles holds what each profile sets; docs/providers.md says what it expects of the other side.
var profiles = [...]struct {
	claims   Mapping
	issuer   func(authority *url.URL) string // what iss says, where that is not the authority
	idTokens bool
}{
	NoProfile: {claims: Mapping{
		Subject: "sub", Client: "client_id", Groups: "groups", Scopes: "scope", Name: "name",
	}},
	// AD FS signs access tokens in the name of its trust identifier, and puts into them what the rules of the web API
	// say. One group is a text, several are a list.
	ADFS: {
		claims: Mapping{
			Subject: "primarysid", Client: "appid", Groups: "group", GroupsForm: GroupsTextOrList, Scopes: "scp",
			Name: "unique_name", Username: "upn", Confidential: "apptype=Confidential",
		},
		issuer: func(a *url.URL) string { return "http://" + a.Hostname() + "/adfs/services/trust" },
	},
	// Okta leaves uid out when no user is bound to the token.
	Okta: {claims: Mapping{
		Subject: "uid", Client: "cid", Groups: "groups", Scopes: "scp", Name: "sub", App: "!uid",
	}},
	// Cognito names the client in place of an audience unless the client asked for a resource, and the tokens of
	// applications have no username.
	Cognito: {claims: Mapping{
		Subject: "sub", Client: "client_id", Groups: "cognito:groups", Scopes: "scope", Name: "username",
		Audience: "client_id", App: "!username", Require: "token_use=access",
	}},
	// Identity Center signs only ID tokens that a third party can verify: no scope, no client, and groups only where an
	// attribute mapping writes them as a text.
	IAMIdentityCenter: {
		claims: Mapping{
			Subject: "sub", Client: None, Groups: "groups", GroupsForm: GroupsJSON, Scopes: None, Name: "name",
		},
		idTokens: true,
	},
}
