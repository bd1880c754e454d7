package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// sqlGuardCommit ends a commit whose process was suspended in the middle: it would hold up all others.
const sqlGuardCommit = `
SET LOCAL idle_in_transaction_session_timeout = '30s'`

const sqlNextRevision = `
UPDATE policy_head
SET revision = revision + 1
RETURNING revision`

// The time is read after the lock was had, so that later revisions are not earlier.
const sqlInsertRevision = `
INSERT INTO revisions (number, at, actor, reason, ticket)
VALUES (@number, clock_timestamp(), @actor, @reason, @ticket)
RETURNING at`

const sqlInsertChanges = `
INSERT INTO changes (revision, seq, kind, key, before, after)
SELECT @revision::bigint, @first::integer + seq, @kind, key, NULLIF(before, '')::jsonb, NULLIF(after, '')::jsonb
FROM unnest(@keys::text[], @before::text[], @after::text[]) WITH ORDINALITY AS c (key, before, after, seq)`

const sqlNotify = `
SELECT pg_notify('verdict_revision', @revision::text)`

// chunk is how many facts go into one statement.
const chunk = 1000

// Commit implements store.PolicyWriter.
func (s *Store) Commit(ctx context.Context, c store.Change) (store.Revision, error) {
	if err := c.Validate(); err != nil {
		return store.Revision{}, fmt.Errorf("commit: %w", err)
	}
	rev := store.Revision{Actor: c.Actor, Reason: c.Reason, Ticket: c.Ticket}
	err := s.writing(ctx, "commit", func(tx pgx.Tx) error {
		var err error
		if rev.Number, err = nextRevision(ctx, tx); err != nil {
			return err
		}
		// From here on this transaction has the row lock, and its statements see all that was committed before.
		present, err := find(ctx, tx, c)
		if err != nil {
			return err
		}
		present.Revision = rev.Number - 1
		entries, err := c.Resolve(present)
		if err != nil {
			return err
		}
		row := tx.QueryRow(ctx, sqlInsertRevision, pgx.StrictNamedArgs{
			"number": number(rev.Number), "actor": rev.Actor, "reason": rev.Reason, "ticket": rev.Ticket})
		if err := row.Scan(&rev.At); err != nil {
			return err
		}
		rev.At = store.Instant(rev.At)
		for done := 0; done < len(entries); {
			n := alike(entries[done:])
			if err := s.carryOut(ctx, tx, rev.Number, done, entries[done:done+n]); err != nil {
				return err
			}
			done += n
		}
		_, err = tx.Exec(ctx, sqlNotify, pgx.StrictNamedArgs{"revision": fmt.Sprint(rev.Number)})
		return err
	})
	if err != nil {
		return store.Revision{}, err
	}
	return rev, nil
}

func nextRevision(ctx context.Context, tx pgx.Tx) (rev uint64, err error) {
	b := new(pgx.Batch)
	b.Queue(sqlGuardCommit)
	b.Queue(sqlNextRevision).QueryRow(func(row pgx.Row) error { return row.Scan(&rev) })
	return rev, tx.SendBatch(ctx, b).Close()
}

// alike is how many of the first entries go into one statement: same kind, all put or all deleted, at most chunk.
func alike(es []store.Entry) int {
	n := 1
	for n < len(es) && n < chunk && es[n].Kind == es[0].Kind && (es[n].After == nil) == (es[0].After == nil) {
		n++
	}
	return n
}

// carryOut does es, which are alike, and writes their lines of history, numbered after done.
func (s *Store) carryOut(ctx context.Context, tx pgx.Tx, rev uint64, done int, es []store.Entry) (err error) {
	keys, before, after := make([]string, len(es)), make([]string, len(es)), make([]string, len(es))
	for i, e := range es {
		keys[i] = e.Key
		if before[i], after[i], err = e.JSON(); err != nil {
			return err
		}
	}
	doing, query, args := "delete", "", pgx.StrictNamedArgs{"keys": keys}
	if es[0].After != nil {
		doing, args = "put", pgx.StrictNamedArgs{"after": after}
	}
	switch kind := es[0].Kind; {
	case kind == store.KindAPI && doing == "put":
		query = sqlPutAPIs
	case kind == store.KindRoute && doing == "put":
		query = sqlPutRoutes
	case kind == store.KindGrant && doing == "put":
		query = sqlPutGrants
	case kind == store.KindAPI:
		query = sqlDeleteAPIs
	case kind == store.KindRoute:
		query = sqlDeleteRoutes
	case kind == store.KindGrant:
		query = sqlDeleteGrants
	}
	b := new(pgx.Batch)
	b.Queue(query, args)
	b.Queue(sqlInsertChanges, pgx.StrictNamedArgs{
		"revision": number(rev), "first": done, "kind": string(es[0].Kind), "keys": keys, "before": before, "after": after})
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		name := es[0].Key
		if len(es) > 1 {
			name = fmt.Sprintf("%s to %s", es[0].Key, es[len(es)-1].Key)
		}
		return s.asStoreError(fmt.Sprintf("%s %s %s", doing, es[0].Kind, name), err)
	}
	return nil
}

// find reads the facts that c names.
func find(ctx context.Context, tx pgx.Tx, c store.Change) (p store.Present, err error) {
	p = store.Present{APIs: make(map[string]store.API), Routes: make(map[store.RouteKey]store.Route), Grants: make(map[string]store.Grant)}
	var apis, routeAPIs, routeIDs, grants []string
	for _, put := range c.PutAPIs {
		apis = append(apis, put.Fact.ID)
	}
	for _, d := range c.DeleteAPIs {
		apis = append(apis, d.Key)
	}
	for _, put := range c.PutRoutes {
		routeAPIs, routeIDs = append(routeAPIs, put.Fact.API), append(routeIDs, put.Fact.ID)
	}
	for _, d := range c.DeleteRoutes {
		routeAPIs, routeIDs = append(routeAPIs, d.Key.API), append(routeIDs, d.Key.ID)
	}
	for _, put := range c.PutGrants {
		grants = append(grants, put.Fact.ID)
	}
	for _, d := range c.DeleteGrants {
		grants = append(grants, d.Key)
	}
	if len(apis) > 0 {
		found, err := collect(ctx, tx, scanAPI, sqlFindAPIs, pgx.StrictNamedArgs{"ids": apis})
		if err != nil {
			return p, err
		}
		for _, a := range found {
			p.APIs[a.ID] = a
		}
	}
	if len(routeIDs) > 0 {
		found, err := collect(ctx, tx, scanRoute, sqlFindRoutes, pgx.StrictNamedArgs{"apis": routeAPIs, "ids": routeIDs})
		if err != nil {
			return p, err
		}
		for _, r := range found {
			p.Routes[r.Key()] = r
		}
	}
	if len(grants) > 0 {
		found, err := collect(ctx, tx, scanGrant, sqlFindGrants, pgx.StrictNamedArgs{"ids": grants})
		if err != nil {
			return p, err
		}
		for _, g := range found {
			p.Grants[g.ID] = g
		}
	}
	return p, nil
}
