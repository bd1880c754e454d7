package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/verdict-authz/verdict/store"
)

// Config says how to reach the database. URL is required.
type Config struct {
	// URL is a postgres:// URL or keywords and values, as libpq and pgx read them. It holds the password: it is never
	// printed, and neither is a Config.
	URL string
	// Password gives the password in place of the URL, which then holds none; nil: there is none but the URL's. A change is
	// followed without a restart.
	Password       Password
	MaxConns       int32         // in the pool; 0 means pool_max_conns of the URL, else the larger of 4 and the number of CPUs
	ConnectTimeout time.Duration // 0 means connect_timeout of the URL, else 5s
}

// String hides the URL.
func (c Config) String() string { return "[postgres]" }

// GoString hides the URL.
func (c Config) GoString() string { return c.String() }

// LogValue hides the URL.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

const (
	defaultConnectTimeout = 5 * time.Second
	// attempts is how often a transaction is tried when the database asks for another try.
	attempts = 5
	// firstPause is before the second attempt; it doubles, and a random part of it is waited.
	firstPause = 5 * time.Millisecond
)

// Store is a store.Store on a pool of connections.
type Store struct {
	pool *pool
	log  *slog.Logger

	closed    atomic.Bool
	life      context.Context // ends with Close
	end       context.CancelFunc
	listeners sync.WaitGroup // and who follows the password

	days keptDays      // that are known to have a partition
	uses store.UseMemo // of grants that are written
}

var _ store.Store = (*Store)(nil)

// Open makes a Store. It does not wait for the database, which may be away: Ping tells. It fails when cfg cannot be used.
// It does not migrate: CheckSchema says whether that is needed.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if cfg.URL == "" {
		return nil, errors.New("postgres: no database url")
	}
	if log == nil {
		return nil, errors.New("postgres: no logger")
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err) // pgx masks the password
	}
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	switch {
	case cfg.ConnectTimeout > 0:
		pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	case pc.ConnConfig.ConnectTimeout == 0:
		pc.ConnConfig.ConnectTimeout = defaultConnectTimeout
	}
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "verdict"
	}
	var l *login
	if cfg.Password != nil {
		l = newLogin(cfg.Password)
		if err := l.guard(pc); err != nil {
			return nil, err
		}
	}
	connections, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := &Store{pool: &pool{pgx: connections, login: l}, log: log}
	s.life, s.end = context.WithCancel(context.Background())
	if l != nil {
		s.listeners.Go(func() { s.handOver(s.life) })
	}
	return s, nil
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	err := s.pool.Ping(ctx)
	if err == nil || errors.Is(err, context.Canceled) {
		return s.asStoreError("ping", err)
	}
	return fmt.Errorf("ping: %w: %w", store.ErrUnavailable, err)
}

// Close implements store.Store. It waits for what is under way.
func (s *Store) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.end()
	s.listeners.Wait()
	s.pool.Close()
}

// reading runs f in a transaction that sees one state.
func (s *Store) reading(ctx context.Context, doing string, f func(tx pgx.Tx) error) error {
	return s.transact(ctx, doing, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
}

// writing runs f in a transaction and commits unless f fails. f may run more than once.
func (s *Store) writing(ctx context.Context, doing string, f func(tx pgx.Tx) error) error {
	return s.transact(ctx, doing, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, f)
}

func (s *Store) transact(ctx context.Context, doing string, opts pgx.TxOptions, f func(tx pgx.Tx) error) error {
	err := retry(ctx, func() error { return pgx.BeginTxFunc(ctx, s.pool, opts, f) })
	return s.asStoreError(doing, err)
}

// retry calls f again while the database asks for it, at most attempts times.
func retry(ctx context.Context, f func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := f()
		if try == attempts || !asksForRetry(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // G404: spreads retries; nobody gains by guessing
		}
		pause *= 2
	}
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// collect reads all rows of a query, in the pool's mode unless another is given. Rows are scanned as they arrive.
func collect[T any](ctx context.Context, q querier, scan func(pgx.Row) (T, error), query string, args pgx.StrictNamedArgs, mode ...pgx.QueryExecMode) ([]T, error) {
	with := make([]any, 0, 2)
	for _, m := range mode {
		with = append(with, m)
	}
	rows, err := q.Query(ctx, query, append(with, args)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// utc scans an instant as stores keep it.
type utc time.Time

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (u *utc) ScanTimestamptz(v pgtype.Timestamptz) error {
	if !v.Valid || v.InfinityModifier != pgtype.Finite {
		*u = utc{}
		return nil
	}
	*u = utc(store.Instant(v.Time))
	return nil
}
