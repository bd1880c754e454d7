package policy

import (
	"errors"
	"fmt"
)

// fakeCondition is one of three constants.
type fakeCondition string

func (f fakeCondition) Holds(*Input) (bool, error) {
	if f == "error" {
		return false, errors.New("no such attribute")
	}
	return f == "true", nil
}

func compileFake(source string) (Condition, error) {
	switch source {
	case "true", "false", "error":
		return fakeCondition(source), nil
	}
	return nil, fmt.Errorf("unexpected %q", source)
}
