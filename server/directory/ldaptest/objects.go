//go:build linux

package ldaptest

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	goldap "github.com/go-ldap/ldap/v3"
)

const (
	normalAccount   = "512" // userAccountControl
	disabledAccount = "514"
)

// Object is a user or a group.
type Object struct {
	DN   string
	SID  string // S-1-5-…, lower case
	GUID string // objectGUID, raw
}

// AddUser makes a user; name must be its own in the whole directory.
func (s *Server) AddUser(t testing.TB, name string) Object {
	t.Helper()
	s.must(t, func(c *goldap.Conn) error { return addUser(c, name, "Aa1-"+rand.Text()) })
	return s.object(t, dn(name))
}

// AddGroup makes a security group. Its name may hold what a filter or a distinguished name escapes.
func (s *Server) AddGroup(t testing.TB, name string) Object {
	t.Helper()
	s.must(t, func(c *goldap.Conn) error {
		add := goldap.NewAddRequest(dn(name), nil)
		add.Attribute("objectClass", []string{"group"})
		add.Attribute("sAMAccountName", []string{accountName(name)})
		return c.Add(add)
	})
	return s.object(t, dn(name))
}

// AddMember makes member one of group.
func (s *Server) AddMember(t testing.TB, group, member Object) {
	t.Helper()
	s.modify(t, group, func(m *goldap.ModifyRequest) { m.Add("member", []string{member.DN}) })
}

// RemoveMember undoes AddMember.
func (s *Server) RemoveMember(t testing.TB, group, member Object) {
	t.Helper()
	s.modify(t, group, func(m *goldap.ModifyRequest) { m.Delete("member", []string{member.DN}) })
}

// Disable disables a user.
func (s *Server) Disable(t testing.TB, user Object) {
	t.Helper()
	s.modify(t, user, func(m *goldap.ModifyRequest) { m.Replace("userAccountControl", []string{disabledAccount}) })
}

func (s *Server) modify(t testing.TB, o Object, change func(*goldap.ModifyRequest)) {
	t.Helper()
	s.must(t, func(c *goldap.Conn) error {
		m := goldap.NewModifyRequest(o.DN, nil)
		change(m)
		return c.Modify(m)
	})
}

func (s *Server) must(t testing.TB, f func(*goldap.Conn) error) {
	t.Helper()
	if err := s.do(f); err != nil {
		t.Fatalf("samba: %v", err)
	}
}

// object reads what the directory gave the object.
func (s *Server) object(t testing.TB, dn string) (o Object) {
	t.Helper()
	s.must(t, func(c *goldap.Conn) error {
		r, err := c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, 10, false,
			"(objectClass=*)", []string{"objectSid", "objectGUID"}, nil))
		if err != nil {
			return err
		}
		o = Object{
			DN: r.Entries[0].DN, GUID: r.Entries[0].GetAttributeValue("objectGUID"),
			SID: sidText(r.Entries[0].GetRawAttributeValue("objectSid")),
		}
		return nil
	})
	return o
}

// addUser makes a user without a password, gives it one and enables it, which the directory wants in this order.
func addUser(c *goldap.Conn, name, password string) error {
	add := goldap.NewAddRequest(dn(name), nil)
	add.Attribute("objectClass", []string{"user"})
	add.Attribute("sAMAccountName", []string{name})
	add.Attribute("userPrincipalName", []string{name + "@corp.test"})
	if err := c.Add(add); err != nil {
		return err
	}
	m := goldap.NewModifyRequest(dn(name), nil)
	m.Replace("unicodePwd", []string{quoted(password)})
	m.Replace("userAccountControl", []string{normalAccount})
	return c.Modify(m)
}

// accountName leaves out what such a name may not hold.
func accountName(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(`"/\[]:;|=,+*?<>()`, c) {
			return -1
		}
		return c
	}, name)
}

func dn(name string) string { return "CN=" + goldap.EscapeDN(name) + ",CN=Users," + BaseDN }

// quoted is a password as unicodePwd takes it: in quotes, UTF-16.
func quoted(password string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// sidText is written apart from package ldap, whose reading of it is tested against this.
func sidText(b []byte) string {
	if len(b) < 8 {
		return ""
	}
	var text strings.Builder
	authority := binary.BigEndian.Uint64(append([]byte{0, 0}, b[2:8]...))
	fmt.Fprintf(&text, "s-%d-%d", b[0], authority)
	for i := range int(b[1]) {
		fmt.Fprintf(&text, "-%d", binary.LittleEndian.Uint32(b[8+4*i:]))
	}
	return text.String()
}
