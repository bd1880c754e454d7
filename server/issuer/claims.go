package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// claims are those of an Entra access token, as its claims reference has them; r is complete.
func (i *Issuer) claims(p Persona, r Request) map[string]any {
	c := map[string]any{
		"aud":   r.Audience,
		"iss":   i.IssuerOf(r.Tenant, r.Version),
		"tid":   r.Tenant,
		"oid":   p.ObjectID,
		"ver":   r.Version,
		"idtyp": string(p.Kind),
		"aio":   opaque(48),
		"rh":    "1." + opaque(36),
		"uti":   opaque(16),
	}
	setTimes(c, i.now(), r)
	setActor(c, p, r.Version)
	if p.Kind == User {
		setUser(c, p, r)
	} else {
		c["sub"] = p.ObjectID
		c["app_displayname"] = p.DisplayName
	}
	i.setGroups(c, p, r)
	for name, list := range map[string][]string{"roles": r.Roles, "wids": r.WIDs, "acrs": r.ACRs, "xms_cc": r.Capabilities} {
		if len(list) > 0 {
			c[name] = list
		}
	}
	for name, value := range r.Claims {
		if value == nil {
			delete(c, name)
			continue
		}
		c[name] = value
	}
	return c
}

// setTimes keeps nbf before exp in expired tokens too: expiry is then the one thing wrong with them.
func setTimes(c map[string]any, now time.Time, r Request) {
	issued, expires := now, now.Add(r.Lifetime)
	if r.Lifetime < 0 {
		issued = expires.Add(-DefaultLifetime)
	}
	c["iat"], c["nbf"], c["exp"] = issued.Unix(), issued.Unix(), expires.Unix()
	if r.AuthAge != nil {
		c["auth_time"] = now.Add(-*r.AuthAge).Unix()
	}
}

// setActor names the application: a public client for users, one with a secret for apps.
func setActor(c map[string]any, p Persona, version string) {
	authenticated := "0"
	if p.Kind == App {
		authenticated = "1"
	}
	if version == "1.0" {
		c["appid"], c["appidacr"] = p.ClientID, authenticated
		return
	}
	c["azp"], c["azpacr"] = p.ClientID, authenticated
}

func setUser(c map[string]any, p Persona, r Request) {
	address := strings.ToLower(p.Name) + "@dev.example"
	c["name"] = p.DisplayName
	c["sub"] = pairwise(p.ObjectID, r.Audience)
	c["sid"] = newGUID()
	if len(r.Scopes) > 0 {
		c["scp"] = strings.Join(r.Scopes, " ")
	}
	if r.Version == "1.0" {
		c["upn"], c["unique_name"] = address, address
		c["acr"] = "1"
		c["amr"] = []string{"pwd"}
		return
	}
	c["preferred_username"] = address
}

func (i *Issuer) setGroups(c map[string]any, p Persona, r Request) {
	const source = "src1"
	objects := "users"
	if p.Kind == App {
		objects = "servicePrincipals"
	}
	// The address is Entra's, of an api that is gone: nobody is meant to follow it.
	sources := map[string]any{source: map[string]any{
		"endpoint": fmt.Sprintf("https://graph.windows.net/%s/%s/%s/getMemberObjects", r.Tenant, objects, p.ObjectID),
	}}
	switch r.Overage {
	case OverageClaimNames:
		c["_claim_names"], c["_claim_sources"] = map[string]any{"groups": source}, sources
	case OverageString:
		c["groups"], c["_claim_sources"] = source, sources
	case OverageHasGroups:
		c["hasgroups"] = true
	case OverageNone:
		if len(r.Groups) > 0 {
			c["groups"] = r.Groups
		}
	}
}

// pairwise is the sub of a user in an application: the same each time, and another one in each application.
func pairwise(oid, audience string) string {
	sum := sha256.Sum256([]byte(oid + "\x00" + audience))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// opaque is n random bytes as text.
func opaque(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// newGUID is a random GUID, version 4.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
