package policy

import (
	"errors"
	"fmt"
)

// ErrInvalid says that something is not valid policy.
var ErrInvalid = errors.New("policy is invalid")

// maxProblems is how many problems one InvalidError lists; a reader of more than that is helped by fixing the first ones.
const maxProblems = 100

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Fact  string // "api/orders", "route/orders/list", "grant/g-1"
	Field string // proto field name, such as "template" or "permissions[2]"; empty: the fact as a whole
	Text  string // what is wrong and how to fix it
}

// String is the problem on one line.
func (p Problem) String() string {
	if p.Field == "" {
		return p.Fact + ": " + p.Text
	}
	return p.Fact + ": " + p.Field + ": " + p.Text
}

// InvalidError lists what is wrong with a policy, at most a hundred problems. It is ErrInvalid.
type InvalidError struct {
	Problems []Problem
	Omitted  int // problems found beyond those listed
}

// Error names the first problem and the number of others.
func (e *InvalidError) Error() string {
	others := len(e.Problems) + e.Omitted - 1
	switch {
	case others < 0:
		return ErrInvalid.Error()
	case others == 0:
		return fmt.Sprintf("%v: %v", ErrInvalid, e.Problems[0])
	default:
		return fmt.Sprintf("%v: %v (and %d more)", ErrInvalid, e.Problems[0], others)
	}
}

// Unwrap makes it ErrInvalid.
func (e *InvalidError) Unwrap() error { return ErrInvalid }

// problems collects what is wrong while a policy is compiled.
type problems struct {
	list    []Problem
	omitted int
}

// full says that what is added now is only counted, so that costly texts need not be made.
func (p *problems) full() bool { return len(p.list) >= maxProblems }

func (p *problems) add(fact, field, format string, args ...any) {
	if p.full() {
		p.omitted++
		return
	}
	p.list = append(p.list, Problem{Fact: fact, Field: field, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return &InvalidError{Problems: p.list, Omitted: p.omitted}
}

// item is the name of the i-th element of a repeated field.
func item(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
