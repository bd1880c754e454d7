package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// SourceConfig tunes a Source. The zero value is usable.
type SourceConfig struct {
	// Look is between two looks for a new round; 0 means 1 s. What is kept of a principal serves as long as no round has
	// changed anything.
	Look  time.Duration
	Bytes uint64           // of what is kept of principals, about; 0 means 64 MiB
	Now   func() time.Time // nil means time.Now
}

// Source answers from the copy in the store. A principal is looked up once for each round that changed something; with
// the store away, what was looked up before still serves, with its age.
type Source struct {
	store store.MirrorReader
	cfg   SourceConfig
	kept  *otter.Cache[key, *entry]

	mu      sync.RWMutex
	tenants map[store.GUID]*followed
}

var _ directory.Source = (*Source)(nil)

// key is a principal.
type key struct{ tenant, principal store.GUID }

// entry is what is kept of a principal. It is immutable.
type entry struct {
	changed uint64 // holds as long as no later round has changed anything
	kind    store.MirrorKind
	groups  []string
	err     error // unknown, disabled or deleted
}

// followed is how far the copy of a tenant is.
type followed struct {
	head    atomic.Pointer[seen]
	looking atomic.Bool
	failed  atomic.Int64 // Unix nanoseconds of the last look that failed
}

// seen is a head and when it was looked for.
type seen struct {
	store.MirrorHead
	at time.Time
}

// NewSource answers from s. Close ends it.
func NewSource(s store.MirrorReader, cfg SourceConfig) (*Source, error) {
	if s == nil || cfg.Look < 0 {
		return nil, errors.New("mirror: a source needs a store, and no negative duration")
	}
	if cfg.Look == 0 {
		cfg.Look = time.Second
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	kept, err := otter.New(&otter.Options[key, *entry]{MaximumWeight: cfg.Bytes, Weigher: func(_ key, e *entry) uint32 {
		return uint32(256 + 52*len(e.groups)) //nolint:gosec // far below 4 GiB: the groups of a tenant
	}})
	if err != nil {
		return nil, fmt.Errorf("mirror cache: %w", err)
	}
	return &Source{store: s, cfg: cfg, kept: kept, tenants: make(map[store.GUID]*followed)}, nil
}

// Close ends what keeps principals. Groups must not be called after it.
func (s *Source) Close() { s.kept.StopAllGoroutines() }

// Groups returns the groups of a user or an application (by the object id of its service principal) as the copy has them,
// true at the time of the newest round. Who was deleted and may be restored is ErrPrincipalDisabled. ErrUnavailable while
// there is no copy yet, or the store is away and the principal was not looked up before.
func (s *Source) Groups(ctx context.Context, who directory.Caller) (directory.Membership, error) {
	k, want, err := keyOf(&who)
	if err != nil {
		return directory.Membership{}, err
	}
	t := s.tenant(k.tenant)
	head, fresh := s.head(ctx, k.tenant, t)
	e, ok := s.kept.GetIfPresent(k)
	ok = ok && head != nil && e.changed == head.Changed
	if ok && fresh {
		return e.answer(want, head)
	}
	m, err := s.store.MirrorGroups(ctx, k.tenant, k.principal)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return directory.Membership{}, fmt.Errorf("mirror: %w: the tenant was not copied yet", directory.ErrUnavailable)
	case err != nil && ok:
		return e.answer(want, head)
	case err != nil:
		return directory.Membership{}, fmt.Errorf("mirror: %w: %w", directory.ErrUnavailable, err)
	}
	e = entryOf(&m)
	s.kept.Set(k, e)
	newest := &seen{MirrorHead: m.MirrorHead, at: s.cfg.Now()}
	t.advance(newest)
	return e.answer(want, newest)
}

