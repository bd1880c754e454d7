package condition

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// patternFactor is what an instruction of a regular expression costs per byte of text, in units of 80 ns; measured with
// patterns that keep all their instructions busy. The model of cel goes by the length of the pattern, which says little:
// `(.*a){90}` has nine characters.
const patternFactor = 0.1

// sizes tells the cost estimate how large the fields can be and what patterns cost.
type sizes struct{}

var _ cost.Estimator = sizes{}

// EstimateCallCost implements cost.Estimator, for matches alone. The others cost what cel says; ip_in is one step, since
// it reads no further than an address goes.
func (s sizes) EstimateCallCost(_, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if !isMatches(overload) || len(args) == 0 {
		return nil
	}
	subject := args[0]
	if target != nil {
		subject = *target
	}
	pattern, _ := literal(args[len(args)-1].Expr())
	size, err := types.RegexProgramSize(pattern)
	if err != nil {
		return nil
	}
	work := cost.EstimateSize(s, subject).MultiplyByCostFactor(patternFactor * float64(size))
	return cost.NewCallEstimate(work.Add(cost.FixedCostEstimate(1)), nil)
}

// EstimateSize implements cost.Estimator. A path is variable, field and, inside a list or map, what the estimator calls
// its parts.
func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) < 2 {
		return nil
	}
	f, ok := lookup(path[0], path[1])
	if !ok {
		return nil
	}
	largest := f.max.bytes
	if f.max.entries > 0 && len(path) == 2 {
		largest = f.max.entries
	}
	estimate := cost.RangedSizeEstimate(0, largest)
	return &estimate
}

// patterns has the size of each pattern of a condition, for the tracking of its cost.
type patterns map[string]int

var _ cost.ActualCostEstimator = patterns{}

func patternsOf(checked *ast.AST) patterns {
	found := patterns{}
	ast.PreOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return
		}
		args := e.AsCall().Args()
		if pattern, ok := literal(args[len(args)-1]); ok {
			if size, err := types.RegexProgramSize(pattern); err == nil {
				found[pattern] = size
			}
		}
	}))
	return found
}

// CallCost implements cost.ActualCostEstimator, as EstimateCallCost.
func (p patterns) CallCost(_, overload string, args []ref.Val, _ ref.Val) *uint64 {
	if !isMatches(overload) || len(args) != 2 {
		return nil
	}
	subject, ok := args[0].(types.String)
	if !ok {
		return nil
	}
	pattern, ok := args[1].(types.String)
	if !ok {
		return nil
	}
	charge := uint64(float64(len(subject))*patternFactor*float64(p[string(pattern)])) + 1
	return &charge
}

func isMatches(overload string) bool {
	return overload == overloads.Matches || overload == overloads.MatchesString
}
