package mirror_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/server/policy"
)

// cut puts a store that counts, and can be away, before the source of w.
func (w *world) cut(t *testing.T) *cutStore {
	t.Helper()
	c := &cutStore{MirrorStore: w.store}
	source, err := mirror.NewSource(c, mirror.SourceConfig{Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	w.source = source
	return c
}

func TestBeforeTheFirstRoundNothingIsResolved(t *testing.T) {
	each(t, mirror.Config{}, func(_ *testing.T, w *world) {
		w.hasNot(userOf(1), directory.ErrUnavailable)
		w.sync()
		w.hasNot(userOf(1), directory.ErrUnknownPrincipal)
	})
}

func TestAPrincipalIsLookedUpOnceForEachRoundThatChangedSomething(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		c := w.cut(t)
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		for range 10 {
			w.has(userOf(1), 1)
			w.hasNot(userOf(2), directory.ErrUnknownPrincipal)
			w.sync() // nothing new
		}
		if n := c.calls.Load(); n != 2 {
			t.Errorf("%d lookups of two principals", n)
		}
		m, err := w.source.Groups(t.Context(), userOf(1))
		if age := w.clock().Sub(m.At); err != nil || age != 0 {
			t.Errorf("%v old, %v", age, err) // as of the newest round, not of the lookup
		}
		w.graph.happen("users", user(2))
		w.sync()
		w.has(userOf(1), 1)
		w.has(userOf(2))
		if n := c.calls.Load(); n != 4 {
			t.Errorf("%d lookups after a change", n)
		}
	})
}

func TestTheStoreIsLookedAtOnceASecond(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{})
	c := w.cut(t)
	w.graph.list("users", user(1))
	w.sync()
	w.has(userOf(1))
	w.look()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := w.source.Groups(t.Context(), userOf(1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if calls, heads := c.calls.Load(), c.heads.Load(); calls != 1 || heads != 1 {
		t.Errorf("%d lookups, %d heads", calls, heads)
	}
}

func TestWithTheStoreAwayWhatWasLookedUpServesWithItsAge(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		c := w.cut(t)
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		w.has(userOf(1), 1)
		c.away.Store(true)
		for range 12 {
			w.pass(time.Minute)
			w.has(userOf(1), 1)
			w.hasNot(userOf(2), directory.ErrUnavailable)
		}
		m, err := w.source.Groups(t.Context(), userOf(1))
		if age := w.clock().Sub(m.At); err != nil || age != 12*time.Minute {
			t.Errorf("%v old, %v", age, err)
		}
		c.away.Store(false)
		w.look()
		w.has(userOf(2))
	})
}

func TestAStoreThatWasSetBackIsBelieved(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{})
	c := w.cut(t)
	w.graph.list("users", user(1))
	w.graph.list("groups", group(1, "members@delta", members(userID(1))))
	w.sync()
	for n := range 3 {
		w.graph.happen("users", user(10+n))
		w.sync()
	}
	w.has(userOf(1), 1)
	// A backup of after the first round, where the user is in another group.
	older := newWorld(t, engines["sqlite"](t), mirror.Config{})
	older.graph.list("users", user(1))
	older.graph.list("groups", group(2, "members@delta", members(userID(1))))
	older.sync()
	c.MirrorStore = older.store
	w.look()
	w.has(userOf(1), 2)
	c.MirrorStore = engines["sqlite"](t)()
	w.look()
	w.hasNot(userOf(1), directory.ErrUnavailable)
}

func TestOnlyUsersAndApplicationsWithProperIDsAreAskedFor(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{})
	w.sync()
	for name, who := range map[string]directory.Caller{
		"no kind":               {TenantID: tenantA, ObjectID: userID(1)},
		"another kind":          {Kind: policy.PrincipalKind(99), TenantID: tenantA, ObjectID: userID(1)},
		"no tenant":             {Kind: policy.PrincipalUser, ObjectID: userID(1)},
		"an object id of no id": {Kind: policy.PrincipalUser, TenantID: tenantA, ObjectID: "' OR 1=1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.source.Groups(t.Context(), who); !errors.Is(err, directory.ErrUnknownPrincipal) {
				t.Errorf("got %v", err)
			}
		})
	}
}
