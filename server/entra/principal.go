package entra

import (
	"bytes"
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
)

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
func (c *claims) checkPrincipal(t *tenant, want Expect) Refusal {
	switch {
	case !c.seen[claimOID]:
		return subjectMissing
	case !isCanonicalGUID(c.oid), !isCanonicalGUID(c.client()):
		return identifierNotGUID
	}
	if r := want.checkClient(c.client(), string(c.azpacr)); !r.OK() {
		return r
	}
	switch {
	case want.DenyGuests && c.guest(t) == GuestYes:
		return guestRefused
	case c.seen[claimCNF]:
		return bindingRequired
	case c.groupsBad:
		return groupsMalformed
	}
	return accepted
}

// What azpacr and appidacr say of a client that proved who it is.
const (
	clientSecret      = "1"
	clientCertificate = "2"
)

// checkClient asks whether a client may call. Only what a token says of its client's proof makes it confidential.
func (e *Expect) checkClient(client []byte, proof string) Refusal {
	switch {
	case len(e.Clients) > 0 && !containsText(e.Clients, client):
		return clientNotAllowed
	case e.ConfidentialClient && proof != clientSecret && proof != clientCertificate:
		return clientPublic
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
