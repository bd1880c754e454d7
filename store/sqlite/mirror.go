package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const sqlMirrorHead = `
SELECT round, changed, synced_at
FROM mirror_tenants
WHERE tenant = @tenant AND round > 0`

// UNION keeps what was reached once, so groups that contain each other come to an end. The ids come as one text, since a
// step through the driver for each of thousands costs more than the query. CROSS JOIN fixes the order: from what was
// reached to its memberships, by index.
const sqlMirrorGroups = `
WITH RECURSIVE reach (id) AS (
    SELECT group_id
    FROM mirror_members
    WHERE tenant = @tenant AND member_id = @principal
    UNION
    SELECT up.group_id
    FROM reach
    CROSS JOIN mirror_members AS up
    WHERE up.tenant = @tenant AND up.member_id = reach.id AND up.kind = 3
)
SELECT t.round, t.changed, t.synced_at, p.kind, p.enabled, p.deleted,
       CASE WHEN p.id IS NULL THEN '' ELSE COALESCE((SELECT group_concat(hex(id), '') FROM reach), '') END
FROM mirror_tenants AS t
LEFT JOIN mirror_principals AS p ON p.tenant = t.tenant AND p.id = @principal
WHERE t.tenant = @tenant AND t.round > 0`

const sqlLeaseMirror = `
INSERT INTO mirror_tenants (tenant, holder, lease_until)
VALUES (@tenant, @holder, @until)
ON CONFLICT (tenant) DO UPDATE
SET holder = excluded.holder,
    lease_until = excluded.lease_until
WHERE mirror_tenants.holder = excluded.holder OR mirror_tenants.lease_until <= @now
RETURNING round, changed, synced_at, full_at, resync`

const sqlMirrorLinks = `
SELECT resource, link
FROM mirror_links
WHERE tenant = @tenant`

const sqlReleaseMirror = `
UPDATE mirror_tenants
SET lease_until = 0
WHERE tenant = @tenant AND holder = @holder`

const sqlMirrorEvents = `
SELECT seq, object, kind, at
FROM mirror_events
WHERE tenant = @tenant
ORDER BY seq
LIMIT @limit`

const sqlDropMirrorEvents = `
DELETE FROM mirror_events
WHERE tenant = @tenant AND seq <= @seq`

// blob is an id as it is kept.
func blob(name string, id store.GUID) sql.NamedArg { return sql.Named(name, id[:]) }

// guidInto scans what blob wrote.
type guidInto struct{ dst *store.GUID }

func (g guidInto) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(g.dst) {
		return fmt.Errorf("an id is %T, not 16 bytes", v)
	}
	copy(g.dst[:], b)
	return nil
}

// MirrorHead implements store.MirrorReader.
func (s *Store) MirrorHead(ctx context.Context, tenant store.GUID) (h store.MirrorHead, err error) {
	var synced sql.NullInt64
	row := s.read.QueryRowContext(ctx, sqlMirrorHead, blob("tenant", tenant))
	if err = row.Scan(&h.Round, &h.Changed, &synced); err != nil {
		return store.MirrorHead{}, s.asStoreError(ctx, "read mirror head", err)
	}
	h.SyncedAt = timeOf(synced)
	return h, nil
}

// MirrorGroups implements store.MirrorReader. One statement sees one state.
func (s *Store) MirrorGroups(ctx context.Context, tenant, principal store.GUID) (m store.MirrorGroups, err error) {
	var synced sql.NullInt64
	var kind sql.NullInt16
	var enabled, deleted sql.NullBool
	var ids string
	row := s.read.QueryRowContext(ctx, sqlMirrorGroups, blob("tenant", tenant), blob("principal", principal))
	if err = row.Scan(&m.Round, &m.Changed, &synced, &kind, &enabled, &deleted, &ids); err != nil {
		return store.MirrorGroups{}, s.asStoreError(ctx, "read mirrored groups", err)
	}
	m.SyncedAt = timeOf(synced)
	if !kind.Valid {
		m.Unknown = true
		return m, nil
	}
	m.Kind, m.Enabled, m.Deleted = store.MirrorKind(kind.Int16), enabled.Bool, deleted.Bool
	if m.Groups, err = guids(ids); err != nil {
		return store.MirrorGroups{}, s.asStoreError(ctx, "read mirrored groups", err)
	}
	return m, nil
}

