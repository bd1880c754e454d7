package sqlite

import (
	"context"
	"database/sql"

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

// The columns beside MAX are of the row that has it (https://sqlite.org/lang_select.html#bareagg).
const sqlKeyPurges = `
SELECT MAX(version), tenant_id, at
FROM trust_changes
WHERE action = 'purge'
GROUP BY tenant_id
ORDER BY MAX(version)`

func scanTrustedTenant(row scanner) (t store.TrustedTenant, err error) {
	var at sql.NullInt64
	err = row.Scan(&t.Provider, &t.ID, &t.DisplayName, &at)
	t.AddedAt = timeOf(at)
	return t, err
}

func scanDeniedKey(row scanner) (k store.DeniedKey, err error) {
	var at sql.NullInt64
	err = row.Scan(&k.Kid, &k.Reason, &at)
	k.DeniedAt = timeOf(at)
	return k, err
}

func scanKeyPurge(row scanner) (p store.KeyPurge, err error) {
	var at sql.NullInt64
	err = row.Scan(&p.Seq, &p.Tenant, &at)
	p.At = timeOf(at)
	return p, err
}

// TrustVersion implements store.TrustReader.
func (s *Store) TrustVersion(ctx context.Context) (version uint64, err error) {
	err = s.read.QueryRowContext(ctx, sqlTrustVersion).Scan(&version)
	return version, s.asStoreError(ctx, "read trust version", err)
}

// Tenants implements store.TrustReader.
func (s *Store) Tenants(ctx context.Context) ([]store.TrustedTenant, error) {
	l, err := collect(ctx, s.read, scanTrustedTenant, sqlTrustedTenants)
	return l, s.asStoreError(ctx, "read tenants", err)
}

// DeniedKeys implements store.TrustReader.
func (s *Store) DeniedKeys(ctx context.Context) ([]store.DeniedKey, error) {
	l, err := collect(ctx, s.read, scanDeniedKey, sqlDeniedKeys)
	return l, s.asStoreError(ctx, "read denied keys", err)
}

// Purges implements store.TrustReader.
func (s *Store) Purges(ctx context.Context) ([]store.KeyPurge, error) {
	l, err := collect(ctx, s.read, scanKeyPurge, sqlKeyPurges)
	return l, s.asStoreError(ctx, "read key purges", err)
}
