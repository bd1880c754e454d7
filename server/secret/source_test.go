package secret_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/secret"
)

// vault is a Fetcher that says what the test wants.
type vault struct {
	mu       sync.Mutex
	value    string
	since    time.Time
	previous string
	err      error
	slow     time.Duration
	fetches  atomic.Int64
	asked    atomic.Int64 // for the previous one
}

func (v *vault) set(value string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.value, v.err = value, err
}

func (v *vault) Fetch(ctx context.Context, _ secret.Ref) (secret.Fetched, error) {
	v.fetches.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-ctx.Done():
		return secret.Fetched{}, ctx.Err()
	case <-time.After(v.slow):
	}
	return secret.Fetched{Value: secret.NewValue([]byte(v.value)), Since: v.since}, v.err
}

// withPrevious is a vault that knows what was before.
type withPrevious struct{ *vault }

func (v withPrevious) FetchPrevious(context.Context, secret.Ref) (secret.Value, error) {
	v.asked.Add(1)
	if v.previous == "" {
		return secret.Value{}, secret.ErrNoPrevious
	}
	return secret.NewValue([]byte(v.previous)), nil
}

var ref = secret.Ref{Scheme: secret.AWSSecretsManager, Name: "db", Stage: secret.CurrentStage}

func newSource(t *testing.T, f secret.Fetcher, cfg secret.Config) (*secret.Source, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s, err := secret.NewSource(ref, secret.Fetchers{ref.Scheme: f}, slog.New(slog.NewTextHandler(&log, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, &log
}

func wants(t *testing.T, s *secret.Source, want string) {
	t.Helper()
	if got, err := s.Get(t.Context()); err != nil || got.Reveal() != want {
		t.Fatalf("got %q, %v; want %q", got.Reveal(), err, want)
	}
}

func wantsPrevious(t *testing.T, s *secret.Source, want string) {
	t.Helper()
	if got, ok := s.Previous(t.Context()); ok != (want != "") || got.Reveal() != want {
		t.Fatalf("previous is %q, %v; want %q", got.Reveal(), ok, want)
	}
}

func TestTheFirstGetFetchesAndTheOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one", slow: time.Second}
		s, _ := newSource(t, v, secret.Config{})
		if v.fetches.Load() != 0 {
			t.Error("fetched before it was asked")
		}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { wants(t, s, "one") })
		}
		all.Wait()
		wants(t, s, "one")
		if n := v.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestRunSeesAChangeAndTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one"}
		s, log := newSource(t, v, secret.Config{Every: time.Minute, Grace: 10 * time.Minute})
		var told []string
		stop := s.OnChange(func(v secret.Value) { told = append(told, v.Reveal()) })
		wants(t, s, "one")
		wantsPrevious(t, s, "")
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { s.Run(ctx) })
		v.set("two", nil)
		time.Sleep(73 * time.Second) // a poll and its fifth
		synctest.Wait()
		wants(t, s, "two")
		wantsPrevious(t, s, "one")
		if len(told) != 1 || told[0] != "two" || s.Stats().ChangedAt.IsZero() {
			t.Errorf("told %q, %+v", told, s.Stats())
		}
		stop()
		v.set("three", nil)
		time.Sleep(73 * time.Second)
		synctest.Wait()
		wants(t, s, "three")
		wantsPrevious(t, s, "two")
		if len(told) != 1 {
			t.Error("told after stop")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wantsPrevious(t, s, "") // the grace is over
		cancel()
		run.Wait()
		for _, text := range []string{"one", "two", "three"} {
			if strings.Contains(strings.ReplaceAll(log.String(), "secret changed", ""), text) {
				t.Errorf("logged %s: %s", text, log)
			}
		}
	})
}

func TestPollsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one"}
		s, _ := newSource(t, v, secret.Config{Every: 100 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		gaps := map[time.Duration]bool{}
		last, seen := time.Now(), int64(0)
		for range 2000 {
			time.Sleep(time.Second)
			if n := v.fetches.Load(); n != seen {
				gap := time.Since(last)
				if gap < 79*time.Second || gap > 121*time.Second {
					t.Errorf("%s between two polls", gap)
				}
				gaps[gap], last, seen = true, time.Now(), n
			}
		}
		cancel()
		if len(gaps) < 4 {
			t.Errorf("the gaps are %v", gaps)
		}
	})
}

func TestAFailureKeepsTheLastGoodValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one"}
		s, log := newSource(t, v, secret.Config{Every: time.Minute})
		wants(t, s, "one")
		at := s.Stats().FetchedAt
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		v.set("", errors.New("vault is away"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wants(t, s, "one")
		got := s.Stats()
		if got.Failures < 8 || got.Problem != "vault is away" || !got.FetchedAt.Equal(at) || got.Ref != "awssm://db" {
			t.Errorf("%+v", got)
		}
		if n := strings.Count(log.String(), "secret not read"); n != 1 {
			t.Errorf("%d lines about one outage:\n%s", n, log)
		}
		v.set("", nil) // an empty secret is none
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wants(t, s, "one")
		if p := s.Stats().Problem; !strings.Contains(p, "empty") {
			t.Errorf("problem %q", p)
		}
		v.set("two", nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wants(t, s, "two")
		if got := s.Stats(); got.Problem != "" || !got.FetchedAt.After(at) || !strings.Contains(log.String(), "secret read again") {
			t.Errorf("%+v\n%s", got, log)
		}
		cancel()
		synctest.Wait()
	})
}

func TestASecretThatWasNeverReadIsNotAskedForByEveryCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{err: errors.New("vault is away")}
		s, _ := newSource(t, v, secret.Config{})
		for range 50 {
			if _, err := s.Get(t.Context()); err == nil || err.Error() != "vault is away" {
				t.Fatal(err)
			}
		}
		if n := v.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		v.set("one", nil)
		time.Sleep(3 * time.Second)
		wants(t, s, "one")
	})
}

func TestRefreshIsSharedAndRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one", slow: 100 * time.Millisecond}
		s, _ := newSource(t, v, secret.Config{Pause: 2 * time.Second})
		wants(t, s, "one")
		v.set("two", nil)
		for range 3 {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if err := s.Refresh(t.Context()); err != nil {
						t.Error(err)
					}
					wants(t, s, "two")
				})
			}
			all.Wait()
		}
		if n := v.fetches.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		time.Sleep(2 * time.Second)
		v.set("", errors.New("vault is away"))
		for range 3 { // the later ones are told what the first one found
			if err := s.Refresh(t.Context()); err == nil {
				t.Error("no error")
			}
		}
		if n := v.fetches.Load(); n != 3 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestAFetchHasItsOwnTimeAndOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one", slow: 3 * time.Second}
		s, _ := newSource(t, v, secret.Config{Timeout: 5 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		wants(t, s, "one")
		if n := v.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		v.mu.Lock()
		v.slow = time.Hour
		v.mu.Unlock()
		start := time.Now()
		if err := s.Refresh(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestPreviousIsAskedForWhenTheChangeWasBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := withPrevious{&vault{value: "two", previous: "one", since: time.Now().Add(-10 * time.Minute)}}
		s, _ := newSource(t, v, secret.Config{Grace: 15 * time.Minute})
		wantsPrevious(t, s, "") // nothing is known yet
		wants(t, s, "two")
		wantsPrevious(t, s, "one")
		wantsPrevious(t, s, "one")
		if n := v.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		wants(t, s, "two")
		time.Sleep(5*time.Minute + time.Second)
		wantsPrevious(t, s, "")
	})
}

func TestAPreviousThatIsNotThereIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := withPrevious{&vault{value: "one", since: time.Now()}}
		s, _ := newSource(t, v, secret.Config{})
		wants(t, s, "one")
		wantsPrevious(t, s, "")
		wantsPrevious(t, s, "")
		if n := v.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestPasswordTellsOfChangesWithoutBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{value: "one"}
		s, _ := newSource(t, v, secret.Config{})
		p := s.Password()
		if got, err := p.Get(t.Context()); got != "one" || err != nil {
			t.Fatal(got, err)
		}
		for _, next := range []string{"two", "three"} {
			v.set(next, nil)
			time.Sleep(3 * time.Second)
			if err := p.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		<-p.Changed()
		select {
		case <-p.Changed():
			t.Error("told twice")
		default:
		}
		if got, ok := p.Previous(t.Context()); got != "two" || !ok {
			t.Errorf("previous %q, %v", got, ok)
		}
		p.Close()
		v.set("four", nil)
		time.Sleep(3 * time.Second)
		if err := p.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Changed():
			t.Error("told after Close")
		default:
		}
	})
}

func TestNewSourceRefusesWhatItCannotWorkWith(t *testing.T) {
	discard := slog.New(slog.DiscardHandler)
	for name, f := range map[string]func() error{
		"no reference":        func() error { _, err := secret.NewSource(secret.Ref{}, nil, discard, secret.Config{}); return err },
		"no logger":           func() error { _, err := secret.NewSource(ref, nil, nil, secret.Config{}); return err },
		"a store without one": func() error { _, err := secret.NewSource(ref, nil, discard, secret.Config{}); return err },
		"a negative time": func() error {
			_, err := secret.NewSource(secret.Ref{Scheme: secret.Env, Name: "A"}, nil, discard, secret.Config{Grace: -1})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if f() == nil {
				t.Error("accepted")
			}
		})
	}
}