// keyOf refuses callers that are in no copy: devices, and ids that no proven token has.
func keyOf(who *directory.Caller) (k key, want store.MirrorKind, err error) {
	switch who.Kind {
	case policy.PrincipalUser:
		want = store.MirrorUser
	case policy.PrincipalApp:
		want = store.MirrorServicePrincipal
	default:
		return k, 0, fmt.Errorf("mirror: %w: neither a user nor an application", directory.ErrUnknownPrincipal)
	}
	var err1, err2 error
	k.tenant, err1 = store.ParseGUID(who.TenantID)
	k.principal, err2 = store.ParseGUID(who.ObjectID)
	if err1 != nil || err2 != nil {
		return k, 0, fmt.Errorf("mirror: %w: tenant and object id are not GUIDs", directory.ErrUnknownPrincipal)
	}
	return k, want, nil
}

func entryOf(m *store.MirrorGroups) *entry {
	e := &entry{changed: m.Changed, kind: m.Kind}
	switch {
	case m.Unknown:
		e.err = fmt.Errorf("mirror: %w", directory.ErrUnknownPrincipal)
	case m.Deleted:
		e.err = fmt.Errorf("mirror: %w: deleted", directory.ErrPrincipalDisabled)
	case !m.Enabled:
		e.err = fmt.Errorf("mirror: %w", directory.ErrPrincipalDisabled)
	case len(m.Groups) > 0:
		e.groups = make([]string, len(m.Groups))
		for i, g := range m.Groups {
			e.groups[i] = g.String() // sorted as the ids are
		}
	}
	return e
}

func (e *entry) answer(want store.MirrorKind, head *seen) (directory.Membership, error) {
	switch {
	case e.kind != 0 && e.kind != want:
		return directory.Membership{}, fmt.Errorf("mirror: %w: of another kind", directory.ErrUnknownPrincipal)
	case e.err != nil:
		return directory.Membership{}, e.err
	}
	return directory.Membership{Groups: e.groups, At: head.SyncedAt, Source: "mirror"}, nil
}

func (s *Source) tenant(id store.GUID) *followed {
	s.mu.RLock()
	t := s.tenants[id]
	s.mu.RUnlock()
	if t != nil {
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t = s.tenants[id]; t == nil {
		t = new(followed)
		s.tenants[id] = t
	}
	return t
}

// head returns how far the copy is, nil when that was never seen; fresh: there is no need to ask the store. One caller
// looks when it is time, and a look that failed is not repeated at once; meanwhile what was seen before goes on.
func (s *Source) head(ctx context.Context, tenant store.GUID, t *followed) (h *seen, fresh bool) {
	old := t.head.Load()
	if old == nil {
		return nil, false
	}
	now := s.cfg.Now()
	age, pause := now.Sub(old.at), now.Sub(time.Unix(0, t.failed.Load()))
	switch {
	case within(age, s.cfg.Look) || within(pause, s.cfg.Look):
		return old, true
	case !t.looking.CompareAndSwap(false, true):
		return old, within(age, longUnseen*s.cfg.Look)
	}
	defer t.looking.Store(false)
	ctx, cancel := context.WithTimeout(ctx, patience(ctx))
	defer cancel()
	head, err := s.store.MirrorHead(ctx, tenant)
	switch {
	case errors.Is(err, store.ErrNotFound):
		t.head.Store(nil) // the store was set back to before the first round
		s.kept.InvalidateAll()
		return nil, false
	case err != nil:
		t.failed.Store(now.UnixNano())
		return old, true
	case head.Round < old.Round: // set back: numbers mean something else now
		s.kept.InvalidateAll()
	}
	t.advance(&seen{MirrorHead: head, at: now})
	return t.head.Load(), true
}

// longUnseen is how many times Look a head may be old while somebody else looks for a new one.
const longUnseen = 5

// within says whether age is under d. A clock that went back is no reason to wait.
func within(age, d time.Duration) bool { return age >= 0 && age < d }

// patience leaves the caller the better part of its time.
func patience(ctx context.Context) time.Duration {
	const most = 500 * time.Millisecond
	if end, has := ctx.Deadline(); has {
		return min(most, time.Until(end)/3)
	}
	return most
}

// advance makes h the newest head seen, unless one that was looked for later is known.
func (t *followed) advance(h *seen) {
	for {
		old := t.head.Load()
		if old != nil && old.Round > h.Round && old.at.After(h.at) {
			return
		}
		if t.head.CompareAndSwap(old, h) {
			return
		}
	}
}
