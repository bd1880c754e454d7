//go:build linux

package server

import (
	"strings"
	"testing"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/ldap"
	"github.com/verdict-authz/verdict/server/directory/ldaptest"
	"github.com/verdict-authz/verdict/server/issuer"
)

// A real Active Directory: a user in a group that is in a group; the outer one has the grants, by SID and by name.
func TestNestedGroupsOfActiveDirectoryAreDecidedOn(t *testing.T) {
	ad := ldaptest.Shared(t)
	user, inner, outer := ad.AddUser(t, "nested.user"), ad.AddGroup(t, "clerks of the server test"), ad.AddGroup(t, "orders of the server test")
	stranger := ad.AddUser(t, "no.member")
	ad.AddMember(t, inner, user)
	ad.AddMember(t, outer, inner)

	for _, by := range []struct {
		id    ldap.GroupID
		group string
	}{{ldap.SID, capital(outer.SID)}, {ldap.DN, strings.ToLower(outer.DN)}} {
		t.Run(string(by.id), func(t *testing.T) {
			w := startWorldWith(t, Groups{Mode: directory.LDAP, LDAP: ldap.Config{
				URLs: []string{ad.LDAPS()}, CAFile: ad.CAFile, ServerName: ldaptest.Name, BindDN: ad.BindDN, PasswordFile: ad.PasswordFile,
				BaseDN: ldaptest.BaseDN, GroupID: by.id, DialTimeout: 20 * time.Second, Timeout: 20 * time.Second,
			}})
			if _, err := w.policies.CreateGrant(t.Context(), &verdictv1.CreateGrantRequest{Grant: &verdictv1.Grant{
				Id: "nested", Api: "orders", Subject: "group:" + issuer.DevTenant + "/" + by.group, Permissions: []string{"orders.read"},
				Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
			}}); err != nil {
				t.Fatal(err)
			}
			token := func(sid string) string {
				minted, err := w.issuer.Mint(issuer.Request{Persona: "alice", Groups: []string{groupNumber(9999)}, Claims: map[string]any{"onprem_sid": sid}})
				if err != nil {
					t.Fatal(err)
				}
				return minted
			}
			w.becomes(t, token(capital(user.SID)), "orders.read", allowed)
			w.becomes(t, token(capital(stranger.SID)), "orders.read", noGrant)
			w.becomes(t, token("S-1-5-21-1-2-3-4"), "orders.read", unresolved) // nobody there
		})
	}
}

// capital is a SID as Entra and grants write it.
func capital(sid string) string { return strings.ToUpper(sid) }
