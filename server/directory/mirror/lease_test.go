package mirror_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/store"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stop ends a syncer as a process that is told to stop does: its leases are released.
func stop(t testing.TB, y *mirror.Syncer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := y.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}

// eventually waits for ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestOneReplicaSyncsAndAnotherTakesOver(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		cfg := func(name string) mirror.Config {
			return mirror.Config{Holder: name, Poll: 20 * time.Millisecond, Lease: 600 * time.Millisecond}
		}
		// Three replicas, each with a store of its own; whoever leads is stopped, twice.
		type replica struct {
			y    *mirror.Syncer
			stop context.CancelFunc
			done chan error
		}
		var replicas []*replica
		for _, name := range []string{"a", "b", "c"} {
			ctx, cancel := context.WithCancel(t.Context())
			r := &replica{y: w.newSyncer(w.open(), cfg(name)), stop: cancel, done: make(chan error, 1)}
			go func() { r.done <- r.y.Run(ctx) }()
			replicas = append(replicas, r)
		}
		leader := func() (l *replica) {
			for _, r := range replicas {
				if s := r.y.Status()[0]; s.Leads && s.Round > 0 {
					l = r
				}
			}
			return l
		}
		for len(replicas) > 1 {
			eventually(t, "somebody leads", func() bool { return leader() != nil })
			gone := leader()
			round := gone.y.Status()[0].Round
			gone.stop()
			if err := <-gone.done; !errors.Is(err, context.Canceled) {
				t.Errorf("run: %v", err)
			}
			var left []*replica
			for _, r := range replicas {
				if r != gone {
					left = append(left, r)
				}
			}
			replicas = left
			eventually(t, "another goes on", func() bool { l := leader(); return l != nil && l.y.Status()[0].Round > round })
		}
		replicas[0].stop()
		if err := <-replicas[0].done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
		w.look()
		w.has(userOf(1), 1)
	})
}

func TestAReplicaThatHangsIsFollowedAndCannotApply(t *testing.T) {
	each(t, mirror.Config{Holder: "hangs", Lease: 300 * time.Millisecond}, func(t *testing.T, w *world) {
		w.graph.list("users", user(1))
		hang, hanging := make(chan struct{}), make(chan struct{})
		var once sync.Once
		var mute atomic.Bool
		mute.Store(true)
		w.graph.intercept(func(http.ResponseWriter, *http.Request) bool {
			if mute.Load() {
				once.Do(func() { close(hanging) })
				<-hang
			}
			return false
		})
		// Its store is away too, so that the lease is not renewed.
		cut := &cutStore{MirrorStore: w.open()}
		slow := w.newSyncer(cut, mirror.Config{Holder: "hangs", Lease: 300 * time.Millisecond})
		result := make(chan error, 1)
		go func() { result <- slow.Sync(t.Context(), tenantA) }()
		<-hanging
		cut.away.Store(true)
		mute.Store(false)
		next := w.newSyncer(w.open(), mirror.Config{Holder: "next"})
		eventually(t, "the next one leads", func() bool { return next.Sync(t.Context(), tenantA) == nil })
		cut.away.Store(false)
		close(hang)
		if err := <-result; !errors.Is(err, store.ErrConflict) && !errors.Is(err, mirror.ErrElsewhere) {
			t.Fatalf("the one that hung: %v", err)
		}
		if h, err := w.store.MirrorHead(t.Context(), guid(t, tenantA)); err != nil || h.Round != 1 {
			t.Fatalf("head: %+v, %v", h, err)
		}
	})
}

func TestALongRoundKeepsItsLease(t *testing.T) {
	each(t, mirror.Config{Lease: 200 * time.Millisecond}, func(t *testing.T, w *world) {
		other := w.newSyncer(w.open(), mirror.Config{Holder: "other"})
		w.graph.intercept(func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(300 * time.Millisecond)
			if err := other.Sync(t.Context(), tenantA); !errors.Is(err, mirror.ErrElsewhere) {
				t.Errorf("the other one: %v", err)
			}
			return false
		})
		w.sync()
	})
}

func TestEventsComeUntilTheyAreTaken(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		since := w.clock().Add(30 * time.Second).Truncate(time.Second)
		w.graph.list("users", user(1), user(2), user(3, "accountEnabled", false))
		w.graph.list("groups", group(1, "members@delta", members(userID(2))))
		w.sync()
		w.graph.happen("users", user(1, "accountEnabled", false), user(2, "signInSessionsValidFromDateTime", since.Format(time.RFC3339)),
			user(3, "signInSessionsValidFromDateTime", "0001-01-01T00:00:00Z"))
		w.deaf = errors.New("revocations are away")
		w.fails(w.deaf)
		w.look()
		w.hasNot(userOf(1), directory.ErrPrincipalDisabled) // the round itself is made
		applied := w.clock().Add(-2 * time.Second)
		w.fails(w.deaf)
		// Another replica hands them on.
		w.deaf = nil
		stop(t, w.syncer)
		w.syncer = w.newSyncer(w.store, mirror.Config{Holder: "heir"})
		w.sync()
		want := []mirror.PrincipalEvent{
			{ObjectID: userID(1), Kind: mirror.Disabled, At: applied}, {ObjectID: userID(2), Kind: mirror.SessionsInvalid, At: since}}
		events := w.told()
		if len(events) != 2 || events[0] != want[0] || events[1] != want[1] {
			t.Fatalf("events:\n got %+v\nwant %+v", events, want)
		}
		w.sync()
		if events := w.told(); len(events) != 0 {
			t.Errorf("again: %+v", events)
		}
	})
}

// cutStore is a store that can be away.
type cutStore struct {
	store.MirrorStore
	away  atomic.Bool
	calls atomic.Int64 // of MirrorGroups
	heads atomic.Int64
}

func (c *cutStore) LeaseMirror(ctx context.Context, tenant store.GUID, holder string, life time.Duration) (store.MirrorState, error) {
	if c.away.Load() {
		return store.MirrorState{}, store.ErrUnavailable
	}
	return c.MirrorStore.LeaseMirror(ctx, tenant, holder, life)
}

func (c *cutStore) MirrorHead(ctx context.Context, tenant store.GUID) (store.MirrorHead, error) {
	c.heads.Add(1)
	if c.away.Load() {
		return store.MirrorHead{}, store.ErrUnavailable
	}
	return c.MirrorStore.MirrorHead(ctx, tenant)
}

func (c *cutStore) MirrorGroups(ctx context.Context, tenant, principal store.GUID) (store.MirrorGroups, error) {
	c.calls.Add(1)
	if c.away.Load() {
		return store.MirrorGroups{}, store.ErrUnavailable
	}
	return c.MirrorStore.MirrorGroups(ctx, tenant, principal)
}

func TestAKickBringsARoundSoon(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{Poll: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.syncer.Run(ctx) }()
	for round := range uint64(3) {
		eventually(t, "a round", func() bool { return w.syncer.Status()[0].Round == round+1 })
		w.syncer.Kick()
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	if _, err := w.store.LeaseMirror(t.Context(), guid(t, tenantA), "next", time.Minute); err != nil {
		t.Errorf("the lease was not released: %v", err)
	}
}
