package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/verdict-authz/verdict/store"
)

const sqlNextRevision = `
UPDATE policy_head
SET revision = revision + 1
RETURNING revision`

const sqlInsertRevision = `
INSERT INTO revisions (number, at, actor, reason, ticket)
VALUES (@number, @at, @actor, @reason, @ticket)`

const sqlInsertChange = `
INSERT INTO changes (revision, seq, kind, key, before, after)
VALUES (@revision, @seq, @kind, @key, NULLIF(@before, ''), NULLIF(@after, ''))`

// Commit implements store.PolicyWriter. The transaction has the file to itself from its begin, so what it reads is what it
// changes.
func (s *Store) Commit(ctx context.Context, c store.Change) (store.Revision, error) {
	if err := c.Validate(); err != nil {
		return store.Revision{}, fmt.Errorf("commit: %w", err)
	}
	rev := store.Revision{Actor: c.Actor, Reason: c.Reason, Ticket: c.Ticket}
	err := s.writing(ctx, "commit", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, sqlNextRevision).Scan(&rev.Number); err != nil {
			return err
		}
		rev.At = store.Instant(s.now())
		w := writer{tx: tx, prepared: make(map[string]*sql.Stmt)}
		present, err := w.present(ctx, c)
		if err != nil {
			return err
		}
		present.Revision = rev.Number - 1
		entries, err := c.Resolve(present)
		if err != nil {
			return err
		}
		if err := w.exec(ctx, sqlInsertRevision, sql.Named("number", number(rev.Number)), sql.Named("at", rev.At.UnixMicro()),
			sql.Named("actor", rev.Actor), sql.Named("reason", rev.Reason), sql.Named("ticket", rev.Ticket)); err != nil {
			return err
		}
		for i, e := range entries {
			if err := w.carryOut(ctx, rev.Number, i+1, e); err != nil {
				return s.asStoreError(ctx, fmt.Sprintf("%s %s", e.Kind, e.Key), err)
			}
		}
		return nil
	})
	if err != nil {
		return store.Revision{}, err
	}
	s.hint()
	return rev, nil
}

// writer keeps the statements of one transaction prepared.
type writer struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt // closed with the transaction
}

func (w *writer) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := w.prepared[query]; ok {
		return st, nil
	}
	st, err := w.tx.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.prepared[query] = st
	return st, nil
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	st, err := w.prepare(ctx, query) //nolint:sqlclosecheck // closed with the transaction, and used again in it
	if err != nil {
		return err
	}
	_, err = st.ExecContext(ctx, args...)
	return err
}

// carryOut does e and writes its line of history.
func (w *writer) carryOut(ctx context.Context, rev uint64, seq int, e store.Entry) error {
	before, after, err := e.JSON()
	if err != nil {
		return err
	}
	if err := w.exec(ctx, sqlInsertChange, sql.Named("revision", number(rev)), sql.Named("seq", seq),
		sql.Named("kind", string(e.Kind)), sql.Named("key", e.Key), sql.Named("before", before), sql.Named("after", after)); err != nil {
		return err
	}
	switch f := e.After.(type) {
	case store.API:
		return w.exec(ctx, sqlPutAPI, putAPIArgs(f)...)
	case store.Route:
		return w.exec(ctx, sqlPutRoute, putRouteArgs(f)...)
	case store.Grant:
		return w.exec(ctx, sqlPutGrant, putGrantArgs(f)...)
	}
	switch f := e.Before.(type) {
	case store.API:
		return w.exec(ctx, sqlDeleteAPI, sql.Named("id", f.ID))
	case store.Route:
		return w.exec(ctx, sqlDeleteRoute, routeKeyArgs(f.Key())...)
	case store.Grant:
		return w.exec(ctx, sqlDeleteGrant, sql.Named("id", f.ID))
	}
	return fmt.Errorf("entry of %T and %T", e.Before, e.After)
}

// present reads the facts that c names.
func (w *writer) present(ctx context.Context, c store.Change) (p store.Present, err error) {
	var apis, grants []string
	var routes []store.RouteKey
	for _, put := range c.PutAPIs {
		apis = append(apis, put.Fact.ID)
	}
	for _, d := range c.DeleteAPIs {
		apis = append(apis, d.Key)
	}
	for _, put := range c.PutRoutes {
		routes = append(routes, put.Fact.Key())
	}
	for _, d := range c.DeleteRoutes {
		routes = append(routes, d.Key)
	}
	for _, put := range c.PutGrants {
		grants = append(grants, put.Fact.ID)
	}
	for _, d := range c.DeleteGrants {
		grants = append(grants, d.Key)
	}
	byID := func(id string) []any { return []any{sql.Named("id", id)} }
	if p.APIs, err = find(ctx, w, sqlGetAPI, apis, byID, scanAPI); err != nil {
		return p, err
	}
	if p.Routes, err = find(ctx, w, sqlGetRoute, routes, routeKeyArgs, scanRoute); err != nil {
		return p, err
	}
	p.Grants, err = find(ctx, w, sqlGetGrant, grants, byID, scanGrant)
	return p, err
}

// find reads the facts of those keys that are there.
func find[K comparable, F any](ctx context.Context, w *writer, query string, keys []K, args func(K) []any, scan func(scanner) (F, error)) (map[K]F, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	st, err := w.prepare(ctx, query) //nolint:sqlclosecheck // closed with the transaction, and used again in it
	if err != nil {
		return nil, err
	}
	found := make(map[K]F)
	for _, k := range keys {
		f, err := scan(st.QueryRowContext(ctx, args(k)...))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[k] = f
	}
	return found, nil
}
