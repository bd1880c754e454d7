package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pool is a pgxpool.Pool whose connections log in with what login knows. It has what this package uses of it: each way to get
// a connection has to go through login.
type pool struct {
	pgx   *pgxpool.Pool
	login *login // nil: the URL has all there is
}

// Query is pgxpool.Pool's.
func (p *pool) Query(ctx context.Context, sql string, args ...any) (rows pgx.Rows, err error) {
	err = p.login.try(ctx, func(ctx context.Context) error {
		rows, err = p.pgx.Query(ctx, sql, args...) //nolint:sqlclosecheck // the caller's to close
		return err
	})
	return rows, err
}

// Exec is pgxpool.Pool's.
func (p *pool) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = p.login.try(ctx, func(ctx context.Context) error {
		tag, err = p.pgx.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}

// BeginTx is pgxpool.Pool's.
func (p *pool) BeginTx(ctx context.Context, opts pgx.TxOptions) (tx pgx.Tx, err error) {
	err = p.login.try(ctx, func(ctx context.Context) error {
		tx, err = p.pgx.BeginTx(ctx, opts)
		return err
	})
	return tx, err
}

// CopyFrom is pgxpool.Pool's.
func (p *pool) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (n int64, err error) {
	err = p.login.try(ctx, func(ctx context.Context) error {
		n, err = p.pgx.CopyFrom(ctx, table, columns, from)
		return err
	})
	return n, err
}

// QueryRow is pgxpool.Pool's, but for asking the database only when the row is scanned, since not before is it known whether
// there is a connection. A row is scanned once.
func (p *pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if p.login == nil {
		return p.pgx.QueryRow(ctx, sql, args...)
	}
	return rowFunc(func(dest ...any) error {
		return p.login.try(ctx, func(ctx context.Context) error { return p.pgx.QueryRow(ctx, sql, args...).Scan(dest...) })
	})
}

// rowFunc is a pgx.Row.
type rowFunc func(dest ...any) error

// Scan implements pgx.Row.
func (f rowFunc) Scan(dest ...any) error { return f(dest...) }

// Ping is pgxpool.Pool's.
func (p *pool) Ping(ctx context.Context) error { return p.login.try(ctx, p.pgx.Ping) }

// Config is pgxpool.Pool's. It holds the URL's password, and not login's.
func (p *pool) Config() *pgxpool.Config { return p.pgx.Config() }

// Connect makes a connection of one's own beside the pool. done is closed when it should be made anew.
func (p *pool) Connect(ctx context.Context) (conn *pgx.Conn, done <-chan struct{}, err error) {
	done = p.login.turn() // before connecting, so that no change in between is missed
	conn, err = p.login.connect(ctx, p.Config().ConnConfig)
	return conn, done, err
}

// Close is pgxpool.Pool's.
func (p *pool) Close() { p.pgx.Close() }
