package entra

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/verdict-authz/verdict/server/policy"
)

// Expect is what an api asks of a token, beside being a good one.
type Expect struct {
	Audiences             []string // exact; at least one, none refuses everything
	Clients               []string // client applications that may call; none means any
	AllowAppsWithoutRoles bool     // the api knows its app callers by their object id
}

// maxLifetime is the longest Entra issues, for clients that understand continuous access evaluation; in seconds.
const maxLifetime = 28 * 60 * 60

// Verify proves a token, given without its scheme, and says who the caller is. The Token is nil unless the Refusal is
// OK. It waits only for a key that it has not seen, and never longer than ctx or Config.UnknownKeyWait.
func (v *Verifier) Verify(ctx context.Context, token string, want Expect) (*Token, Refusal) {
	if len(want.Audiences) == 0 {
		return nil, noAudience
	}
	if len(token) > maxToken { // before anything is made ready
		return nil, tooLarge
	}
	s := newScratch()
	defer s.free()

	seg, r := s.guard(token)
	if !r.OK() {
		return nil, r
	}
	kid, r := s.json.readHeader(seg.header)
	if !r.OK() {
		return nil, r
	}
	c := &s.claims
	if r = s.json.readClaims(c, seg.payload); !r.OK() {
		return nil, r
	}
	t, r := v.tenantOf(c)
	if !r.OK() {
		return nil, r
	}
	src := t.sourceOf(c)
	if src == nil {
		return nil, issuerUntrusted // a policy that is not pinned
	}
	keys, key, r := src.key(ctx, kid, v.unknown)
	if !r.OK() {
		return nil, r
	}
	if !verifySignature(token, key, seg.payload) {
		return nil, signatureInvalid
	}
	if r = v.checkClaims(c, t, keys, key, want); !r.OK() {
		return nil, r
	}
	kind, r := c.kindOf(t.provider, want)
	if !r.OK() {
		return nil, r
	}
	if r = c.checkPrincipal(want); !r.OK() {
		return nil, r
	}
	return c.token(t, kind), accepted
}

// tenantOf is step 6: it finds the tenant that the unverified claims name, so that no other one costs a fetch.
func (v *Verifier) tenantOf(c *claims) (*tenant, Refusal) {
	if !c.seen[claimTID] && len(v.issuers) > 0 {
		// B2C sends no tid by default; its pinned issuer names the tenant.
		if t := v.issuers[string(c.iss)]; t != nil {
			return t, accepted
		}
		return nil, issuerUntrusted
	}
	if ok, upper := isGUID(c.tid); !ok || c.tidBad {
		return nil, tenantMalformed
	} else if upper {
		if len(v.tenants[strings.ToLower(string(c.tid))]) > 0 {
			return nil, tenantCase
		}
		return nil, tenantUnknown
	}
	candidates := v.tenants[string(c.tid)]
	if len(candidates) == 0 {
		return nil, tenantUnknown
	}
	for _, t := range candidates[1:] {
		if string(c.iss) == t.issuerV2 || t.v1 != nil && string(c.iss) == t.issuerV1 {
			return t, accepted
		}
	}
	return candidates[0], accepted
}

// sourceOf finds the document whose keys a token claims to be signed with; nil when there is none for its policy.
func (t *tenant) sourceOf(c *claims) *source {
	switch {
	case t.policies != nil && c.seen[claimTFP]:
		return t.policies[string(c.tfp)]
	case t.policies != nil:
		return t.policies[string(c.acr)]
	case t.v1 != nil && string(c.iss) == t.issuerV1:
		return t.v1
	}
	return t.v2
}

// verifySignature is step 7: compact form, RS256, this key. The payload that it covers has to be the one that was read.
func verifySignature(token string, key *signingKey, payload []byte) bool {
	signed, err := jws.VerifyCompactFast(key.public, []byte(token), jwa.RS256())
	return err == nil && bytes.Equal(signed, payload)
}

// checkClaims is steps 8 to 14, of claims whose signature is good.
func (v *Verifier) checkClaims(c *claims, t *tenant, keys *keySet, key *signingKey, want Expect) Refusal {
	if !c.fault.OK() {
		return c.fault
	}
	for _, id := range [...]claimID{claimISS, claimAUD, claimVER, claimIAT, claimNBF, claimEXP} {
		if !c.seen[id] {
			return claimMissing
		}
	}
	if r := t.checkIssuer(c); !r.OK() {
		return r
	}
	if !t.fitsKeyIssuer(c, keys, key) {
		return keyIssuerMismatch
	}
	if key.cloud != "" && keys.discovery.cloud != "" && key.cloud != keys.discovery.cloud {
		return cloudMismatch
	}
	if !containsText(want.Audiences, c.aud) {
		return audienceMismatch
	}
	if r := c.checkTimes(v.cfg.Now().Unix(), v.skew); !r.OK() {
		return r
	}
	if !t.acceptsVersion(c) {
		return versionMismatch
	}
	return accepted
}

