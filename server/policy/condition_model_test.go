package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/verdict-authz/verdict/server/policy"
)

// The conditions of the model tests: few, and each a trap. The two errors differ in the value that comes with them,
// which nobody may look at.
const (
	condTrue       = "true"
	condFalse      = "false"
	condError      = "error"
	condErrorTrue  = "error, saying true"
	condMethodGET  = "method==GET"
	condMalformed  = "((" // does not compile
	condPathPrefix = "path starts "
)

var errCondition = errors.New("condition failed")

// conditions compiles them and counts how often one was read, by all that it compiled.
type conditions struct{ reads atomic.Int64 }

func (c *conditions) compile(source string) (policy.Condition, error) {
	switch {
	case source == condTrue, source == condFalse, source == condError, source == condErrorTrue, source == condMethodGET,
		strings.HasPrefix(source, condPathPrefix):
		return &condition{source: source, reads: &c.reads}, nil
	}
	return nil, fmt.Errorf("%q is no condition of this test", source)
}

type condition struct {
	source string
	reads  *atomic.Int64
}

// Holds implements policy.Condition.
func (c *condition) Holds(in *policy.Input) (bool, error) {
	c.reads.Add(1)
	switch c.source {
	case condTrue:
		return true, nil
	case condFalse:
		return false, nil
	case condError:
		return false, errCondition
	case condErrorTrue:
		return true, errCondition
	case condMethodGET:
		return in.Method == "GET", nil
	}
	return strings.HasPrefix(in.Path, strings.TrimPrefix(c.source, condPathPrefix)), nil
}
