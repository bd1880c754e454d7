package doctor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
)

// exam is the examination of one token.
type exam struct {
	*reading
	d    *Doctor
	docs []*document
	now  time.Time
}

func newExam(d *Doctor, token string, docs []*document) *exam {
	return &exam{reading: read(token), d: d, docs: docs, now: d.now()}
}

// steps are all steps of a token but the last.
func (x *exam) steps() []Step {
	all := []Step{x.shape(), x.size(), x.head()}
	for _, s := range []struct {
		name, checked string
		look          func(name, checked string) Step
	}{
		{"claims", "every claim that is read is there, once, with the right type", x.types},
		{"version", "ver is a version that is accepted, and fits iss", x.version},
		{"tenant", "tid is a tenant that is accepted", x.tenant},
		{"token-issuer", "iss is the issuer of the tenant", x.issuer},
		{"audience", "aud is an audience of the api", x.audience},
		{"key", "the key that the token names is published for its tenant", x.key},
		{"signature", "the signature is good", x.signature},
		{"times", "the token is valid now", x.times},
		{"type", "an access token, of a user or an application", x.kind},
		{"caller", "the caller and its application are named", x.caller},
		{"permissions", "a user has a scope, an application a role", x.permissions},
		{"groups", "groups, if grants name groups", x.groups},
	} {
		if x.claims == nil && s.name != "claims" {
			all = append(all, skipped(s.name, s.checked, "the claims cannot be read"))
			continue
		}
		all = append(all, s.look(s.name, s.checked))
	}
	return all
}

// judgement is what a server says; failing are the steps that say why.
func (x *exam) judgement(ctx context.Context, failing []string) (step Step, reason string) {
	const name, checked = "verdict", "what verdict serve says with this configuration"
	token, r := x.d.verifier.Verify(ctx, x.raw, entra.Expect{
		Audiences: x.d.cfg.Audiences, AllowAppsWithoutRoles: x.d.cfg.AllowAppsWithoutRoles,
	})
	if r.OK() && token != nil {
		return ok(name, checked, "the token is accepted"), ""
	}
	cause := "see " + strings.Join(failing, ", ") + " above"
	if len(failing) == 0 {
		cause = "none of the steps above knows this check"
	}
	return fail(name, checked, r.Reason.String()+": "+r.Detail, cause, "see docs/tokens.md, Reasons, and docs/reasons.md"), r.Reason.String()
}

// document is the one whose keys the token claims to be signed with; nil when its tenant is not accepted.
func (x *exam) document() *document {
	tid, iss := x.claims.text("tid"), x.claims.text("iss")
	var found *document
	for _, doc := range x.docs {
		if doc.tenant != tid {
			continue
		}
		switch {
		case !doc.v1:
			found = doc
		case iss == expand(doc.issuer, tid):
			return doc
		}
	}
	return found
}

// ofTenant says whether the token's tenant is accepted.
func (x *exam) ofTenant() bool { return slices.Contains(x.d.provider.Tenants, x.claims.text("tid")) }

// isV1Issuer recognises the issuers of v1 tokens in all clouds.
func isV1Issuer(iss string) bool {
	return strings.HasPrefix(iss, "https://sts.windows.net/") || strings.HasPrefix(iss, "https://sts.chinacloudapi.cn/")
}
