package policy

import (
	"errors"
	"runtime"
	"sync"
	"weak"
)

const maxConditionLen = 2048 // bytes of source

// condition is a compiled condition; grants and routes with the same source share it.
type condition struct {
	Condition
}

// conditionCache keeps the compiled conditions of all snapshots made from one another, each as long as some snapshot uses
// it, so that a change compiles only what is new. Readers of snapshots never touch it.
type conditionCache struct {
	mu       sync.Mutex
	bySource map[string]weak.Pointer[condition]
}

func newConditionCache() *conditionCache {
	return &conditionCache{bySource: map[string]weak.Pointer[condition]{}}
}

// compile returns the condition of a source, nil for the empty one.
func (c *conditionCache) compile(source string, cc ConditionCompiler) (*condition, error) {
	switch {
	case source == "":
		return nil, nil
	case len(source) > maxConditionLen:
		return nil, errors.New("longer than 2048 bytes")
	case cc == nil:
		return nil, errors.New("conditions are not supported here")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.bySource[source].Value(); known != nil {
		return known, nil
	}
	compiled, err := cc(source)
	if err != nil {
		return nil, err
	}
	if compiled == nil {
		return nil, errors.New("the expression compiles to nothing")
	}
	made := &condition{compiled}
	c.bySource[source] = weak.Make(made)
	runtime.AddCleanup(made, c.forget, source)
	return made, nil
}

// forget drops a source that no snapshot uses, unless it has come back in the meantime.
func (c *conditionCache) forget(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bySource[source].Value() == nil {
		delete(c.bySource, source)
	}
}
