package doctor

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// v2Fix is where an api says which tokens it wants.
const v2Fix = "Entra, App registrations, your api (not the client), Manifest: requestedAccessTokenVersion 2 (older format: accessTokenAcceptedVersion); " +
	"new tokens follow within minutes"

// version looks at ver, and whether it fits iss.
func (x *exam) version(name, checked string) Step {
	ver, iss := x.claims.text("ver"), x.claims.text("iss")
	if ver == "" {
		return fail(name, checked, "no ver", "Entra did not issue this token", "ask Entra for a token of your api")
	}
	v1Form := isV1Issuer(iss)
	for _, doc := range x.docs {
		v1Form = v1Form || doc.v1 && iss == expand(doc.issuer, doc.tenant)
	}
	switch found := "ver " + show(ver); {
	case ver == "1.0" && !x.d.provider.AcceptV1:
		return fail(name, checked, found+", while only v2 tokens are accepted",
			"a v1 token for a v2 api: the registration of the api asks for v1 tokens, which is the default of new ones", v2Fix+"; or --accept-v1-tokens")
	case ver != "1.0" && ver != "2.0":
		return fail(name, checked, found, "Entra did not issue this token", "ask Entra for a token of your api")
	case (ver == "1.0") != v1Form:
		return fail(name, checked, found+" with an issuer of the other version", "Entra did not issue this token, or another product of Microsoft's did (B2C)", "ask Entra for a token of your api")
	default:
		return ok(name, checked, found)
	}
}

// personal is the tenant of personal Microsoft accounts.
const personal = "9188040d-6c67-4c5b-b112-36a304b66dad"

// tenant looks at tid.
func (x *exam) tenant(name, checked string) Step {
	tid := x.claims.text("tid")
	found := "tid " + show(tid)
	switch {
	case tid == "":
		return fail(name, checked, "no tid", "the token is of B2C, or Entra did not issue it", "B2C is configured as a provider of its own (docs/tokens.md, Providers)")
	case x.ofTenant():
		return ok(name, checked, found)
	case !isGUID(tid):
		return fail(name, checked, found+" is not a GUID in lower case", "Entra did not issue this token", "ask Entra for a token of your api")
	case tid == personal:
		return fail(name, checked, found+", personal Microsoft accounts", "somebody signed in with a personal account through /common or /consumers",
			"let the client sign in at the authority of your tenant, /{tenant id}; or add this tenant with --tenant")
	}
	return fail(name, checked, found+" instead of "+strings.Join(x.d.provider.Tenants, ", "),
		"the client signed in at /common or /organizations, or a guest got a token of the home tenant",
		"let the client sign in at the authority of your tenant, /{tenant id}; or add this tenant with --tenant")
}

// origins are the beginnings of issuers by what they tell.
var origins = []struct{ prefix, what string }{
	{"https://login.microsoftonline.com/", "the global cloud"},
	{"https://login.microsoftonline.us/", "the US Government cloud"},
	{"https://login.partner.microsoftonline.cn/", "the cloud of China"},
	{"https://sts.windows.net/", "v1 tokens of the global or US Government cloud"},
	{"https://sts.chinacloudapi.cn/", "v1 tokens of the cloud of China"},
	{"https://login.windows.net/", "an alias of the global cloud"},
	{"https://login.microsoft.com/", "an alias of the global cloud"},
}

