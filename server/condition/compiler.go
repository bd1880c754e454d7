package condition

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"

	"github.com/verdict-authz/verdict/server/policy"
)

// MaxSource is the length of the longest source, in characters.
const MaxSource = 2048

// DefaultCostLimit lets an expression loop over 10,000 groups twice. A unit is a step of the evaluator, up to 80 ns, so
// the worst expression with the longest list takes some 20 ms; one with ten groups, a few microseconds.
const DefaultCostLimit = 250_000

const (
	maxPattern        = 256  // characters of a regular expression
	maxPatternProgram = 300  // instructions it compiles to; repetitions multiply them
	maxNesting        = 64   // depth of an expression
	maxNodes          = 4096 // of an expression, macros expanded
)

// Config tunes a Compiler. The zero value is usable.
type Config struct {
	CostLimit uint64 // worst case accepted by Compile and hard limit of Holds; 0 means DefaultCostLimit
}

// Compiler compiles conditions. It is safe for concurrent use.
type Compiler struct {
	env   *cel.Env
	limit uint64
	names names
}

// New makes a Compiler.
func New(cfg Config) (*Compiler, error) {
	if cfg.CostLimit == 0 {
		cfg.CostLimit = DefaultCostLimit
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("make the registry of types: %w", err)
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{
			IncludeMacros: []string{"has", "exists", "all"},
			// Both undo what the declared types are for.
			ExcludeFunctions: []*env.Function{{Name: "dyn"}, {Name: "type"}},
		})),
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(schema{registry}),
		cel.Variable("now", cel.TimestampType),
		cel.ParserRecursionLimit(maxNesting),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxPatternProgram),
		cel.ASTValidators(cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(), cel.ValidateHomogeneousAggregateLiterals()),
		ipIn(),
	}
	for _, object := range objects {
		options = append(options, cel.Variable(object.name, cel.ObjectType(object.name)))
	}
	options = append(options, zoned()...)
	e, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("make the environment of conditions: %w", err)
	}
	return &Compiler{env: e, limit: cfg.CostLimit, names: namesOf(e)}, nil
}

// standard is the Compiler with the defaults.
var standard = sync.OnceValues(func() (*Compiler, error) { return New(Config{}) })

// Compile compiles source with the default limits; it is a policy.ConditionCompiler. The error is a *SourceError.
func Compile(source string) (policy.Condition, error) {
	c, err := standard()
	if err != nil {
		return nil, err
	}
	return c.Compile(source)
}

var _ policy.ConditionCompiler = Compile

// Compile compiles source; its method value is a policy.ConditionCompiler. The error is a *SourceError.
func (c *Compiler) Compile(source string) (policy.Condition, error) {
	if !utf8.ValidString(source) {
		return nil, &SourceError{Text: "not valid UTF-8"}
	}
	if strings.TrimSpace(source) == "" {
		return nil, &SourceError{Text: "empty; to have none, leave the condition out"}
	}
	if n := utf8.RuneCountInString(source); n > MaxSource {
		return nil, &SourceError{Text: fmt.Sprintf("%d characters; at most %d", n, MaxSource)}
	}
	parsed, issues := c.env.Parse(source)
	if issues.Err() != nil {
		return nil, fromIssues(issues)
	}
	// Before the type checker, whose messages name no alternatives.
	if err := c.names.check(parsed.NativeRep()); err != nil {
		return nil, err
	}
	checked, issues := c.env.Check(parsed)
	if issues.Err() != nil {
		return nil, fromIssues(issues)
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, &SourceError{Text: fmt.Sprintf("the result is %s; a condition is a bool", cel.FormatCELType(checked.OutputType()))}
	}
	if err := checkLiterals(checked.NativeRep()); err != nil {
		return nil, err
	}
	if err := c.checkCost(checked); err != nil {
		return nil, err
	}
	program, err := c.env.Program(checked, cel.EvalOptions(cel.OptOptimize),
		cel.CostTracking(patternsOf(checked.NativeRep())), cel.CostLimit(c.limit))
	if err != nil {
		return nil, &SourceError{Text: err.Error()}
	}
	return &compiled{program}, nil
}

func (c *Compiler) checkCost(checked *cel.Ast) error {
	estimate, err := c.env.EstimateCost(checked, sizes{})
	if err != nil {
		return &SourceError{Text: fmt.Sprintf("its cost cannot be estimated: %v", err)}
	}
	if estimate.IsUnknown() {
		return &SourceError{Text: "its cost has no bound"}
	}
	if estimate.Max > c.limit {
		return &SourceError{Text: fmt.Sprintf("may cost up to %d steps; at most %d: "+
			"use fewer loops inside loops, shorter patterns, less text put together", estimate.Max, c.limit)}
	}
	return nil
}

// SourceError says what is wrong with a source, for the person who wrote it.
type SourceError struct {
	Line, Column int // from 1, columns in characters; 0: the whole source
	Text         string
}

// Unwrap says that the fault is in what was asked for.
func (e *SourceError) Unwrap() error { return policy.ErrInvalid }

// Error is one line.
func (e *SourceError) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// errorAt makes a SourceError for the expression with the given id.
func errorAt(a *ast.AST, id int64, format string, args ...any) *SourceError {
	at := a.SourceInfo().GetStartLocation(id)
	return &SourceError{Line: at.Line(), Column: at.Column() + 1, Text: fmt.Sprintf(format, args...)}
}

// fromIssues keeps the first problem that CEL found: the others are mostly its consequences.
func fromIssues(issues *cel.Issues) *SourceError {
	all := issues.Errors()
	if len(all) == 0 {
		return &SourceError{Text: issues.Err().Error()}
	}
	first := all[0]
	text := first.Message
	if better, ok := clearer[text]; ok {
		text = better
	}
	if first.Location == nil || first.Location.Line() < 1 {
		return &SourceError{Text: text}
	}
	return &SourceError{Line: first.Location.Line(), Column: first.Location.Column() + 1, Text: text}
}

// clearer replaces messages of cel that do not say what would be right.
var clearer = map[string]string{
	"invalid timestamp argument": `not a timestamp such as "2027-01-31T08:00:00Z"`,
	"invalid duration argument":  `not a duration such as "90m" or "1h30m"`,
}
