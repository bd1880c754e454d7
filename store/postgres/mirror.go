package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
)

const sqlMirrorHead = `
SELECT round, changed, synced_at
FROM mirror_tenants
WHERE tenant = @tenant::text::uuid AND round > 0`

// UNION keeps what was reached once, so groups that contain each other come to an end. OFFSET 0 keeps the planner, which
// cannot know how few groups are nested, from reading the memberships of the whole tenant instead of a few by index.
const sqlMirrorGroups = `
WITH RECURSIVE reach (id) AS (
    SELECT group_id
    FROM mirror_members
    WHERE tenant = @tenant::text::uuid AND member_id = @principal::text::uuid
    UNION
    SELECT up.group_id
    FROM reach
    CROSS JOIN LATERAL (
        SELECT group_id
        FROM mirror_members
        WHERE tenant = @tenant::text::uuid AND member_id = reach.id AND kind = 3
        OFFSET 0
    ) AS up
)
SELECT t.round, t.changed, t.synced_at, p.kind, p.enabled, p.deleted,
       CASE WHEN p.id IS NULL THEN '{}' ELSE ARRAY(SELECT id FROM reach ORDER BY id) END
FROM mirror_tenants AS t
LEFT JOIN mirror_principals AS p ON p.tenant = t.tenant AND p.id = @principal::text::uuid
WHERE t.tenant = @tenant::text::uuid AND t.round > 0`

const sqlLeaseMirror = `
INSERT INTO mirror_tenants (tenant, holder, lease_until)
VALUES (@tenant::text::uuid, @holder, clock_timestamp() + @life_us::bigint * interval '1 microsecond')
ON CONFLICT (tenant) DO UPDATE
SET holder = excluded.holder,
    lease_until = excluded.lease_until
WHERE mirror_tenants.holder = excluded.holder OR mirror_tenants.lease_until <= clock_timestamp()
RETURNING round, changed, synced_at, full_at, resync`

const sqlMirrorLinks = `
SELECT resource, link
FROM mirror_links
WHERE tenant = @tenant::text::uuid`

const sqlReleaseMirror = `
UPDATE mirror_tenants
SET lease_until = '-infinity'
WHERE tenant = @tenant::text::uuid AND holder = @holder`

const sqlMirrorEvents = `
SELECT seq, object, kind, at
FROM mirror_events
WHERE tenant = @tenant::text::uuid
ORDER BY seq
LIMIT @limit`

const sqlDropMirrorEvents = `
DELETE FROM mirror_events
WHERE tenant = @tenant::text::uuid AND seq <= @seq`

// MirrorHead implements store.MirrorReader.
func (s *Store) MirrorHead(ctx context.Context, tenant store.GUID) (h store.MirrorHead, err error) {
	row := s.pool.QueryRow(ctx, sqlMirrorHead, pgx.StrictNamedArgs{"tenant": tenant.String()})
	if err = row.Scan(&h.Round, &h.Changed, &h.SyncedAt); err != nil {
		return store.MirrorHead{}, s.asStoreError("read mirror head", err)
	}
	h.SyncedAt = store.Instant(h.SyncedAt)
	return h, nil
}

// MirrorGroups implements store.MirrorReader. One statement sees one state.
func (s *Store) MirrorGroups(ctx context.Context, tenant, principal store.GUID) (m store.MirrorGroups, err error) {
	row := s.pool.QueryRow(ctx, sqlMirrorGroups, pgx.StrictNamedArgs{"tenant": tenant.String(), "principal": principal.String()})
	var kind *int16
	var enabled, deleted *bool
	var ids [][16]byte
	if err = row.Scan(&m.Round, &m.Changed, &m.SyncedAt, &kind, &enabled, &deleted, &ids); err != nil {
		return store.MirrorGroups{}, s.asStoreError("read mirrored groups", err)
	}
	m.SyncedAt = store.Instant(m.SyncedAt)
	if kind == nil {
		m.Unknown = true
		return m, nil
	}
	m.Kind, m.Enabled, m.Deleted = store.MirrorKind(*kind), *enabled, *deleted
	if len(ids) > 0 {
		m.Groups = make([]store.GUID, len(ids))
		for i, id := range ids {
			m.Groups[i] = id
		}
	}
	return m, nil
}

// LeaseMirror implements store.MirrorWriter. The row itself is the lease; no lock outlives the statement.
func (s *Store) LeaseMirror(ctx context.Context, tenant store.GUID, holder string, life time.Duration) (store.MirrorState, error) {
	var st store.MirrorState
	if err := store.CheckMirrorLease(holder, life); err != nil {
		return st, err
	}
	err := s.writing(ctx, "lease mirror", func(tx pgx.Tx) error {
		st = store.MirrorState{}
		row := tx.QueryRow(ctx, sqlLeaseMirror, pgx.StrictNamedArgs{
			"tenant": tenant.String(), "holder": holder, "life_us": life.Microseconds()})
		var synced, full *time.Time
		err := row.Scan(&st.Round, &st.Changed, &synced, &full, &st.Resync)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("another has it: %w", store.ErrConflict)
		}
		if err != nil {
			return err
		}
		st.SyncedAt, st.FullAt = instantOf(synced), instantOf(full)
		st.Links, err = mirrorLinks(ctx, tx, tenant)
		return err
	})
	if err != nil {
		return store.MirrorState{}, err
	}
	return st, nil
}

func mirrorLinks(ctx context.Context, tx pgx.Tx, tenant store.GUID) (map[store.MirrorResource]string, error) {
	type link struct {
		resource store.MirrorResource
		link     string
	}
	all, err := collect(ctx, tx, func(row pgx.Row) (l link, err error) {
		err = row.Scan(&l.resource, &l.link)
		return l, err
	}, sqlMirrorLinks, pgx.StrictNamedArgs{"tenant": tenant.String()})
	links := make(map[store.MirrorResource]string, len(all))
	for _, l := range all {
		links[l.resource] = l.link
	}
	return links, err
}

// ReleaseMirror implements store.MirrorWriter.
func (s *Store) ReleaseMirror(ctx context.Context, tenant store.GUID, holder string) error {
	_, err := s.pool.Exec(ctx, sqlReleaseMirror, pgx.StrictNamedArgs{"tenant": tenant.String(), "holder": holder})
	return s.asStoreError("release mirror", err)
}

// MirrorEvents implements store.MirrorWriter.
func (s *Store) MirrorEvents(ctx context.Context, tenant store.GUID, limit int) ([]store.MirrorEvent, error) {
	l, err := collect(ctx, s.pool, func(row pgx.Row) (e store.MirrorEvent, err error) {
		var object [16]byte
		err = row.Scan(&e.Seq, &object, &e.Kind, &e.At)
		e.Object, e.At = object, store.Instant(e.At)
		return e, err
	}, sqlMirrorEvents, pgx.StrictNamedArgs{"tenant": tenant.String(), "limit": max(limit, 0)})
	return l, s.asStoreError("read mirror events", err)
}

// DropMirrorEvents implements store.MirrorWriter.
func (s *Store) DropMirrorEvents(ctx context.Context, tenant store.GUID, seq uint64) error {
	_, err := s.pool.Exec(ctx, sqlDropMirrorEvents, pgx.StrictNamedArgs{"tenant": tenant.String(), "seq": number(seq)})
	return s.asStoreError("drop mirror events", err)
}

// instantOf is an instant that may be NULL, which is the zero time.
func instantOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return store.Instant(*t)
}
