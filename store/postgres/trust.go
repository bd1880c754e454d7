package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const sqlTrustVersion = `
SELECT version
FROM trust_head`

const sqlTrustedTenants = `
SELECT provider, tenant_id, display_name, added_at
FROM trust_tenants
ORDER BY provider, tenant_id`

const sqlDeniedKeys = `
SELECT kid, reason, denied_at
FROM trust_denied_keys
ORDER BY kid`

const sqlKeyPurges = `
SELECT DISTINCT ON (tenant_id) version, tenant_id, at
FROM trust_changes
WHERE action = 'purge'
ORDER BY tenant_id, version DESC`

func scanTrustedTenant(row pgx.Row) (t store.TrustedTenant, err error) {
	err = row.Scan(&t.Provider, &t.ID, &t.DisplayName, &t.AddedAt)
	t.AddedAt = store.Instant(t.AddedAt)
	return t, err
}

func scanDeniedKey(row pgx.Row) (k store.DeniedKey, err error) {
	err = row.Scan(&k.Kid, &k.Reason, &k.DeniedAt)
	k.DeniedAt = store.Instant(k.DeniedAt)
	return k, err
}

func scanKeyPurge(row pgx.Row) (p store.KeyPurge, err error) {
	err = row.Scan(&p.Seq, &p.Tenant, &p.At)
	p.At = store.Instant(p.At)
	return p, err
}

// TrustVersion implements store.TrustReader.
func (s *Store) TrustVersion(ctx context.Context) (version uint64, err error) {
	err = s.pool.QueryRow(ctx, sqlTrustVersion).Scan(&version)
	return version, s.asStoreError("read trust version", err)
}

// Tenants implements store.TrustReader.
func (s *Store) Tenants(ctx context.Context) ([]store.TrustedTenant, error) {
	l, err := collect(ctx, s.pool, scanTrustedTenant, sqlTrustedTenants, nil)
	return l, s.asStoreError("read tenants", err)
}

// DeniedKeys implements store.TrustReader.
func (s *Store) DeniedKeys(ctx context.Context) ([]store.DeniedKey, error) {
	l, err := collect(ctx, s.pool, scanDeniedKey, sqlDeniedKeys, nil)
	return l, s.asStoreError("read denied keys", err)
}

// Purges implements store.TrustReader.
func (s *Store) Purges(ctx context.Context) ([]store.KeyPurge, error) {
	l, err := collect(ctx, s.pool, scanKeyPurge, sqlKeyPurges, nil)
	slices.SortFunc(l, func(a, b store.KeyPurge) int { return cmp.Compare(a.Seq, b.Seq) })
	return l, s.asStoreError("read key purges", err)
}
