package server

import (
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
)

// rules are those that verdict's own messages carry (protovalidate). Envoy's messages have none of ours: they go through
// the canonical form instead.
type rules struct{ validator protovalidate.Validator }

func newRules() (*rules, error) {
	v, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("prepare request validation: %w", err)
	}
	return &rules{v}, nil
}

// checkAny checks what a call was given, which is a message of somebody's.
func (r *rules) checkAny(v any) error {
	if m, ok := v.(proto.Message); ok {
		return r.check(m)
	}
	return nil
}

// check returns a status.InvalidError that names every field at fault.
func (r *rules) check(m proto.Message) error {
	if m.ProtoReflect().Descriptor().ParentFile().Package() != verdictv1.File_verdict_v1_decision_proto.Package() {
		return nil
	}
	err := r.validator.Validate(m)
	if err == nil {
		return nil
	}
	var bad *protovalidate.ValidationError
	if !errors.As(err, &bad) {
		return fmt.Errorf("validate request: %w", err)
	}
	violations := make([]status.Violation, 0, len(bad.Violations))
	for _, v := range bad.Violations {
		violations = append(violations, status.Violation{
			Field: protovalidate.FieldPathString(v.Proto.GetField()), Text: v.Proto.GetMessage(),
		})
	}
	return status.Invalid(violations...)
}
