package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/verdict-authz/verdict/store"
)

// readers is how many connections read at once. Reads are short, save Load, which happens at start.
const readers = 8

// Store is a store.Store on an SQLite file.
type Store struct {
	write *sql.DB // one connection
	read  *sql.DB
	now   func() time.Time
	uses  store.UseMemo // of grants that are written

	closed  atomic.Bool
	mu      sync.Mutex
	waiting map[chan struct{}]struct{} // those who want hints
}

var _ store.Store = (*Store)(nil)

// Open opens the file at path and makes it (empty, mode 0600) when it is not there. It does not migrate: CheckSchema says
// whether that is needed.
func Open(ctx context.Context, path string) (*Store, error) {
	source, err := Source(path)
	if err != nil {
		return nil, err
	}
	if err := Create(path); err != nil {
		return nil, err
	}
	s := &Store{now: time.Now, waiting: make(map[chan struct{}]struct{})}
	if s.write, err = sql.Open("sqlite", source); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", source+"&_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.write.Close())
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	// The writer comes first: it may have to turn the journal into a write-ahead log, which readers cannot.
	for _, db := range []*sql.DB{s.write, s.read} {
		if err := db.PingContext(ctx); err != nil {
			s.Close()
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return s, nil
}

// Source is the data source name of the file at path with the settings that every connection needs.
func Source(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("sqlite: %q is not a path of a file", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlite: %w", err)
	}
	q := url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}).String(), nil
}

// Create makes the file at path, empty and with mode 0600, unless it is there. SQLite gives its companions (-wal, -shm) the
// same mode.
func Create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return f.Close()
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.PingContext(ctx); err != nil {
		if ctx.Err() != nil {
			return s.asStoreError(ctx, "ping", err)
		}
		return fmt.Errorf("ping: %w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// Close implements store.Store. It waits for what is under way.
func (s *Store) Close() {
	if s.closed.Swap(true) {
		return
	}
	// Nothing can be done about an error: what was committed is in the file.
	_ = s.read.Close()
	_ = s.write.Close()
}

// Notify implements store.PolicyReader: a hint after each commit by this Store.
func (s *Store) Notify(ctx context.Context) <-chan struct{} {
	hints := make(chan struct{}, 1)
	s.mu.Lock()
	s.waiting[hints] = struct{}{}
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		delete(s.waiting, hints)
		s.mu.Unlock()
	})
	return hints
}

func (s *Store) hint() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hints := range s.waiting {
		select {
		case hints <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// reading runs f in a transaction that sees one state.
func (s *Store) reading(ctx context.Context, doing string, f func(tx *sql.Tx) error) error {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.asStoreError(ctx, doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return s.asStoreError(ctx, doing, f(tx))
}

// writing runs f in a transaction that has the file to itself, and commits unless f fails.
func (s *Store) writing(ctx context.Context, doing string, f func(tx *sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.asStoreError(ctx, doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := f(tx); err != nil {
		return s.asStoreError(ctx, doing, err)
	}
	return s.asStoreError(ctx, doing, tx.Commit())
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect reads all rows of a query, for as long as scan does.
func collect[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
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

// scanner is one row.
type scanner interface {
	Scan(dst ...any) error
}
