package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

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

const sqlNextTrustVersion = `
UPDATE trust_head
SET version = version + 1
RETURNING version`

const sqlNoteTrust = `
INSERT INTO trust_changes (version, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket)
VALUES (@version, @at, @action, @provider, @tenant_id, @display_name, @kid, @actor, @reason, @ticket)`

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
	_, err := s.changeTrust(ctx, "add tenant "+t.ID, by, func(tx *sql.Tx, at time.Time) (*trustChange, error) {
		was, err := scanTrustedTenant(tx.QueryRowContext(ctx, sqlFindTrustedTenant, sql.Named("provider", t.Provider), sql.Named("tenant_id", t.ID)))
		switch {
		case errors.Is(err, sql.ErrNoRows):
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
		_, err = tx.ExecContext(ctx, sqlPutTrustedTenant, sql.Named("provider", kept.Provider), sql.Named("tenant_id", kept.ID),
			sql.Named("display_name", kept.DisplayName), sql.Named("added_at", kept.AddedAt.UnixMicro()))
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
	_, err := s.changeTrust(ctx, "remove tenant "+id, by, func(tx *sql.Tx, _ time.Time) (*trustChange, error) {
		gone, err := scanTrustedTenant(tx.QueryRowContext(ctx, sqlDeleteTrustedTenant, sql.Named("provider", provider), sql.Named("tenant_id", id)))
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
	_, err := s.changeTrust(ctx, "deny key "+kid, by, func(tx *sql.Tx, at time.Time) (*trustChange, error) {
		was, err := scanDeniedKey(tx.QueryRowContext(ctx, sqlFindDeniedKey, sql.Named("kid", kid)))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			kept = store.DeniedKey{Kid: kid, Reason: by.Reason, DeniedAt: at}
		case err != nil:
			return nil, err
		default:
			var explained bool
			if kept, explained = was.Explained(by.Reason); !explained {
				return nil, nil //nolint:nilnil // nothing changes
			}
		}
		_, err = tx.ExecContext(ctx, sqlPutDeniedKey, sql.Named("kid", kept.Kid), sql.Named("reason", kept.Reason),
			sql.Named("denied_at", kept.DeniedAt.UnixMicro()))
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
	_, err := s.changeTrust(ctx, "allow key "+kid, by, func(tx *sql.Tx, _ time.Time) (*trustChange, error) {
		_, err := scanDeniedKey(tx.QueryRowContext(ctx, sqlDeleteDeniedKey, sql.Named("kid", kid)))
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
	version, err := s.changeTrust(ctx, "order purge of "+tenant, by, func(_ *sql.Tx, at time.Time) (*trustChange, error) {
		order = store.KeyPurge{Tenant: tenant, At: at}
		return &trustChange{action: "purge", tenant: tenant}, nil
	})
	if err != nil {
		return store.KeyPurge{}, err
	}
	order.Seq = version
	return order, nil
}

// changeTrust runs change in a transaction that has the file to itself and notes what it did; nil: nothing, and version is 0.
func (s *Store) changeTrust(
	ctx context.Context, doing string, by store.Note, change func(tx *sql.Tx, at time.Time) (*trustChange, error),
) (version uint64, err error) {
	err = s.writing(ctx, doing, func(tx *sql.Tx) error {
		at := store.Instant(s.now())
		did, err := change(tx, at)
		if err != nil || did == nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, sqlNextTrustVersion).Scan(&version); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, sqlNoteTrust, sql.Named("version", number(version)), sql.Named("at", at.UnixMicro()),
			sql.Named("action", did.action), sql.Named("provider", did.provider), sql.Named("tenant_id", did.tenant),
			sql.Named("display_name", did.displayName), sql.Named("kid", did.kid), sql.Named("actor", by.Actor),
			sql.Named("reason", by.Reason), sql.Named("ticket", by.Ticket))
		return err
	})
	if err == nil && version != 0 {
		s.hint()
	}
	return version, err
}
