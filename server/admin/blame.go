package admin

import (
	"fmt"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/status"
)

// blame knows where in the request each fact is, so that problems can be told in terms of the request.
type blame struct {
	root  string            // what is at fault when another fact is broken by the request
	facts map[string]string // name of a fact as in policy.Problem -> its path
	lists map[string]string // name of a route -> the member that holds its permissions: all_of or any_of
}

// fact notes where a fact is.
func (b *blame) fact(name, path string) {
	if b.facts == nil {
		b.facts = map[string]string{}
	}
	b.facts[name] = path
}

// route notes where a route is and which member holds its permissions.
func (b *blame) route(name, path, list string) {
	b.fact(name, path)
	if b.lists == nil {
		b.lists = map[string]string{}
	}
	b.lists[name] = list
}

// own is the part of the problems that is about facts of the request.
func (b *blame) own(e *policy.InvalidError) *policy.InvalidError {
	own := &policy.InvalidError{}
	for _, p := range e.Problems {
		if _, ok := b.facts[p.Fact]; ok {
			own.Problems = append(own.Problems, p)
		}
	}
	return own
}

// violations tells the problems by their place in the request.
func (b *blame) violations(e *policy.InvalidError) error {
	vs := make([]status.Violation, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		vs = append(vs, b.violation(p))
	}
	if e.Omitted > 0 {
		vs = append(vs, status.Violation{Field: b.root, Text: fmt.Sprintf("and %d more problems that are not listed", e.Omitted)})
	}
	return status.Invalid(vs...)
}

func (b *blame) violation(p policy.Problem) status.Violation {
	path, ok := b.facts[p.Fact]
	if !ok {
		return status.Violation{Field: b.root, Text: "this would break " + p.String()}
	}
	field := p.Field
	if list := b.lists[p.Fact]; list != "" && strings.HasPrefix(field, "permissions") {
		field = list + "." + field
	}
	if field != "" {
		path += "." + field
	}
	return status.Violation{Field: path, Text: p.Text}
}
