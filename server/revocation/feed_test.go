package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/store"
)

// fakeStore has one row a revocation, as a store does.
type fakeStore struct {
	mu    sync.Mutex
	seq   uint64
	rows  []store.Revocation // by seq
	away  error
	hints chan struct{}
	looks int
}

func (f *fakeStore) RevocationsSince(_ context.Context, seq uint64) (store.RevocationDelta, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	switch {
	case f.away != nil:
		return store.RevocationDelta{}, f.away
	case seq > f.seq:
		return store.RevocationDelta{}, store.ErrNotFound
	}
	d := store.RevocationDelta{Seq: f.seq}
	for _, r := range f.rows {
		if r.Seq > seq && (seq > 0 || !r.Deleted) {
			d.Changed = append(d.Changed, r)
		}
	}
	return d, nil
}

func (f *fakeStore) Notify(context.Context) <-chan struct{} { return f.hints }

// put makes or changes the row of r.ID.
func (f *fakeStore) put(r store.Revocation) store.Revocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	r.Seq = f.seq
	for i := range f.rows {
		if f.rows[i].ID == r.ID {
			f.rows = append(f.rows[:i], f.rows[i+1:]...)
			break
		}
	}
	f.rows = append(f.rows, r)
	return r
}

func (f *fakeStore) take(r store.Revocation) {
	r.Deleted = true
	f.put(r)
}

func (f *fakeStore) set(away error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

// revoked is a revocation that lasts a day.
func revoked(id string, kind store.RevocationKind, value string, at time.Time) store.Revocation {
	return store.Revocation{ID: id, TenantID: "t", Kind: kind, Value: value, NotBefore: at, ExpiresAt: at.Add(24 * time.Hour)}
}

var of = revocation.Facts{TenantID: "t", ObjectID: "o", ClientID: "c", SessionID: "s", TokenID: "u"}

// issued is the token of all tests, issued at some time.
func issued(at time.Time) revocation.Facts {
	t := of
	t.IssuedAt = at
	return t
}

// follow runs a feed over f until the test ends.
func follow(t testing.TB, f revocation.Source, cfg revocation.Config) (*revocation.Feed, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	feed, err := revocation.NewFeed(f, slog.New(slog.NewTextHandler(&buf, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run ends with %v", err)
		}
	})
	return feed, &buf
}

func wantHit(t *testing.T, feed *revocation.Feed, facts revocation.Facts, want string) {
	t.Helper()
	hit, known := feed.Check(facts)
	got := ""
	if hit != nil {
		got = hit.ID
	}
	if !known || got != want {
		t.Errorf("hit %q (known %v), want %q", got, known, want)
	}
}

func TestWhatIsRefused(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when bubbles begin
	for name, tc := range map[string]struct {
		revoked []store.Revocation
		token   revocation.Facts
		want    string
	}{
		"nothing without revocations":     {nil, issued(now.Add(-time.Hour)), ""},
		"268 a principal":                 {[]store.Revocation{revoked("r", store.RevokePrincipal, "o", now)}, issued(now.Add(-time.Hour)), "r"},
		"271 a client":                    {[]store.Revocation{revoked("r", store.RevokeClient, "c", now)}, issued(now.Add(-time.Hour)), "r"},
		"271 a session":                   {[]store.Revocation{revoked("r", store.RevokeSession, "s", now)}, issued(now.Add(-time.Hour)), "r"},
		"271 a token":                     {[]store.Revocation{revoked("r", store.RevokeToken, "u", now)}, issued(now.Add(-time.Hour)), "r"},
		"271 a tenant":                    {[]store.Revocation{revoked("r", store.RevokeTenant, "", now)}, issued(now.Add(-time.Hour)), "r"},
		"269 the same second counts":      {[]store.Revocation{revoked("r", store.RevokePrincipal, "o", now)}, issued(now), "r"},
		"270 a token issued later passes": {[]store.Revocation{revoked("r", store.RevokePrincipal, "o", now)}, issued(now.Add(time.Second)), ""},
		"another principal passes":        {[]store.Revocation{revoked("r", store.RevokePrincipal, "x", now)}, issued(now), ""},
		"case is compared":                {[]store.Revocation{revoked("r", store.RevokeToken, "U", now)}, issued(now), ""},
		"a value of another kind":         {[]store.Revocation{revoked("r", store.RevokeClient, "o", now)}, issued(now), ""},
		"a token without a session is of no session": {[]store.Revocation{revoked("r", store.RevokeSession, "s", now)},
			revocation.Facts{TenantID: "t", ObjectID: "o", IssuedAt: now}, ""},
		"the same object in another tenant": {[]store.Revocation{revoked("r", store.RevokePrincipal, "o", now)},
			revocation.Facts{TenantID: "t2", ObjectID: "o", IssuedAt: now}, ""},
		"of several the one that asks for the newest token": {[]store.Revocation{
			revoked("old", store.RevokePrincipal, "o", now), revoked("new", store.RevokeSession, "s", now.Add(time.Minute)),
			revoked("mid", store.RevokeTenant, "", now.Add(time.Second)),
		}, issued(now), "new"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{}
				for _, r := range tc.revoked {
					f.put(r)
				}
				feed, _ := follow(t, f, revocation.Config{})
				synctest.Wait()
				wantHit(t, feed, tc.token, tc.want)
			})
		})
	}
}

func TestChangesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		feed, _ := follow(t, f, revocation.Config{})
		if _, known := feed.Check(issued(time.Now())); known || !feed.Stale(time.Now()) {
			t.Error("revocations are known before the first look")
		}
		synctest.Wait()
		wantHit(t, feed, issued(time.Now()), "")
		one := f.put(revoked("r-1", store.RevokePrincipal, "o", time.Now()))
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(one.NotBefore), "r-1")

		wider := one
		wider.NotBefore = wider.NotBefore.Add(time.Minute)
		wider = f.put(wider)
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(one.NotBefore.Add(time.Second)), "r-1")
		if st := feed.Status(); st.Revocations != 1 || st.Seq != wider.Seq || st.Problem != "" {
			t.Errorf("status %+v", st)
		}

		f.take(wider)
		again := f.put(revoked("r-2", store.RevokeToken, "u", time.Now()))
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(one.NotBefore), "r-2")
		f.take(again)
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(one.NotBefore), "")
	})
}

func TestWhatWasTakenBackAndRevokedAgainBetweenTwoLooksIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		one := f.put(revoked("r-1", store.RevokePrincipal, "o", time.Now()))
		feed, _ := follow(t, f, revocation.Config{})
		synctest.Wait()
		f.take(one)
		f.put(revoked("r-2", store.RevokePrincipal, "o", time.Now()))
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(time.Now().Add(-time.Hour)), "r-2")
		f.take(one) // a late word about what is gone
		time.Sleep(600 * time.Millisecond)
		wantHit(t, feed, issued(time.Now().Add(-time.Hour)), "r-2")
	})
}

func TestHintsAndKicksMakeItSooner(t *testing.T) {
	for name, nudge := range map[string]func(*fakeStore, *revocation.Feed){
		"272 a hint of the store": func(f *fakeStore, _ *revocation.Feed) { f.hints <- struct{}{} },
		"272 a kick":              func(_ *fakeStore, feed *revocation.Feed) { feed.Kick() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{hints: make(chan struct{}, 1)}
				feed, _ := follow(t, f, revocation.Config{Poll: time.Hour})
				time.Sleep(time.Second)
				f.put(revoked("r", store.RevokeTenant, "", time.Now()))
				nudge(f, feed)
				synctest.Wait()
				wantHit(t, feed, issued(time.Now()), "r")
			})
		})
	}
}

func TestNudgesAreNoLoadOnTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		feed, _ := follow(t, f, revocation.Config{})
		for range 1000 {
			feed.Kick()
			time.Sleep(time.Millisecond)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.looks > 110 {
			t.Errorf("%d looks in a second", f.looks)
		}
	})
}

func TestTheStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		r := revoked("r", store.RevokePrincipal, "o", time.Now())
		r.ExpiresAt = r.NotBefore.Add(time.Hour)
		f.put(r)
		feed, logged := follow(t, f, revocation.Config{})
		synctest.Wait()
		f.set(store.ErrUnavailable)
		time.Sleep(29 * time.Second)
		if feed.Stale(time.Now()) {
			t.Error("stale after 29 seconds")
		}
		time.Sleep(2 * time.Second)
		if !feed.Stale(time.Now()) || !strings.Contains(feed.Status().Problem, "unavailable") {
			t.Errorf("not stale after 31 seconds: %+v", feed.Status())
		}
		wantHit(t, feed, issued(time.Now().Add(-time.Hour)), "r") // the last known set stays
		time.Sleep(time.Hour)
		wantHit(t, feed, issued(r.NotBefore), "") // and expires by itself
		f.set(nil)
		time.Sleep(time.Second)
		if st := feed.Status(); feed.Stale(time.Now()) || st.Problem != "" {
			t.Errorf("after the recovery: %+v", st)
		}
		synctest.Wait()
		if n := strings.Count(logged.String(), "revocations are not followed"); n != 1 {
			t.Errorf("an outage is logged %d times", n)
		}
	})
}

