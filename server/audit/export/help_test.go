package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/sqlite"
)

var begin = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// records are those of an instance with the numbers [from, to).
func records(instance byte, from, to int) []store.Decision {
	var ds []store.Decision
	for n := from; n < to; n++ {
		at := begin.Add(time.Duration(n) * time.Millisecond)
		ds = append(ds, store.Decision{
			ID: fmt.Sprintf("%08x-%04x-7000-8000-%02x%010x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, instance, n),
			At: at, API: "orders", Instance: "verdict-" + string(instance), Epoch: 1, Seq: uint64(n), Reason: 3, Allowed: true,
		})
	}
	return ds
}

func appendAll(t *testing.T, s store.DecisionAppender, ds []store.Decision) {
	t.Helper()
	if err := s.AppendDecisions(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
}

func newSQLite(t *testing.T) *sqlite.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// sink keeps what it is sent, unless fault says otherwise.
type sink struct {
	fault func([]store.Decision) error

	mu  sync.Mutex
	got []store.Decision
}

func (s *sink) Send(_ context.Context, ds []store.Decision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		err := s.fault(ds)
		if partial := (*export.Partial)(nil); err != nil && !errors.As(err, &partial) {
			return err
		}
		s.got = append(s.got, ds...)
		return err
	}
	s.got = append(s.got, ds...)
	return nil
}

func (s *sink) breaks(fault func([]store.Decision) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *sink) records() []store.Decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// distinct is how many different records there are.
func distinct(ds []store.Decision) int {
	ids := make(map[string]bool)
	for _, d := range ds {
		ids[d.ID] = true
	}
	return len(ids)
}

// inOrder fails unless the records of each instance come without a gap and in their order, repeated ones aside.
func inOrder(t *testing.T, ds []store.Decision) {
	t.Helper()
	last := make(map[string]uint64)
	for _, d := range ds {
		if d.Seq > last[d.Instance]+1 {
			t.Fatalf("%s: after %d comes %d", d.Instance, last[d.Instance], d.Seq)
		}
		last[d.Instance] = max(last[d.Instance], d.Seq)
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// logText is a log that is read while it is written.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// replica is a running exporter.
type replica struct {
	*export.Exporter
	log  *logText
	stop func() // and waits until it has
}

// run starts an exporter that is quick to notice.
func run(t *testing.T, s export.Store, k export.Sink, cfg export.Config) *replica {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "test"
	}
	if cfg.Poll == 0 {
		cfg.Poll = 5 * time.Millisecond
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 10 * time.Millisecond
	}
	l := new(logText)
	e, err := export.New(s, k, slog.New(slog.NewTextHandler(l, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return &replica{Exporter: e, log: l, stop: stop}
}
