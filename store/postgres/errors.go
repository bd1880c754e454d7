package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/verdict-authz/verdict/store"
)

// SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html; two characters are a class.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	foreignKeyViolation  = "23503"
	uniqueViolation      = "23505"
	checkViolation       = "23514"
	dataException        = "22"
	accessRule           = "42"
	objectInUse          = "55006"
	undefinedTable       = "42P01"
	undefinedColumn      = "42703"
)

// passing are the codes, or classes of codes, of what may be over by the next try.
var passing = []string{
	"08",        // connection
	"25006",     // read-only: a replica, or a failover under way
	"28",        // not let in: a password is being changed
	"3D000",     // the database is not there yet
	"40",        // rolled back, more often than we retry
	"53",        // resources
	objectInUse, // a day's partition is being detached
	"55P03",     // lock not available
	"57",        // cancelled by a timeout or an administrator, shutting down, starting up
	"58",        // the system below
}

// asStoreError names what pgx reports. It reads SQLSTATE and constraint, never message text. What is already named passes
// through with what was being done.
func (s *Store) asStoreError(doing string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case store.IsNamed(err):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	case s.closed.Load():
		return fmt.Errorf("%s: %w: closed", doing, store.ErrUnavailable)
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", doing, store.ErrNotFound)
	case errors.As(err, &pg):
		if is := sentinel(pg); is != nil {
			return fmt.Errorf("%s: %s: %w: %w", doing, nameOf(pg), is, err)
		}
	case isConnection(err):
		return fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func sentinel(pg *pgconn.PgError) error {
	switch pg.Code {
	case foreignKeyViolation:
		return store.ErrReferenced
	case uniqueViolation:
		return store.ErrConflict
	case checkViolation:
		return store.ErrInvalid
	case undefinedTable, undefinedColumn:
		return store.ErrSchema
	}
	if strings.HasPrefix(pg.Code, dataException) {
		return store.ErrInvalid
	}
	for _, p := range passing {
		if strings.HasPrefix(pg.Code, p) {
			return store.ErrUnavailable
		}
	}
	return nil
}

func nameOf(pg *pgconn.PgError) string {
	if pg.ConstraintName != "" {
		return pg.ConstraintName
	}
	return "SQLSTATE " + pg.Code
}

// isConnection says whether err, which is not the database's own, comes from the connection to it.
func isConnection(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgx.ErrTxClosed) || pgconn.SafeToRetry(err) || pgconn.Timeout(err)
}

// asksForRetry says whether the database rolled back only for the sake of another transaction.
func asksForRetry(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == serializationFailure || pg.Code == deadlockDetected)
}
