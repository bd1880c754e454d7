package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/verdict-authz/verdict/server/directory"
)

// UserBy is how a user is found.
type UserBy string

// The ways: by objectSid, from the token's onprem_sid; by userPrincipalName or by sAMAccountName, from its user name.
// Names can be changed and given to others; the identifier cannot.
const (
	BySID UserBy = "sid"
	ByUPN UserBy = "upn"
	BySAM UserBy = "sam"
)

// GroupID is what stands for a group.
type GroupID string

// The ids: the security identifier as S-1-5-…, the distinguished name, or objectGUID. All in lower case.
const (
	SID  GroupID = "sid"
	DN   GroupID = "dn"
	GUID GroupID = "guid"
)

// Config tunes a Client.
type Config struct {
	// URLs are the directory's servers, in order: ldaps://host[:636], or ldap://host[:389], which is raised to TLS by StartTLS.
	URLs         []string
	CAFile       string // PEM; nothing else is trusted
	ServerName   string // in the servers' certificates; "" means the host of the URL
	BindDN       string // or user@domain
	PasswordFile string // read for every connection; a line's end at its end is no part of it
	// Password gives the password in place of the file, for every connection: another one counts from then on. Its errors hold
	// nothing of it.
	Password func(ctx context.Context) ([]byte, error)
	BaseDN   string   // below it are users and groups
	Tenants  []string // the tenants whose users come from this directory, at least one
	UserBy   UserBy   // "" means sid
	GroupID  GroupID  // "" means sid

	Pool        int           // connections; 0 means 4
	DialTimeout time.Duration // to connect, encrypt and bind; 0 means 3 s
	Timeout     time.Duration // of one search; 0 means 5 s
	MaxAge      time.Duration // of a connection; 0 means 10 minutes
	PageSize    uint32        // 0 means 500; Active Directory allows 1000
	MaxGroups   int           // beyond it there is no answer; 0 means 20 000
	Now         func() time.Time
}

// complete fills in the defaults and reports all that is wrong.
func (c Config) complete() (Config, *tls.Config, error) {
	err := errors.Join(c.checkServers(), c.checkNames())
	if c.UserBy == "" {
		c.UserBy = BySID
	}
	if c.GroupID == "" {
		c.GroupID = SID
	}
	if c.UserBy != BySID && c.UserBy != ByUPN && c.UserBy != BySAM {
		err = errors.Join(err, fmt.Errorf("ldap: users are found by sid, upn or sam, not by %q", c.UserBy))
	}
	if c.GroupID != SID && c.GroupID != DN && c.GroupID != GUID {
		err = errors.Join(err, fmt.Errorf("ldap: a group's id is sid, dn or guid, not %q", c.GroupID))
	}
	if c.Pool < 0 || c.DialTimeout < 0 || c.Timeout < 0 || c.MaxAge < 0 || c.MaxGroups < 0 {
		err = errors.Join(err, errors.New("ldap: a negative value"))
	}
	if c.Pool == 0 {
		c.Pool = 4
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 3 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.MaxAge == 0 {
		c.MaxAge = 10 * time.Minute
	}
	if c.PageSize == 0 {
		c.PageSize = 500
	}
	if c.MaxGroups == 0 {
		c.MaxGroups = 20_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	roots, wrong := readRoots(c.CAFile)
	return c, &tls.Config{RootCAs: roots, ServerName: c.ServerName, MinVersion: tls.VersionTLS12}, errors.Join(err, wrong)
}

func (c *Config) checkServers() (err error) {
	if len(c.URLs) == 0 {
		err = errors.New("ldap: no servers")
	}
	for _, text := range c.URLs {
		u, wrong := url.Parse(text)
		switch {
		case wrong != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			err = errors.Join(err, fmt.Errorf("ldap: server %q must be scheme, host and port, nothing else", text))
		case u.Scheme != "ldaps" && u.Scheme != "ldap":
			err = errors.Join(err, fmt.Errorf("ldap: server %q must be ldaps, or ldap for StartTLS", text))
		}
	}
	return err
}

func (c *Config) checkNames() (err error) {
	if c.BindDN == "" || c.PasswordFile == "" && c.Password == nil {
		err = errors.Join(err, errors.New("ldap: give bind DN and password; an anonymous bind sees no groups"))
	}
	if c.PasswordFile != "" && c.Password != nil {
		err = errors.Join(err, errors.New("ldap: a password file and a stored password: give one of them"))
	}
	if _, wrong := goldap.ParseDN(c.BaseDN); wrong != nil || c.BaseDN == "" {
		err = errors.Join(err, fmt.Errorf("ldap: base DN %q is not a distinguished name", c.BaseDN))
	}
	if len(c.Tenants) == 0 {
		err = errors.Join(err, errors.New("ldap: no tenants"))
	}
	for _, t := range c.Tenants {
		if !directory.IsGUID(t) {
			err = errors.Join(err, fmt.Errorf("ldap: tenant %q is not a GUID, lower case with hyphens", t))
		}
	}
	return err
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, errors.New("ldap: no CA file; the server could not be verified")
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ldap: CA file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ldap: CA file %s holds no certificate", file)
	}
	return roots, nil
}
