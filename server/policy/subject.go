package policy

import (
	"fmt"
	"strings"
)

// SubjectKind is what a grant's subject is.
type SubjectKind uint8

// The kinds of subjects. The zero kind is none.
const (
	SubjectUnknown SubjectKind = iota
	Group                      // group:{tid}/{oid}
	User                       // user:{tid}/{oid}
	App                        // app:{tid}/{oid or client id}
	AppRole                    // approle:{api}/{value}
	WID                        // wid:{template id of a directory role}
	Tenant                     // tenant:{tid}
)

// subjectWords holds the word of each kind with its colon.
var subjectWords = [...]string{
	Group:   "group:",
	User:    "user:",
	App:     "app:",
	AppRole: "approle:",
	WID:     "wid:",
	Tenant:  "tenant:",
}

const maxRoleValue = 120

// Subject is whom a grant concerns. Scope is the tenant id, for AppRole the api id, and empty for WID and Tenant.
type Subject struct {
	Kind  SubjectKind
	Scope string
	ID    string
}

// String is the subject as ParseSubject reads it.
func (s Subject) String() string {
	if int(s.Kind) >= len(subjectWords) || s.Kind == SubjectUnknown {
		return ""
	}
	if s.Kind == WID || s.Kind == Tenant {
		return subjectWords[s.Kind] + s.ID
	}
	return subjectWords[s.Kind] + s.Scope + "/" + s.ID
}

// ParseSubject reads a subject in its only spelling: GUIDs are lower case with hyphens. Its errors are ErrInvalid.
func ParseSubject(text string) (Subject, error) {
	s, wrong := parseSubject(text)
	if wrong != "" {
		return Subject{}, fmt.Errorf("%w: subject %q: %s", ErrInvalid, clip(text), wrong)
	}
	return s, nil
}

// parseSubject also says what is wrong, for a Problem; empty: nothing.
func parseSubject(text string) (s Subject, wrong string) {
	word, rest, found := strings.Cut(text, ":")
	if found {
		s.Kind = subjectKind(word)
	}
	if s.Kind == SubjectUnknown {
		return s, "begin with one of group:, user:, app:, approle:, wid:, tenant:"
	}
	if s.Kind == WID || s.Kind == Tenant {
		if !isGUID(rest) {
			return s, "what follows " + subjectWords[s.Kind] + " must be a GUID, lower case with hyphens"
		}
		s.ID = rest
		return s, ""
	}
	s.Scope, s.ID, found = strings.Cut(rest, "/")
	switch {
	case !found && s.Kind == AppRole:
		return s, "write approle:{api}/{value}"
	case !found:
		return s, "write " + subjectWords[s.Kind] + "{tenant id}/{id}"
	case s.Kind == AppRole && !isAPIID(s.Scope):
		return s, "what stands between approle: and / must be the id of the api"
	case s.Kind == AppRole && !isRoleValue(s.ID):
		return s, fmt.Sprintf("the role value must be 1 to %d printable ASCII characters without spaces and /", maxRoleValue)
	case s.Kind == AppRole:
		return s, ""
	case !isGUID(s.Scope):
		return s, "the tenant id must be a GUID, lower case with hyphens"
	case !isGUID(s.ID):
		return s, "the id after / must be a GUID, lower case with hyphens"
	}
	return s, ""
}

func subjectKind(word string) SubjectKind {
	for kind, known := range subjectWords {
		if known != "" && word == known[:len(known)-1] {
			return SubjectKind(kind)
		}
	}
	return SubjectUnknown
}

// isGUID says whether s is 8-4-4-4-12 lower-case hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != guidLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

const guidLen = 36

func isRoleValue(s string) bool {
	if s == "" || len(s) > maxRoleValue {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '/' {
			return false
		}
	}
	return true
}

// clip keeps a hostile text from filling an error.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
