package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// script is a source that answers with f and counts.
type script struct {
	f     func(ctx context.Context, c Caller, n int) ([]string, error)
	asked atomic.Int64
}

func (s *script) Groups(ctx context.Context, c Caller) (Membership, error) {
	n := s.asked.Add(1)
	groups, err := s.f(ctx, c, int(n))
	if err != nil {
		return Membership{}, err
	}
	return Membership{Groups: groups, At: time.Now(), Source: "script"}, nil
}

// keep makes a cache before s. In a bubble it must be closed before the bubble ends.
func keep(t *testing.T, s Source, cfg CacheConfig) *Cached {
	t.Helper()
	c, err := NewCached(s, cfg, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func within(d time.Duration, c *Cached, who Caller) (Membership, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return c.Groups(ctx, who)
}

func TestHowLongAnswersAreKept(t *testing.T) {
	for name, tc := range map[string]struct {
		groups []string
		wait   time.Duration
		asked  int64
	}{
		"groups, almost 5 minutes": {[]string{inSrc}, 5*time.Minute - time.Second, 1},
		"groups, 5 minutes":        {[]string{inSrc}, 5 * time.Minute, 2},
		"none, almost a minute":    {nil, time.Minute - time.Second, 1},
		"none, a minute":           {nil, time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{f: func(context.Context, Caller, int) ([]string, error) { return tc.groups, nil }}
				c := keep(t, s, CacheConfig{})
				defer c.Close()
				for range 2 {
					m, err := c.Groups(t.Context(), who(policy.PrincipalUser, nil))
					if err != nil || !slices.Equal(m.Groups, tc.groups) {
						t.Fatalf("%v, %v", m, err)
					}
					time.Sleep(tc.wait)
				}
				if n := s.asked.Load(); n != tc.asked {
					t.Errorf("asked %d times; want %d", n, tc.asked)
				}
			})
		})
	}
}

func TestWhileTheSourceIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away error
		s := &script{f: func(context.Context, Caller, int) ([]string, error) { return []string{inSrc}, away }}
		c := keep(t, s, CacheConfig{})
		defer c.Close()
		ask := func() (Membership, error) { return within(time.Second, c, who(policy.PrincipalUser, nil)) }
		first, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		away = fmt.Errorf("%w: away", ErrUnavailable)
		time.Sleep(14 * time.Minute)
		m, err := ask()
		if err != nil || !slices.Equal(m.Groups, first.Groups) || !m.At.Equal(first.At) {
			t.Errorf("after 14 minutes: %v, %v", m, err)
		}
		asked := s.asked.Load()
		for range 10 {
			if _, err := ask(); err != nil {
				t.Errorf("right after: %v", err)
			}
		}
		if n := s.asked.Load(); n != asked {
			t.Errorf("a source that is away was asked %d times at once", n-asked)
		}
		time.Sleep(61 * time.Second)
		if m, err := ask(); !errors.Is(err, ErrUnavailable) || m.Groups != nil {
			t.Errorf("after 15 minutes: %v, %v", m, err)
		}
		away = nil
		time.Sleep(time.Second)
		if m, err := ask(); err != nil || !m.At.After(first.At) {
			t.Errorf("when it is back: %v, %v", m, err)
		}
		_, _, stale := c.state()
		if stale != 11 {
			t.Errorf("%d stale answers", stale)
		}
	})
}

func TestAnAnswerReplacesWhatIsKept(t *testing.T) {
	for _, end := range []error{ErrUnknownPrincipal, ErrPrincipalDisabled} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{f: func(_ context.Context, _ Caller, n int) ([]string, error) {
				switch n {
				case 1:
					return []string{inSrc}, nil
				case 2:
					return nil, end
				}
				return nil, ErrUnavailable
			}}
			c := keep(t, s, CacheConfig{})
			defer c.Close()
			for i, want := range []error{nil, end, ErrUnavailable} {
				if m, err := within(time.Second, c, who(policy.PrincipalUser, nil)); !errors.Is(err, want) || err != nil && m.Groups != nil {
					t.Errorf("question %d: %v, %v; want %v", i+1, m, err, want)
				}
				time.Sleep(6 * time.Minute)
			}
		})
	}
}

func TestASlowSourceHoldsNobodyPastItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{f: func(ctx context.Context, _ Caller, _ int) ([]string, error) {
			time.Sleep(3 * time.Second)
			return []string{inSrc}, ctx.Err()
		}}
		c := keep(t, s, CacheConfig{})
		defer c.Close()
		started := time.Now()
		_, err := within(200*time.Millisecond, c, who(policy.PrincipalUser, nil))
		if took := time.Since(started); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || took != 200*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
		m, err := within(4*time.Second, c, who(policy.PrincipalUser, nil)) // the lookup went on
		if took := time.Since(started); err != nil || len(m.Groups) != 1 || took != 3*time.Second || s.asked.Load() != 1 {
			t.Errorf("%v, %v after %v, asked %d times", m, err, took, s.asked.Load())
		}
		time.Sleep(6 * time.Minute) // now an older answer is at hand, and half of the time is kept
		started = time.Now()
		m, err = within(200*time.Millisecond, c, who(policy.PrincipalUser, nil))
		if took := time.Since(started); err != nil || len(m.Groups) != 1 || took != 100*time.Millisecond {
			t.Errorf("%v, %v after %v", m, err, took)
		}
	})
}

