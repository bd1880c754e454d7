package condition

import (
	"errors"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/verdict-authz/verdict/server/policy"
)

// What Holds returns, and nothing else. They name no values: conditions read claims and parameters.
var (
	// ErrNotComputed: a missing parameter, a text that is no timestamp, a division by zero and the like.
	ErrNotComputed = errors.New("condition: not computed")
	// ErrSourceIPUnknown: request.source_ip is needed and the enforcement point did not tell it.
	ErrSourceIPUnknown = errors.New("condition: source address unknown")
	// ErrCostExceeded: the hard limit was reached, as with more groups than Compile reckons with.
	ErrCostExceeded = errors.New("condition: cost limit exceeded")
)

// compiled is a policy.Condition.
type compiled struct {
	program cel.Program
}

// Holds implements policy.Condition. With an error the result is false.
func (c *compiled) Holds(in *policy.Input) (bool, error) {
	out, _, err := c.program.Eval((*activation)(in))
	if err != nil {
		return false, classify(err)
	}
	holds, ok := out.(types.Bool)
	if !ok {
		return false, ErrNotComputed
	}
	return bool(holds), nil
}

func classify(err error) error {
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return ErrCostExceeded
	case errors.Is(err, ErrSourceIPUnknown):
		return ErrSourceIPUnknown
	}
	return ErrNotComputed
}
