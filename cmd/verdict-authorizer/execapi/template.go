package execapi

import (
	"slices"
	"strings"
)

// kind is what a template has between two slashes, in the order in which verdict prefers them.
type kind uint8

const (
	literal kind = iota
	typed        // {id:int}, {id:uuid}: a segment of a form that no pattern can tell
	plain        // {id}: one segment
	tail         // {rest...}: one or more segments, the last of a template
)

type segment struct {
	kind kind
	text string // of a literal
}

// template is a route template as verdict gave it (docs/policy.md).
type template struct {
	segments []segment
	slash    bool // ends in a slash, beyond the template "/"
	unfit    bool // cannot be written as a pattern: a star of its own would be a wildcard
}

// parseTemplate reads a template that verdict accepted when it was saved; what it does not understand is unfit.
func parseTemplate(text string) (t template) {
	if text == "/" {
		return t
	}
	rest, ok := strings.CutPrefix(text, "/")
	rest, t.slash = strings.CutSuffix(rest, "/")
	t.unfit = !ok
	for part := range strings.SplitSeq(rest, "/") {
		if len(t.segments) > 0 && t.segments[len(t.segments)-1].kind == tail {
			t.unfit = true
		}
		s := segment{literal, part}
		if inner, ok := strings.CutPrefix(part, "{"); ok && strings.HasSuffix(inner, "}") {
			switch {
			case strings.HasSuffix(inner, "...}"):
				s = segment{kind: tail}
			case strings.Contains(inner, ":"):
				s = segment{kind: typed}
			default:
				s = segment{kind: plain}
			}
		} else if part == "" || strings.ContainsAny(part, `*?{}`) {
			t.unfit = true
		}
		t.segments = append(t.segments, s)
	}
	return t
}

// wild says whether t has parameters.
func (t *template) wild() bool { return t.params() > 0 || t.tailed() }

// formed says whether a parameter of t asks for a form.
func (t *template) formed() bool {
	return slices.ContainsFunc(t.segments, func(s segment) bool { return s.kind == typed })
}

func (t *template) tailed() bool {
	return len(t.segments) > 0 && t.segments[len(t.segments)-1].kind == tail
}

// params is how many parameters t has that stand for one segment, which a star does not hold them to.
func (t *template) params() (n int) {
	for _, s := range t.segments {
		if s.kind == plain || s.kind == typed {
			n++
		}
	}
	return n
}

// glob is t as a pattern of a policy after the method: parameters become stars. The parameter numbered wide, from 0, becomes
// two segments, which is what the star must not be taken for; -1: none.
func (t *template) glob(wide int) string {
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		switch s.kind {
		case literal:
			b.WriteString(s.text)
		case tail:
			b.WriteByte('*')
		default:
			b.WriteByte('*')
			if wide == 0 {
				b.WriteString("/*")
			}
			wide--
		}
	}
	if t.slash || len(t.segments) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// paths is the language of t: what verdict matches with it, or a little more where a form is asked for, and of tails.
func (t *template) paths() pattern {
	var p pattern
	for _, s := range t.segments {
		p = p.literal("/")
		switch s.kind {
		case literal:
			p = p.literal(s.text)
		case tail:
			p = append(p, step{anyByte, true}, step{of: notSlash})
		default:
			p = append(p, step{of: notSlash}, step{notSlash, true})
		}
	}
	if t.slash || len(t.segments) == 0 {
		p = p.literal("/")
	}
	return p
}

// preferred says whether verdict prefers t to r for a path that both match: the first segment in which they differ decides.
// Where t asks for a form it is taken as a plain parameter, since its pattern matches as much.
func (t *template) preferred(r *template) bool {
	for i := range min(len(t.segments), len(r.segments)) {
		mine, other := t.segments[i].kind, r.segments[i].kind
		if mine == typed {
			mine = plain
		}
		if mine != other {
			return mine < other
		}
	}
	return false
}

// beats says whether verdict prefers t to r for every path that t's pattern matches and r matches. longer says that the paths
// that t's pattern matches only because a star spans slashes do not pass, or are none of r's.
func (t *template) beats(r *template, longer bool) bool {
	switch {
	case t.slash != r.slash || t.tailed() && t.params() > 0:
		return false
	case t.tailed():
	case r.tailed():
		if len(t.segments) < len(r.segments) || t.params() > 0 && !longer {
			return false
		}
	case len(t.segments) != len(r.segments):
		return false
	}
	return t.preferred(r)
}

// covered says whether every canonical path that t's pattern matches is one of by's, whatever the stars span: by has a tail, and
// before it nothing that a star of t could miss.
func (t *template) covered(by *template) bool {
	k := len(by.segments) - 1
	if !by.tailed() || t.slash || len(t.segments) <= k {
		return false
	}
	fixed := 0 // segments of t before the first star
	for fixed < len(t.segments) && t.segments[fixed].kind == literal {
		fixed++
	}
	for j, s := range by.segments[:k] {
		if s.kind != plain && (s.kind != literal || j >= fixed || s.text != t.segments[j].text) {
			return false
		}
	}
	return true
}

// freed says whether by is t with plain parameters wherever t asks for a form.
func (t *template) freed(by *template) bool {
	if len(by.segments) != len(t.segments) || by.slash != t.slash {
		return false
	}
	for i, s := range t.segments {
		if s.kind == typed {
			s = segment{kind: plain}
		}
		if by.segments[i] != s {
			return false
		}
	}
	return true
}
