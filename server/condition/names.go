package condition

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

// names are the words an expression may use.
type names struct {
	variables []string // sorted
	functions []string // those written as words, sorted
	operators map[string]bool
}

func namesOf(e *cel.Env) names {
	n := names{variables: []string{"now"}, operators: make(map[string]bool)}
	for _, o := range objects {
		n.variables = append(n.variables, o.name)
	}
	for name := range e.Functions() {
		if name == "in" || strings.ContainsAny(name, "_@!") && name != fnIPIn {
			n.operators[name] = true
			continue
		}
		n.functions = append(n.functions, name)
	}
	slices.Sort(n.variables)
	slices.Sort(n.functions)
	return n
}

// check refuses the first name that does not exist, naming the nearest one that does. Whether names are used rightly is
// for the type checker.
func (n names) check(a *ast.AST) error {
	var found *SourceError
	report := func(id int64, format string, args ...any) {
		if found == nil {
			found = errorAt(a, id, format, args...)
		}
	}
	locals := n.locals(a, report)
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			name := strings.TrimPrefix(e.AsIdent(), ".")
			if !locals[name] && !slices.Contains(n.variables, name) {
				report(e.ID(), "there is no %s; %s", name, suggest(name, n.variables))
			}
		case ast.SelectKind:
			n.checkField(e, report)
		case ast.CallKind:
			name := e.AsCall().FunctionName()
			switch {
			case n.operators[name] || slices.Contains(n.functions, name):
			case name == "map" || name == "filter" || name == "exists_one":
				report(e.ID(), "%s is not available; use exists, all or has", name)
			default:
				report(e.ID(), "there is no function %s; %s", name, suggest(name, n.functions))
			}
		case ast.StructKind:
			report(e.ID(), "conditions make no objects such as %s{}", e.AsStruct().TypeName())
		}
	}))
	if found != nil {
		return found
	}
	return nil
}

// locals returns the variables that macros declare. They hide nothing: `groups.exists(principal, …)` could be read two
// ways.
func (n names) locals(a *ast.AST, report func(int64, string, ...any)) map[string]bool {
	locals := make(map[string]bool)
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.ComprehensionKind {
			return
		}
		c := e.AsComprehension()
		if slices.Contains(n.variables, c.IterVar()) {
			report(e.ID(), "%s is a variable already; give this one another name", c.IterVar())
		}
		locals[c.IterVar()], locals[c.AccuVar()] = true, true
	}))
	return locals
}

func (n names) checkField(e ast.Expr, report func(int64, string, ...any)) {
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind {
		return
	}
	name := strings.TrimPrefix(s.Operand().AsIdent(), ".")
	for _, o := range objects {
		if o.name != name {
			continue
		}
		if _, ok := lookup(o.name, s.FieldName()); !ok {
			report(e.ID(), "%s has no %s; %s", o.name, s.FieldName(), suggest(s.FieldName(), o.fieldNames()))
		}
	}
}

// suggest names what was meant, or else all there is.
func suggest(name string, among []string) string {
	best, least := "", (len(name)+2)/3+1 // fewer edits than this are a slip of the pen
	for _, candidate := range among {
		if d := edits(strings.ToLower(name), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "there are " + strings.Join(among, ", ")
}

// edits is the Levenshtein distance of a and b, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
