//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// drainTime is how long connections that nobody uses may outlive a change of the password.
const drainTime = 5 * time.Second

// guarded is a database whose server wants the password of the role verdict_rotated.
type guarded struct {
	admin   *pgx.Conn // trusted, and another role
	trusted string    // the URL of that
	url     string    // without a password
}

func newGuarded(t *testing.T, password string) *guarded {
	t.Helper()
	server := pgtest.Start(t)
	database := server.New(t)
	g := &guarded{admin: raw(t, database), trusted: database}
	exec(t, g.admin, "CREATE ROLE verdict_rotated LOGIN SUPERUSER PASSWORD '"+password+"'")
	var hba string
	if err := g.admin.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, []byte("local all verdict trust\nlocal all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec(t, g.admin, "SELECT pg_reload_conf()")
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", "verdict_rotated")
	u.RawQuery = q.Encode()
	g.url = u.String()
	eventually(t, "the server asks for a password", func() bool {
		conn, err := pgx.Connect(t.Context(), g.url)
		if err == nil {
			conn.Close(t.Context())
		}
		return err != nil
	})
	return g
}

func (g *guarded) setPassword(t *testing.T, password string) {
	t.Helper()
	exec(t, g.admin, "ALTER ROLE verdict_rotated PASSWORD '"+password+"'")
}

// sessions are the processes of the role's connections.
func (g *guarded) sessions(t *testing.T) map[int]bool {
	t.Helper()
	rows, err := g.admin.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE usename = 'verdict_rotated'")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	set := map[int]bool{}
	for _, pid := range pids {
		set[pid] = true
	}
	return set
}

// open opens a Store whose password comes from a file, as a secret.Source reads it, and returns how to write the file.
func (g *guarded) open(t *testing.T, password string, cfg secret.Config, parameters string) (s *postgres.Store, write func(string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	write = func(password string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(password)
	source, err := secret.NewSource(secret.Ref{Scheme: secret.File, Name: file}, nil, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var polling sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	polling.Go(func() { source.Run(ctx) })
	from := source.Password()
	s, err = postgres.Open(t.Context(), postgres.Config{URL: g.url + parameters, Password: from, MaxConns: 8}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		from.Close()
		stop()
		polling.Wait()
	})
	return s, write
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 20 s it did not come that %s", what)
		}
	}
}

const workersOfLoad = 6

// load asks s all the time, in all the ways that need a connection, until stop, which tells how many calls there were. further
// waits for some more of them.
func load(t *testing.T, s *postgres.Store) (stop func() int64, further func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Int64
	var workers sync.WaitGroup
	for n := range workersOfLoad {
		workers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				var err error
				switch (n + i) % 4 {
				case 0:
					_, err = s.Head(context.Background())
				case 1:
					_, err = s.ListAPIs(context.Background(), "", 10)
				case 2:
					_, err = s.Load(context.Background())
				default:
					err = s.Ping(context.Background())
				}
				if err != nil {
					t.Errorf("call %d of worker %d: %v", i, n, err)
					return
				}
				done.Add(1)
			}
		})
	}
	stop = func() int64 {
		cancel()
		workers.Wait()
		return done.Load()
	}
	further = func() {
		t.Helper()
		from := done.Load()
		eventually(t, "calls are answered", func() bool { return t.Failed() || done.Load() >= from+2*workersOfLoad })
	}
	return stop, further
}

func TestAPasswordChangesUnderLoadAndNoCallFails(t *testing.T) {
	g := newGuarded(t, "first")
	s, write := g.open(t, "first", secret.Config{Every: 50 * time.Millisecond}, "")
	hints := s.Notify(t.Context())
	stop, _ := load(t, s)
	<-hints
	for _, password := range []string{"second", "third", "fourth"} {
		// One for each worker and the one that listens. None is made between the two changes, where it could only fail.
		eventually(t, "there are all connections", func() bool { return len(g.sessions(t)) == workersOfLoad+1 })
		old := g.sessions(t)
		g.setPassword(t, password)
		write(password)
		changed := time.Now()
		eventually(t, "the old connections are gone, the one that listens too", func() bool {
			for pid := range g.sessions(t) {
				if old[pid] {
					return false
				}
			}
			return true
		})
		if took := time.Since(changed); took > drainTime {
			t.Errorf("old connections were there for %s", took)
		}
		select {
		case <-hints: // the connection that listens is back
		case <-time.After(drainTime):
			t.Error("no hint after the change")
		}
	}
	if n := stop(); n < 100 {
		t.Errorf("%d calls only", n)
	} else {
		t.Logf("%d calls, none failed", n)
	}
}

// Connections live for a moment only, so that many have to be made between the two changes.
func TestTheSourceMayChangeBeforeTheDatabase(t *testing.T) {
	g := newGuarded(t, "first")
	s, write := g.open(t, "first", secret.Config{Every: 20 * time.Millisecond, Pause: time.Millisecond}, "&pool_max_conn_lifetime=1ms")
	if _, err := s.Head(t.Context()); err != nil { // the source has seen the first one
		t.Fatal(err)
	}
	stop, further := load(t, s)
	for _, password := range []string{"second", "third"} {
		write(password)
		time.Sleep(100 * time.Millisecond) // some polls
		further()                          // while the database is behind
		g.setPassword(t, password)
		further()
	}
	t.Logf("%d calls, none failed", stop())
}

