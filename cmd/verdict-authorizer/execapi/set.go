package execapi

import (
	"slices"
	"strings"
)

// Route is a route of the api: methods in upper case, and the template.
type Route struct {
	Methods  []string
	Template string
}

// Reach says which paths get as far as the authorizer and, let pass, to what is behind the gateway.
type Reach uint8

const (
	// ReachAny is any path at all: some route of the gateway is greedy ({proxy+}), or nobody has said otherwise.
	ReachAny Reach = iota
	// ReachDeclared is the paths of verdict's templates: each of them is a resource of the gateway, with its methods, and the
	// gateway has no others that are guarded by this authorizer.
	ReachDeclared
)

// Table is what verdict said of the routes of an api and a caller: those that it may use whatever else its request says, and
// all others.
type Table struct {
	Permitted, Refused []Route
	Reach              Reach
}

// Set is the patterns of a policy, without the ARN before the method: a request passes that some Allow matches and no Deny.
type Set struct {
	Allow, Deny []string // sorted, each once
	// Proven says that the set lets nothing pass that verdict would not, for as long as its table holds. One that is not may
	// answer the request at hand and nothing else.
	Proven bool
}

// Passes says whether a policy of the set lets a request pass, named as by ARN.Request.
func (s *Set) Passes(request string) bool {
	hit := func(glob string) bool { return matches(glob, request) }
	return slices.ContainsFunc(s.Allow, hit) && !slices.ContainsFunc(s.Deny, hit)
}

// Spare lets one request pass that verdict allows: it takes away the Deny patterns that the request meets, and no others. Where
// it has an escape, those of escapes give way to patterns of the escapes that verdict refuses wherever they stand.
func (s *Set) Spare(request string) {
	meets := func(glob string) bool { return matches(glob, request) }
	before := len(s.Deny)
	s.Deny = slices.DeleteFunc(slices.Clone(s.Deny), meets)
	if len(s.Deny) == before || !strings.Contains(request, "%") {
		return
	}
	s.Deny = append(s.Deny, slices.DeleteFunc(slices.Clone(escapes), meets)...)
	slices.Sort(s.Deny)
}

// escapes match those of separators, dots, the percent sign, control characters and whatever is not ASCII.
var escapes = strings.Fields("*%2F* *%2f* *%5C* *%5c* *%3B* *%3b* *%3F* *%3f* *%23* *%2E* *%2e* *%25* *%0* *%1* *%7F* *%7f* " +
	"*%8* *%9* *%A* *%a* *%B* *%b* *%C* *%c* *%D* *%d* *%E* *%e* *%F* *%f*")

// guards match the paths that verdict refuses as malformed, so that a star cannot stand for what means two things: empty segments
// and dots, escapes (of which some are harmless; a pattern cannot tell), other bytes that have no place in a path. They meet no
// path of a template that is in canonical form and has no escape. The first star takes the method.
var guards = strings.Fields("*//* */./* */../* */. */.. *%* *;* *\\* *#* *\"* *<* *>* *[* *]* *^* *`* *{* *|* *}*")

// slashGuard matches a slash at the end, beyond the root, where only a template has it that ends so too.
const slashGuard = "*/*/"

// All is the set of everything that is permitted.
func (t *Table) All() Set {
	var allow []entry
	for _, r := range t.Permitted {
		for _, m := range r.Methods {
			allow = append(allow, entry{m, parseTemplate(r.Template)})
		}
	}
	return t.build(allow)
}

// Only is the set of one route and method, closed against all other paths whatever the reach: that costs it nothing. Where the
// route is not among those permitted, it was allowed to the request at hand, and the set is not proven.
func (t *Table) Only(route Route, method string) Set {
	alone := Table{Permitted: t.Permitted, Refused: t.Refused, Reach: ReachAny}
	s := alone.build([]entry{{method, parseTemplate(route.Template)}})
	s.Proven = s.Proven && slices.ContainsFunc(t.Permitted, func(r Route) bool {
		return r.Template == route.Template && slices.Contains(r.Methods, method)
	})
	return s
}

// entry is a method of a route.
type entry struct {
	method   string
	template template
}

func (e *entry) glob() pattern {
	return slices.Concat(pattern(nil).literal(e.method), globPattern(e.template.glob(-1)))
}
func (e *entry) paths() pattern {
	return slices.Concat(pattern(nil).literal(e.method), e.template.paths())
}

// builder collects the patterns of a set.
type builder struct {
	permitted, refused []entry
	reach              Reach
	allow              []entry
	languages          []pattern       // paths of allow
	deny               map[string]bool // false: it would meet what is allowed, and is left out
}

