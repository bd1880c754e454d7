package policy

import (
	"fmt"
	"strings"

	"github.com/verdict-authz/verdict/server/request"
)

const (
	maxParams      = 16   // of a template
	maxSegments    = 64   // of a template
	maxTemplateLen = 1024 // bytes
	maxParamName   = 32
	maxIntDigits   = 18 // what fits an int64 whatever the digits
)

// segmentKind is what a template has between two slashes, in order of precedence.
type segmentKind uint8

const (
	literalSegment segmentKind = iota
	intSegment
	uuidSegment
	plainSegment
	tailSegment
)

// segment is one part of a template; text is the literal or the parameter's name.
type segment struct {
	kind segmentKind
	text string
}

// template is a parsed path template.
type template struct {
	segments []segment
	params   []string // names, in order
	slash    bool     // ends in '/', beyond the template "/"
}

// catchAll says whether t matches every path of some depth and below: no literal, and a tail.
func (t *template) catchAll() bool {
	n := len(t.segments)
	if n == 0 || t.segments[n-1].kind != tailSegment {
		return false
	}
	for _, s := range t.segments {
		if s.kind == literalSegment {
			return false
		}
	}
	return true
}

// parseTemplate also says what is wrong, for a Problem; empty: nothing.
func parseTemplate(text string) (t template, wrong string) {
	switch {
	case text == "/":
		return t, ""
	case text == "" || text[0] != '/':
		return t, "a template begins with /"
	case len(text) > maxTemplateLen:
		return t, fmt.Sprintf("a template has at most %d characters", maxTemplateLen)
	}
	rest, slash := strings.CutSuffix(text[1:], "/")
	t.slash = slash
	for part := range strings.SplitSeq(rest, "/") {
		if n := len(t.segments); n > 0 && t.segments[n-1].kind == tailSegment {
			return t, "{" + t.params[len(t.params)-1] + "...} must be the last segment"
		}
		s, wrong := parseSegment(part)
		if wrong != "" {
			return t, wrong
		}
		if s.kind != literalSegment {
			for _, name := range t.params {
				if name == s.text {
					return t, "two parameters are named " + name + "; rename one"
				}
			}
			t.params = append(t.params, s.text)
		}
		t.segments = append(t.segments, s)
	}
	switch {
	case len(t.params) > maxParams:
		return t, fmt.Sprintf("a template has at most %d parameters", maxParams)
	case len(t.segments) > maxSegments:
		return t, fmt.Sprintf("a template has at most %d segments", maxSegments)
	case slash && t.segments[len(t.segments)-1].kind == tailSegment:
		return t, "a slash cannot follow {" + t.params[len(t.params)-1] + "...}"
	}
	return t, ""
}

func parseSegment(part string) (s segment, wrong string) {
	if part == "" {
		return s, "empty segments match nothing; remove the repeated slash"
	}
	if part[0] == '{' && part[len(part)-1] == '}' {
		return parseParam(part[1 : len(part)-1])
	}
	if strings.ContainsAny(part, "{}") {
		return s, fmt.Sprintf("in %q: a parameter must be a whole segment", clip(part))
	}
	if !request.ValidSegment(part) {
		return s, fmt.Sprintf("%q is not a literal segment: letters, digits and -._~!$&'()*+,:=@ only, and neither . nor ..", clip(part))
	}
	return segment{literalSegment, part}, ""
}

func parseParam(inner string) (s segment, wrong string) {
	s.kind = plainSegment
	name, tail := strings.CutSuffix(inner, "...")
	if tail {
		s.kind = tailSegment
	} else if before, form, typed := strings.Cut(inner, ":"); typed {
		name = before
		switch form {
		case "int":
			s.kind = intSegment
		case "uuid":
			s.kind = uuidSegment
		default:
			return s, fmt.Sprintf("{%s}: the form after the colon is int or uuid", clip(inner))
		}
	}
	if !isParamName(name) {
		return s, fmt.Sprintf("{%s}: a parameter's name is 1 to %d of a-z, 0-9 and _, beginning with a letter", clip(inner), maxParamName)
	}
	s.text = name
	return s, ""
}

func isParamName(s string) bool {
	if s == "" || len(s) > maxParamName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// isInt says whether a path segment is 1 to 18 decimal digits.
func isInt(s string) bool {
	if s == "" || len(s) > maxIntDigits {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// isUUID says whether a path segment is 8-4-4-4-12 hexadecimal digits, of either case.
func isUUID(s string) bool {
	if len(s) != guidLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case (s[i] < '0' || s[i] > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
