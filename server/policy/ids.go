package policy

import "strings"

// The grammars of ids are those of verdict.v1; ids go into URLs, logs and records as they are.

const maxIDLen = 63

// isAPIID: a letter, then letters, digits and '-'.
func isAPIID(s string) bool { return isID(s, false, "-") }

// isRouteID: a letter, then letters, digits, '-', '_' and '.'.
func isRouteID(s string) bool { return isID(s, false, "-_.") }

// isGrantID: a letter or digit, then letters, digits, '-', '_' and '.'.
func isGrantID(s string) bool { return isID(s, true, "-_.") }

func isID(s string, digitFirst bool, marks string) bool {
	if s == "" || len(s) > maxIDLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
		case c >= '0' && c <= '9' && (i > 0 || digitFirst):
		case i > 0 && strings.IndexByte(marks, c) >= 0:
		default:
			return false
		}
	}
	return true
}
