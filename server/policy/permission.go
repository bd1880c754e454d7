package policy

import (
	"fmt"
	"strings"
)

const (
	maxWords         = 8   // of a permission
	maxPermissionLen = 128 // bytes, of a permission or pattern
)

// ParsePermission checks the name of a permission, words of a-z, 0-9, '_' and '-' joined by dots. Its errors are ErrInvalid.
func ParsePermission(text string) (string, error) {
	if wrong := checkPermission(text); wrong != "" {
		return "", fmt.Errorf("%w: permission %q: %s", ErrInvalid, clip(text), wrong)
	}
	return text, nil
}

// Pattern is what grants and caps name: a permission, or all that begin with some words.
type Pattern struct {
	words    string // with the last dot when wildcard
	wildcard bool
}

// ParsePattern reads a permission or, with a last word `*`, a wildcard. Its errors are ErrInvalid.
func ParsePattern(text string) (Pattern, error) {
	if wrong := checkPattern(text); wrong != "" {
		return Pattern{}, fmt.Errorf("%w: permission pattern %q: %s", ErrInvalid, clip(text), wrong)
	}
	words, wildcard := strings.CutSuffix(text, "*")
	return Pattern{words: words, wildcard: wildcard}, nil
}

// String is the pattern as ParsePattern reads it.
func (p Pattern) String() string {
	if p.wildcard {
		return p.words + "*"
	}
	return p.words
}

// Matches says whether p stands for the permission; `orders.*` matches `orders.read` and `orders.items.read`, not `orders`.
func (p Pattern) Matches(permission string) bool {
	if p.wildcard {
		return len(permission) > len(p.words) && strings.HasPrefix(permission, p.words)
	}
	return p.words != "" && p.words == permission
}

// checkPermission says what is wrong with a name; empty: nothing.
func checkPermission(s string) string {
	switch {
	case s == "":
		return "a name is needed, such as orders.read"
	case len(s) > maxPermissionLen:
		return fmt.Sprintf("a name has at most %d characters", maxPermissionLen)
	case strings.Contains(s, "*"):
		return "a wildcard cannot stand here; name one permission"
	case strings.Count(s, ".") >= maxWords:
		return fmt.Sprintf("a name has at most %d words", maxWords)
	}
	first := true // of a word
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.' && !first:
			first = true
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || !first && (c == '_' || c == '-'):
			first = false
		default:
			return "words of a-z, 0-9, _ and -, beginning with a letter or digit, joined by single dots"
		}
	}
	if first {
		return "a name cannot end in a dot"
	}
	return ""
}

// checkPattern says what is wrong with a pattern; empty: nothing.
func checkPattern(s string) string {
	if s == "*" {
		return "* alone is refused; name the permissions or write a prefix such as orders.*"
	}
	words, wildcard := strings.CutSuffix(s, ".*")
	if !wildcard {
		if strings.Contains(s, "*") {
			return "* can only be the whole last word, as in orders.*"
		}
		return checkPermission(s)
	}
	if len(s) > maxPermissionLen {
		return fmt.Sprintf("a pattern has at most %d characters", maxPermissionLen)
	}
	if strings.Contains(words, "*") {
		return "* can only be the whole last word, as in orders.*"
	}
	return checkPermission(words)
}
