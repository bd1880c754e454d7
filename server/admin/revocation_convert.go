package admin

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	// RevocationLife is how long a revocation counts unless it says otherwise: the longest life of a token, 28 hours, and
	// the largest tolerated difference of clocks at either end of it, 5 minutes.
	RevocationLife = 28*time.Hour + 10*time.Minute
	// maxRevocationLife bounds what replicas hold in memory; no token that lives longer is ever accepted.
	maxRevocationLife = 30 * 24 * time.Hour
	// maxRevocationLead is for clocks that differ. A revocation of the future would refuse every new sign-in until then.
	maxRevocationLead = 5 * time.Minute
)

var revocationKinds = map[verdictv1.RevocationKind]store.RevocationKind{
	verdictv1.RevocationKind_REVOCATION_KIND_PRINCIPAL: store.RevokePrincipal,
	verdictv1.RevocationKind_REVOCATION_KIND_CLIENT:    store.RevokeClient,
	verdictv1.RevocationKind_REVOCATION_KIND_SESSION:   store.RevokeSession,
	verdictv1.RevocationKind_REVOCATION_KIND_TOKEN:     store.RevokeToken,
	verdictv1.RevocationKind_REVOCATION_KIND_TENANT:    store.RevokeTenant,
}

func revocationProto(r store.Revocation) *verdictv1.Revocation {
	p := &verdictv1.Revocation{
		Id: r.ID, TenantId: r.TenantID, Value: r.Value, NotBefore: timestamppb.New(r.NotBefore), ExpiresAt: timestamppb.New(r.ExpiresAt),
		Reason: r.Reason, Ticket: r.Ticket, Actor: r.Actor, CreatedAt: timestamppb.New(r.CreatedAt),
	}
	for number, kind := range revocationKinds {
		if kind == r.Kind {
			p.Kind = number
		}
	}
	return p
}

// revocationFact is what a caller asks for, with its instants filled in; everything that is wrong is told at once.
func (s *RevocationService) revocationFact(p *verdictv1.Revocation) (store.Revocation, error) {
	var vs []status.Violation
	wrong := func(field, text string) { vs = append(vs, status.Violation{Field: "revocation." + field, Text: text}) }
	now := s.cfg.Now().UTC()
	r := store.Revocation{
		TenantID: p.GetTenantId(), Kind: revocationKinds[p.GetKind()], Value: p.GetValue(), Reason: p.GetReason(), Ticket: p.GetTicket(),
		NotBefore: instantFact(p.GetNotBefore(), "revocation.not_before", &vs),
		ExpiresAt: instantFact(p.GetExpiresAt(), "revocation.expires_at", &vs),
	}
	if len(vs) > 0 {
		return r, status.Invalid(vs...)
	}
	if r.NotBefore.IsZero() {
		r.NotBefore = now
	}
	r.NotBefore = r.NotBefore.Truncate(time.Second)
	defaulted := r.ExpiresAt.IsZero()
	if defaulted {
		r.ExpiresAt = r.NotBefore.Add(RevocationLife)
	}
	if r.Kind == "" {
		wrong("kind", "set what is named: a principal, client, session, token or tenant")
	} else {
		checkTarget(r, wrong)
	}
	switch {
	case r.NotBefore.After(now.Add(maxRevocationLead)):
		wrong("not_before", "in the future, so that no new sign-in would help until then; leave it out for now, and keep people out with a deny grant")
	case defaulted && !r.ExpiresAt.After(now):
		wrong("not_before", "so long ago that no token issued up to then can be valid any more; leave it out for now")
	case !r.ExpiresAt.After(now) || !r.ExpiresAt.After(r.NotBefore):
		wrong("expires_at", "in the past, or not after not_before, so the revocation would never count")
	case r.ExpiresAt.After(now.Add(maxRevocationLife)):
		wrong("expires_at", "more than 30 days away; no token lives longer than 28 hours, so leave it out")
	}
	return r, invalidIf(vs)
}

// checkTarget refuses what would never match a token: ids of Entra are GUIDs in lower case and compared exactly.
func checkTarget(r store.Revocation, wrong func(field, text string)) {
	const lower = "a GUID is written in lower case with hyphens, as tokens are read"
	entra := false
	switch canonical, ok := guidOf(r.TenantID); {
	case ok && canonical != r.TenantID:
		wrong("tenant_id", lower)
	case ok:
		entra = true
	}
	switch {
	case r.Kind == store.RevokeTenant && r.Value != "":
		wrong("value", "must be empty for a tenant; tenant_id names it")
	case r.Kind == store.RevokeTenant:
	case r.Value == "":
		wrong("value", "required: the object id, client id, sid or uti to refuse")
	case strings.ContainsFunc(r.Value, func(c rune) bool { return c < 0x20 || c == 0x7f || c == 0xfffd }):
		wrong("value", "holds characters that no token has")
	case entra && (r.Kind == store.RevokePrincipal || r.Kind == store.RevokeClient):
		switch canonical, ok := guidOf(r.Value); {
		case !ok:
			wrong("value", "not a GUID; write the object id of a principal, or the client id of an application")
		case canonical != r.Value:
			wrong("value", lower)
		}
	}
}

// guidOf is s in the form of tokens, if it is a GUID in any.
func guidOf(s string) (string, bool) {
	bare := strings.ToLower(strings.Trim(s, "{}"))
	if len(bare) == 32 {
		bare = bare[:8] + "-" + bare[8:12] + "-" + bare[12:16] + "-" + bare[16:20] + "-" + bare[20:]
	}
	return bare, store.CheckRevocationID(bare) == nil
}
