package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const tenantA, tenantB = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"

// engines gives an empty store of each, as often as it is opened.
var engines = map[string]func(t testing.TB) (open func() store.MirrorStore){
	"postgres": func(t testing.TB) func() store.MirrorStore {
		url := pgtest.New(t)
		return func() store.MirrorStore {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s
		}
	},
	"sqlite": func(t testing.TB) func() store.MirrorStore {
		path := filepath.Join(t.TempDir(), "verdict.db")
		if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
			t.Fatal(err)
		}
		return func() store.MirrorStore {
			s, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s
		}
	},
}

// world is a Graph, a store, a syncer and a source, at a time of the test's choosing.
type world struct {
	t      testing.TB
	graph  *fakeGraph
	open   func() store.MirrorStore
	store  store.MirrorStore
	syncer *mirror.Syncer
	source *mirror.Source

	mu     sync.Mutex
	now    time.Time
	log    bytes.Buffer
	events []mirror.PrincipalEvent
	deaf   error // what Events returns
}

// each runs f in a new world of each engine.
func each(t *testing.T, cfg mirror.Config, f func(t *testing.T, w *world)) {
	t.Helper()
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) { f(t, newWorld(t, engine(t), cfg)) })
	}
}

func newWorld(t testing.TB, open func() store.MirrorStore, cfg mirror.Config) *world {
	w := &world{t: t, graph: newFakeGraph(t), open: open, store: open(), now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	w.syncer = w.newSyncer(w.store, cfg)
	var err error
	if w.source, err = mirror.NewSource(w.store, mirror.SourceConfig{Now: w.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.source.Close)
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if strings.Contains(w.log.String(), canary) {
			t.Errorf("a secret is in the log: %s", w.log.String())
		}
	})
	return w
}

func (w *world) newSyncer(s store.MirrorStore, cfg mirror.Config) *mirror.Syncer {
	if cfg.Tenants == nil {
		cfg.Tenants = []string{tenantA}
	}
	cfg.BaseURL, cfg.Now, cfg.Events = w.graph.base(), w.clock, w.heard
	if cfg.MaxWait == 0 {
		cfg.MaxWait = time.Millisecond // tests do not wait for Graph
	}
	y, err := mirror.New(s, tokens{}, slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return y
}

// Write is the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) heard(_ context.Context, tenantID string, events []mirror.PrincipalEvent) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if tenantID != tenantA && tenantID != tenantB {
		w.t.Errorf("events of %s", tenantID)
	}
	if w.deaf == nil {
		w.events = append(w.events, events...)
	}
	return w.deaf
}

// told returns the events since the last call.
func (w *world) told() []mirror.PrincipalEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// sync makes a round a minute after the last one.
func (w *world) sync() {
	w.t.Helper()
	w.pass(time.Minute)
	if err := w.syncer.Sync(w.t.Context(), tenantA); err != nil {
		w.t.Fatalf("sync: %v", err)
	}
}

// fails makes a round that must fail with want, and say nothing that it should not.
func (w *world) fails(want error) {
	w.t.Helper()
	_ = w.failure(want)
}

// failure is fails for those who look into the error.
func (w *world) failure(want error) error {
	w.t.Helper()
	w.pass(time.Minute)
	err := w.syncer.Sync(w.t.Context(), tenantA)
	if err == nil || want != nil && !errors.Is(err, want) {
		w.t.Fatalf("sync: got %v, want %v", err, want)
	}
	if strings.Contains(err.Error(), canary) || strings.Contains(w.syncer.Status()[0].Problem, canary) {
		w.t.Fatalf("a secret is in %v", err)
	}
	return err
}

func userOf(n int) directory.Caller {
	return directory.Caller{Kind: policy.PrincipalUser, TenantID: tenantA, ObjectID: userID(n)}
}

func appOf(n int) directory.Caller {
	return directory.Caller{Kind: policy.PrincipalApp, TenantID: tenantA, ObjectID: appID(n)}
}

// has checks the groups of a caller, by their numbers.
func (w *world) has(who directory.Caller, numbers ...int) {
	w.t.Helper()
	m, err := w.source.Groups(w.t.Context(), who)
	if err != nil {
		w.t.Fatalf("groups: %v", err)
	}
	var want []string
	for _, n := range numbers {
		want = append(want, groupID(n))
	}
	if !slices.Equal(m.Groups, want) || m.Source != "mirror" {
		w.t.Fatalf("groups of %s from %s: got %v, want %v", who.ObjectID, m.Source, m.Groups, want)
	}
}

// hasNot checks that the groups of a caller are not to be had.
func (w *world) hasNot(who directory.Caller, want error) {
	w.t.Helper()
	if m, err := w.source.Groups(w.t.Context(), who); !errors.Is(err, want) || len(m.Groups) != 0 {
		w.t.Fatalf("groups of %s: got %v, %v, want %v", who.ObjectID, m.Groups, err, want)
	}
}

// look lets the source see the newest round.
func (w *world) look() { w.pass(2 * time.Second) }
