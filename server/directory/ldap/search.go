package ldap

import (
	"fmt"
	"strconv"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/verdict-authz/verdict/server/directory"
)

const (
	inChain         = "1.2.840.113556.1.4.1941" // LDAP_MATCHING_RULE_IN_CHAIN
	accountDisabled = 0x2                       // in userAccountControl
)

// session asks on one connection.
type session struct {
	cfg  *Config
	conn *goldap.Conn
}

// brokenError says that the connection failed, not the question.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// account is a user as far as its groups need it.
type account struct {
	dn      string
	primary sid // of its primary group, which does not list it as a member
}

// user finds the one account that filter names.
func (s *session) user(filter string) (account, error) {
	const two = 2 // enough to see that it is not one
	found, err := s.search(filter, two, "objectSid", "userAccountControl", "primaryGroupID")
	if err != nil {
		return account{}, err
	}
	switch len(found) {
	case 0:
		return account{}, directory.ErrUnknownPrincipal
	case 1:
	default:
		return account{}, fmt.Errorf("%w: several accounts have that name", directory.ErrUnavailable)
	}
	e := found[0]
	control, err := strconv.ParseInt(e.GetAttributeValue("userAccountControl"), 10, 64)
	if err != nil {
		return account{}, unreadable("userAccountControl")
	}
	if control&accountDisabled != 0 {
		return account{}, directory.ErrPrincipalDisabled
	}
	own, err := decodeSID(e.GetRawAttributeValue("objectSid"))
	if err != nil {
		return account{}, unreadable("objectSid")
	}
	rid, err := strconv.ParseUint(e.GetAttributeValue("primaryGroupID"), 10, 32)
	if err != nil {
		return account{}, unreadable("primaryGroupID")
	}
	return account{dn: e.DN, primary: own.sibling(uint32(rid))}, nil
}

// groups lists the groups that a is in, by way of others too. The primary group knows nothing of its members; it and the
// groups around it are asked for by name.
func (s *session) groups(a account) ([]string, error) {
	primary, err := s.search("(&(objectClass=group)(objectSid="+a.primary.filterValue()+"))", 2, s.attribute())
	if err != nil {
		return nil, err
	}
	if len(primary) != 1 {
		return nil, fmt.Errorf("%w: the primary group is not below the base DN, or may not be read", directory.ErrUnavailable)
	}
	around, err := s.paged("(&(objectClass=group)(|" + memberOf(a.dn) + memberOf(primary[0].DN) + "))")
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(around)+1)
	for _, e := range append(around, primary[0]) {
		id, err := s.id(e)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// memberOf matches the groups that hold dn, themselves or by way of others.
func memberOf(dn string) string { return "(member:" + inChain + ":=" + goldap.EscapeFilter(dn) + ")" }

// attribute is the one that stands for a group.
func (s *session) attribute() string {
	if s.cfg.GroupID == GUID {
		return "objectGUID"
	}
	return "objectSid"
}

// id is what stands for the group.
func (s *session) id(e *goldap.Entry) (string, error) {
	switch s.cfg.GroupID {
	case DN:
		return e.DN, nil
	case GUID:
		id, err := decodeGUID(e.GetRawAttributeValue("objectGUID"))
		if err != nil {
			return "", unreadable("objectGUID")
		}
		return id, nil
	case SID:
	}
	id, err := decodeSID(e.GetRawAttributeValue("objectSid"))
	if err != nil {
		return "", unreadable("objectSid")
	}
	return id.String(), nil
}

// unreadable is for an attribute that is missing or not what it should be: the bind account may lack a permission.
func unreadable(attribute string) error {
	return fmt.Errorf("%w: %s cannot be read", directory.ErrUnavailable, attribute)
}

// search asks for up to limit entries below the base.
func (s *session) search(filter string, limit int, attributes ...string) ([]*goldap.Entry, error) {
	r, err := s.conn.Search(s.request(filter, limit, attributes, nil))
	// A list cut at the limit is what was asked for: one more than there may be.
	if err != nil && !(goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) && r != nil && len(r.Entries) == limit) {
		return nil, asFailure(err)
	}
	return r.Entries, nil
}

// paged asks for all entries below the base, a page at a time.
func (s *session) paged(filter string) ([]*goldap.Entry, error) {
	paging := goldap.NewControlPaging(s.cfg.PageSize)
	var all []*goldap.Entry
	for {
		r, err := s.conn.Search(s.request(filter, 0, []string{s.attribute()}, []goldap.Control{paging}))
		if err != nil {
			return nil, asFailure(err)
		}
		all = append(all, r.Entries...)
		if len(all) > s.cfg.MaxGroups {
			return nil, fmt.Errorf("%w: more than %d groups", directory.ErrUnavailable, s.cfg.MaxGroups)
		}
		answered, ok := goldap.FindControl(r.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: the directory does not page its answers", directory.ErrUnavailable)
		case len(answered.Cookie) == 0:
			return all, nil
		case len(r.Entries) == 0:
			return nil, &brokenError{fmt.Errorf("%w: an empty page that is not the last", directory.ErrUnavailable)}
		}
		paging.SetCookie(answered.Cookie)
	}
}

func (s *session) request(filter string, limit int, attributes []string, controls []goldap.Control) *goldap.SearchRequest {
	return goldap.NewSearchRequest(s.cfg.BaseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, limit,
		max(1, int(s.cfg.Timeout.Seconds())), false, filter, attributes, controls)
}

// asFailure is failure, marked when the connection is to blame.
func asFailure(err error) error {
	if broken(err) {
		return &brokenError{failure("search", err)}
	}
	return failure("search", err)
}
