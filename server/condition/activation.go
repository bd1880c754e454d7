package condition

import (
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/verdict-authz/verdict/server/policy"
)

// activation is an Input as cel reads it: nothing is copied, fields are read when an expression gets to them.
type activation policy.Input

var _ cel.Activation = (*activation)(nil)

// ResolveName implements cel.Activation. Objects are the Input itself; schema reads their fields.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "request", "resource", "principal":
		return (*policy.Input)(a), true
	case "now":
		return types.Timestamp{Time: a.Now.UTC()}, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (*activation) Parent() cel.Activation { return nil }

// params are the path parameters as a CEL map from string to string; nil is empty.
type params policy.Params

var _ traits.Mapper = (*params)(nil)

func (p *params) of() *policy.Params { return (*policy.Params)(p) }

func (p *params) len() int {
	if p == nil {
		return 0
	}
	return p.of().Len()
}

// Find implements traits.Mapper.
func (p *params) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	if p == nil {
		return nil, false
	}
	value, ok := p.of().Get(string(name))
	if !ok {
		return nil, false
	}
	return types.String(value), true
}

// Get implements traits.Indexer.
func (p *params) Get(key ref.Val) ref.Val {
	value, ok := p.Find(key)
	if ok {
		return value
	}
	return types.ValOrErr(value, "no such key")
}

// Contains implements traits.Container.
func (p *params) Contains(key ref.Val) ref.Val {
	value, ok := p.Find(key)
	if !ok && value != nil {
		return value
	}
	return types.Bool(ok)
}

// Size implements traits.Sizer.
func (p *params) Size() ref.Val { return types.Int(p.len()) }

// Iterator implements traits.Iterable: over the names.
func (p *params) Iterator() traits.Iterator {
	names := make([]string, p.len())
	for i := range names {
		names[i] = p.of().Name(i)
	}
	return types.NewStringList(types.DefaultTypeAdapter, names).Iterator()
}

// Equal implements ref.Val: the same names with the same values.
func (p *params) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != p.Size() {
		return types.False
	}
	for i := range p.len() {
		theirs, ok := m.Find(types.String(p.of().Name(i)))
		if !ok || types.Equal(theirs, types.String(p.of().Value(i))) != types.True {
			return types.False
		}
	}
	return types.True
}

// ConvertToType implements ref.Val.
func (p *params) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case types.MapType:
		return p
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("type conversion error from map")
}

// ConvertToNative implements ref.Val. Nothing leaves the evaluator but a bool.
func (p *params) ConvertToNative(to reflect.Type) (any, error) {
	if reflect.TypeOf(p).AssignableTo(to) {
		return p, nil
	}
	return nil, ErrNotComputed
}

// Type implements ref.Val.
func (*params) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (p *params) Value() any { return p }
