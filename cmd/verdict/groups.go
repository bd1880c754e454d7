package main

import (
	"errors"
	"time"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/azure"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/server/directory/ldap"
	"github.com/verdict-authz/verdict/server/secret"
)

// groupFlags say where the groups of callers come from. docs/groups.md tells which is for whom.
type groupFlags struct {
	Groups             string        `default:"token" enum:"token,graph,mirror,ldap" help:"Who tells a caller's groups: token (and Graph, if there is a credential, when they do not fit in it), graph, mirror (a copy kept in the store) or ldap."`
	GroupsMaxStaleness time.Duration `default:"15m" help:"Greatest age of what a directory says; older is answered with 503 GROUPS_UNRESOLVED."`

	GraphCredential              string     `enum:",workload-identity,managed-identity,certificate,secret" default:"" help:"How to sign in to Microsoft Graph: workload-identity, managed-identity, certificate or secret; none: Graph is not asked."`
	GraphCloud                   string     `default:"global" enum:"global,usgov,china" help:"Cloud of Microsoft Graph: global, usgov or china."`
	GraphTenant                  string     `help:"Home tenant of the application that asks Graph; none: the first --tenant." placeholder:"GUID"`
	GraphClientID                string     `name:"graph-client-id" help:"Client id of the application that asks Graph, or of a user-assigned managed identity." placeholder:"GUID"`
	GraphCertificateFile         string     `help:"PEM or PKCS #12 with certificate and private key." placeholder:"FILE"`
	GraphCertificatePasswordFile string     `help:"Password of the certificate's private key." placeholder:"FILE"`
	GraphSecretFile              string     `help:"Client secret." placeholder:"FILE"`
	GraphSecret                  secret.Ref `help:"Secret that is the client secret, or the certificate with its private key, in place of a file." placeholder:"REF"`
	GraphTokenFile               string     `help:"Token of a workload identity; none: $AZURE_FEDERATED_TOKEN_FILE." placeholder:"FILE"`
	GraphUnits                   int        `default:"1750" help:"Cost units of Graph that this replica spends per tenant in 10 s; a lookup costs 2."`
	GraphSecurityOnly            bool       `help:"Leave out groups that are not for security; as the tokens' groupMembershipClaims has it."`

	MirrorPoll time.Duration `default:"60s" help:"Time between two rounds of copying groups, with --groups mirror."`

	LDAPURL          []string   `name:"ldap-url" help:"Servers of Active Directory, ldaps://host or ldap://host (raised to TLS); repeat for more." placeholder:"URL"`
	LDAPCAFile       string     `name:"ldap-ca-file" help:"PEM certificates that sign those of the servers." placeholder:"FILE"`
	LDAPServerName   string     `name:"ldap-server-name" help:"Name in the servers' certificates; none: the host of the URL." placeholder:"NAME"`
	LDAPBindDN       string     `name:"ldap-bind-dn" help:"Account that searches: DN or user@domain." placeholder:"DN"`
	LDAPPasswordFile string     `name:"ldap-password-file" help:"Password of that account." placeholder:"FILE"`
	LDAPPassword     secret.Ref `name:"ldap-password" help:"Secret that is that password, in place of a file." placeholder:"REF"`
	LDAPBaseDN       string     `name:"ldap-base-dn" help:"Below it are users and groups." placeholder:"DN"`
	LDAPUserBy       string     `name:"ldap-user-by" default:"sid" enum:"sid,upn,sam" help:"How users are found: sid (claim onprem_sid), upn or sam (claim upn)."`
	LDAPGroupID      string     `name:"ldap-group-id" default:"sid" enum:"sid,dn,guid" help:"What grants name groups by: sid, dn or guid."`
}

// validate says what is wrong with the flags as such. What a credential needs, it says itself.
func (f *groupFlags) validate() error {
	if kind := azure.Kind(f.GraphCredential); !f.GraphSecret.IsZero() && kind != azure.Certificate && kind != azure.Secret {
		return errors.New("--graph-secret: it is for --graph-credential secret or certificate")
	}
	if f.GraphUnits < 2 {
		return errors.New("--graph-units: at least 2, which is what a lookup costs")
	}
	if !f.LDAPPassword.IsZero() && len(f.LDAPURL) == 0 {
		return errors.New("--ldap-password: it means nothing without --ldap-url")
	}
	return nil
}

func (f *groupFlags) apply(o *server.Options) {
	o.Groups = server.Groups{
		Mode:         directory.Mode(f.Groups),
		MaxStaleness: f.GroupsMaxStaleness,
		MirrorPoll:   f.MirrorPoll,
		Graph:        graph.Config{Cloud: f.GraphCloud, SecurityOnly: f.GraphSecurityOnly, Units: f.GraphUnits},
	}
	if f.GraphCredential != "" {
		o.Groups.Credential = azure.Config{
			Kind: azure.Kind(f.GraphCredential), Cloud: f.GraphCloud, TenantID: f.GraphTenant, ClientID: f.GraphClientID,
			CertificateFile: f.GraphCertificateFile, CertificatePasswordFile: f.GraphCertificatePasswordFile,
			SecretFile: f.GraphSecretFile, TokenFile: f.GraphTokenFile,
		}
	}
	if len(f.LDAPURL) > 0 {
		o.Groups.LDAP = ldap.Config{
			URLs: f.LDAPURL, CAFile: f.LDAPCAFile, ServerName: f.LDAPServerName, BindDN: f.LDAPBindDN, PasswordFile: f.LDAPPasswordFile,
			BaseDN: f.LDAPBaseDN, UserBy: ldap.UserBy(f.LDAPUserBy), GroupID: ldap.GroupID(f.LDAPGroupID),
		}
	}
}

// applySecrets has directories asked with secrets that are kept elsewhere.
func (f *groupFlags) applySecrets(o *server.Options, secrets *secret.Set) {
	o.Groups.Credential.Stored = follow(secrets, graphSecretFlag)
	o.Groups.LDAP.Password = follow(secrets, ldapPasswordFlag)
}
