package entra

import "strings"

// A token with more than 200 groups carries none and says so in one of three shapes: _claim_names.groups with the name
// of a source, groups as a text, or hasgroups. All three only mean "ask elsewhere"; the address that comes with the
// first is never read.

// groupsClaim reads groups. What is wrong with it is answered last, with a reason of its own.
func (r *reader) groupsClaim(c *claims) error {
	if r.kind() == '"' {
		c.groupsElsewhere = true
		return r.skip()
	}
	ok, err := r.texts(&c.groups)
	c.groupsBad = c.groupsBad || !ok
	return err
}

// hasGroups reads hasgroups, which Entra only ever sends as true.
func (r *reader) hasGroups(c *claims) error {
	switch r.kind() {
	case 't':
		c.groupsElsewhere = true
	case 'f':
	case '"':
		v, err := r.str()
		if string(v) == "true" {
			c.groupsElsewhere = true
		} else {
			c.groupsBad = true
		}
		return err
	default:
		c.groupsBad = true
	}
	return r.skip()
}

// claimNames looks for a member groups in _claim_names. Any value counts: a strange one must not pass as "no groups".
func (r *reader) claimNames(c *claims) error {
	if r.kind() != '{' {
		c.blame(claimType)
		return r.skip()
	}
	if err := r.begin(); err != nil {
		return err
	}
	for r.kind() != '}' {
		name, err := r.str()
		if err != nil {
			return err
		}
		if strings.EqualFold(string(name), "groups") {
			c.groupsElsewhere = true
		}
		if err := r.skip(); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}
