package execapi

import "strings"

// class is a set of bytes that one step of a pattern takes: a byte, or one of the sets below.
type class int16

const (
	anyByte  class = 256 // whatever there is
	notSlash class = 257 // what a segment is made of
)

// step takes one byte of its class, or any number of them.
type step struct {
	of   class
	many bool
}

// pattern is a language of strings: of a policy's Resource, or of a route template.
type pattern []step

// globPattern is the language of a Resource, in which a star stands for any number of any bytes.
func globPattern(glob string) pattern {
	p := make(pattern, len(glob))
	for i := range len(glob) {
		p[i] = step{of: class(glob[i])}
		if glob[i] == '*' {
			p[i] = step{anyByte, true}
		}
	}
	return p
}

// literal adds text that stands for itself.
func (p pattern) literal(text string) pattern {
	for i := range len(text) {
		p = append(p, step{of: class(text[i])})
	}
	return p
}

// meets says whether two classes have a byte in common.
func (c class) meets(d class) bool {
	if c > d {
		c, d = d, c
	}
	switch d { // the larger set
	case anyByte:
		return true
	case notSlash:
		return c != '/'
	default:
		return c == d
	}
}

// intersects says whether some string is in both languages. It walks both at once; a place is visited once, so that the work is
// at most the product of the lengths.
func intersects(p, q pattern) bool {
	width := len(q) + 1
	seen := make([]bool, (len(p)+1)*width)
	todo := []int{0}
	seen[0] = true
	visit := func(i, j int) {
		if at := i*width + j; !seen[at] {
			seen[at] = true
			todo = append(todo, at)
		}
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		i, j := at/width, at%width
		if i == len(p) && j == len(q) {
			return true
		}
		if i < len(p) && p[i].many {
			visit(i+1, j)
		}
		if j < len(q) && q[j].many {
			visit(i, j+1)
		}
		if i < len(p) && j < len(q) && p[i].of.meets(q[j].of) {
			next, over := i+1, j+1
			if p[i].many {
				next = i
			}
			if q[j].many {
				over = j
			}
			visit(next, over)
		}
	}
	return false
}

// matches says whether a Resource pattern matches s as a policy evaluation does.
func matches(glob, s string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] { // the first place where each fits leaves most for the others
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
