package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

// The row lock orders changes; the time is read after it was had.
const sqlLockTrust = `
SELECT clock_timestamp()
FROM trust_head
FOR UPDATE`

const sqlFindTrustedTenant = `
SELECT provider, tenant_id, display_name, added_at
FROM trust_tenants
WHERE provider = @provider AND tenant_id = @tenant_id`

const sqlPutTrustedTenant = `
INSERT INTO trust_tenants (provider, tenant_id, display_name, added_at)
VALUES (@provider, @tenant_id, @display_name, @added_at)
ON CONFLICT (provider, tenant_id) DO UPDATE
SET display_name = excluded.display_name`

const sqlDeleteTrustedTenant = `
DELETE FROM trust_tenants
WHERE provider = @provider AND tenant_id = @tenant_id
RETURNING provider, tenant_id, display_name, added_at`

const sqlFindDeniedKey = `
SELECT kid, reason, denied_at
FROM trust_denied_keys
WHERE kid = @kid`

const sqlPutDeniedKey = `
INSERT INTO trust_denied_keys (kid, reason, denied_at)
VALUES (@kid, @reason, @denied_at)
ON CONFLICT (kid) DO UPDATE
SET reason = excluded.reason`

const sqlDeleteDeniedKey = `
DELETE FROM trust_denied_keys
WHERE kid = @kid
RETURNING kid, reason, denied_at`

const sqlNoteTrust = `
WITH head AS (
    UPDATE trust_head
    SET version = version + 1
    RETURNING version)
INSERT INTO trust_changes (version, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket)
SELECT version, @at, @action, @provider, @tenant_id, @display_name, @kid, @actor, @reason, @ticket
FROM head
RETURNING version`

const sqlNotifyTrust = `
SELECT pg_notify('verdict_revision', 'trust')`

// trustChange is what a line of history says beside who and why.
type trustChange struct {
	action, provider, tenant, displayName, kid string
}

// AddTenant implements store.TrustWriter.
func (s *Store) AddTenant(ctx context.Context, t store.TrustedTenant, by store.Note) (store.TrustedTenant, error) {
	if err := errors.Join(t.Validate(), by.Validate()); err != nil {
		return store.TrustedTenant{}, fmt.Errorf("add: %w", err)
	}
	var kept store.TrustedTenant
	_, err := s.changeTrust(ctx, "add tenant "+t.ID, by, func(tx pgx.Tx, at time.Time) (*trustChange, error) {
		key := pgx.StrictNamedArgs{"provider": t.Provider, "tenant_id": t.ID}
		was, err := scanTrustedTenant(tx.QueryRow(ctx, sqlFindTrustedTenant, key))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			kept = t
			kept.AddedAt = at
		case err != nil:
			return nil, err
		default:
			var renamed bool
			if kept, renamed = was.Renamed(t.DisplayName); !renamed {
				return nil, nil //nolint:nilnil // nothing changes
			}
		}
		_, err = tx.Exec(ctx, sqlPutTrustedTenant, pgx.StrictNamedArgs{
			"provider": kept.Provider, "tenant_id": kept.ID, "display_name": kept.DisplayName, "added_at": kept.AddedAt,
		})
		return &trustChange{action: "add_tenant", provider: kept.Provider, tenant: kept.ID, displayName: kept.DisplayName}, err
	})
	if err != nil {
		return store.TrustedTenant{}, err
	}
	return kept, nil
}

// RemoveTenant implements store.TrustWriter.
func (s *Store) RemoveTenant(ctx context.Context, provider, id string, by store.Note) error {
	if err := errors.Join(store.TrustedTenant{Provider: provider, ID: id}.Validate(), by.Validate()); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	_, err := s.changeTrust(ctx, "remove tenant "+id, by, func(tx pgx.Tx, _ time.Time) (*trustChange, error) {
		gone, err := scanTrustedTenant(tx.QueryRow(ctx, sqlDeleteTrustedTenant, pgx.StrictNamedArgs{"provider": provider, "tenant_id": id}))
		return &trustChange{action: "remove_tenant", provider: provider, tenant: id, displayName: gone.DisplayName}, err
	})
	return err
}