func (t *Table) build(wanted []entry) Set {
	b := builder{permitted: entries(t.Permitted), refused: entries(t.Refused), reach: t.Reach, deny: map[string]bool{}}
	s := Set{Proven: true}
	wild, slash := false, false
	for _, e := range wanted {
		if e.template.unfit || !made(e.method, upper) {
			s.Proven = false
			continue
		}
		b.allow = append(b.allow, e)
		b.languages = append(b.languages, e.paths())
		wild, slash = wild || e.template.wild(), slash || e.template.slash
		s.Allow = append(s.Allow, e.method+e.template.glob(-1))
	}
	for i := range b.allow {
		s.Proven = b.close(&b.allow[i]) && s.Proven
	}
	if wild {
		for _, g := range guards {
			b.deny[g] = true
		}
		b.deny[slashGuard] = !slash
	}
	for g, fits := range b.deny {
		if s.Proven = s.Proven && fits; fits {
			s.Deny = append(s.Deny, g)
		}
	}
	slices.Sort(s.Allow)
	slices.Sort(s.Deny)
	s.Allow = slices.Compact(s.Allow)
	return s
}

func entries(routes []Route) (list []entry) {
	for _, r := range routes {
		t := parseTemplate(r.Template)
		for _, m := range r.Methods {
			list = append(list, entry{m, t})
		}
	}
	return list
}

// refuse adds a Deny pattern, unless it meets a path of what is allowed.
func (b *builder) refuse(glob string) {
	p := globPattern(glob)
	meets := slices.ContainsFunc(b.languages, func(l pattern) bool { return intersects(l, p) })
	b.deny[glob] = b.deny[glob] || !meets
}

// refuseRoute adds the Deny pattern of a route, unless it meets paths that verdict would take for another one, that is allowed:
// those for which the other is preferred, those of another form than r asks for, and those that the pattern matches only because
// a star spans slashes.
func (b *builder) refuseRoute(r *entry) {
	own := r.paths()
	meets := false
	for i := range b.allow {
		meets = meets || intersects(b.languages[i], own) && (r.template.formed() || !r.template.preferred(&b.allow[i].template))
		for wide := range r.template.params() {
			meets = meets || intersects(b.languages[i], globPattern(r.method+r.template.glob(wide)))
		}
	}
	glob := r.method + r.template.glob(-1)
	b.deny[glob] = b.deny[glob] || !meets
}

// close refuses whatever e's pattern matches and verdict would not let pass. False when no pattern can.
func (b *builder) close(e *entry) bool {
	t := &e.template
	if !t.wild() {
		return true // it matches one path, for which verdict prefers it to all others
	}
	matched := e.glob()
	longer := b.closeLonger(e, matched)
	if len(t.segments) == 1 && !b.isPermitted(e.method, func(c *template) bool { return len(c.segments) == 0 && !c.unfit }) {
		b.refuse(e.method + "/") // the star takes nothing at all for a segment
	}
	for i := range b.refused {
		r := &b.refused[i]
		if r.method == e.method && !t.beats(&r.template, longer) && intersects(matched, r.paths()) {
			b.refuseRoute(r)
		}
	}
	// A star takes what has another form than the one asked for, of which verdict may know nothing.
	return !t.formed() || b.isPermitted(e.method, func(c *template) bool { return t.freed(c) })
}

// closeLonger refuses what e's parameters match only because a star spans slashes, where such paths get here and are not all
// of a tail that is permitted. It says whether none of them passes or needs to be thought of.
func (b *builder) closeLonger(e *entry, matched pattern) bool {
	t := &e.template
	if t.params() == 0 {
		return true
	}
	covered := b.isPermitted(e.method, func(c *template) bool { return t.covered(c) })
	if b.reach == ReachDeclared || covered {
		greedy := slices.ContainsFunc(b.refused, func(r entry) bool {
			return r.method == e.method && r.template.tailed() && intersects(matched, r.paths())
		})
		if !greedy {
			return true
		}
		if covered {
			return false // what the refused tail takes of them is refused on its own
		}
	}
	for i := range t.params() {
		b.refuse(e.method + t.glob(i))
	}
	return true
}

func (b *builder) isPermitted(method string, is func(*template) bool) bool {
	return slices.ContainsFunc(b.permitted, func(p entry) bool { return p.method == method && is(&p.template) })
}

// Resources is how many Resources the set of everything has at least.
func (t *Table) Resources() (n int) {
	for _, r := range t.Permitted {
		n += len(r.Methods)
	}
	return n
}