// guids reads ids in hexadecimal, one after the other, and sorts them.
func guids(text string) ([]store.GUID, error) {
	if text == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b)%16 != 0 {
		return nil, fmt.Errorf("ids are %d characters, not 32 each", len(text))
	}
	ids := make([]store.GUID, len(b)/16)
	for i := range ids {
		ids[i] = store.GUID(b[16*i : 16*i+16])
	}
	slices.SortFunc(ids, store.GUID.Compare)
	return ids, nil
}

// LeaseMirror implements store.MirrorWriter.
func (s *Store) LeaseMirror(ctx context.Context, tenant store.GUID, holder string, life time.Duration) (store.MirrorState, error) {
	var st store.MirrorState
	if err := store.CheckMirrorLease(holder, life); err != nil {
		return st, err
	}
	err := s.writing(ctx, "lease mirror", func(tx *sql.Tx) error {
		now := s.now()
		row := tx.QueryRowContext(ctx, sqlLeaseMirror, blob("tenant", tenant), sql.Named("holder", holder),
			sql.Named("until", now.Add(life).UnixMicro()), sql.Named("now", now.UnixMicro()))
		var synced, full sql.NullInt64
		err := row.Scan(&st.Round, &st.Changed, &synced, &full, &st.Resync)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("another has it: %w", store.ErrConflict)
		}
		if err != nil {
			return err
		}
		st.SyncedAt, st.FullAt = timeOf(synced), timeOf(full)
		st.Links, err = mirrorLinks(ctx, tx, tenant)
		return err
	})
	if err != nil {
		return store.MirrorState{}, err
	}
	return st, nil
}

func mirrorLinks(ctx context.Context, tx *sql.Tx, tenant store.GUID) (map[store.MirrorResource]string, error) {
	type link struct {
		resource store.MirrorResource
		link     string
	}
	all, err := collect(ctx, tx, func(r scanner) (l link, err error) {
		err = r.Scan(&l.resource, &l.link)
		return l, err
	}, sqlMirrorLinks, blob("tenant", tenant))
	links := make(map[store.MirrorResource]string, len(all))
	for _, l := range all {
		links[l.resource] = l.link
	}
	return links, err
}

// ReleaseMirror implements store.MirrorWriter.
func (s *Store) ReleaseMirror(ctx context.Context, tenant store.GUID, holder string) error {
	_, err := s.write.ExecContext(ctx, sqlReleaseMirror, blob("tenant", tenant), sql.Named("holder", holder))
	return s.asStoreError(ctx, "release mirror", err)
}

// MirrorEvents implements store.MirrorWriter.
func (s *Store) MirrorEvents(ctx context.Context, tenant store.GUID, limit int) ([]store.MirrorEvent, error) {
	l, err := collect(ctx, s.read, func(r scanner) (e store.MirrorEvent, err error) {
		var at sql.NullInt64
		err = r.Scan(&e.Seq, guidInto{&e.Object}, &e.Kind, &at)
		e.At = timeOf(at)
		return e, err
	}, sqlMirrorEvents, blob("tenant", tenant), sql.Named("limit", max(limit, 0)))
	return l, s.asStoreError(ctx, "read mirror events", err)
}

// DropMirrorEvents implements store.MirrorWriter.
func (s *Store) DropMirrorEvents(ctx context.Context, tenant store.GUID, seq uint64) error {
	_, err := s.write.ExecContext(ctx, sqlDropMirrorEvents, blob("tenant", tenant), sql.Named("seq", number(seq)))
	return s.asStoreError(ctx, "drop mirror events", err)
}
