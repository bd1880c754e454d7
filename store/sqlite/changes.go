package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlListPolicyChanges = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, COALESCE((SELECT MAX(seq) FROM changes WHERE revision = r.number), 0)
FROM revisions AS r
WHERE r.at >= @from AND r.at < @to
  AND (r.at, r.number) < (@after_at, @below)
  AND (@actor = '' OR r.actor = @actor)
ORDER BY r.at DESC, r.number DESC
LIMIT @limit`

const sqlListFactsOfRevisions = `
SELECT c.revision, c.kind, c.key, COALESCE(c.before, ''), COALESCE(c.after, '')
FROM json_each(@revisions) AS r
JOIN changes AS c ON c.revision = r.value AND c.seq <= @facts
ORDER BY c.revision, c.seq`

// The limit comes first: lines before are looked for of those alone that are returned.
const sqlListRevocationChanges = `
SELECT c.seq, c.at, c.actor, c.reason, c.ticket, c.action, c.id, c.tenant_id, c.kind, c.value, c.not_before, c.expires_at,
       b.not_before, b.expires_at, COALESCE(b.reason, ''), COALESCE(b.ticket, '')
FROM (
    SELECT seq, at, action, id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor
    FROM revocation_changes
    WHERE at >= @from AND at < @to
      AND (at, seq) < (@after_at, @below)
      AND (@actor = '' OR actor = @actor)
    ORDER BY at DESC, seq DESC
    LIMIT @limit) AS c
LEFT JOIN revocation_changes AS b ON b.seq = (SELECT MAX(seq) FROM revocation_changes WHERE id = c.id AND seq < c.seq)
ORDER BY c.at DESC, c.seq DESC`

const sqlListTrustChanges = `
SELECT c.version, c.at, c.actor, c.reason, c.ticket, c.action, c.provider, c.tenant_id, c.kid, c.display_name,
       COALESCE(b.action, ''), COALESCE(b.display_name, ''), COALESCE(b.reason, '')
FROM (
    SELECT version, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket
    FROM trust_changes
    WHERE at >= @from AND at < @to
      AND (at, version) < (@after_at, @below)
      AND (@actor = '' OR actor = @actor)
    ORDER BY at DESC, version DESC
    LIMIT @limit) AS c
LEFT JOIN trust_changes AS b ON b.version = (
    SELECT MAX(version)
    FROM trust_changes
    WHERE tenant_id = c.tenant_id AND kid = c.kid AND provider = c.provider AND version < c.version AND action <> 'purge')
ORDER BY c.at DESC, c.version DESC`

// ListChanges implements store.ChangeReader.
func (s *Store) ListChanges(ctx context.Context, f store.ChangeFilter, after store.ChangeCursor, limit, facts int) ([]store.AdminChange, error) {
	trails, err := f.Trails()
	if err != nil || limit <= 0 {
		return nil, err
	}
	var all []store.AdminChange
	err = s.reading(ctx, "list changes", func(tx *sql.Tx) error {
		for _, t := range trails {
			some, err := changesOf(ctx, tx, t, changeArgs(t, f, after, limit), facts)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		all = store.NewestFirst(all, limit)
		lines, err := collect(ctx, tx, scanFactLine, sqlListFactsOfRevisions,
			sql.Named("revisions", jsonOf(store.Revisions(all))), sql.Named("facts", max(facts, 0)))
		store.WithFacts(all, lines)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// changesOf reads those of one trail, those of the policy without their facts.
func changesOf(ctx context.Context, tx *sql.Tx, t store.Trail, args []any, facts int) ([]store.AdminChange, error) {
	switch t {
	case store.TrailRevocation:
		return collect(ctx, tx, func(r scanner) (store.AdminChange, error) { return scanRevocationChange(r, facts) }, sqlListRevocationChanges, args...)
	case store.TrailTrust:
		return collect(ctx, tx, func(r scanner) (store.AdminChange, error) { return scanTrustChange(r, facts) }, sqlListTrustChanges, args...)
	default:
		return collect(ctx, tx, scanPolicyChange, sqlListPolicyChanges, args...)
	}
}

func changeArgs(t store.Trail, f store.ChangeFilter, after store.ChangeCursor, limit int) []any {
	at, below := int64(math.MaxInt64), int64(0)
	if after != (store.ChangeCursor{}) {
		at, below = store.Instant(after.At).UnixMicro(), number(after.Below(t))
	}
	return append(windowArgs(f.From, f.To), sql.Named("actor", f.Actor), sql.Named("limit", limit), sql.Named("after_at", at), sql.Named("below", below))
}

func scanPolicyChange(r scanner) (c store.AdminChange, err error) {
	var at int64
	err = r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &c.Total)
	c.Trail, c.At = store.TrailPolicy, time.UnixMicro(at).UTC()
	return c, err
}

func scanFactLine(r scanner) (l store.FactLine, err error) {
	err = r.Scan(&l.Revision, &l.Fact.Kind, &l.Fact.Key, &l.Fact.Before, &l.Fact.After)
	return l, err
}

func scanRevocationChange(r scanner, facts int) (store.AdminChange, error) {
	var l store.RevocationLine
	var action string
	var at, from, until int64
	var notBefore, expiresAt sql.NullInt64
	var was store.RevocationFact
	c, now := &l.Change, &l.Now
	if err := r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &action, &l.ID, &now.TenantID, &now.Kind, &now.Value, &from, &until,
		&notBefore, &expiresAt, &was.Reason, &was.Ticket); err != nil {
		return store.AdminChange{}, err
	}
	c.At = time.UnixMicro(at)
	now.NotBefore, now.ExpiresAt, now.Reason, now.Ticket = time.UnixMicro(from).UTC(), time.UnixMicro(until).UTC(), c.Reason, c.Ticket
	l.Deleted = action == "delete"
	if notBefore.Valid {
		was.TenantID, was.Kind, was.Value, was.NotBefore, was.ExpiresAt = now.TenantID, now.Kind, now.Value, timeOf(notBefore), timeOf(expiresAt)
		l.Before = &was
	}
	return l.AdminChange(facts)
}

func scanTrustChange(r scanner, facts int) (store.AdminChange, error) {
	var l store.TrustLine
	var at int64
	c := &l.Change
	if err := r.Scan(&c.Number, &at, &c.Actor, &c.Reason, &c.Ticket, &l.Action, &l.Provider, &l.Tenant, &l.Kid, &l.DisplayName,
		&l.BeforeAction, &l.BeforeName, &l.BeforeReason); err != nil {
		return store.AdminChange{}, err
	}
	c.At = time.UnixMicro(at).UTC()
	return l.AdminChange(facts)
}
