package policy

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SubjectKind is what a grant's subject is.
type SubjectKind uint8

// The kinds of subjects. The zero kind is none.
const (
	SubjectUnknown SubjectKind = iota
	Group                      // group:{tid}/{oid, SID or DN}, group:{provider}/{id}
	User                       // user:{tid}/{oid, SID or DN}, user:{provider}/{id}
	App                        // app:{tid}/{oid or client id}, app:{provider}/{id}
	AppRole                    // approle:{api}/{value}
	WID                        // wid:{template id of a directory role}
	Tenant                     // tenant:{tid}, tenant:{provider}
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

// The longest texts, in characters.
const (
	maxRoleValue = 120
	maxSlug      = 63
	maxForeignID = 200
	maxDN        = 300
)

// Subject is whom a grant concerns. Scope is the tenant: a GUID, or the name of a provider that has no tenants (IsSlug).
// For AppRole it is the api id, and it is empty for WID and Tenant. No scope holds a slash; an id of a provider may.
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

// ParseSubject reads a subject in its only spelling: GUIDs are lower case with hyphens, everything else is compared byte
// for byte. Its errors are ErrInvalid.
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
	switch {
	case s.Kind == WID && !isGUID(rest):
		return s, "what follows wid: must be a GUID, lower case with hyphens"
	case s.Kind == Tenant && !isGUID(rest) && !IsSlug(rest):
		return s, "what follows tenant: must be a GUID, lower case with hyphens, or the name of a provider"
	case s.Kind == WID, s.Kind == Tenant:
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
	case IsSlug(s.Scope):
		if !IsForeignID(s.ID) {
			return s, fmt.Sprintf("the id after / must be 1 to %d printable characters", maxForeignID)
		}
		return s, ""
	case !isGUID(s.Scope):
		return s, "the tenant must be a GUID, lower case with hyphens, or the name of a provider"
	case isGUID(s.ID), s.Kind != App && (IsSID(s.ID) || isDN(s.ID)):
		return s, ""
	case s.Kind == App:
		return s, "the id after / must be a GUID, lower case with hyphens"
	}
	return s, "the id after / must be a GUID, lower case with hyphens, or of Active Directory a SID or a distinguished name in lower case"
}

// IsSlug says whether s can name a provider without tenants, in the place of a tenant id: 1 to 63 of a-z, 0-9, - and .,
// beginning with a letter. A GUID never is one.
func IsSlug(s string) bool {
	if s == "" || len(s) > maxSlug || s[0] < 'a' || s[0] > 'z' || isGUID(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// IsForeignID says whether s can be an id of a provider without tenants: 1 to 200 printable characters, of spaces only
// U+0020.
func IsForeignID(s string) bool { return isPrintable(s, maxForeignID) }

// IsSID says whether s is a security identifier of Active Directory, as S-1-5-21-1004336348-1177238915-682003330-512.
func IsSID(s string) bool {
	rest, found := strings.CutPrefix(s, "S-1-5-")
	parts := 0
	for part := range strings.SplitSeq(rest, "-") {
		if parts++; part == "" || len(part) > 10 || len(part) > 1 && part[0] == '0' || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return found && parts <= 15
}

// isDN says whether s may be a distinguished name, in lower case: directories do not tell case apart, and a deny must not
// be missed by it. What else is in it is the directory's business.
func isDN(s string) bool {
	return strings.IndexByte(s, '=') > 0 && isPrintable(s, maxDN) && strings.ToLower(s) == s
}

func isPrintable(s string, most int) bool {
	if s == "" || len(s) > most*utf8.UTFMax || !utf8.ValidString(s) || utf8.RuneCountInString(s) > most {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) })
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
