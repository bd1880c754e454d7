package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driver "modernc.org/sqlite"

	"github.com/verdict-authz/verdict/store"
)

// SQLite result codes, https://sqlite.org/rescode.html; the low byte of an extended code is its primary code.
const (
	codePerm     = 3
	codeBusy     = 5
	codeLocked   = 6
	codeNoMemory = 7
	codeReadOnly = 8
	codeIOErr    = 10
	codeFull     = 13
	codeCantOpen = 14
	codeProtocol = 15

	codeForeignKey = 787
	codeCheck      = 275
	codePrimaryKey = 1555
	codeUnique     = 2067
)

// asStoreError names what the driver reports by its code, never by message text. What is already named passes through.
func (s *Store) asStoreError(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case store.IsNamed(err):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, ctx.Err())
	case ctx.Err() != nil:
		// The driver says "interrupted", or that the transaction was rolled back.
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case s.closed.Load():
		return fmt.Errorf("%s: %w: closed", doing, store.ErrUnavailable)
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, store.ErrNotFound)
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch e.Code() {
	case codeForeignKey:
		return fmt.Errorf("%s: %w", doing, store.ErrReferenced)
	case codePrimaryKey, codeUnique:
		return fmt.Errorf("%s: %w: %w", doing, store.ErrConflict, err)
	case codeCheck:
		return fmt.Errorf("%s: %w: %w", doing, store.ErrInvalid, err)
	}
	switch e.Code() & 0xff {
	case codePerm, codeBusy, codeLocked, codeNoMemory, codeReadOnly, codeIOErr, codeFull, codeCantOpen, codeProtocol:
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
