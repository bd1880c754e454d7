//go:build linux

package ldap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/ldaptest"
	"github.com/verdict-authz/verdict/server/policy"
)

const (
	tenantID = "11111111-2222-3333-4444-555555555555"
	objectID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

// open makes a client of the server; change may change its configuration.
func open(t *testing.T, s *ldaptest.Server, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		URLs: []string{s.LDAPS()}, CAFile: s.CAFile, ServerName: ldaptest.Name, BindDN: s.BindDN, PasswordFile: s.PasswordFile,
		BaseDN: ldaptest.BaseDN, Tenants: []string{tenantID}, DialTimeout: 20 * time.Second, Timeout: 20 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func caller(sid, name string) directory.Caller {
	return directory.Caller{Kind: policy.PrincipalUser, TenantID: tenantID, ObjectID: objectID, OnPremSID: sid, Username: name}
}

// domainUsers is the primary group of new users, which lists no members.
func domainUsers(user ldaptest.Object) string {
	return user.SID[:strings.LastIndexByte(user.SID, '-')] + "-513"
}

// builtinUsers holds Domain Users.
const builtinUsers = "s-1-5-32-545"

func sortedIDs(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

func TestGroupsAreThoseOfTheDirectory(t *testing.T) {
	s := ldaptest.Shared(t)
	user, stranger := s.AddUser(t, "nested.user"), s.AddUser(t, "stranger")
	near, middle, far, other := s.AddGroup(t, "near"), s.AddGroup(t, "middle"), s.AddGroup(t, "far (all) *"), s.AddGroup(t, "other")
	s.AddMember(t, near, user)
	s.AddMember(t, middle, near)
	s.AddMember(t, far, middle)
	s.AddMember(t, near, far) // a circle
	s.AddMember(t, other, stranger)
	wantSIDs := sortedIDs(near.SID, middle.SID, far.SID, domainUsers(user), builtinUsers)

	for name, tc := range map[string]struct {
		change func(*Config)
		who    directory.Caller
		want   []string
	}{
		"by identifier over LDAPS": {who: caller(strings.ToUpper(user.SID), ""), want: wantSIDs},
		"by identifier over StartTLS": {
			change: func(c *Config) { c.URLs = []string{s.StartTLS()} }, who: caller(user.SID, ""), want: wantSIDs,
		},
		"by userPrincipalName": {
			change: func(c *Config) { c.UserBy = ByUPN }, who: caller("", "nested.user@corp.test"), want: wantSIDs,
		},
		"by sAMAccountName": {change: func(c *Config) { c.UserBy = BySAM }, who: caller("", "nested.user"), want: wantSIDs},
		"in pages of two":   {change: func(c *Config) { c.PageSize = 2 }, who: caller(user.SID, ""), want: wantSIDs},
		"the second server answers when the first is not there": {
			change: func(c *Config) { c.URLs = []string{"ldaps://127.0.0.1:1", s.LDAPS()} }, who: caller(user.SID, ""), want: wantSIDs,
		},
		"another user's are others": {
			who: caller(stranger.SID, ""), want: sortedIDs(other.SID, domainUsers(user), builtinUsers),
		},
		"by distinguished name": {
			change: func(c *Config) { c.GroupID = DN }, who: caller(user.SID, ""),
			want: sortedIDs("cn=near,cn=users,dc=corp,dc=test", "cn=middle,cn=users,dc=corp,dc=test",
				"cn=far (all) *,cn=users,dc=corp,dc=test", "cn=domain users,cn=users,dc=corp,dc=test",
				"cn=users,cn=builtin,dc=corp,dc=test"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := open(t, s, tc.change).Groups(t.Context(), tc.who)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, m.Groups); diff != "" {
				t.Error(diff)
			}
			if m.Source != "ldap" || m.At.IsZero() || time.Since(m.At) > time.Minute {
				t.Errorf("source %q at %v", m.Source, m.At)
			}
		})
	}
	t.Run("by objectGUID", func(t *testing.T) {
		c := open(t, s, func(c *Config) { c.GroupID = GUID })
		m, err := c.Groups(t.Context(), caller(user.SID, ""))
		if err != nil || len(m.Groups) != len(wantSIDs) {
			t.Fatalf("%v, %v", m.Groups, err)
		}
		want, err := decodeGUID([]byte(near.GUID))
		if err != nil || !directory.IsGUID(want) || !slices.Contains(m.Groups, want) {
			t.Errorf("%v has not %s (%v)", m.Groups, want, err)
		}
	})
	t.Run("a change is seen", func(t *testing.T) {
		c := open(t, s, nil)
		s.RemoveMember(t, near, user)
		m, err := c.Groups(t.Context(), caller(user.SID, ""))
		if want := sortedIDs(domainUsers(user), builtinUsers); err != nil || !slices.Equal(m.Groups, want) {
			t.Errorf("%v, %v", m.Groups, err)
		}
	})
}

func TestWhoIsNotResolved(t *testing.T) {
	s := ldaptest.Shared(t)
	disabled, user := s.AddUser(t, "disabled.user"), s.AddUser(t, "some.user")
	s.Disable(t, disabled)
	crowded := s.AddUser(t, "crowded.user")
	for _, name := range []string{"crowd 1", "crowd 2"} {
		s.AddMember(t, s.AddGroup(t, name), crowded)
	}
	by := func(u UserBy) func(*Config) { return func(c *Config) { c.UserBy = u } }
	foreign := caller(user.SID, "")
	foreign.TenantID = objectID
	app := caller(user.SID, "")
	app.Kind = policy.PrincipalApp
	for name, tc := range map[string]struct {
		change func(*Config)
		who    directory.Caller
		want   error
	}{
		"a disabled account":                  {who: caller(disabled.SID, ""), want: directory.ErrPrincipalDisabled},
		"an identifier that nobody has":       {who: caller(domainUsers(user)+"99", ""), want: directory.ErrUnknownPrincipal},
		"a group's identifier":                {who: caller(domainUsers(user), ""), want: directory.ErrUnknownPrincipal},
		"no identifier":                       {who: caller("", "some.user"), want: directory.ErrUnknownPrincipal},
		"a filter for an identifier":          {who: caller("S-1-5-*", ""), want: directory.ErrUnknownPrincipal},
		"a star for a name":                   {change: by(BySAM), who: caller("", "some.*"), want: directory.ErrUnknownPrincipal},
		"a filter for a name":                 {change: by(ByUPN), who: caller("", "x)(|(objectClass=*)"), want: directory.ErrUnknownPrincipal},
		"no name":                             {change: by(BySAM), who: caller(user.SID, ""), want: directory.ErrUnknownPrincipal},
		"a computer":                          {change: by(BySAM), who: caller("", "DC$"), want: directory.ErrUnknownPrincipal},
		"a tenant that has no directory here": {who: foreign, want: directory.ErrUnknownPrincipal},
		"an application":                      {who: app, want: directory.ErrUnknownPrincipal},
		"a base that is not there": {
			change: func(c *Config) { c.BaseDN = "DC=other,DC=test" }, who: caller(user.SID, ""), want: directory.ErrUnavailable,
		},
		"a base without the primary group": {
			change: func(c *Config) { c.BaseDN = "CN=some.user,CN=Users," + ldaptest.BaseDN },
			who:    caller(user.SID, ""), want: directory.ErrUnavailable,
		},
		"more groups than allowed": {
			change: func(c *Config) { c.MaxGroups = 1; c.PageSize = 1 }, who: caller(crowded.SID, ""), want: directory.ErrUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := open(t, s, tc.change).Groups(t.Context(), tc.who)
			if !errors.Is(err, tc.want) || m.Groups != nil {
				t.Errorf("%v, %v; want %v", m, err, tc.want)
			}
		})
	}
}

func TestTheServerMustBeProven(t *testing.T) {
	s := ldaptest.Shared(t)
	user := s.AddUser(t, "proof.user")
	for name, change := range map[string]func(*Config){
		"another name, LDAPS":         func(c *Config) { c.ServerName = "other.corp.test" },
		"another name, StartTLS":      func(c *Config) { c.ServerName = "other.corp.test"; c.URLs = []string{s.StartTLS()} },
		"another authority, LDAPS":    func(c *Config) { c.CAFile = otherAuthority(t) },
		"another authority, StartTLS": func(c *Config) { c.CAFile = otherAuthority(t); c.URLs = []string{s.StartTLS()} },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, s, change).Groups(t.Context(), caller(user.SID, ""))
			if !errors.Is(err, directory.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestARefusedPasswordIsNotTriedAgainUntilItChanges(t *testing.T) {
	s := ldaptest.Shared(t)
	user := s.AddUser(t, "password.user")
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const wrong = "Canary-wrong-password"
	write(wrong)
	c := open(t, s, func(c *Config) { c.PasswordFile = file })
	var texts []string
	for range 3 {
		_, err := c.Groups(t.Context(), caller(user.SID, ""))
		var again *directory.RetryError
		if !errors.Is(err, errBind) || errors.As(err, &again) {
			t.Fatalf("%v", err)
		}
		texts = append(texts, err.Error())
	}
	if strings.Contains(texts[0], "not tried") || !strings.Contains(texts[1], "not tried") || !strings.Contains(texts[2], "not tried") {
		t.Errorf("%q", texts)
	}
	if all := strings.Join(texts, "\n"); strings.Contains(all, "Canary") {
		t.Errorf("an error shows the password: %s", all)
	}
	write(s.Password + "\r\n")
	if _, err := c.Groups(t.Context(), caller(user.SID, "")); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	stored := wrong
	c = open(t, s, func(c *Config) {
		c.PasswordFile, c.Password = "", func(context.Context) ([]byte, error) { return []byte(stored), nil }
	})
	if _, err := c.Groups(t.Context(), caller(user.SID, "")); !errors.Is(err, errBind) {
		t.Errorf("a wrong one that is stored: %v", err)
	}
	stored = s.Password
	if _, err := c.Groups(t.Context(), caller(user.SID, "")); err != nil {
		t.Errorf("with the right one stored: %v", err)
	}
	write("\n")
	c = open(t, s, func(c *Config) { c.PasswordFile = file })
	if _, err := c.Groups(t.Context(), caller(user.SID, "")); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("an empty password: %v", err)
	}
}

func TestConnectionsThatBreak(t *testing.T) {
	s := ldaptest.Shared(t)
	user := s.AddUser(t, "broken.user")
	c := open(t, s, func(c *Config) { c.Pool = 1 })
	ask := func() error {
		_, err := c.Groups(t.Context(), caller(user.SID, ""))
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	s.Drop()
	if err := ask(); err != nil {
		t.Errorf("after the server closed an idle connection: %v", err)
	}
	s.Cut()
	defer s.Mend()
	err := ask()
	var again *directory.RetryError
	if !errors.Is(err, directory.ErrUnavailable) || !errors.As(err, &again) {
		t.Errorf("while the server is away: %v", err)
	}
	s.Mend()
	if err := ask(); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestTheDeadlineIsObeyed(t *testing.T) {
	s := ldaptest.Shared(t)
	user := s.AddUser(t, "deadline.user")
	c := open(t, s, func(c *Config) { c.Pool = 1 })
	conn, _, err := c.pool.get(t.Context()) // the only one
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Groups(ctx, caller(user.SID, ""))
	if !errors.Is(err, directory.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.pool.put(conn, false)
	if _, err = c.Groups(t.Context(), caller(user.SID, "")); err != nil {
		t.Errorf("once the connection is free: %v", err)
	}
}

func TestTheResolverDecidesWithBothDirectories(t *testing.T) {
	s := ldaptest.Shared(t)
	user := s.AddUser(t, "merged.user")
	group, around := s.AddGroup(t, "merged near"), s.AddGroup(t, "merged far")
	s.AddMember(t, group, user)
	s.AddMember(t, around, group)
	r, err := directory.New(directory.Config{Mode: directory.LDAP, Source: open(t, s, nil)}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	who := caller(user.SID, "")
	who.Listed, who.Groups = true, []string{objectID}
	m, err := r.Resolve(t.Context(), who, false)
	want := sortedIDs(objectID, group.SID, around.SID, domainUsers(user), builtinUsers)
	if err != nil || !slices.Equal(m.Groups, want) || m.Source != "token+ldap" {
		t.Errorf("%+v, %v", m, err)
	}
	who.Listed, who.Overage = false, true
	if _, err := r.Resolve(t.Context(), who, false); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("with a token that does not list Entra's part: %v", err)
	}
}
