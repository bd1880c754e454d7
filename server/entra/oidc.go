package entra

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/verdict-authz/verdict/server/policy"
)

// proveOIDC is steps 8 to 16 for a token of an OIDC provider, whose issuer and signature are proven.
func (v *Verifier) proveOIDC(s *scratch, payload []byte, t *tenant, want Expect) (*Token, Refusal) {
	vs, r := s.json.readMapped(t.provider.mapping, payload)
	if !r.OK() {
		return nil, r
	}
	ts, r := vs.times()
	if !r.OK() {
		return nil, r
	}
	if r = vs.checkAudience(want.Audiences); !r.OK() {
		return nil, r
	}
	if r = ts.check(v.cfg.Now().Unix(), v.skew); !r.OK() {
		return nil, r
	}
	if !t.provider.AcceptIDTokens && (vs.of(roleNonce).kind != 0 || vs.of(roleATHash).kind != 0 || vs.of(roleCHash).kind != 0) {
		return nil, idToken
	}
	if vs.claim[roleRequire] >= 0 && !vs.holds(roleRequire) {
		return nil, requiredClaim
	}
	tok := &Token{
		Provider: t.provider.Name, TokenID: vs.hint(roleTokenID), SessionID: vs.hint(roleSession),
		Username: vs.hint(roleUsername), DisplayName: displayName(vs.of(roleName).text),
		IssuedAt: time.Unix(ts.iat, 0).UTC(), ExpiresAt: time.Unix(ts.exp, 0).UTC(), AuthTime: vs.authTime(),
	}
	if vs.of(roleNBF).kind != 0 {
		tok.NotBefore = time.Unix(ts.nbf, 0).UTC()
	}
	tok.Principal.TenantID = t.id
	if r = vs.who(&tok.Principal); !r.OK() {
		return nil, r
	}
	if vs.holds(roleConfidential) || tok.Principal.Kind == policy.PrincipalApp {
		tok.ClientAuth = clientSecret
	}
	if r = want.checkClient([]byte(tok.Principal.ClientID), tok.ClientAuth); !r.OK() {
		return nil, r
	}
	if vs.of(roleCNF).kind != 0 {
		return nil, bindingRequired
	}
	if tok.Principal.Groups, tok.GroupsPresent, r = vs.groups(); !r.OK() {
		return nil, r
	}
	return tok, accepted
}

// times reads iat, exp and, if it is there, nbf, which some issuers leave out.
func (v *values) times() (ts times, r Refusal) {
	for _, e := range []struct {
		role role
		into *int64
	}{{roleIAT, &ts.iat}, {roleEXP, &ts.exp}, {roleNBF, &ts.nbf}} {
		switch is := v.of(e.role); {
		case is.kind == 0 && e.role == roleNBF:
		case is.kind == 0:
			return ts, claimMissing
		case is.kind != '0' || !is.integer:
			return ts, claimType
		default:
			*e.into = is.number
		}
	}
	return ts, accepted
}

// checkAudience is step 12: aud is one text or a list of nothing but texts, and one of them is an audience of the api.
func (v *values) checkAudience(want []string) Refusal {
	is := v.of(roleAUD)
	if is.kind == 0 {
		is = v.of(roleAudience)
	}
	switch {
	case is.kind == 0:
		return claimMissing
	case is.kind == '"' && !isPlain(is.text, false):
		return claimText
	case is.kind == '"' && containsText(want, is.text):
		return accepted
	case is.kind == '"':
		return audienceMismatch
	case is.kind != '[' || !is.allText || len(is.texts) == 0:
		return claimType
	}
	for _, aud := range is.texts {
		if containsText(want, aud) {
			return accepted
		}
	}
	return audienceMismatch
}

// who reads the principal but for its groups.
func (v *values) who(p *policy.Principal) Refusal {
	if v.claim[roleClient] >= 0 {
		if v.of(roleClient).kind == 0 {
			return idToken
		}
		var r Refusal
		if p.ClientID, r = v.id(roleClient); !r.OK() {
			return r
		}
	}
	scopes, r := v.words(roleScopes)
	if !r.OK() {
		return r
	}
	if p.Roles, r = v.words(roleRoles); !r.OK() {
		return r
	}
	if v.holds(roleApp) {
		p.Kind, p.ObjectID = policy.PrincipalApp, p.ClientID
		return accepted
	}
	p.Kind = policy.PrincipalUser
	if v.of(roleSubject).kind == 0 {
		return mappedSubjectMissing
	}
	if p.ObjectID, r = v.id(roleSubject); !r.OK() {
		return r
	}
	if v.claim[roleScopes] >= 0 && len(scopes) == 0 {
		return userWithoutScope
	}
	p.Scopes = scopes
	return accepted
}

// id is the text of a claim that grants may name.
func (v *values) id(r role) (string, Refusal) {
	is := v.of(r)
	if is.kind != '"' {
		return "", claimType
	}
	id := string(is.text)
	if !policy.IsForeignID(id) {
		return "", mappedIdentifier
	}
	return id, accepted
}

// words is a text separated by spaces, of a list its elements; roles are a list only, since their values may hold spaces.
func (v *values) words(r role) ([]string, Refusal) {
	switch is := v.of(r); {
	case is.kind == 0:
		return nil, accepted
	case is.kind == '[' && is.allText:
		return copyTexts(is.texts), accepted
	case is.kind == '"' && r == roleScopes && (len(is.text) == 0 || isPlain(is.text, true)):
		return splitScopes(string(is.text)), accepted
	}
	return nil, claimType
}

// groups reads the groups; present says that there is a list, be it empty.
func (v *values) groups() (ids []string, present bool, r Refusal) {
	switch is := v.of(roleGroups); {
	case is.kind == 0:
		return nil, false, accepted
	case is.kind == '[' && is.allText && v.form != GroupsJSON:
		return copyTexts(is.texts), true, accepted
	case is.kind == '"' && v.form == GroupsTextOrList && isPlain(is.text, false):
		return []string{string(is.text)}, true, accepted
	case is.kind == '"' && v.form == GroupsJSON:
		if err := json.Unmarshal(bytes.Clone(is.text), &ids); err != nil || ids == nil {
			return nil, false, groupsMalformed
		}
		for _, id := range ids {
			if !isPlain([]byte(id), false) {
				return nil, false, groupsMalformed
			}
		}
		return ids, true, accepted
	}
	return nil, false, groupsMalformed
}

// hint is a text on which nothing depends but what is kept of it; anything else counts as absent.
func (v *values) hint(r role) string {
	if is := v.of(r); is.kind == '"' && isPlain(is.text, false) {
		return string(is.text)
	}
	return ""
}

// authTime reads auth_time, of AD FS a text in RFC 3339; zero when it is absent or something else, which is not fresh.
func (v *values) authTime() time.Time {
	switch is := v.of(roleAuthTime); {
	case is.kind == '0' && is.integer && is.number > 0:
		return time.Unix(is.number, 0).UTC()
	case is.kind == '"':
		if at, err := time.Parse(time.RFC3339, string(is.text)); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}
