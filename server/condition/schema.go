package condition

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/verdict-authz/verdict/server/policy"
)

// object is a variable with fields. Its type bears its name, which is what messages of the type checker show.
type object struct {
	name   string
	fields []field
}

// field reads one field from the Input. An error of get is the error of the evaluation. The empty value counts as not
// set, as CEL has it for messages; has() asks for that.
type field struct {
	name string
	typ  *cel.Type
	get  func(*policy.Input) (any, error)
	max  size
}

// size bounds a field for the cost estimate: entries of a list or map (0: not one), bytes of a text in it. The limits of
// the contract where it has one; else what a token of 32 KiB or the directory can hold. Longer ones are stopped by the
// cost limit.
type size struct{ entries, bytes uint64 }

var (
	texts = cel.ListType(cel.StringType)
	guid  = size{bytes: 36}
)

// objects are the variables with fields; docs/conditions.md lists them for users.
var objects = []object{
	{"request", []field{
		{"method", cel.StringType, text(func(in *policy.Input) string { return in.Method }), size{bytes: 32}},
		{"host", cel.StringType, text(func(in *policy.Input) string { return in.Host }), size{bytes: 512}},
		{"path", cel.StringType, text(func(in *policy.Input) string { return in.Path }), size{bytes: 8192}},
		{"params", cel.MapType(cel.StringType, cel.StringType), paramsOf, size{entries: 16, bytes: 1024}},
		{"source_ip", cel.StringType, sourceIP, size{bytes: 45}},
	}},
	{"resource", []field{
		{"id", cel.StringType, text(func(in *policy.Input) string { return in.Resource }), size{bytes: 256}},
	}},
	{"principal", []field{
		{"kind", cel.StringType, kind, size{bytes: 4}},
		{"tenant_id", cel.StringType, ofPrincipal(func(p *policy.Principal) string { return p.TenantID }), guid},
		{"object_id", cel.StringType, ofPrincipal(func(p *policy.Principal) string { return p.ObjectID }), guid},
		{"client_id", cel.StringType, ofPrincipal(func(p *policy.Principal) string { return p.ClientID }), guid},
		{"scopes", texts, ofPrincipal(func(p *policy.Principal) []string { return p.Scopes }), size{entries: 512, bytes: 128}},
		{"roles", texts, ofPrincipal(func(p *policy.Principal) []string { return p.Roles }), size{entries: 512, bytes: 128}},
		{"groups", texts, ofPrincipal(func(p *policy.Principal) []string { return p.Groups }), size{entries: 10_000, bytes: 36}},
	}},
}

func text(get func(*policy.Input) string) func(*policy.Input) (any, error) {
	return func(in *policy.Input) (any, error) { return types.String(get(in)), nil }
}

func ofPrincipal[T any](get func(*policy.Principal) T) func(*policy.Input) (any, error) {
	return func(in *policy.Input) (any, error) {
		if in.Principal == nil {
			return nil, ErrNotComputed
		}
		return get(in.Principal), nil
	}
}

func kind(in *policy.Input) (any, error) {
	if in.Principal != nil {
		switch in.Principal.Kind {
		case policy.PrincipalUser:
			return types.String("user"), nil
		case policy.PrincipalApp:
			return types.String("app"), nil
		case policy.PrincipalUnknown:
		}
	}
	return nil, ErrNotComputed
}

func paramsOf(in *policy.Input) (any, error) { return (*params)(in.Params), nil }

// sourceIP writes an IPv4 address as such, however it was given, and leaves the zone out: networks have none, and an
// address with a zone would be in no network at all.
func sourceIP(in *policy.Input) (any, error) {
	if !in.SourceIP.IsValid() {
		return nil, ErrSourceIPUnknown
	}
	return types.String(in.SourceIP.Unmap().WithZone("").String()), nil
}

// schema is the cel type provider of the objects: the types of the standard registry, and no messages but ours.
type schema struct{ *types.Registry }

func lookup(object, name string) (field, bool) {
	for _, o := range objects {
		if o.name != object {
			continue
		}
		for _, f := range o.fields {
			if f.name == name {
				return f, true
			}
		}
	}
	return field{}, false
}

// FindStructType implements types.Provider.
func (schema) FindStructType(name string) (*types.Type, bool) {
	for _, o := range objects {
		if o.name == name {
			return types.NewTypeTypeWithParam(cel.ObjectType(name)), true
		}
	}
	return nil, false
}

// FindStructFieldNames implements types.Provider.
func (schema) FindStructFieldNames(name string) ([]string, bool) {
	for _, o := range objects {
		if o.name == name {
			return o.fieldNames(), true
		}
	}
	return nil, false
}

// FindStructFieldType implements types.Provider.
func (schema) FindStructFieldType(object, name string) (*types.FieldType, bool) {
	f, ok := lookup(object, name)
	if !ok {
		return nil, false
	}
	return &types.FieldType{Type: f.typ, IsSet: f.isSet, GetFrom: f.getFrom}, true
}

// NewValue implements types.Provider. No expression makes objects; Compile refuses it.
func (schema) NewValue(name string, _ map[string]ref.Val) ref.Val {
	return types.NewErr("unknown type '%s'", name)
}

func (o object) fieldNames() []string {
	list := make([]string, len(o.fields))
	for i, f := range o.fields {
		list[i] = f.name
	}
	return list
}

func (f field) getFrom(target any) (any, error) {
	in, ok := target.(*policy.Input)
	if !ok {
		return nil, ErrNotComputed
	}
	return f.get(in)
}

func (f field) isSet(target any) bool {
	value, err := f.getFrom(target)
	if err != nil {
		return false
	}
	switch v := value.(type) {
	case types.String:
		return v != ""
	case string:
		return v != ""
	case []string:
		return len(v) > 0
	case *params:
		return v.len() > 0
	}
	return false
}