// checkIssuer is step 9. A v1 issuer that is pinned but off passes here; its version is what is refused.
func (t *tenant) checkIssuer(c *claims) Refusal {
	iss := string(c.iss)
	if iss == t.issuerV2 || t.issuerV1 != "" && iss == t.issuerV1 {
		return accepted
	}
	if namesOtherTenant(iss, t.provider.issuerV2, t.id) || namesOtherTenant(iss, t.provider.issuerV1, t.id) {
		return issuerTenant
	}
	return issuerUntrusted
}

// namesOtherTenant says whether iss begins with the template filled in for another tenant.
func namesOtherTenant(iss, template, tenant string) bool {
	at := strings.Index(template, tenantPlaceholder)
	if at < 0 || len(iss) < at+len(tenant) {
		return false
	}
	other := iss[at : at+len(tenant)]
	return isCanonicalGUID(other) && other != tenant && strings.HasPrefix(iss, expand(template, other))
}

// fitsKeyIssuer is step 10. Keys of v1 documents name no issuer, those that do name the v2 one for v1 tokens too.
func (t *tenant) fitsKeyIssuer(c *claims, keys *keySet, key *signingKey) bool {
	if key.issuer == "" {
		return !keys.discovery.shared
	}
	issuer := expand(key.issuer, t.id)
	return issuer == string(c.iss) || issuer == t.issuerV2
}

// checkTimes is step 13; now and skew in seconds. Expiry comes first, so that an old token is called expired whatever
// else its times say.
func (c *claims) checkTimes(now, skew int64) Refusal {
	switch {
	case now >= c.exp+skew:
		return expired
	case c.nbf > c.exp:
		return timesContradict
	case c.nbf > now+skew, c.iat > now+skew:
		return notYetValid
	case c.exp-c.iat > maxLifetime+skew:
		return lifetimeExcessive
	}
	return accepted
}

// acceptsVersion is step 14. B2C writes 1.0 beside an issuer of v2 form.
func (t *tenant) acceptsVersion(c *claims) bool {
	switch {
	case t.policies != nil:
		return string(c.ver) == "1.0"
	case string(c.iss) == t.issuerV2:
		return string(c.ver) == "2.0"
	}
	return t.v1 != nil && string(c.ver) == "1.0"
}

// kindOf is step 15: an access token, of a user or of an application.
func (c *claims) kindOf(p *provider, want Expect) (policy.PrincipalKind, Refusal) {
	if c.seen[claimNonce] || c.seen[claimATHash] || c.seen[claimCHash] {
		return 0, idToken
	}
	if c.seen[claimAZP] && c.seen[claimAPPID] && !bytes.Equal(c.azp, c.appid) {
		return 0, clientsDiffer
	}
	if v1 := p.Kind == Entra && string(c.ver) == "1.0"; v1 && !c.seen[claimAPPID] || !v1 && !c.seen[claimAZP] {
		return 0, idToken
	}
	// "/" is what the app-only tokens of agents carry in place of scopes.
	scope := strings.Trim(string(c.scp), " ")
	scoped := scope != "" && scope != "/"
	idtyp := string(c.idtyp)
	if idtyp == "" {
		switch {
		case !p.AllowMissingIDType:
			return 0, idtypMissing
		case scoped:
			idtyp = "user"
		default:
			idtyp = "app"
		}
	}
	switch idtyp {
	case "user":
		if !scoped {
			return 0, userWithoutScope
		}
		return policy.PrincipalUser, accepted
	case "app":
		if scoped {
			return 0, appWithScope
		}
		if len(c.roles) == 0 && !want.AllowAppsWithoutRoles {
			return 0, appWithoutRoles
		}
		return policy.PrincipalApp, accepted
	}
	return 0, idtypOther
}

// checkPrincipal is step 16, and last the shape of the groups.
func (c *claims) checkPrincipal(want Expect) Refusal {
	switch {
	case !c.seen[claimOID]:
		return subjectMissing
	case !isCanonicalGUID(c.oid), !isCanonicalGUID(c.client()):
		return identifierNotGUID
	case len(want.Clients) > 0 && !containsText(want.Clients, c.client()):
		return clientNotAllowed
	case c.seen[claimCNF]:
		return bindingRequired
	case c.groupsBad:
		return groupsMalformed
	}
	return accepted
}

// client is the client application: azp, in v1 tokens appid.
func (c *claims) client() []byte {
	if c.seen[claimAZP] {
		return c.azp
	}
	return c.appid
}

func containsText(list []string, text []byte) bool {
	return slices.ContainsFunc(list, func(s string) bool { return s == string(text) })
}