// The source polls once an hour: only the refusal of the database can tell.
func TestARefusedPasswordIsReadAnew(t *testing.T) {
	g := newGuarded(t, "first")
	s, write := g.open(t, "first", secret.Config{Every: time.Hour}, "&pool_max_conn_lifetime=1ms")
	if _, err := s.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("second")
	g.setPassword(t, "second")
	stop, further := load(t, s)
	further()
	stop()
}

func TestAPasswordThatNobodyTakesLeavesTheConnectionsAlone(t *testing.T) {
	g := newGuarded(t, "first")
	s, write := g.open(t, "first", secret.Config{Every: 20 * time.Millisecond}, "")
	stop, _ := load(t, s)
	eventually(t, "there are all connections", func() bool { return len(g.sessions(t)) == workersOfLoad })
	old := g.sessions(t)
	write("mistyped")
	time.Sleep(700 * time.Millisecond)
	now := g.sessions(t)
	for pid := range old {
		if !now[pid] {
			t.Errorf("connection %d is gone", pid)
		}
	}
	stop()
}

func TestAQueryUnderWayOutlivesTheHandOver(t *testing.T) {
	g := newGuarded(t, "first")
	s, write := g.open(t, "first", secret.Config{Every: 20 * time.Millisecond}, "")
	if _, err := s.Commit(t.Context(), putAPI("a")); err != nil {
		t.Fatal(err)
	}
	// A commit that waits for the row of the head, as every commit needs it.
	lock, err := g.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "SELECT FROM policy_head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		_, err := s.Commit(context.Background(), putAPI("b"))
		committed <- err
	}()
	observer := raw(t, g.trusted)
	eventually(t, "the commit waits", func() bool {
		var n int
		err := observer.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'verdict_rotated' AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n == 1
	})
	exec(t, observer, "ALTER ROLE verdict_rotated PASSWORD 'second'")
	write("second")
	eventually(t, "the pool has moved on", func() bool {
		_, err := s.Head(context.Background())
		var idle int
		if err == nil {
			err = observer.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE usename = 'verdict_rotated' AND backend_start > (SELECT max(backend_start) FROM pg_stat_activity WHERE wait_event_type = 'Lock')`).Scan(&idle)
		}
		return err == nil && idle > 0
	})
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-committed; err != nil {
		t.Errorf("the commit: %v", err)
	}
}

func TestAWrongPasswordIsErrUnavailableAndIsNotPrinted(t *testing.T) {
	g := newGuarded(t, "first")
	s, _ := g.open(t, "hunter2wrong", secret.Config{}, "")
	_, err := s.Head(t.Context())
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2wrong") {
		t.Errorf("head: %v", err)
	}
}

// fixedPassword is a postgres.Password that does not change.
type fixedPassword struct {
	text string
	err  error
}

func (p fixedPassword) Get(context.Context) (string, error)     { return p.text, p.err }
func (p fixedPassword) Previous(context.Context) (string, bool) { return "", false }
func (p fixedPassword) Refresh(context.Context) error           { return p.err }
func (p fixedPassword) Changed() <-chan struct{}                { return nil }

func TestASourceThatHasNeverBeenReadIsErrUnavailable(t *testing.T) {
	s, err := postgres.Open(t.Context(), postgres.Config{
		URL: "postgres://verdict@127.0.0.1:1/x", Password: fixedPassword{err: errors.New("vault is away")},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Head(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "vault is away") {
		t.Errorf("head: %v", err)
	}
}

func TestTwoPasswordsAreRefused(t *testing.T) {
	for name, u := range map[string]string{
		"in the URL":        "postgres://verdict:hunter2@127.0.0.1:1/x",
		"as its parameter":  "postgres://verdict@127.0.0.1:1/x?password=hunter2",
		"as keyword, value": "host=127.0.0.1 user=verdict password=hunter2",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: u, Password: fixedPassword{text: "other"}}, slog.New(slog.DiscardHandler))
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "give one of them") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestWithPassword(t *testing.T) {
	const password = `p@ss/w%rd?#&=: "`
	for name, tc := range map[string]struct {
		in  string
		err string
	}{
		"a URL gets it":                             {in: "postgres://verdict@127.0.0.1:5432/x?sslmode=disable"},
		"a URL whose user is a parameter":           {in: "postgresql:///x?user=verdict&host=/tmp"},
		"a URL that has one keeps no other":         {in: "postgres://verdict:hunter2@127.0.0.1/x", err: "give one of them"},
		"a URL that has one as a parameter neither": {in: "postgres://verdict@127.0.0.1/x?password=hunter2", err: "give one of them"},
		"keywords and values are no URL":            {in: "host=127.0.0.1 password=hunter2", err: "not a postgres:// URL"},
		"nor is what cannot be parsed":              {in: "postgres://verdict:hunter2@[", err: "not a postgres:// URL"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := postgres.WithPassword(tc.in, password)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := pgxpool.ParseConfig(got)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.ConnConfig.Password != password || parsed.ConnConfig.User != "verdict" || parsed.ConnConfig.Database != "x" {
				t.Errorf("user %q, password %q, database %q", parsed.ConnConfig.User, parsed.ConnConfig.Password, parsed.ConnConfig.Database)
			}
		})
	}
}
