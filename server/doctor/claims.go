package doctor

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The claims that are read, by what they have to be.
var (
	textClaims = []string{
		"iss", "aud", "tid", "oid", "ver", "azp", "appid", "azpacr", "appidacr", "idtyp", "scp", "uti", "sid", "tfp", "acr",
	}
	numberClaims = []string{"iat", "nbf", "exp", "auth_time"}
	listClaims   = []string{"roles", "wids"}
	otherClaims  = []string{
		"idp", "xms_idrel", "name", "preferred_username", "app_displayname", "acct", "acrs", "xms_cc", "groups", "hasgroups",
		"_claim_names", "cnf", "nonce", "at_hash", "c_hash",
	}
)

// types looks at presence and types.
func (x *exam) types(name, checked string) Step {
	bad := func(found string) Step {
		return fail(name, checked, found, "Entra did not issue this token, or a claims mapping policy replaces what it would put there",
			"Entra, Enterprise applications, your api, Single sign-on, Attributes & Claims: remove what writes that claim")
	}
	c := x.claims
	if c == nil {
		if x.twice {
			return bad("a claim is there twice")
		}
		return bad("the claims cannot be read as JSON")
	}
	for _, claim := range []string{"iss", "aud", "ver", "iat", "nbf", "exp"} {
		if !c.has(claim) {
			return bad(claim + " is missing")
		}
	}
	for _, claim := range textClaims {
		if c.has(claim) && (!c.isText(claim) || !plain(c.text(claim), claim == "scp")) {
			if claim == "aud" && c["aud"].Kind() == '[' {
				return bad("aud is a list; Entra sends a text")
			}
			return bad(claim + " is not a text, is empty, or holds a control character")
		}
	}
	for _, claim := range numberClaims {
		if _, whole := c.whole(claim); c.has(claim) && !whole {
			return bad(claim + " is not a whole number")
		}
	}
	for _, claim := range listClaims {
		texts, list := c.list(claim)
		if c.has(claim) && (!list || slices.ContainsFunc(texts, func(s string) bool { return !plain(s, false) })) {
			return bad(claim + " is not a list of texts")
		}
	}
	for _, claim := range []string{"acrs", "xms_cc"} { // a text is read too
		texts, list := c.list(claim)
		if c.has(claim) && !c.isText(claim) && (!list || slices.ContainsFunc(texts, func(s string) bool { return !plain(s, false) })) {
			return bad(claim + " is not a list of texts")
		}
	}
	if c.has("_claim_names") && c["_claim_names"].Kind() != '{' {
		return bad("_claim_names is not an object")
	}
	if claim := x.misnamed(); claim != "" {
		return bad("another claim differs from " + claim + " in case only")
	}
	return ok(name, checked, number(len(c), "claim"))
}

// misnamed is a claim that is there under two names.
func (x *exam) misnamed() string {
	for _, claim := range slices.Concat(textClaims, numberClaims, listClaims, otherClaims) {
		spellings := 0
		for member := range x.claims {
			if strings.EqualFold(member, claim) {
				spellings++
			}
		}
		if spellings > 1 {
			return claim
		}
	}
	return ""
}

// plain says whether a text can identify something. A scope may be empty and hold a tab.
func plain(text string, scope bool) bool {
	if text == "" {
		return scope
	}
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool {
		return c == utf8.RuneError || unicode.IsControl(c) && !(scope && c == '\t')
	})
}

// idtypFix is where the optional claim is set.
const idtypFix = `Entra, App registrations, your api, Manifest: "optionalClaims": {"accessToken": [{"name": "idtyp", "additionalProperties": ["include_user_token"]}]}; ` +
	"or --allow-missing-idtyp"

// kind looks for an ID token and at idtyp.
func (x *exam) kind(name, checked string) Step {
	c := x.claims
	idToken := func(found string) Step {
		return fail(name, checked, found, "this is an ID token: it says who signed in to the client and is not for an api",
			"let the client send the access token (access_token), requested with a scope of your api")
	}
	for _, claim := range []string{"nonce", "at_hash", "c_hash"} {
		if c.has(claim) {
			return idToken("the claim " + claim)
		}
	}
	client := "azp"
	if c.text("ver") == "1.0" {
		client = "appid"
	}
	if !c.has(client) {
		return idToken("no claim " + client)
	}
	if c.has("azp") && c.has("appid") && c.text("azp") != c.text("appid") {
		return fail(name, checked, "azp and appid differ", "Entra did not issue this token", "ask Entra for a token of your api")
	}
	switch idtyp := c.text("idtyp"); idtyp {
	case "user", "app":
		return ok(name, checked, "idtyp "+show(idtyp))
	case "":
		if x.d.provider.AllowMissingIDType {
			return ok(name, checked, "no idtyp, which --allow-missing-idtyp accepts")
		}
		return fail(name, checked, "no idtyp", "the optional claim idtyp is not configured for the api, or for applications only", idtypFix)
	default:
		return fail(name, checked, "idtyp "+show(idtyp), "the token is of a device or another caller that verdict does not take", "sign in as a user or an application")
	}
}

