package entra

import (
	"bytes"
	"context"
	"strings"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// Expect is what an api asks of a token, beside being a good one.
type Expect struct {
	Audiences             []string // exact; at least one, none refuses everything
	Clients               []string // client applications that may call; none means any
	AllowAppsWithoutRoles bool     // the api knows its app callers by their object id
	DenyGuests            bool     // refuse users of whom the token says that they are guests
	ConfidentialClient    bool     // refuse clients of which the token does not say that they proved who they are
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
	h, r := s.json.readHeader(seg.header)
	if !r.OK() {
		return nil, r
	}
	reg := v.registry.Load()
	headerFault := h.check()
	if !headerFault.OK() && (len(reg.oidc) == 0 || !h.checkOIDC(true, true).OK()) {
		return nil, headerFault
	}
	c := &s.claims
	if r = s.json.readClaims(c, seg.payload); !r.OK() {
		return nil, r
	}
	t, r := reg.tenantOf(c)
	if !r.OK() {
		return nil, r
	}
	if t.provider.Kind == OIDC { // whose headers have rules of their own
		headerFault = h.checkOIDC(t.provider.rs256, t.provider.es256)
	}
	if !headerFault.OK() {
		return nil, headerFault
	}
	src := t.sourceOf(c)
	if src == nil {
		return nil, issuerUntrusted // a policy that is not pinned
	}
	if v.isDenied(h.kid.text) {
		return nil, keyDenied
	}
	keys, key, r := src.key(ctx, h.kid.text, v.unknown)
	if !r.OK() {
		return nil, r
	}
	if !verifySignature(token, key, seg.payload) {
		return nil, signatureInvalid
	}
	if t.provider.Kind == OIDC {
		return v.proveOIDC(s, seg.payload, t, want)
	}
	if r = v.checkClaims(c, t, keys, key, want); !r.OK() {
		return nil, r
	}
	kind, r := c.kindOf(t.provider, want)
	if !r.OK() {
		return nil, r
	}
	if r = c.checkPrincipal(t, want); !r.OK() {
		return nil, r
	}
	return c.token(t, kind), accepted
}

// tenantOf is step 6: it finds the tenant that the unverified claims name, so that no other one costs a fetch.
func (g *registry) tenantOf(c *claims) (*tenant, Refusal) {
	if len(g.oidc) > 0 {
		// What other issuers put into a tid of theirs means nothing here; the pinned issuer names the provider.
		if t := g.oidc[string(c.iss)]; t != nil {
			return t, accepted
		}
	}
	if !c.seen[claimTID] && len(g.b2c) > 0 {
		// B2C sends no tid by default; its pinned issuer names the tenant.
		if t := g.b2c[string(c.iss)]; t != nil {
			return t, accepted
		}
		return nil, issuerUntrusted
	}
	if !c.seen[claimTID] && len(g.oidc) > 0 {
		return nil, issuerUntrusted
	}
	if ok, upper := isGUID(c.tid); !ok || c.tidBad {
		return nil, tenantMalformed
	} else if upper {
		if len(g.tenants[strings.ToLower(string(c.tid))]) > 0 {
			return nil, tenantCase
		}
		return nil, tenantUnknown
	}
	candidates := g.tenants[string(c.tid)]
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

// verifySignature is step 7: compact form, the algorithm of this key, which the header has to name too. The payload that
// it covers has to be the one that was read.
func verifySignature(token string, key *signingKey, payload []byte) bool {
	alg := jwa.RS256()
	if key.es256 {
		alg = jwa.ES256()
	}
	signed, err := jws.VerifyCompactFast(key.public, []byte(token), alg)
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
	if r := c.times.check(v.cfg.Now().Unix(), v.skew); !r.OK() {
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

// check is step 13; now and skew in seconds. Expiry comes first, so that an old token is called expired whatever
// else its times say.
func (c times) check(now, skew int64) Refusal {
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