func TestRetries(t *testing.T) {
	for name, tc := range map[string]struct {
		after    time.Duration
		failures int
		deadline time.Duration
		took     time.Duration
		asked    int64
		err      bool
	}{
		"a wait within the caller's time is waited for":        {7 * time.Second, 1, 10 * time.Second, 7 * time.Second, 2, false},
		"one beyond it is answered at once":                    {7 * time.Second, 1, 5 * time.Second, 0, 1, true},
		"one beyond the lookup's own time is answered at once": {time.Minute, 1, time.Hour, 0, 1, true},
		"the fourth time is the last":                          {time.Second, 9, time.Minute, 3 * time.Second, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{f: func(_ context.Context, _ Caller, n int) ([]string, error) {
					if n <= tc.failures {
						return nil, &RetryError{After: tc.after, Err: ErrUnavailable}
					}
					return []string{inSrc}, nil
				}}
				c := keep(t, s, CacheConfig{})
				started := time.Now()
				m, err := within(tc.deadline, c, who(policy.PrincipalUser, nil))
				took, asked := time.Since(started), s.asked.Load()
				if (err != nil) != tc.err || took != tc.took || asked != tc.asked {
					t.Errorf("%v, %v after %v, asked %d times", m, err, took, asked)
				}
				c.Close()
			})
		})
	}
}

func TestManyShareOneLookup(t *testing.T) {
	release := make(chan struct{})
	s := &script{f: func(context.Context, Caller, int) ([]string, error) {
		<-release
		return []string{inSrc}, nil
	}}
	c := keep(t, s, CacheConfig{})
	defer c.Close()
	const callers = 200
	var ready, done sync.WaitGroup
	for range callers {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			if m, err := c.Groups(t.Context(), who(policy.PrincipalUser, nil)); err != nil || len(m.Groups) != 1 {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestNobodyIsGivenTheAnswerOfAnother(t *testing.T) {
	s := &script{f: func(_ context.Context, c Caller, _ int) ([]string, error) {
		return []string{strings.ToLower(fmt.Sprintf("%s|%s|%d|%s|%s", c.TenantID, c.ObjectID, c.Kind, c.OnPremSID, c.Username))}, nil
	}}
	c := keep(t, s, CacheConfig{})
	defer c.Close()
	var all sync.WaitGroup
	for _, kind := range []policy.PrincipalKind{policy.PrincipalUser, policy.PrincipalApp} {
		for _, tid := range []string{tenant, oid} {
			for _, id := range []string{tenant, oid} {
				for _, name := range []string{"", "a"} {
					for _, sid := range []string{"", userS} {
						all.Go(func() {
							asked := Caller{Kind: kind, TenantID: tid, ObjectID: id, Username: name, OnPremSID: sid}
							want, _ := s.f(context.Background(), asked, 0)
							for range 50 {
								if m, err := c.Groups(t.Context(), asked); err != nil || !slices.Equal(m.Groups, want) {
									t.Errorf("%v, %v; want %v", m.Groups, err, want)
								}
							}
						})
					}
				}
			}
		}
	}
	all.Wait()
	if n := s.asked.Load(); n != 32 {
		t.Errorf("asked %d times; want 32", n)
	}
}

func TestLookupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{f: func(ctx context.Context, _ Caller, _ int) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := keep(t, s, CacheConfig{Lookups: 2})
		errs := make([]error, 5)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				one := who(policy.PrincipalUser, func(c *Caller) { c.ObjectID = fmt.Sprintf("%08d%s", i, oid[8:]) })
				_, errs[i] = within(time.Second, c, one)
			})
		}
		all.Wait()
		full := 0
		for _, err := range errs {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "lookups run already") {
				full++
			}
		}
		if full != 3 {
			t.Errorf("%d were refused; want 3: %v", full, errs)
		}
		c.Close() // ends the lookups
		if _, err := within(time.Second, c, who(policy.PrincipalUser, nil)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestAPanicIsNoAnswer(t *testing.T) {
	s := &script{f: func(context.Context, Caller, int) ([]string, error) { panic("canary") }}
	c := keep(t, s, CacheConfig{})
	defer c.Close()
	if _, err := c.Groups(t.Context(), who(policy.PrincipalUser, nil)); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	s := &script{f: func(context.Context, Caller, int) ([]string, error) { return []string{inSrc, inTok}, nil }}
	c := keep(t, s, CacheConfig{Bytes: 100 << 10})
	defer c.Close()
	for i := range 2000 {
		one := who(policy.PrincipalUser, func(c *Caller) { c.ObjectID = fmt.Sprintf("%08d%s", i, oid[8:]) })
		if _, err := c.Groups(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	c.kept.CleanUp()
	if kept, _, _ := c.state(); kept == 0 || kept > 300 {
		t.Errorf("%d kept; 100 KiB hold about 280", kept)
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	s := &script{f: func(context.Context, Caller, int) ([]string, error) { return []string{inSrc}, nil }}
	c := keep(t, s, CacheConfig{})
	defer c.Close()
	caller := who(policy.PrincipalUser, nil)
	ctx := t.Context()
	if n := testing.AllocsPerRun(500, func() {
		if _, err := c.Groups(ctx, caller); err != nil {
			t.Fatal(err)
		}
	}); n > 0.1 { // the cache itself writes down a few of the reads
		t.Errorf("%v allocations", n)
	}
}