// DenyKey implements store.TrustWriter.
func (s *Store) DenyKey(ctx context.Context, kid string, by store.Note) (store.DeniedKey, error) {
	if err := errors.Join(store.CheckKid(kid), by.Validate()); err != nil {
		return store.DeniedKey{}, fmt.Errorf("deny: %w", err)
	}
	var kept store.DeniedKey
	_, err := s.changeTrust(ctx, "deny key "+kid, by, func(tx pgx.Tx, at time.Time) (*trustChange, error) {
		was, err := scanDeniedKey(tx.QueryRow(ctx, sqlFindDeniedKey, pgx.StrictNamedArgs{"kid": kid}))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			kept = store.DeniedKey{Kid: kid, Reason: by.Reason, DeniedAt: at}
		case err != nil:
			return nil, err
		default:
			var explained bool
			if kept, explained = was.Explained(by.Reason); !explained {
				return nil, nil //nolint:nilnil // nothing changes
			}
		}
		_, err = tx.Exec(ctx, sqlPutDeniedKey, pgx.StrictNamedArgs{"kid": kept.Kid, "reason": kept.Reason, "denied_at": kept.DeniedAt})
		return &trustChange{action: "deny_key", kid: kid}, err
	})
	if err != nil {
		return store.DeniedKey{}, err
	}
	return kept, nil
}

// AllowKey implements store.TrustWriter.
func (s *Store) AllowKey(ctx context.Context, kid string, by store.Note) error {
	if err := errors.Join(store.CheckKid(kid), by.Validate()); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	_, err := s.changeTrust(ctx, "allow key "+kid, by, func(tx pgx.Tx, _ time.Time) (*trustChange, error) {
		_, err := scanDeniedKey(tx.QueryRow(ctx, sqlDeleteDeniedKey, pgx.StrictNamedArgs{"kid": kid}))
		return &trustChange{action: "allow_key", kid: kid}, err
	})
	return err
}

// OrderPurge implements store.TrustWriter.
func (s *Store) OrderPurge(ctx context.Context, tenant string, by store.Note) (store.KeyPurge, error) {
	if err := errors.Join(store.CheckPurge(tenant), by.Validate()); err != nil {
		return store.KeyPurge{}, fmt.Errorf("purge: %w", err)
	}
	var order store.KeyPurge
	version, err := s.changeTrust(ctx, "order purge of "+tenant, by, func(_ pgx.Tx, at time.Time) (*trustChange, error) {
		order = store.KeyPurge{Tenant: tenant, At: at}
		return &trustChange{action: "purge", tenant: tenant}, nil
	})
	if err != nil {
		return store.KeyPurge{}, err
	}
	order.Seq = version
	return order, nil
}

// changeTrust runs change in its turn among all changes of trust and notes what it did; nil: nothing, and version is 0.
func (s *Store) changeTrust(
	ctx context.Context, doing string, by store.Note, change func(tx pgx.Tx, at time.Time) (*trustChange, error),
) (version uint64, err error) {
	err = s.writing(ctx, doing, func(tx pgx.Tx) error {
		version = 0
		var at time.Time
		b := new(pgx.Batch)
		b.Queue(sqlGuardCommit)
		b.Queue(sqlLockTrust).QueryRow(func(row pgx.Row) error { return row.Scan(&at) })
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		at = store.Instant(at)
		did, err := change(tx, at)
		if err != nil || did == nil {
			return err
		}
		b = new(pgx.Batch)
		b.Queue(sqlNoteTrust, pgx.StrictNamedArgs{
			"at": at, "action": did.action, "provider": did.provider, "tenant_id": did.tenant, "display_name": did.displayName,
			"kid": did.kid, "actor": by.Actor, "reason": by.Reason, "ticket": by.Ticket,
		}).QueryRow(func(row pgx.Row) error { return row.Scan(&version) })
		b.Queue(sqlNotifyTrust)
		return tx.SendBatch(ctx, b).Close()
	})
	return version, err
}
