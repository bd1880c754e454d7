package admin

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// current refuses to go on from a fact that was read with err, at another revision than head, or with another etag than
// the caller's; an empty one is not checked.
func current(err error, at, head, revision uint64, callers string) error {
	switch {
	case err != nil:
		return err
	case at != head:
		return errMoved
	case callers != "" && callers != etag(revision):
		return fmt.Errorf("etag %q is not the current one, %q; read it again and repeat the change on that: %w",
			callers, etag(revision), store.ErrConflict)
	}
	return nil
}

// valid checks the proto rules of a fact that an update leads to.
func (s *PolicyService) valid(fact proto.Message, path string) error {
	err := s.cfg.Validate(fact)
	var invalid *status.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	vs := make([]status.Violation, len(invalid.Violations))
	for i, v := range invalid.Violations {
		vs[i] = status.Violation{Field: path, Text: v.Text}
		if v.Field != "" {
			vs[i].Field += "." + v.Field
		}
	}
	return status.Invalid(vs...)
}