// caller looks at the ids of caller and client.
func (x *exam) caller(name, checked string) Step {
	c := x.claims
	client := c.text("azp")
	if !c.has("azp") {
		client = c.text("appid")
	}
	switch {
	case !c.has("oid"):
		return fail(name, checked, "no oid", "the client asked with the scope openid only, or a claims mapping leaves it out", "ask for a scope of your api, and take oid out of the claims mapping")
	case !isGUID(c.text("oid")):
		return fail(name, checked, "oid is not a GUID in lower case", "a claims mapping replaces it, or Entra did not issue this token", "take oid out of the claims mapping")
	case client == "":
		return skipped(name, checked, "no client is named, see type")
	case !isGUID(client):
		return fail(name, checked, "the client id is not a GUID in lower case", "Entra did not issue this token", "ask Entra for a token of your api")
	case c.has("cnf"):
		return fail(name, checked, "cnf: the token is bound to a key", "the client uses proof of possession (PoP, mTLS) and sends the token as Bearer", "turn token binding off in the client")
	}
	return ok(name, checked, "client "+client)
}

// permissions looks at scopes and roles.
func (x *exam) permissions(name, checked string) Step {
	c := x.claims
	roles, _ := c.list("roles")
	scopes := strings.FieldsFunc(c.text("scp"), func(r rune) bool { return r == ' ' })
	scoped := len(scopes) > 0 && strings.Trim(c.text("scp"), " ") != "/"
	if !scoped {
		scopes = nil
	}
	found := number(len(scopes), "scope") + ", " + number(len(roles), "role")
	kind := c.text("idtyp")
	if kind == "" {
		if !x.d.provider.AllowMissingIDType {
			return skipped(name, checked, found+"; without idtyp nobody can tell whose they are")
		}
		if kind = "app"; scoped {
			kind = "user"
		}
	}
	switch {
	case kind == "user" && !scoped:
		return fail(name, checked, found, "the client asked for no scope of your api, or the api exposes none",
			"Entra, App registrations, your api, Expose an API: Add a scope; then the client's API permissions; the client asks for api://{client id of your api}/{scope}")
	case kind == "app" && scoped:
		return fail(name, checked, found, "Entra does not put scopes into tokens of applications", "ask Entra for a token of your api")
	case kind == "app" && len(roles) == 0 && !x.d.cfg.AllowAppsWithoutRoles:
		return fail(name, checked, found, "the application has no app role of your api, or nobody consented",
			"Entra, App registrations, your api, App roles: create one for Applications; then the client's API permissions, Application permissions, Grant admin consent; or allow_apps_without_roles at the api")
	}
	return ok(name, checked, found)
}

// groups looks at how groups are sent.
func (x *exam) groups(name, checked string) Step {
	c := x.claims
	if hint := c["hasgroups"]; c.has("hasgroups") && hint.Kind() != 't' && hint.Kind() != 'f' && c.text("hasgroups") != "true" {
		return fail(name, checked, "hasgroups is not true", "a claims mapping writes it", "take hasgroups out of the claims mapping")
	}
	switch {
	case x.overage():
		return warn(name, checked, "the token says that the groups are elsewhere (overage)",
			"the caller is in more than 200 groups; Entra then sends none",
			"Entra, App registrations, your api, Token configuration, groups: Groups assigned to the application; or give verdict a directory with the Graph permissions GroupMember.Read.All and User.Read.All (Application, admin consent). Until then such a caller gets 503 GROUPS_UNRESOLVED")
	case !c.has("groups"):
		return warn(name, checked, "no claim groups", "the groups claim is not configured, or the caller is in no group",
			"if grants name groups: Entra, App registrations, your api, Token configuration, Add groups claim, Security groups, as Group ID, for Access")
	}
	list, isList := c.list("groups")
	if !isList || slices.ContainsFunc(list, func(s string) bool { return !plain(s, false) }) {
		return fail(name, checked, "groups is not a list of texts", "a claims mapping writes it", "take groups out of the claims mapping")
	}
	if i := slices.IndexFunc(list, func(s string) bool { return !isGUID(strings.ToLower(s)) }); i >= 0 {
		return warn(name, checked, fmt.Sprintf("%s, not all of them ids", number(len(list), "group")), "the groups claim is sent as names (sAMAccountName, DNS name)",
			"Entra, App registrations, your api, Token configuration, groups: Group ID; names are never compared")
	}
	return ok(name, checked, number(len(list), "group"))
}

// overage recognises the three ways to say that groups are elsewhere.
func (x *exam) overage() bool {
	c := x.claims
	if c.isText("groups") || c["hasgroups"].Kind() == 't' || c.text("hasgroups") == "true" {
		return true
	}
	var names object
	return c.has("_claim_names") && unmarshal(c["_claim_names"], &names) && names.has("groups")
}
