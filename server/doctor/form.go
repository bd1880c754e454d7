package doctor

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// giveToken is what to do when something else than a token was given.
const giveToken = "give the access token alone: nothing before it, no quotes, no line break inside (az account get-access-token --query accessToken -o tsv)"

// shape looks at the text itself.
func (x *exam) shape() Step {
	const name, checked = "shape", "three segments of base64url, nothing around them"
	bad := func(found, cause string) Step { return fail(name, checked, found, cause, giveToken) }
	text := x.raw
	switch {
	case text == "":
		return bad("nothing", "the command or the file that should give the token gave none")
	case strings.HasPrefix(text, "{"):
		return bad("JSON", "this is the whole answer of the token endpoint, or a token in JSON form")
	case strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'"):
		return bad("quotes around it", "the token was copied out of JSON or a script with its quotes")
	case len(text) > 6 && strings.EqualFold(text[:6], "bearer"):
		return bad("it begins with Bearer", "this is a header; here and in the token field of Check the token stands alone")
	case strings.ContainsAny(text, " \t\r\n"):
		return bad("a space or a line break", "the token was wrapped or copied with what stood beside it")
	case strings.Contains(text, "%"):
		return bad("a percent sign", "the token was percent-encoded on the way")
	case strings.Contains(text, "="):
		return bad("padding (=)", "the client pads its base64; tokens are not padded (RFC 7515, section 2)")
	case strings.ContainsAny(text, "+/"):
		return bad("+ or /", "the client uses the standard alphabet of base64; tokens use base64url (RFC 7515, section 2)")
	}
	if i := strings.IndexFunc(text, func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}); i >= 0 {
		return bad("a character outside base64url", "something other than a token was given, or it was damaged on the way")
	}
	parts := strings.Split(text, ".")
	switch {
	case len(parts) == 5:
		return fail(name, checked, "5 segments: an encrypted token (JWE)", "the app registration of the api has a token encryption certificate",
			"Entra, App registrations, your api, Token encryption: deactivate the certificate")
	case len(parts) != 3:
		return bad(number(len(parts), "segment"), "the token was cut, or it is opaque: a personal account's, or a refresh token")
	}
	for i, part := range parts {
		if part == "" {
			return bad(fmt.Sprintf("segment %d is empty", i+1), "the token was cut, or nobody signed it")
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return bad(fmt.Sprintf("segment %d is not base64url", i+1), "the token was cut or altered")
		}
	}
	return ok(name, checked, "")
}

// size looks at the length.
func (x *exam) size() Step {
	const name, checked = "size", "at most 32 KiB"
	found := fmt.Sprintf("%d bytes", len(x.raw))
	if len(x.raw) > maxToken {
		return fail(name, checked, found, "very many app roles, groups or optional claims",
			"Entra, App registrations, your api, Token configuration: fewer optional claims, and for groups Groups assigned to the application")
	}
	return ok(name, checked, found)
}

// algorithms are those that may be named in a report.
var algorithms = []string{"none", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// head looks at the header.
func (x *exam) head() Step {
	const name, checked = "header", "RS256, JWT, a key id, and nothing that changes how it is read"
	const stranger, ask = "Entra did not issue this token as an access token for an api of yours", "ask Entra for a token of your api, and send that one"
	bad := func(found string) Step { return fail(name, checked, found, stranger, ask) }
	h := x.header
	if h == nil {
		if x.twice {
			return bad("the header or the claims cannot be read; a member is there twice")
		}
		return bad("the header cannot be read")
	}
	if h.has("nonce") {
		return fail(name, checked, "a nonce", "the token was issued for Microsoft Graph or another Microsoft api, and only that api can verify it",
			"let the client ask for a scope of your api, api://{client id of your api}/.default, not User.Read or https://graph.microsoft.com/.default")
	}
	if h.text("alg") != "RS256" {
		for _, known := range algorithms {
			if strings.EqualFold(h.text("alg"), known) {
				return bad("the algorithm is " + known)
			}
		}
		return bad("the algorithm is not RS256")
	}
	for _, member := range []string{"crit", "b64", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip"} {
		if h.has(member) {
			return bad("the header holds " + member)
		}
	}
	switch kid := h.text("kid"); {
	case h.has("typ") && h.text("typ") != "JWT":
		return bad("typ is not JWT")
	case kid == "":
		return bad("no key id (kid)")
	case len(kid) > 256 || strings.ContainsFunc(kid, func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.=+", c))
	}):
		return bad("kid is not a key id of Entra's")
	case h.has("x5t") && h.text("x5t") != kid:
		return bad("kid and x5t differ")
	}
	for member := range h {
		for _, known := range []string{"alg", "typ", "kid", "x5t", "crit", "b64", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip", "nonce"} {
			if member != known && strings.EqualFold(member, known) {
				return bad("a member differs from " + known + " in case only")
			}
		}
	}
	return ok(name, checked, "")
}
