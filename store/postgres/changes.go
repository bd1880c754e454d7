package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

// Lines of a revision are numbered from 1 without gaps, so the last number is how many there are.
const sqlListPolicyChanges = `
SELECT r.number, r.at, r.actor, r.reason, r.ticket, (SELECT COALESCE(max(seq), 0) FROM changes WHERE revision = r.number)
FROM revisions AS r
WHERE r.at >= @from AND r.at < @to
  AND (r.at, r.number) < (@after_at, @below::bigint)
  AND (@actor::text = '' OR r.actor = @actor)
ORDER BY r.at DESC, r.number DESC
LIMIT @limit::bigint`

const sqlListFactsOfRevisions = `
SELECT revision, kind, key, COALESCE(before::text, ''), COALESCE(after::text, '')
FROM changes
WHERE revision = ANY (@revisions::bigint[]) AND seq <= @facts::bigint
ORDER BY revision, seq`

// The limit comes first: lines before are looked for of those alone that are returned.
const sqlListRevocationChanges = `
SELECT c.seq, c.at, c.actor, c.reason, c.ticket, c.action, c.id::text, c.tenant_id, c.kind, c.value, c.not_before, c.expires_at,
       b.not_before, b.expires_at, COALESCE(b.reason, ''), COALESCE(b.ticket, '')
FROM (
    SELECT seq, at, action, id, tenant_id, kind, value, not_before, expires_at, reason, ticket, actor
    FROM revocation_changes
    WHERE at >= @from AND at < @to
      AND (at, seq) < (@after_at, @below::bigint)
      AND (@actor::text = '' OR actor = @actor)
    ORDER BY at DESC, seq DESC
    LIMIT @limit::bigint) AS c
LEFT JOIN LATERAL (
    SELECT not_before, expires_at, reason, ticket
    FROM revocation_changes
    WHERE id = c.id AND seq < c.seq
    ORDER BY seq DESC
    LIMIT 1) AS b ON true
ORDER BY c.at DESC, c.seq DESC`

const sqlListTrustChanges = `
SELECT c.version, c.at, c.actor, c.reason, c.ticket, c.action, c.provider, c.tenant_id, c.kid, c.display_name,
       COALESCE(b.action, ''), COALESCE(b.display_name, ''), COALESCE(b.reason, '')
FROM (
    SELECT version, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket
    FROM trust_changes
    WHERE at >= @from AND at < @to
      AND (at, version) < (@after_at, @below::bigint)
      AND (@actor::text = '' OR actor = @actor)
    ORDER BY at DESC, version DESC
    LIMIT @limit::bigint) AS c
LEFT JOIN LATERAL (
    SELECT action, display_name, reason
    FROM trust_changes
    WHERE tenant_id = c.tenant_id AND kid = c.kid AND provider = c.provider AND version < c.version AND action <> 'purge'
    ORDER BY version DESC
    LIMIT 1) AS b ON true
ORDER BY c.at DESC, c.version DESC`

// ListChanges implements store.ChangeReader.
func (s *Store) ListChanges(ctx context.Context, f store.ChangeFilter, after store.ChangeCursor, limit, facts int) ([]store.AdminChange, error) {
	trails, err := f.Trails()
	if err != nil || limit <= 0 {
		return nil, err
	}
	var all []store.AdminChange
	err = s.reading(ctx, "list changes", func(tx pgx.Tx) error {
		all = nil
		for _, t := range trails {
			some, err := changesOf(ctx, tx, t, changeArgs(t, f, after, limit), facts)
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		all = store.NewestFirst(all, limit)
		lines, err := collect(ctx, tx, scanFactLine, sqlListFactsOfRevisions,
			pgx.StrictNamedArgs{"revisions": store.Revisions(all), "facts": max(facts, 0)})
		store.WithFacts(all, lines)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// changesOf reads those of one trail, those of the policy without their facts.
func changesOf(ctx context.Context, tx pgx.Tx, t store.Trail, args pgx.StrictNamedArgs, facts int) ([]store.AdminChange, error) {
	switch t {
	case store.TrailRevocation:
		return collect(ctx, tx, func(r pgx.Row) (store.AdminChange, error) { return scanRevocationChange(r, facts) }, sqlListRevocationChanges, args, asked)
	case store.TrailTrust:
		return collect(ctx, tx, func(r pgx.Row) (store.AdminChange, error) { return scanTrustChange(r, facts) }, sqlListTrustChanges, args, asked)
	default:
		return collect(ctx, tx, scanPolicyChange, sqlListPolicyChanges, args, asked)
	}
}

func changeArgs(t store.Trail, f store.ChangeFilter, after store.ChangeCursor, limit int) pgx.StrictNamedArgs {
	args := pgx.StrictNamedArgs{
		"from": bound(f.From, pgtype.NegativeInfinity), "to": bound(f.To, pgtype.Infinity), "actor": f.Actor, "limit": limit,
		"after_at": pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, "below": int64(0),
	}
	if after != (store.ChangeCursor{}) {
		args["after_at"], args["below"] = instant(after.At), number(after.Below(t))
	}
	return args
}

func scanPolicyChange(r pgx.Row) (c store.AdminChange, err error) {
	err = r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &c.Total)
	c.Trail, c.At = store.TrailPolicy, store.Instant(c.At)
	return c, err
}

func scanFactLine(r pgx.Row) (l store.FactLine, err error) {
	err = r.Scan(&l.Revision, &l.Fact.Kind, &l.Fact.Key, &l.Fact.Before, &l.Fact.After)
	return l, err
}

func scanRevocationChange(r pgx.Row, facts int) (store.AdminChange, error) {
	var l store.RevocationLine
	var action string
	var notBefore, expiresAt pgtype.Timestamptz
	var was store.RevocationFact
	c, now := &l.Change, &l.Now
	if err := r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &action, &l.ID, &now.TenantID, &now.Kind, &now.Value, &now.NotBefore,
		&now.ExpiresAt, &notBefore, &expiresAt, &was.Reason, &was.Ticket); err != nil {
		return store.AdminChange{}, err
	}
	now.NotBefore, now.ExpiresAt, now.Reason, now.Ticket = now.NotBefore.UTC(), now.ExpiresAt.UTC(), c.Reason, c.Ticket
	l.Deleted = action == "delete"
	if notBefore.Valid {
		was.TenantID, was.Kind, was.Value, was.NotBefore, was.ExpiresAt = now.TenantID, now.Kind, now.Value, notBefore.Time.UTC(), expiresAt.Time.UTC()
		l.Before = &was
	}
	return l.AdminChange(facts)
}

func scanTrustChange(r pgx.Row, facts int) (store.AdminChange, error) {
	var l store.TrustLine
	c := &l.Change
	if err := r.Scan(&c.Number, &c.At, &c.Actor, &c.Reason, &c.Ticket, &l.Action, &l.Provider, &l.Tenant, &l.Kid, &l.DisplayName,
		&l.BeforeAction, &l.BeforeName, &l.BeforeReason); err != nil {
		return store.AdminChange{}, err
	}
	c.At = store.Instant(c.At)
	return l.AdminChange(facts)
}
