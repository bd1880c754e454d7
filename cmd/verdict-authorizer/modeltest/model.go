// Package modeltest is a small model of verdict for tests of the authorizer: routes, which of them a caller may use, and what a
// question about a path is answered, written as plainly as can be and sharing nothing with the code under test. The canonical
// form of paths is verdict's own.
package modeltest

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/verdict-authz/verdict/server/request"
)

// Route is a route of the model's one api.
type Route struct {
	ID          string
	Methods     []string
	Template    string
	Permitted   bool // to the caller, whatever else its request says
	Conditional bool // allowed to the request at hand, and to others perhaps not
}

// Policy is what the model decides by.
type Policy struct{ Routes []Route }

// Decide answers a question as verdict does: the route of the path, if any, and whether the caller may use it.
func (p *Policy) Decide(method, path string, decoded bool) (route *Route, allowed bool) {
	var canonical request.Canonical
	raw := request.Raw{Method: method, Target: path, Decoded: decoded}
	if strings.Contains(path, "?") || request.Canonicalise(&raw, &canonical) != request.Fault(0) {
		return nil, false
	}
	route = p.match(method, canonical.Path)
	if canonical.OtherPath != "" && p.match(method, canonical.OtherPath) != route {
		return nil, false
	}
	return route, route != nil && (route.Permitted || route.Conditional)
}

// match finds the route whose template is preferred: at the first segment in which two differ, a literal before a form
// before a plain parameter before a tail.
func (p *Policy) match(method, path string) (best *Route) {
	for i := range p.Routes {
		r := &p.Routes[i]
		if slices.Contains(r.Methods, method) && matches(r.Template, path) && (best == nil || ranks(r.Template) < ranks(best.Template)) {
			best = r
		}
	}
	return best
}

func matches(template, path string) bool {
	if template == "/" || path == "/" {
		return template == path
	}
	if strings.HasSuffix(template, "/") != strings.HasSuffix(path, "/") {
		return false
	}
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i, w := range want {
		if strings.HasSuffix(w, "...}") {
			return len(have) > i && !slices.Contains(have[i:], "")
		}
		if i >= len(have) || !fits(w, have[i]) {
			return false
		}
	}
	return len(want) == len(have)
}

func fits(want, have string) bool {
	switch {
	case strings.HasSuffix(want, ":int}"):
		_, err := strconv.ParseUint(have, 10, 63)
		return err == nil && len(have) <= 18
	case strings.HasPrefix(want, "{"):
		return have != ""
	}
	return want == have
}

// ranks orders templates that match the same path.
func ranks(template string) string {
	var b strings.Builder
	for seg := range strings.SplitSeq(template, "/") {
		switch {
		case strings.HasSuffix(seg, "...}"):
			b.WriteByte('3')
		case strings.HasSuffix(seg, ":int}"):
			b.WriteByte('1')
		case strings.HasPrefix(seg, "{"):
			b.WriteByte('2')
		default:
			b.WriteByte('0')
		}
	}
	return b.String()
}

// words are few, so that templates meet.
var words = []string{"a", "b", "me", "admin", "7"}

// Random is a policy of up to ten routes, none of which ties with another.
func Random(rng *rand.Rand) *Policy {
	p, shapes := &Policy{}, map[string]bool{}
	share := rng.IntN(4) // of the routes that are refused, in quarters
	for i := range 1 + rng.IntN(10) {
		r := Route{ID: "r" + strconv.Itoa(i), Template: template(rng), Permitted: rng.IntN(4) >= share}
		r.Conditional = !r.Permitted && rng.IntN(4) == 0
		for _, m := range []string{"GET", "POST"} {
			shape := m + shapeOf(r.Template)
			if rng.IntN(3) > 0 && !shapes[shape] {
				shapes[shape] = true
				r.Methods = append(r.Methods, m)
			}
		}
		if len(r.Methods) > 0 {
			p.Routes = append(p.Routes, r)
		}
	}
	return p
}

// shapeOf is what two templates that tie have in common.
func shapeOf(template string) string {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		switch {
		case strings.HasSuffix(s, "...}"):
			segments[i] = "{...}"
		case strings.HasSuffix(s, ":int}"):
			segments[i] = "{:int}"
		case strings.HasPrefix(s, "{"):
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

func template(rng *rand.Rand) string {
	var b strings.Builder
	for i := range rng.IntN(5) {
		name := string(rune('p' + i))
		switch n := rng.IntN(20); {
		case n == 0:
			b.WriteString("/{" + name + ":int}")
		case n <= 5:
			b.WriteString("/{" + name + "}")
		case n == 6:
			b.WriteString("/{" + name + "...}")
			return b.String()
		default:
			b.WriteString("/" + words[rng.IntN(len(words))])
		}
	}
	if b.Len() == 0 || rng.IntN(20) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// hostile are segments that a client may try.
var hostile = []string{
	"*", "%2F", "..", ".", "", "a%2Fadmin", "%61", "me;x=1", "$", "${aws:username}", "{x}", "{p}", "%40", "a@b", "a%40b", "ADMIN", "%", "é", "a b", "a|b", "\\", "?", "7;", "#",
}

// Path is a path that somebody asks for: of a template of the policy with its parameters filled in, sometimes with something
// else in a place, more, or less.
func (p *Policy) Path(rng *rand.Rand) string {
	text := template(rng)
	if len(p.Routes) > 0 && rng.IntN(4) > 0 {
		text = p.Routes[rng.IntN(len(p.Routes))].Template
	}
	segments := strings.Split(text, "/")[1:]
	for i, s := range segments {
		switch {
		case strings.HasSuffix(s, "...}"):
			segments[i] = strings.Join([]string{word(rng), word(rng), word(rng)}[:1+rng.IntN(3)], "/")
		case strings.HasPrefix(s, "{"):
			segments[i] = word(rng)
		}
	}
	switch at := rng.IntN(len(segments)); rng.IntN(8) {
	case 0:
		segments = slices.Insert(segments, at, word(rng))
	case 1:
		segments = slices.Delete(segments, at, at+1)
	case 2:
		segments[at] = hostile[rng.IntN(len(hostile))]
	case 3:
		segments = append(segments, "")
	default:
	}
	return "/" + strings.Join(segments, "/")
}

func word(rng *rand.Rand) string {
	if rng.IntN(12) == 0 {
		return hostile[rng.IntN(len(hostile))]
	}
	return words[rng.IntN(len(words))]
}