// issuer looks at iss.
func (x *exam) issuer(name, checked string) Step {
	iss, tid := x.claims.text("iss"), x.claims.text("tid")
	found := "iss " + show(iss)
	if iss == "" {
		return fail(name, checked, "no iss", "Entra did not issue this token", "ask Entra for a token of your api")
	}
	want := expand(x.d.issuerTemplate(), tid)
	if iss == want {
		return ok(name, checked, found)
	}
	for _, doc := range x.docs {
		if doc.v1 && doc.tenant == tid && doc.status.Keys > 0 && iss == expand(doc.issuer, tid) {
			return ok(name, checked, found+", of v1 tokens")
		}
	}
	if isV1Issuer(iss) && strings.HasSuffix(iss, "/"+tid+"/") && !x.d.provider.AcceptV1 {
		return skipped(name, checked, found+", of v1 tokens; see version")
	}
	const fix = "compare --authority with the table of providers in docs/tokens.md; one provider is one cloud"
	if strings.HasPrefix(iss, want) || strings.EqualFold(iss, want) {
		return fail(name, checked, found+" instead of "+show(want), "it differs in a final slash or in case; Entra writes it exactly", fix)
	}
	cause := "another issuer, such as AD FS or a test issuer"
	for _, o := range origins {
		if strings.HasPrefix(iss, o.prefix) {
			cause = "the issuer is that of " + o.what
		}
	}
	switch {
	case strings.Contains(iss, ".b2clogin.com/"):
		cause = "the issuer is B2C, which is another kind of provider"
	case strings.Contains(iss, ".ciamlogin.com/"):
		cause = "the issuer is External ID, which is another kind of provider"
	case strings.HasPrefix(iss, x.d.provider.Authority+"/"):
		cause = "iss names another tenant than tid, which Entra never does"
	}
	return fail(name, checked, found+" instead of "+show(want), cause, fix)
}

// key looks whether the key is published.
func (x *exam) key(name, checked string) Step {
	kid := x.header.text("kid")
	doc := x.document()
	switch {
	case kid == "":
		return skipped(name, checked, "the token names no key, see header")
	case doc == nil:
		return skipped(name, checked, "no keys are fetched for a tenant that is not accepted, see tenant")
	case doc.keys == nil:
		return skipped(name, checked, "there are no keys, see keys")
	}
	key := doc.keys[kid]
	if key == nil {
		return x.unpublished(name, checked, kid, doc)
	}
	found := "one of " + number(len(doc.keys), "key")
	switch issuer := expand(key.issuer, doc.tenant); {
	case key.issuer != "" && issuer != x.claims.text("iss") && issuer != expand(x.d.issuerTemplate(), doc.tenant),
		key.issuer == "" && strings.Contains(doc.issuer, tenantPlace):
		return fail(name, checked, found+", of another issuer", "a key of personal accounts or of another tenant signed it, which Entra never does", "ask Entra for a token of your api")
	case key.cloud != "" && doc.cloud != "" && key.cloud != doc.cloud:
		return fail(name, checked, found+", of another cloud", "the key document mixes clouds", "compare --authority with the table of providers in docs/tokens.md")
	}
	return ok(name, checked, found)
}

// unpublished says why the key may not be there.
func (x *exam) unpublished(name, checked, kid string, doc *document) Step {
	const fix = "fetch a new token; if it persists, compare --tenant and --authority with the token, and look for a claims mapping policy on the api: such apps sign with keys of their own"
	for _, other := range x.docs {
		if other != doc && other.keys[kid] != nil {
			return fail(name, checked, "it is published for "+other.tenant+other.version()+" only", "the token was issued for another tenant or version than it says", fix)
		}
	}
	found := "none of " + number(len(doc.keys), "key")
	if doc.cached > 0 {
		return fail(name, checked, fmt.Sprintf("%s; a cache has held the document for %s", found, doc.cached), "stale keys: the issuer has a new key and a cache on the way does not",
			"take the authority out of the cache, then fetch a new token")
	}
	return fail(name, checked, found, "another tenant, cloud or environment signed the token; or the token is older than the key's withdrawal; or the api has keys of its own", fix)
}

// signature verifies with the published key, whatever else is wrong.
func (x *exam) signature(name, checked string) Step {
	doc := x.document()
	if doc == nil || doc.keys[x.header.text("kid")] == nil || doc.keys[x.header.text("kid")].public == nil {
		return skipped(name, checked, "there is no key to verify it with")
	}
	if len(x.segments) != 3 || x.header.text("alg") != "RS256" {
		return skipped(name, checked, "it is not a signature that verdict verifies, see header")
	}
	sum := sha256.Sum256([]byte(x.segments[0] + "." + x.segments[1]))
	sig, err := base64.RawURLEncoding.DecodeString(x.segments[2])
	if err == nil {
		err = rsa.VerifyPKCS1v15(doc.keys[x.header.text("kid")].public, crypto.SHA256, sum[:], sig)
	}
	if err != nil {
		return fail(name, checked, "it does not verify", "the token was altered or cut on the way, or belongs to another environment", "fetch a new token, and pass it on byte for byte")
	}
	return ok(name, checked, "")
}
