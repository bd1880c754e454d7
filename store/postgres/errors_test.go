package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
)

func TestErrorsAreNamedByCode(t *testing.T) {
	code := func(c string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: c, ConstraintName: "some_constraint"})
	}
	for name, tc := range map[string]struct {
		err  error
		want error // nil: none of the sentinels
	}{
		"a foreign key":                     {code("23503"), store.ErrReferenced},
		"a unique key":                      {code("23505"), store.ErrConflict},
		"a check":                           {code("23514"), store.ErrInvalid},
		"a value out of range":              {code("22003"), store.ErrInvalid},
		"a missing table":                   {code("42P01"), store.ErrSchema},
		"a missing column":                  {code("42703"), store.ErrSchema},
		"a server that shuts down":          {code("57P01"), store.ErrUnavailable},
		"a server that starts up":           {code("57P03"), store.ErrUnavailable},
		"a statement timeout":               {code("57014"), store.ErrUnavailable},
		"too many connections":              {code("53300"), store.ErrUnavailable},
		"a replica":                         {code("25006"), store.ErrUnavailable},
		"a password that is being changed":  {code("28P01"), store.ErrUnavailable},
		"a deadlock, again and again":       {code("40P01"), store.ErrUnavailable},
		"a right that is missing":           {code("42501"), nil},
		"a syntax error":                    {code("42601"), nil},
		"a connection reset":                {&net.OpError{Op: "read", Err: errors.New("reset")}, store.ErrUnavailable},
		"a connection that ends":            {io.ErrUnexpectedEOF, store.ErrUnavailable},
		"something else":                    {errors.New("x"), nil},
		"what is named passes through":      {fmt.Errorf("a: %w", store.ErrExists), store.ErrExists},
		"what is named is not looked into":  {fmt.Errorf("%w: %w", store.ErrNotFound, code("23503")), store.ErrNotFound},
		"the caller's deadline, with both":  {fmt.Errorf("t: %w", context.DeadlineExceeded), store.ErrUnavailable},
		"the caller went away, and nothing": {fmt.Errorf("t: %w", context.Canceled), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := new(Store).asStoreError("doing", tc.err)
			if tc.want != nil && !errors.Is(got, tc.want) || store.IsNamed(got) != (tc.want != nil) {
				t.Fatalf("got %v, want %v", got, tc.want)
			}
			if !errors.Is(got, tc.err) && !store.IsNamed(tc.err) {
				t.Fatalf("the cause is lost: %v", got)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	deadlock := &pgconn.PgError{Code: "40P01"}
	for name, tc := range map[string]struct {
		errs  []error // of each try; nil afterwards
		calls int
		err   error
	}{
		"success is not tried again":         {nil, 1, nil},
		"a deadlock is tried again":          {[]error{deadlock, &pgconn.PgError{Code: "40001"}}, 3, nil},
		"another error is not":               {[]error{io.EOF}, 1, io.EOF},
		"another error after a deadlock too": {[]error{deadlock, io.EOF}, 2, io.EOF},
		"tries are bounded":                  {[]error{deadlock, deadlock, deadlock, deadlock, deadlock, deadlock}, attempts, deadlock},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := retry(t.Context(), func() error {
				calls++
				if calls <= len(tc.errs) {
					return tc.errs[calls-1]
				}
				return nil
			})
			if calls != tc.calls || !errors.Is(err, tc.err) {
				t.Fatalf("%d calls, %v; want %d, %v", calls, err, tc.calls, tc.err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	if err := retry(ctx, func() error { calls++; cancel(); return deadlock }); !errors.Is(err, deadlock) || calls != 1 {
		t.Fatalf("after the caller went: %d calls, %v", calls, err)
	}
}
