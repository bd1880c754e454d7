package condition

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// checkLiterals refuses what has to be literal and is not, literals that mean nothing, and objects used as values. What
// is left of these fails at no evaluation.
func checkLiterals(checked *ast.AST) error {
	var found *SourceError
	report := func(id int64, text string) {
		if found == nil && text != "" {
			found = errorAt(checked, id, "%s", text)
		}
	}
	for _, e := range ast.MatchDescendants(ast.NavigateAST(checked), ast.AllMatcher()) {
		if e.Kind() == ast.CallKind {
			checkCall(e, report)
		}
		if e.Type().Kind() != types.StructKind {
			continue
		}
		if parent, ok := e.Parent(); !ok || parent.Kind() != ast.SelectKind {
			report(e.ID(), e.Type().TypeName()+" is not a value; name one of its fields")
		}
	}
	if found != nil {
		return found
	}
	return nil
}

func checkCall(e ast.Expr, report func(int64, string)) {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); {
	case name == overloads.Matches:
		// matches is a method and, with the text as first argument, a function as well.
		pattern := args[len(args)-1]
		p, ok := literal(pattern)
		switch {
		case !ok:
			report(pattern.ID(), "the pattern of matches is a literal text")
		case utf8.RuneCountInString(p) > maxPattern:
			report(pattern.ID(), fmt.Sprintf("the pattern of matches has at most %d characters", maxPattern))
		default:
			if _, err := regexp.Compile(p); err != nil {
				report(pattern.ID(), err.Error())
			}
		}
	case name == fnIPIn:
		if s, ok := literal(args[0]); ok {
			report(args[0].ID(), checkAddress(s))
		}
		if s, ok := literal(args[1]); ok {
			report(args[1].ID(), checkNetwork(s))
		}
	case takesZone(name) && len(args) == 1:
		zone, ok := literal(args[0])
		if !ok {
			report(args[0].ID(), "the time zone is a literal text such as \"Europe/Berlin\"")
			return
		}
		if err := loadZone(zone); err != nil {
			report(args[0].ID(), err.Error())
		}
	}
}

// literal returns the text of a literal string.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
