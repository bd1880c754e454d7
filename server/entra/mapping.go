package entra

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// None in a Mapping says that tokens have no such claim, although the profile says so.
const None = "-"

// GroupsForm is how a token writes groups.
type GroupsForm uint8

// The forms.
const (
	GroupsByProfile  GroupsForm = iota // as the profile says; without one a list
	GroupsList                         // a list of texts
	GroupsTextOrList                   // one group as a text, several as a list
	GroupsJSON                         // a text that holds a JSON list of texts
)

var groupsFormNames = [...]string{GroupsByProfile: "", GroupsList: "list", GroupsTextOrList: "text-or-list", GroupsJSON: "json"}

// ParseGroupsForm reads a form as configuration writes it.
func ParseGroupsForm(s string) (GroupsForm, error) {
	for f, name := range groupsFormNames {
		if name == s {
			return GroupsForm(f), nil
		}
	}
	return GroupsByProfile, fmt.Errorf("groups form: want list, text-or-list or json, got %q", s)
}

// Mapping says which claims of an OIDC token mean what. "" takes what the profile says, None takes the meaning away.
//
// App, Confidential and Require are conditions on one claim: `name`, it is there; `!name`, it is not; `name=value`, it is
// this text.
type Mapping struct {
	Subject    string // id of the user; required
	Client     string // id of the client application; where it is mapped, a token without it is refused
	Groups     string
	GroupsForm GroupsForm
	Scopes     string // a text separated by spaces, or a list; where it is mapped, a user's token without one is refused
	Roles      string // a list; the values of approle: subjects
	Name       string // for people
	Username   string // for finding the user in a directory; never compared
	Audience   string // stands in where a token has no aud

	App          string // of tokens of applications; none: every token is a user's
	Confidential string // of tokens of clients that proved who they are; tokens of applications always are
	Require      string // of every token
}

func (m Mapping) isSet() bool { return m != Mapping{} }

// role numbers the meanings that a claim can have.
type role uint8

const (
	roleAUD role = iota
	roleIAT
	roleNBF
	roleEXP
	roleAuthTime
	roleTokenID
	roleSession
	roleNonce
	roleATHash
	roleCHash
	roleCNF
	roleSubject
	roleClient
	roleGroups
	roleScopes
	roleRoles
	roleName
	roleUsername
	roleAudience
	roleApp
	roleConfidential
	roleRequire
	roleCount
)

// fixedRoles have the names of their claims from RFC 7519 and OpenID Connect.
var fixedRoles = map[role]string{
	roleAUD: "aud", roleIAT: "iat", roleNBF: "nbf", roleEXP: "exp", roleAuthTime: "auth_time", roleTokenID: "jti",
	roleSession: "sid", roleNonce: "nonce", roleATHash: "at_hash", roleCHash: "c_hash", roleCNF: "cnf",
}

// mapping is a Mapping that has been checked. It is immutable.
type mapping struct {
	names      []string       // of the claims that are read, each once
	claim      [roleCount]int // index in names; -1: none
	conditions [roleCount]condition
	form       GroupsForm
}

// condition is what App, Confidential and Require say of their claim.
type condition struct {
	absent bool
	equal  bool
	value  string
}

// newMapping fills m up from what the profile says.
func newMapping(m, preset Mapping) (*mapping, error) {
	out := &mapping{form: m.GroupsForm}
	if out.form == GroupsByProfile {
		out.form = preset.GroupsForm
	}
	if int(out.form) >= len(groupsFormNames) {
		return nil, errors.New("groups form: want list, text-or-list or json")
	}
	for i := range out.claim {
		out.claim[i] = -1
	}
	for r, name := range fixedRoles {
		out.claim[r] = out.index(name)
	}
	var err error
	for _, e := range []struct {
		role        role
		field       string
		own, preset string
		condition   bool
	}{
		{roleSubject, "subject", m.Subject, preset.Subject, false},
		{roleClient, "client", m.Client, preset.Client, false},
		{roleGroups, "groups", m.Groups, preset.Groups, false},
		{roleScopes, "scopes", m.Scopes, preset.Scopes, false},
		{roleRoles, "roles", m.Roles, preset.Roles, false},
		{roleName, "name", m.Name, preset.Name, false},
		{roleUsername, "username", m.Username, preset.Username, false},
		{roleAudience, "audience", m.Audience, preset.Audience, false},
		{roleApp, "app", m.App, preset.App, true},
		{roleConfidential, "confidential", m.Confidential, preset.Confidential, true},
		{roleRequire, "require", m.Require, preset.Require, true},
	} {
		name := e.own
		if name == "" {
			name = e.preset
		}
		if name == "" || name == None {
			continue
		}
		if e.condition {
			name, out.conditions[e.role] = parseCondition(name)
		}
		if !isClaimName(name) {
			err = errors.Join(err, fmt.Errorf("%s: %q is not the name of a claim", e.field, name))
			continue
		}
		out.claim[e.role] = out.index(name)
	}
	if out.claim[roleSubject] < 0 {
		err = errors.Join(err, errors.New("subject: none; nobody could be told apart"))
	}
	if out.claim[roleApp] >= 0 && out.claim[roleClient] < 0 {
		err = errors.Join(err, errors.New("client: none; an application is known by it"))
	}
	return out, err
}

// index is where name is among the names, and puts it there. Names that differ in case only would be one claim to some
// readers; the second then finds the token refused.
func (m *mapping) index(name string) int {
	if i := slices.Index(m.names, name); i >= 0 {
		return i
	}
	m.names = append(m.names, name)
	return len(m.names) - 1
}

func parseCondition(text string) (name string, c condition) {
	if rest, absent := strings.CutPrefix(text, "!"); absent {
		return rest, condition{absent: true}
	}
	name, value, equal := strings.Cut(text, "=")
	return name, condition{equal: equal, value: value}
}

// isClaimName bounds what can be meant: names such as cognito:groups and https://id.example/groups.
func isClaimName(name string) bool {
	return name != "" && len(name) <= 200 && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || r == '"' || r == '='
	})
}