// What the defaults promise: a revocation is in force within a second, and a feed that is cut tells so within thirty.
func TestSoonEnough(t *testing.T) {
	for name, cut := range map[string]bool{"272 a new revocation": false, "272 a feed that is cut": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStore{}
				feed, _ := follow(t, f, revocation.Config{})
				synctest.Wait()
				if cut {
					f.set(store.ErrUnavailable)
				}
				f.put(revoked("r", store.RevokePrincipal, "o", time.Now()))
				token := issued(time.Now())
				time.Sleep(time.Second)
				if !cut {
					wantHit(t, feed, token, "r")
					return
				}
				wantHit(t, feed, token, "")
				time.Sleep(29*time.Second + time.Millisecond)
				if !feed.Stale(time.Now()) {
					t.Error("not stale after thirty seconds")
				}
			})
		})
	}
}

func TestAStoreThatWasSetBackIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		for i := range 5 {
			f.put(revoked(fmt.Sprint("r-", i), store.RevokeToken, fmt.Sprint("u", i), time.Now()))
		}
		feed, _ := follow(t, f, revocation.Config{})
		synctest.Wait()
		f.mu.Lock()
		f.seq, f.rows = 0, nil
		f.mu.Unlock()
		f.put(revoked("other", store.RevokeTenant, "", time.Now()))
		time.Sleep(time.Second)
		wantHit(t, feed, issued(time.Now().Add(-time.Hour)), "other")
		if st := feed.Status(); st.Revocations != 1 || st.Seq != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestAKindThatIsNotKnownIsNoSilentHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{}
		f.put(revoked("r", store.RevokePrincipal, "o", time.Now()))
		feed, _ := follow(t, f, revocation.Config{})
		synctest.Wait()
		f.put(revoked("new", "device", "d", time.Now()))
		time.Sleep(time.Minute)
		wantHit(t, feed, issued(time.Now().Add(-time.Hour)), "r")
		if !feed.Stale(time.Now()) || !strings.Contains(feed.Status().Problem, `kind "device"`) {
			t.Errorf("status %+v", feed.Status())
		}
	})
}

type hanging struct{ fakeStore }

func (h *hanging) RevocationsSince(ctx context.Context, _ uint64) (store.RevocationDelta, error) {
	<-ctx.Done()
	return store.RevocationDelta{}, ctx.Err()
}

func TestAHangingStoreIsToldAndDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, _ := follow(t, &hanging{}, revocation.Config{})
		time.Sleep(8 * time.Second)
		if st := feed.Status(); !strings.Contains(st.Problem, "deadline exceeded") || !st.CheckedAt.IsZero() {
			t.Errorf("status %+v", st)
		}
		if _, known := feed.Check(of); known {
			t.Error("known")
		}
	})
}

// Runs in real time: readers see whole sets while changes go on, for the race detector too.
func TestReadersRaceWithChanges(t *testing.T) {
	f := &fakeStore{}
	feed, _ := follow(t, f, revocation.Config{Poll: time.Millisecond})
	var readers sync.WaitGroup
	stop := make(chan struct{})
	at := time.Now()
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				feed.Check(issued(at))
				feed.Stale(at)
				feed.Status()
			}
		})
	}
	for i := range 200 {
		r := f.put(revoked(fmt.Sprint("r-", i%10), store.RevokeToken, fmt.Sprint("u", i%10), at))
		if i%3 == 0 {
			f.take(r)
		}
		feed.Kick()
	}
	last := f.put(revoked("last", store.RevokeTenant, "", at))
	for end := time.Now().Add(20 * time.Second); feed.Status().Seq < last.Seq; {
		if time.Now().After(end) {
			t.Fatalf("at change %d, want %d", feed.Status().Seq, last.Seq)
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	readers.Wait()
	wantHit(t, feed, issued(at), "last")
}

func TestNewFeedRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for name, open := range map[string]func() (*revocation.Feed, error){
		"no store":  func() (*revocation.Feed, error) { return revocation.NewFeed(nil, log, revocation.Config{}) },
		"no logger": func() (*revocation.Feed, error) { return revocation.NewFeed(&fakeStore{}, nil, revocation.Config{}) },
		"a negative poll": func() (*revocation.Feed, error) {
			return revocation.NewFeed(&fakeStore{}, log, revocation.Config{Poll: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(); err == nil {
				t.Error("taken")
			}
		})
	}
}
